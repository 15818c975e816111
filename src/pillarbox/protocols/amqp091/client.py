"""The other end of AMQP 0-9-1: one channel of one connection to a broker. Sans I/O.

Bytes come in through `receive`, leave through `send`. It logs in, opens one channel, calls one method at a
time (`ask`) and hands on messages as they came: properties are never decoded. So a message arrives at its
next broker as its sender wrote it, whatever is in it; client libraries decode it, and lose widths of numbers,
or the connection over what they cannot read.

Not here: sockets, time, what to do with messages. Source: AMQP 0-9-1 specification 2.2.4, 4.2; RabbitMQ's
extensions (confirms, basic.nack, connection.blocked, consumer cancel notifications).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final, NamedTuple, Protocol

from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER

CHANNEL: Final = 1
FRAME_BYTES_MAX: Final = 1 << 20
"""A larger frame is a fault: nobody agrees upon more than we ask for."""
CAPABILITIES: Final = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "publisher_confirms": True,
}

_frame_head = Struct(">BHI").unpack_from
_method_id = Struct(">I").unpack_from
_heads = {methods.BASIC_DELIVER, methods.BASIC_RETURN}


class Login(NamedTuple):
    """How to log in, and what to ask for. `heartbeat_s`: 0 is none, None what the broker says."""

    mechanism: str
    response: bytes
    vhost: str
    properties: Mapping[str, Any]
    heartbeat_s: int | None = None
    frame_max: int = 131_072


class Delivery(NamedTuple):
    """A message as it came; `properties`: on the wire."""

    tag: int
    exchange: str
    routing_key: str
    properties: bytes
    body: bytes


class Refused(Exception):
    """The broker has closed the channel or the connection, in answer to a method or not: code and text.

    Code 0: it is gone, or what it says is of no use.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}" if code else text)
        self.code = code


class Owner(Protocol):
    """Who has a client, and hears of what happens to it."""

    def delivered(self, delivery: Delivery) -> None:
        """A message has come."""

    def settled(self, tag: int, multiple: bool, accepted: bool) -> None:
        """What was published has been confirmed, or refused."""

    def returned(self, text: str) -> None:
        """No queue has taken what was published; its confirm comes later."""

    def held(self, held: bool) -> None:
        """The broker takes nothing that is published for now; or it does again."""

    def received(self) -> None:
        """Everything that came at once has been told."""

    def failed(self, reason: Exception) -> None:
        """It is over. Told once, and nothing after it."""


Answer = Callable[[tuple[Any, ...] | Refused], None]


