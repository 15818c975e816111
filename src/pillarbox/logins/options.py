"""What an operator may set of who decides logins: a table, which `pillarbox.config` collects.

Not here: what the options do (`asker` and the backends), and those of tokens (`oauth.options`).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pillarbox.config_rows import ConfigError, Row
from pillarbox.config_values import CHOICE, COUNT, FILE, FLAG, NAME, NAMES, PORT_MAX, SECONDS, TEXT

LOGINS: Final = "Logins"
HTTP_LOGINS: Final = "Logins by HTTP"
LDAP_LOGINS: Final = "Logins by LDAP"
SECTIONS: Final = (LOGINS, HTTP_LOGINS, LDAP_LOGINS)
"""Of the manual."""

FILES: Final = ("auth_http_tls_authorities", "auth_ldap_tls_authorities")
"""Options that name files of TLS."""

AUTH_BACKENDS: Final = ("internal", "oauth2", "http", "ldap", "cache")
"""What can be asked who somebody is, and what they may do."""

CACHED_BACKENDS: Final = ("internal", "http", "ldap")
"""What `cache` can stand before."""


@dataclass(frozen=True, kw_only=True, init=False, eq=False, repr=False)
class LoginOptions:
    """A row each."""

    auth_backends: Annotated[
        tuple[str, ...],
        Row(
            LOGINS,
            NAMES,
            "What is asked who somebody is, one after the other until one knows, and then what they may do: "
            "`internal`, the users that the broker keeps; `oauth2`, a token as password (any user name) or "
            "as HTTP's Bearer; `http`, a service that `auth_http_*` names; `ldap`, a directory that "
            "`auth_ldap_*` names; `cache`, what `auth_cache_cached_backend` names, with a memory. "
            "`WHO:WHAT`, such as `http:internal`, asks one who somebody is and the other what they may do. "
            '`oauth2` needs the extra `pip install "pillarbox[oauth]"`, `oauth_resource_server_id`, and '
            "`oauth_keys` or `oauth_issuer`.",
        ),
    ] = ("internal",)
    auth_cache_cached_backend: Annotated[
        str,
        Row(
            LOGINS,
            TEXT,
            "Whose answers the backend `cache` keeps, as a word of `auth_backends`, or two: `WHO:WHAT`.",
        ),
    ] = "internal"
    auth_cache_ttl_s: Annotated[
        int, Row(LOGINS, SECONDS, "How long the backend `cache` keeps an answer.", minimum=1, maximum=86_400)
    ] = 15
    auth_cache_refusals: Annotated[
        bool, Row(LOGINS, FLAG, "Whether the backend `cache` keeps refusals too.")
    ] = False
    auth_http_method: Annotated[
        str,
        Row(HTTP_LOGINS, CHOICE, "How the service is asked.", choices=("get", "post")),
    ] = "get"
    auth_http_user_path: Annotated[
        str,
        Row(
            HTTP_LOGINS,
            TEXT,
            "The URL that says who somebody is. It is asked as RabbitMQ asks it, and answers `allow` with "
            "the user's tags behind, or `deny`. Passwords travel as they are: across a network it should "
            "begin with `https://`.",
        ),
    ] = "http://localhost:8000/auth/user"
    auth_http_vhost_path: Annotated[
        str, Row(HTTP_LOGINS, TEXT, "The URL that says who may enter a virtual host.")
    ] = "http://localhost:8000/auth/vhost"
    auth_http_resource_path: Annotated[
        str, Row(HTTP_LOGINS, TEXT, "The URL that says who may configure, write or read what.")
    ] = "http://localhost:8000/auth/resource"
    auth_http_topic_path: Annotated[
        str, Row(HTTP_LOGINS, TEXT, "The URL that says who may use which routing keys of a topic exchange.")
    ] = "http://localhost:8000/auth/topic"
    auth_http_connection_timeout_s: Annotated[
        int,
        Row(HTTP_LOGINS, SECONDS, "How long the service may take to accept.", minimum=1, maximum=300),
    ] = 15
    auth_http_request_timeout_s: Annotated[
        int,
        Row(
            HTTP_LOGINS,
            SECONDS,
            "How long it may take to answer, once it has accepted.",
            minimum=1,
            maximum=300,
        ),
    ] = 15
    auth_http_tls_authorities: Annotated[
        str,
        Row(
            HTTP_LOGINS,
            FILE,
            "The authorities that are trusted when the service is asked, in PEM form. None: the system's.",
        ),
    ] = ""
    auth_ldap_servers: Annotated[
        tuple[str, ...],
        Row(
            LDAP_LOGINS,
            NAMES,
            "The hosts of the directory; the next one is asked where one does not accept connections. `ldap` "
            'needs the extra `pip install "pillarbox[ldap]"`.',
        ),
    ] = ()
    auth_ldap_port: Annotated[int, Row(LDAP_LOGINS, COUNT, "Their port.", minimum=1, maximum=PORT_MAX)] = 389
    auth_ldap_use_ssl: Annotated[bool, Row(LDAP_LOGINS, FLAG, "TLS from the start (`ldaps`, port 636).")] = (
        False
    )
    auth_ldap_use_starttls: Annotated[
        bool, Row(LDAP_LOGINS, FLAG, "TLS by StartTLS, before anything else is said.")
    ] = False
    auth_ldap_tls_authorities: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            FILE,
            "The authorities that are trusted there, in PEM form. None: the system's.",
        ),
    ] = ""
    auth_ldap_timeout_s: Annotated[
        int,
        Row(LDAP_LOGINS, SECONDS, "How long an answer of the directory may take.", minimum=1, maximum=300),
    ] = 15
    auth_ldap_user_dn_pattern: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            TEXT,
            "The name of a user's entry, with `${username}` in it, such as "
            "`cn=${username},ou=people,dc=example,dc=com`; or what to look it up by.",
        ),
    ] = "${username}"
    auth_ldap_user_bind_pattern: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            NAME,
            "As whom to bind with the user's password, where that is not the name of the entry, such as "
            "`${username}@example.com`.",
        ),
    ] = ""
    auth_ldap_dn_lookup_attribute: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            NAME,
            "The attribute by which the entry of a user is looked up, such as `uid` or `userPrincipalName`. "
            "None: its name is what `auth_ldap_user_dn_pattern` says.",
        ),
    ] = ""
    auth_ldap_dn_lookup_base: Annotated[
        str, Row(LDAP_LOGINS, NAME, "Below which entry users are looked up.")
    ] = ""
    auth_ldap_dn_lookup_bind: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            TEXT,
            "As whom users are looked up: `as_user`, after the user's own bind; `anon`, as nobody; or the "
            "name of an entry, whose password `auth_ldap_dn_lookup_bind_password` is.",
        ),
    ] = "as_user"
    auth_ldap_dn_lookup_bind_password: Annotated[
        str, Row(LDAP_LOGINS, NAME, "The password of that entry.", secret=True)
    ] = ""
    auth_ldap_other_bind: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            TEXT,
            "As whom queries look at the directory: `as_user`, `anon`, or the name of an entry, whose "
            "password `auth_ldap_other_bind_password` is.",
        ),
    ] = "as_user"
    auth_ldap_other_bind_password: Annotated[
        str, Row(LDAP_LOGINS, NAME, "The password of that entry.", secret=True)
    ] = ""
    auth_ldap_group_lookup_base: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            NAME,
            "Below which entry `in_group_nested` looks for groups. None: `auth_ldap_dn_lookup_base`.",
        ),
    ] = ""
    auth_ldap_vhost_access_query: Annotated[
        str,
        Row(
            LDAP_LOGINS,
            TEXT,
            "Who may enter a virtual host: a query in the notation of RabbitMQ's `advanced.config`, such as "
            '`{in_group, "cn=${vhost},dc=example"}`.',
        ),
    ] = "{constant, true}"
    auth_ldap_resource_access_query: Annotated[
        str, Row(LDAP_LOGINS, TEXT, "The same for who may configure, write or read what.")
    ] = "{constant, true}"
    auth_ldap_topic_access_query: Annotated[
        str, Row(LDAP_LOGINS, TEXT, "The same for who may use which routing keys of a topic exchange.")
    ] = "{constant, true}"
    auth_ldap_tag_queries: Annotated[
        str,
        Row(LDAP_LOGINS, TEXT, "Who has which tag: `[{TAG, QUERY}, ...]`."),
    ] = "[{administrator, {constant, false}}]"


def check(config: LoginOptions) -> None:
    """Raise ConfigError if the options do not go together."""
    if not config.auth_backends:
        raise ConfigError("auth_backends must name one at least")
    for entry in config.auth_backends:
        _demand_backend("auth_backends", entry, AUTH_BACKENDS)
    _demand_backend("auth_cache_cached_backend", config.auth_cache_cached_backend, CACHED_BACKENDS)
    for field in ("user", "vhost", "resource", "topic"):
        url = getattr(config, f"auth_http_{field}_path")
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f'auth_http_{field}_path must be a URL, not "{url}"')
    entries = (*config.auth_backends, config.auth_cache_cached_backend)
    if any("ldap" in backend_pair(entry) for entry in entries) and not config.auth_ldap_servers:
        raise ConfigError('auth_backends "ldap" needs auth_ldap_servers')
    if config.auth_ldap_use_ssl and config.auth_ldap_use_starttls:
        raise ConfigError("auth_ldap_use_ssl and auth_ldap_use_starttls exclude each other")


def backend_pair(entry: str) -> tuple[str, str]:
    """Who is asked who somebody is, and who what they may do, from `WHO` or `WHO:WHAT`."""
    authn, colon, authz = entry.partition(":")
    return authn, authz if colon else authn


def _demand_backend(field: str, entry: str, known: tuple[str, ...]) -> None:
    pair = backend_pair(entry)
    for name in pair:
        if name not in known:
            raise ConfigError(f"{field} must be of {', '.join(known)}, not {name}")
    for whole in ("oauth2", "cache"):
        if whole in pair and entry != whole:
            raise ConfigError(f'{field}: "{whole}" decides both or nothing, so "{entry}" cannot be')
