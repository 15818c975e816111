"""The handshake of a connection: from the protocol header to connection.open-ok.

Who may log in and how, what is agreed upon, and what the broker says of itself. `HANDSHAKE` is the table of
the client's methods in their states. Not here: frames, and everything that comes after open-ok
(`connection`).

Source: AMQP 0-9-1 specification 2.2.4 and 4.2.2; SASL: RFC 4616, RFC 4505; RabbitMQ's tune checks and
authentication failure close; rows R1-R3, R5-R7, R9, R10.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pillarbox.broker.client import NODE_NAME
from pillarbox.broker.event_details import only_local, wrong_password
from pillarbox.broker.outside import Caller
from pillarbox.profiles import LARGE_MESSAGE_BYTES, SMALL_FRAME_BYTES, SMALL_FRAMES
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.errors import AmqpError
from pillarbox.protocols.amqp091.interceptors import interceptors_of

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.protocols.amqp091.connection import Connection

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# Headers of the drafts, 0-9 and 0-8, that old clients send and that RabbitMQ takes for 0-9-1.
ACCEPTED_HEADERS = (PROTOCOL_HEADER, b"AMQP\x01\x01\x00\x09", b"AMQP\x01\x01\x08\x00")

LOGIN_FAILURE_DELAY_MS = 1000
"""A refused login without the capability to be told is cut after this long, which slows guessing down."""

FRAME_MAX_BEFORE_TUNE = 8192
"""The largest frame before the login is over: what strangers send must be cheap to read. RabbitMQ has 4096,
from 4.1 on 8192, because tokens have grown."""

CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "consumer_priorities": True,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
    "direct_reply_to": True,
}


class State(enum.Enum):
    PROTOCOL_HEADER = enum.auto()
    START = enum.auto()
    TUNE = enum.auto()
    OPEN = enum.auto()
    RUNNING = enum.auto()
    CLOSING = enum.auto()
    """We sent connection.close and wait for close-ok."""
    CLOSED = enum.auto()


STATE_NAMES = {
    State.PROTOCOL_HEADER: "starting",
    State.START: "starting",
    State.TUNE: "tuning",
    State.OPEN: "opening",
    State.RUNNING: "running",
    State.CLOSING: "closing",
    State.CLOSED: "closed",
}
"""As RabbitMQ shows them."""


class Settings:
    """What a listener gives to all its connections."""

    def __init__(
        self,
        *,
        product: str = "RabbitMQ",
        version: str = "3.13.7",
        server: str = "Pillarbox",
        cluster_name: str = NODE_NAME,
        node: str = NODE_NAME,
        platform: str = "Python",
        channel_max: int = 2047,
        frame_max: int = 131_072,
        frame_min: int = 4096,
        heartbeat_s: int = 60,
        handshake_timeout_ms: int = 10_000,
        message_size_max: int = 134_217_728,
        consumer_max: int = 0,
        connection_max: int = 0,
        loopback_users: tuple[str, ...] = ("guest",),
        message_timestamp: str = "off",
        message_routing_node: str = "off",
        mechanisms: tuple[str, ...] = ("PLAIN", "AMQPLAIN", "EXTERNAL"),
    ) -> None:
        self.node = node
        self.interceptors = interceptors_of(message_timestamp, message_routing_node, node)
        self.channel_max = channel_max
        self.frame_max = frame_max
        self.frame_min = frame_min
        self.heartbeat_s = heartbeat_s
        self.handshake_timeout_ms = handshake_timeout_ms
        self.message_size_max = message_size_max
        self.consumer_max = consumer_max
        """Of one channel; 0: any number."""
        self.connection_max = connection_max
        """Of the whole broker; 0: any number."""
        self.message_size_noted = min(message_size_max, LARGE_MESSAGE_BYTES)
        self.loopback_users = loopback_users
        self.mechanisms = mechanisms
        self.server_properties = {
            "capabilities": CAPABILITIES,
            "cluster_name": cluster_name,
            "copyright": "Copyright the Pillarbox authors",
            "information": "Licensed under the Apache License 2.0",
            "platform": platform,
            "product": product,
            "version": version,
            "x_server": server,
        }


def begin(connection: Connection, data: bytes) -> bytes:
    """Answer the protocol header with connection.start; return what follows it."""
    if data[:8] not in ACCEPTED_HEADERS:
        connection.send(PROTOCOL_HEADER)
        connection.finish("not AMQP 0-9-1")
        return b""
    connection.state = State.START
    server_properties = connection.settings.server_properties
    cluster_name = connection.core.global_parameters.get("cluster_name")
    if isinstance(cluster_name, str):
        server_properties = {**server_properties, "cluster_name": cluster_name}
    connection.send_method(
        0,
        methods.CONNECTION_START,
        0,
        9,
        server_properties,
        " ".join(_mechanisms(connection)).encode(),
        b"en_US",
    )
    return data[8:]


def _mechanisms(connection: Connection) -> list[str]:
    """How this peer may log in: by EXTERNAL only with a certificate (R6)."""
    return [
        name for name in connection.settings.mechanisms if name != EXTERNAL or connection.certificate_user
    ]


class RefusedLogin(Exception):
    """Who that may be, None if it does not say; why it may not enter, for listeners to events and (`shown`)
    for the client itself."""

    def __init__(self, name: str | None, why: str, shown: str = "") -> None:
        super().__init__(why)
        self.name = name
        self.why = why
        self.shown = shown


def _authenticate(connection: Connection, mechanism: str, response: bytes) -> Principal:
    """Who that is. Raises Undecided, and RefusedLogin unless it may be believed and may enter from there."""
    users = connection.core.users
    if mechanism not in _mechanisms(connection):
        raise RefusedLogin(None, f"unknown authentication mechanism '{mechanism}'")
    certified = (connection.certificate_user or "", None)
    credentials = certified if mechanism == EXTERNAL else MECHANISMS[mechanism](response)
    if credentials is None:
        raise RefusedLogin(None, f"response {wire.octets_text(response)} invalid")
    name, password = credentials
    known = connection.known if mechanism == EXTERNAL else None
    user = known or users.authenticate(name, password, Caller(connection.client_facts().peer_host))
    if user is None:
        raise RefusedLogin(name, wrong_password(name))
    if user.name in connection.settings.loopback_users and not connection.loopback:
        shown = f"User '{user.name}' can only connect via localhost. "
        raise RefusedLogin(user.name, only_local(user.name), shown)
    return user


def _start_ok(connection: Connection, properties: Any, mechanism: str, response: bytes, locale: str) -> None:
    connection.client_properties = properties
    capabilities = properties.get("capabilities")
    connection.client_capabilities = capabilities if isinstance(capabilities, dict) else {}
    events = connection.core.events
    try:
        user = _authenticate(connection, mechanism, response)
    except RefusedLogin as refused:
        events.login(connection, refused.name, mechanism, refused.why)
        _refuse_login(connection, mechanism, refused.shown)
        return
    events.login(connection, user.name, mechanism)
    connection.user = user
    connection.auth_mechanism = mechanism
    connection.state = State.TUNE
    settings = connection.settings
    connection.send_method(
        0, methods.CONNECTION_TUNE, settings.channel_max, settings.frame_max, settings.heartbeat_s
    )


def _refuse_login(connection: Connection, mechanism: str, why: str) -> None:
    """R7: told to clients that understand it, else the socket is cut after a while."""
    if connection.client_capabilities.get("authentication_failure_close"):
        text = (
            f"Login was refused using authentication mechanism {mechanism}. {why}"
            "For details see the broker logfile."
        )
        raise AmqpError(403, text, hard=True)
    connection.abort("login refused", LOGIN_FAILURE_DELAY_MS)


def _tune_ok(connection: Connection, channel_max: int, frame_max: int, heartbeat_s: int) -> None:
    """The client may lower what was offered; asking for more, or for no limit, is refused (R3)."""
    settings = connection.settings
    too_many = settings.channel_max and not 0 < channel_max <= settings.channel_max
    too_large = frame_max > settings.frame_max or frame_max == 0
    if too_many or too_large or frame_max < settings.frame_min:
        connection.abort(f"tune-ok refused: channel_max={channel_max} frame_max={frame_max}")
        return
    connection.channel_max = channel_max
    connection.frame_max = frame_max
    connection.heartbeat_s = heartbeat_s
    connection.state = State.OPEN


def _open(connection: Connection, vhost: str, capabilities: str, insist: bool) -> None:
    assert connection.user is not None
    connection.core.quotas.demand_place(connection.settings.connection_max)
    connection.session = connection.core.open_session(connection.user, vhost, connection)
    connection.session.forget_routes = connection.routes.clear
    connection.session.trace = connection.trace
    connection.session.introduce(connection)
    if connection.frame_max < SMALL_FRAME_BYTES:
        connection.session.permits(SMALL_FRAMES)
    connection.state = State.RUNNING
    connection.deadline_ms = None
    connection.send_method(0, methods.CONNECTION_OPEN_OK, "")


def _plain(response: bytes) -> tuple[str, bytes] | None:
    """SASL PLAIN (RFC 4616): authorisation identity NUL name NUL password."""
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        return None
    return parts[1].decode("utf-8", "replace"), parts[2]


def _amqplain(response: bytes) -> tuple[str, bytes] | None:
    """AMQPLAIN: a field table without its size, with LOGIN and PASSWORD."""
    try:
        table = wire.decode_table_body(response)
    except wire.WireError:
        return None
    login, password = table.get("LOGIN"), table.get("PASSWORD")
    if isinstance(login, bytes):
        login = login.decode("utf-8", "replace")
    if isinstance(password, str):
        password = password.encode()
    return (login, password) if isinstance(login, str) and isinstance(password, bytes) else None


EXTERNAL = "EXTERNAL"
"""The mechanism that believes the peer's TLS certificate."""


def _anonymous(response: bytes) -> tuple[str, bytes]:
    """SASL ANONYMOUS (RFC 4505), whose trace is for nobody: the account that everybody knows."""
    return "guest", b"guest"


MECHANISMS: dict[str, Callable[[bytes], tuple[str, bytes] | None]] = {
    "PLAIN": _plain,
    "AMQPLAIN": _amqplain,
    "ANONYMOUS": _anonymous,
}

# (state, method) → what to do.
HANDSHAKE: dict[tuple[State | None, int], Callable[..., None]] = {
    (State.START, methods.CONNECTION_START_OK): _start_ok,
    (State.TUNE, methods.CONNECTION_TUNE_OK): _tune_ok,
    (State.OPEN, methods.CONNECTION_OPEN): _open,
}
