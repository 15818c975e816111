"""From a token to a principal: signature, audience, time, scopes, name, as RabbitMQ's plugin takes them (R8).

Pure but for the keys, about 50 µs a token. A refusal says why to the operator, in the plugin's words; the
client hears no more than with a wrong password. No refusal holds any part of the token.

Source: RFC 7519; RabbitMQ, "OAuth 2" (scopes, `scope_prefix`, `additional_scopes_key`,
`preferred_username_claims`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from joserfc import jwt
from joserfc.errors import JoseError

from pillarbox.broker.bearer import Bearer, scopes_of, tags_of
from pillarbox.oauth.keys import Key, KeyRing

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("Ed25519", "EdDSA", "HS256", "HS384", "HS512"),
)
"""Every signature that is one. Which a key can check depends on its kind, so a token cannot choose."""

DOTS = 2
"""A signed token has three parts."""
TOKEN_BYTES_MAX = 64 << 10
SCOPES_MAX = 2048
"""As in RabbitMQ: each is looked at for every name that is asked for."""

NAME_CLAIMS = ("sub", "client_id")
NAMELESS = "unknown"
"""As RabbitMQ calls somebody whose token has no name."""


class TokenError(ValueError):
    """A token that nobody may log in with: the text says why, to the operator."""


class TokenBackend:
    """Answers whose a token is: a `Bearer`, or nobody, and why not to the operator.

    A password that is no token at all is passed over in silence: it may be meant for another backend.
    """

    def __init__(self, reader: TokenReader, now_ms: Callable[[], int], warn: Callable[[str], None]) -> None:
        self._reader = reader
        self._now_ms = now_ms
        self._warn = warn

    def __call__(self, token: bytes) -> Bearer | None:
        if token.count(b".") != DOTS:
            return None
        try:
            return self._reader.read(token, self._now_ms())
        except TokenError as error:
            self._warn(f"Authentication using an OAuth 2/JWT token failed: {error}")
            return None


class TokenReader:
    """See the module. `prefix` comes before every scope that is meant for this broker."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        audience: str,
        prefix: str = "",
        issuer: str = "",
        verify_audience: bool = True,
        additional_scopes: tuple[str, ...] = (),
        name_claims: tuple[str, ...] = (),
    ) -> None:
        self._keys = keys
        self._audience = audience if verify_audience else None
        self._resource = audience
        self._prefix = prefix or f"{audience}."
        self._issuer = issuer
        self._additional = additional_scopes
        self._name_claims = (*name_claims, *NAME_CLAIMS)

    def read(self, token: bytes, now_ms: int) -> Bearer:
        """Whose token that is. Raises TokenError."""
        claims = self._verified(token)
        expires_ms = self._in_time(claims, now_ms)
        self._demand_audience(claims)
        prefix = self._prefix
        words = [word.removeprefix(prefix) for word in self._scopes(claims) if word.startswith(prefix)]
        if len(words) > SCOPES_MAX:
            raise TokenError("too many scopes")
        words = [_filled_in(word, claims) for word in dict.fromkeys(words)]
        names = (claims[claim] for claim in self._name_claims if isinstance(claims.get(claim), str))
        return Bearer(next(names, NAMELESS), tags_of(words), scopes_of(words), expires_ms)

    def _verified(self, token: bytes) -> Mapping[str, Any]:
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenError("provided token is invalid")
        try:
            return jwt.decode(token, self._key, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, RecursionError, UnicodeError):
            raise TokenError("provided token is invalid") from None

    def _key(self, token: Any) -> Key:
        key_id = token.headers().get("kid")
        try:
            return self._keys.find(key_id if isinstance(key_id, str) else None)
        except KeyError:
            raise ValueError("key_not_found") from None

    def _in_time(self, claims: Mapping[str, Any], now_ms: int) -> int:
        """When it expires."""
        expires, begins = _seconds(claims, "exp"), _seconds({"nbf": 0, **claims}, "nbf")
        if expires * 1000 <= now_ms:
            text = f"Provided JWT token has expired at timestamp {int(expires)}"
            raise TokenError(f"{text} (validated at {now_ms // 1000})")
        if begins * 1000 > now_ms:
            raise TokenError("Provided JWT token is not valid yet")
        return int(expires * 1000)

    def _demand_audience(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud")
        meant = audience.split(" ") if isinstance(audience, str) else audience
        if self._audience is not None and not (isinstance(meant, list) and self._audience in meant):
            raise TokenError(f"invalid audience: it must have {self._audience}")
        if self._issuer and claims.get("iss") != self._issuer:
            raise TokenError(f"invalid issuer: it must be {self._issuer}")

    def _scopes(self, claims: Mapping[str, Any]) -> Iterator[str]:
        """What the scope claim and others grant; a map of resources grants what it has for this one."""
        yield from _words(claims.get("scope"))
        for path in self._additional:
            value: Any = claims
            for step in path.split("."):
                value = value.get(step) if isinstance(value, Mapping) else None
            if isinstance(value, Mapping):
                yield from (f"{self._resource}.{word}" for word in _words(value.get(self._resource)))
            else:
                yield from _words(value)


def _seconds(claims: Mapping[str, Any], claim: str) -> float:
    if claim not in claims:
        raise TokenError(f"Provided JWT token has no {claim} claim")
    value = claims[claim]
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TokenError(f"Provided JWT token has an invalid {claim} claim: value is not a number")
    return value


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _filled_in(scope: str, claims: Mapping[str, Any]) -> str:
    """Put claims in for `{claim}`: each counts literally, whatever it is; `{vhost}` is left for later."""
    parts = scope.split("{")
    filled = parts[0]
    for part in parts[1:]:
        name, closed, rest = part.partition("}")
        value = claims.get(name) if closed and name != "vhost" else None
        filled += quote(value, safe="") + rest if isinstance(value, str) else "{" + part
    return filled
