"""What an operator may set of OAuth 2: a table, which `pillarbox.config` collects.

Not here: what the options do (`keys`, `tokens`).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pillarbox.config_rows import ConfigError, Row
from pillarbox.config_values import FILE, FLAG, NAME, NAMES

SECTION: Final = "OAuth 2"
"""Of the manual."""

FILES: Final = ("oauth_tls_authorities",)
"""Options that name files of TLS."""


@dataclass(frozen=True, kw_only=True, init=False, eq=False, repr=False)
class OAuthOptions:
    """A row each."""

    oauth_resource_server_id: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "What tokens for this broker have as audience (`aud`), and what their scopes begin with.",
        ),
    ] = ""
    oauth_keys: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            NAMES,
            "The public keys of who signs tokens: files that hold a JWK set (JSON) or one key (PEM; "
            "`ID=FILE` gives it the key id that tokens name), or `https://` URLs of JWK sets, which are "
            "fetched at the start, every five minutes, and half a minute after a token names an unknown key.",
        ),
    ] = ()
    oauth_issuer: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "The URL of the issuer, which tokens must have as `iss`. Where there are no `oauth_keys`, it is "
            "asked for them (OpenID Connect Discovery).",
        ),
    ] = ""
    oauth_scope_prefix: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "What scopes for this broker begin with. None: `oauth_resource_server_id` and a dot.",
        ),
    ] = ""
    oauth_additional_scopes_key: Annotated[
        tuple[str, ...],
        Row(SECTION, NAMES, "Further claims with scopes; dots lead into objects (`realm_access.roles`)."),
    ] = ()
    oauth_preferred_username_claims: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            NAMES,
            "Claims with the name of the user, the best one first; after them `sub`, `client_id`.",
        ),
    ] = ()
    oauth_verify_aud: Annotated[
        bool, Row(SECTION, FLAG, "Demand that a token is meant for `oauth_resource_server_id`.")
    ] = True
    oauth_tls_authorities: Annotated[
        str,
        Row(
            SECTION,
            FILE,
            "The authorities that are trusted when keys are fetched, in PEM form. None: those of the system.",
        ),
    ] = ""


def check(config: OAuthOptions) -> None:
    """Raise ConfigError if something that every token needs is not set."""
    if not config.oauth_resource_server_id:
        raise ConfigError('auth_backends "oauth2" needs oauth_resource_server_id')
    if not (config.oauth_keys or config.oauth_issuer):
        raise ConfigError('auth_backends "oauth2" needs oauth_keys or oauth_issuer')
