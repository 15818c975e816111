"""Where a broker is: URIs as RabbitMQ has them for shovels.

`amqp://` without a host is this broker, in the virtual host of the shovel or the one of the path. Query
parameters are those of RabbitMQ that make a difference here: `heartbeat`, `frame_max`, `connection_timeout`,
`auth_mechanism`, and for `amqps` `cacertfile`, `certfile`, `keyfile`, `password`, `verify`,
`server_name_indication`. What else stands there is read over, as RabbitMQ does.

Invariant: no text that leaves this module has a password in it.

Source: RabbitMQ, "URI Specification", "URI Query Parameters"; texts measured on 3.10.8. Over TLS the other
side's certificate is checked unless the URI says `verify=verify_none`, which is what 3.10.8 does when nothing
is said: a password is worth more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pillarbox.protocols.amqp091.client import FRAME_BYTES_MAX

if TYPE_CHECKING:
    import ssl

PORTS = {"amqp": 5672, "amqps": 5671}
NUMBERS = ("heartbeat", "frame_max", "channel_max", "connection_timeout")
HEARTBEAT_MAX_S = 65_535
FRAME_MIN = 4096
"""The least that every broker takes."""
CONNECT_TIMEOUT_S = 60
"""As RabbitMQ's client has it."""
GUEST = "guest"


class UriError(ValueError):
    """A URI that is none for us; the text is RabbitMQ's, without a password."""


class Uri(NamedTuple):
    """One, taken apart. `host`: "" is this broker; `user`: "" is none; `vhost`: "" is not said."""

    scheme: str
    user: str
    password: str
    host: str
    port: int
    vhost: str
    query: dict[str, str]
    shown: str
    """Without what is secret, as RabbitMQ shows it."""

    @property
    def is_here(self) -> bool:
        return not self.host

    @property
    def heartbeat_s(self) -> int | None:
        """0: none; None: what the broker says."""
        return min(int(self.query["heartbeat"]), HEARTBEAT_MAX_S) if "heartbeat" in self.query else None

    @property
    def frame_max(self) -> int:
        """0: not said."""
        wanted = int(self.query.get("frame_max", 0))
        return min(max(wanted, FRAME_MIN), FRAME_BYTES_MAX) if wanted else 0

    @property
    def connect_timeout_s(self) -> float:
        return int(self.query.get("connection_timeout", 0)) / 1000 or CONNECT_TIMEOUT_S

    def login(self) -> tuple[str, bytes]:
        """SASL mechanism and response for a broker elsewhere."""
        if "external" in self.query.get("auth_mechanism", ""):
            return "EXTERNAL", b""
        user, password = (self.user, self.password) if self.user else (GUEST, GUEST)
        return "PLAIN", b"\0%s\0%s" % (user.encode(), password.encode())


def parse(text: str) -> Uri:
    """Take a URI apart. Raises UriError."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise _error("{unable_to_parse_uri,no_scheme}", text)
    if scheme not in PORTS:
        raise _error(f'{{unexpected_uri_scheme,"{scheme}"}}', text)
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port or PORTS[scheme]
        host = parts.hostname or ""
    except ValueError:
        raise _error(f'{{unable_to_parse_uri,{{malformed_uri,"{without_secrets(text)}"}}}}', text) from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in NUMBERS:
        value = query.get(name, "0")
        if not (value.isascii() and value.isdecimal()):
            fault = f'{name},"{value}",[{{"{name}","{value}"}}],{{not_an_integer,"{value}"}}'
            raise _error(f"{{invalid_amqp_params_parameter,{fault}}}", text)
    return Uri(
        scheme,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(host),
        port,
        unquote(parts.path.removeprefix("/")),
        query,
        without_secrets(text),
    )


def without_secrets(text: str) -> str:
    """A URI without user, password and query, also one that cannot be read."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    rest = rest.partition("?")[0]
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path.rpartition('@')[2]}"


def _error(problem: str, text: str) -> UriError:
    shown = f'"{without_secrets(text)}"'
    return UriError(f"{shown} not a valid URI: {{{problem},{shown if text else '[]'}}}")


def tls_context(uri: Uri) -> ssl.SSLContext | None:
    """How to speak TLS with that broker; None: not at all. Raises OSError for files that are not there or not
    right, before anybody is connected to."""
    if uri.scheme != "amqps":
        return None
    import ssl

    query = uri.query
    context = ssl.create_default_context(cafile=query.get("cacertfile") or None)
    if query.get("verify") == "verify_none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif query.get("server_name_indication") == "disable":
        context.check_hostname = False
    if "certfile" in query:
        context.load_cert_chain(query["certfile"], query.get("keyfile"), query.get("password"))
    return context


def server_name(uri: Uri) -> str:
    """The name in the other side's certificate."""
    named = uri.query.get("server_name_indication", "")
    return uri.host if named in ("", "disable") else named