class Client:
    """See the module. `send` writes bytes; `begin` is to be called when that is possible."""

    def __init__(self, login: Login, send: Callable[[bytes], None], owner: Owner) -> None:
        self._login = login
        self._send = send
        self._owner = owner
        self._tail = b""
        self._asked: tuple[int, Answer] | None = None
        self._head: tuple[int, tuple[Any, ...]] | None = None
        """The method whose content comes now."""
        self._properties = b""
        self._body: list[bytes] = []
        self._missing_bytes = 0
        self.frame_max = login.frame_max
        self.heartbeat_s = 0
        """What was agreed upon; 0: none."""
        self.heard = True
        """Has something come since somebody last set this to false?"""
        self.over = False

    def __repr__(self) -> str:
        return f"<Client vhost={self._login.vhost!r} asked={self._asked} over={self.over}>"

    # --- out -----------------------------------------------------------------------------------------

    def begin(self, ready: Answer) -> None:
        """Log in and open the channel."""
        self._asked = methods.CHANNEL_OPEN_OK, ready
        self._send(PROTOCOL_HEADER)

    def ask(self, method: int, *arguments: Any, answer: int, then: Answer) -> None:
        """Call a method that has an answer. Raises ValueError for arguments that no frame can hold."""
        assert self._asked is None, "one at a time"
        frame = methods.method_frame(CHANNEL, method, *arguments)
        self._asked = answer, then
        self._send(frame)

    def cast(self, method: int, *arguments: Any) -> None:
        """Call a method that has none."""
        self._send(methods.method_frame(CHANNEL, method, *arguments))

    def reopen(self, ready: Answer) -> None:
        """Open the channel again that the broker has closed."""
        self.ask(methods.CHANNEL_OPEN, "", answer=methods.CHANNEL_OPEN_OK, then=ready)

    def close(self, done: Answer) -> None:
        """Close the connection; what was sent before has been acted on when `done` is called."""
        self._asked = methods.CONNECTION_CLOSE_OK, done
        self._send(methods.method_frame(0, methods.CONNECTION_CLOSE, 200, "Goodbye", 0, 0))

    def beat(self) -> None:
        """Say that we are there."""
        self._send(wire.HEARTBEAT_FRAME)

    def message(self, publish: bytes, properties: bytes, body: bytes) -> bytes:
        """The frames of a message; `publish`: that of the method."""
        return publish + wire.content_frames(CHANNEL, properties, body, self.frame_max)

    # --- in --------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Act on all whole frames."""
        if self.over:
            return
        self.heard = True
        data = self._tail + data if self._tail else data
        position, size = 0, len(data)
        try:
            while size - position >= 8:
                kind, _, length = _frame_head(data, position)
                if length > FRAME_BYTES_MAX or kind == _HEADER_KIND:
                    raise wire.WireError(
                        f"these bytes are no frame: {wire.octets_text(data[position:][:12])}"
                    )
                end = position + 7 + length
                if end >= size:
                    break
                if data[end] != wire.FRAME_END:
                    raise wire.WireError("a frame has no end")
                self._frame(kind, data[position + 7 : end])
                if self.over:
                    return
                position = end + 1
        except (wire.WireError, ValueError) as error:
            # ValueError: what no frame can hold, such as a name of more than 255 bytes.
            self.fail(Refused(501, f"the broker's answer cannot be read: {error}"))
            return
        self._tail = data[position:]
        self._owner.received()

    def lost(self, reason: str) -> None:
        """The socket is gone."""
        self.fail(ConnectionError(reason))

    def fail(self, reason: Exception) -> None:
        """It is over: whoever waits for an answer, and the owner, are told."""
        if self.over:
            return
        self.over = True
        asked, self._asked = self._asked, None
        if asked is not None:
            asked[1](reason if isinstance(reason, Refused) else Refused(0, str(reason)))
        self._owner.failed(reason)

    def _frame(self, kind: int, payload: bytes) -> None:
        if kind == wire.FRAME_METHOD:
            method = _method_id(payload)[0] if len(payload) >= 4 else 0
            if method not in methods.METHODS:
                raise wire.WireError(f"there is no method {method:#010x}")
            arguments = methods.decode(method, payload)
            if method in _heads:
                self._head = method, arguments
            elif self._asked is not None and self._asked[0] == method:
                then, self._asked = self._asked[1], None
                then(arguments)
            elif method in _METHODS:
                _METHODS[method](self, *arguments)
            else:
                raise wire.WireError(f"{methods.METHODS[method].name} comes unasked")
        elif kind == wire.FRAME_HEADER:
            _, size, self._properties = wire.decode_header(payload)
            self._missing_bytes = size
            self._body = []
            if not size:
                self._content_whole()
        elif kind == wire.FRAME_BODY:
            self._body.append(payload)
            self._missing_bytes -= len(payload)
            if self._missing_bytes <= 0:
                self._content_whole()

    def _content_whole(self) -> None:
        head, self._head = self._head, None
        if head is None:
            raise wire.WireError("a content without a method")
        method, arguments = head
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        if method == methods.BASIC_RETURN:
            self._owner.returned(arguments[1])
        else:
            _, tag, _, exchange, routing_key = arguments
            self._owner.delivered(Delivery(tag, exchange, routing_key, self._properties, body))

    # --- methods that come unasked -----------------------------------------------------------------------

    def _start(self, major: int, minor: int, properties: Any, mechanisms: bytes, locales: bytes) -> None:
        login = self._login
        if login.mechanism.encode() not in mechanisms.split():
            offered = mechanisms.decode("utf-8", "replace")
            self.fail(Refused(403, f"the broker offers {offered} for logins, and not {login.mechanism}"))
            return
        said = {"capabilities": CAPABILITIES, **login.properties}
        self._send(
            methods.method_frame(
                0, methods.CONNECTION_START_OK, said, login.mechanism, login.response, "en_US"
            )
        )

    def _tune(self, channel_max: int, frame_max: int, heartbeat_s: int) -> None:
        self.frame_max = min(frame_max or self.frame_max, self.frame_max)
        wanted_s = self._login.heartbeat_s
        self.heartbeat_s = heartbeat_s if wanted_s is None else wanted_s
        self._send(
            methods.method_frame(
                0, methods.CONNECTION_TUNE_OK, channel_max or CHANNEL, self.frame_max, self.heartbeat_s
            )
            + methods.method_frame(0, methods.CONNECTION_OPEN, self._login.vhost, "", False)
        )

    def _opened(self, known_hosts: str) -> None:
        self._send(methods.method_frame(CHANNEL, methods.CHANNEL_OPEN, ""))

    def _connection_closed(self, code: int, text: str, class_id: int, method_id: int) -> None:
        self._send(methods.method_frame(0, methods.CONNECTION_CLOSE_OK))
        self.fail(Refused(code, text))

    def _channel_closed(self, code: int, text: str, class_id: int, method_id: int) -> None:
        self._send(methods.method_frame(CHANNEL, methods.CHANNEL_CLOSE_OK))
        refused = Refused(code, text)
        if self._asked is None:
            self.fail(refused)
        else:
            then, self._asked = self._asked[1], None
            then(refused)

    def _cancelled(self, consumer: str, nowait: bool) -> None:
        self.fail(Refused(404, "the queue that messages are taken from is gone"))

    def _acked(self, tag: int, multiple: bool) -> None:
        self._owner.settled(tag, multiple, True)

    def _nacked(self, tag: int, multiple: bool, requeue: bool) -> None:
        self._owner.settled(tag, multiple, False)

    def _blocked(self, reason: str) -> None:
        self._owner.held(True)

    def _unblocked(self) -> None:
        self._owner.held(False)

    def _flow(self, active: bool) -> None:
        self.cast(methods.CHANNEL_FLOW_OK, active)
        self._owner.held(not active)

    def _ignored(self, *arguments: Any) -> None:
        """An answer to what was not waited for."""


_HEADER_KIND = PROTOCOL_HEADER[0]
"""A broker that speaks another version sends its own protocol header: an A where the type of a frame is."""

_METHODS: Final[dict[int, Callable[..., None]]] = {
    methods.CONNECTION_START: Client._start,
    methods.CONNECTION_TUNE: Client._tune,
    methods.CONNECTION_OPEN_OK: Client._opened,
    methods.CONNECTION_CLOSE: Client._connection_closed,
    methods.CONNECTION_BLOCKED: Client._blocked,
    methods.CONNECTION_UNBLOCKED: Client._unblocked,
    methods.CHANNEL_CLOSE: Client._channel_closed,
    methods.CHANNEL_FLOW: Client._flow,
    methods.BASIC_CANCEL: Client._cancelled,
    methods.BASIC_CANCEL_OK: Client._ignored,
    methods.BASIC_ACK: Client._acked,
    methods.BASIC_NACK: Client._nacked,
}
