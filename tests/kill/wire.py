"""A sans-I/O AMQP 0-9-1 client for load: one connection, channel 1 with confirms, everything pipelined.

Frames are encoded by `bench.amqp_wire`, which shares nothing with the package under test. Subclasses say
what happens on confirms, deliveries and answers. Not here: what is published, and what it means.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable

from bench import amqp_wire as wire

BLOCKED = (10, 60)
UNBLOCKED = (10, 61)
CHANNEL_CLOSE_OK = (20, 41)
QUEUE_UNBIND = (50, 50)
QUEUE_UNBIND_OK = (50, 51)
EXCHANGE_BIND = (40, 30)
EXCHANGE_BIND_OK = (40, 31)
BASIC_CANCEL_OF_BROKER = (60, 30)
BASIC_DELIVER = (60, 60)
BASIC_NACK = (60, 120)
BASIC_REJECT = (60, 90)

ANSWERS = frozenset(
    (
        wire.EXCHANGE_DECLARE_OK,
        wire.EXCHANGE_DELETE_OK,
        EXCHANGE_BIND_OK,
        wire.QUEUE_DECLARE_OK,
        wire.QUEUE_BIND_OK,
        QUEUE_UNBIND_OK,
        wire.QUEUE_DELETE_OK,
        wire.BASIC_QOS_OK,
        wire.BASIC_CONSUME_OK,
        wire.CONFIRM_SELECT_OK,
    )
)

FRAME_MAX = 131072

# Capabilities: basic.nack, connection.blocked, publisher confirms and errors at login told by a close.
_CAPABILITIES = b"".join(
    wire.short_string(name) + b"t\x01"
    for name in ("authentication_failure_close", "basic.nack", "connection.blocked", "publisher_confirms")
)
_PROPERTIES = wire.short_string("capabilities") + b"F" + wire.long_string(_CAPABILITIES)

_frame_head = struct.Struct(">BHI").unpack_from
_method_head = struct.Struct(">HH").unpack_from
_tag_and_flag = struct.Struct(">QB").unpack_from
_uint64 = struct.Struct(">Q").unpack_from

Answer = Callable[[bytes | None], None]


def _ignore(answer: bytes | None) -> None:
    """An answer that tells nothing new."""


class ProtocolError(Exception):
    """The broker sent what it must not."""


class Client:
    """See the module. `closed` says why the connection ended, once it has."""

    def __init__(self) -> None:
        self.closed: str | None = None
        self.close_code = 0
        self.blocked: str | None = None
        self.unblocked = 0
        """How often it was told that it is not blocked any more."""
        self.open = False
        """The handshake is over and channel 1 confirms."""
        self._out: list[bytes] = [b"AMQP\x00\x00\x09\x01"]
        self._buffer = b""
        self._waiting: deque[Answer] = deque()
        self._delivery: tuple[str, int, bool] | None = None
        self._body: list[bytes] = []
        self._body_left = 0

    # --- what a subclass says ------------------------------------------------------------------------

    def on_open(self) -> None:
        """The channel is open and confirms."""

    def on_confirm(self, tag: int, multiple: bool) -> None:
        """basic.ack from the broker."""
        raise ProtocolError(f"a confirm of {tag} that nobody asked for")

    def on_delivery(self, consumer: str, tag: int, redelivered: bool, body: bytes) -> None:
        """basic.deliver with its content."""
        raise ProtocolError(f"a delivery for {consumer} that nobody asked for")

    # --- bytes ---------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self._out.append(data)

    def take(self) -> bytes:
        """Everything that is to be written now."""
        out, self._out = self._out, []
        return b"".join(out)

    @property
    def idle(self) -> bool:
        """Nothing is to be written."""
        return not self._out

    def ask(self, method: wire.Method, arguments: bytes, then: Answer = _ignore) -> None:
        """Send a method that is answered; `then` gets the answer's arguments, None if the channel closed."""
        self._waiting.append(then)
        self.send(wire.method(method, arguments))

    @property
    def asking(self) -> int:
        """Answers that have not come yet."""
        return len(self._waiting)

    def receive(self, data: bytes) -> None:
        """Act on all whole frames; the rest waits."""
        buffer = self._buffer + data if self._buffer else data
        position, end = 0, len(buffer)
        while end - position >= 8:
            kind, _, size = _frame_head(buffer, position)
            stop = position + 7 + size
            if stop >= end:
                break
            if kind == wire.METHOD:
                self._method(_method_head(buffer, position + 7), buffer, position + 11, stop)
            elif kind == wire.HEADER:
                self._body_left = _uint64(buffer, position + 11)[0]
                if not self._body_left:
                    self._whole()
            elif kind == wire.BODY:
                self._body.append(buffer[position + 7 : stop])
                self._body_left -= size
                if not self._body_left:
                    self._whole()
            position = stop + 1
        self._buffer = buffer[position:]

    def _whole(self) -> None:
        if self._delivery is None:
            raise ProtocolError("content without basic.deliver")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        consumer, tag, redelivered = self._delivery
        self._delivery = None
        self.on_delivery(consumer, tag, redelivered, body)

    def _method(self, method: wire.Method, data: bytes, start: int, stop: int) -> None:
        if method == BASIC_DELIVER:
            name_size = data[start]
            tag, redelivered = _tag_and_flag(data, start + 1 + name_size)
            self._delivery = (data[start + 1 : start + 1 + name_size].decode(), tag, bool(redelivered))
        elif method == wire.BASIC_ACK:
            tag, multiple = _tag_and_flag(data, start)
            self.on_confirm(tag, bool(multiple & 1))
        elif method in ANSWERS:
            self._waiting.popleft()(data[start:stop])
        elif method == wire.CHANNEL_CLOSE:
            self._channel_closed(data[start:stop])
        elif method == wire.CONNECTION_CLOSE:
            self.close_code = int.from_bytes(data[start : start + 2], "big")
            self.closed = data[start + 3 : start + 3 + data[start + 2]].decode()
            self.send(wire.method(wire.CONNECTION_CLOSE_OK, channel=0))
        elif method == BLOCKED:
            self.blocked = data[start + 1 : stop].decode()
        elif method == UNBLOCKED:
            self.blocked = None
            self.unblocked += 1
        else:
            self._handshake(method, data[start:stop])

    def _handshake(self, method: wire.Method, arguments: bytes) -> None:
        if method == wire.START:
            login = wire.long_string(b"\0guest\0guest")
            answer = wire.long_string(_PROPERTIES) + wire.short_string("PLAIN") + login
            self.send(wire.method(wire.START_OK, answer + wire.short_string("en_US"), channel=0))
        elif method == wire.TUNE:
            self.send(wire.method(wire.TUNE_OK, struct.pack(">HIH", 10, FRAME_MAX, 0), channel=0))
            self.send(wire.method(wire.OPEN, wire.short_string("/") + b"\0\0", channel=0))
        elif method == wire.OPEN_OK:
            self._open_channel()
        elif method == BASIC_CANCEL_OF_BROKER:
            pass
        elif method not in (wire.CHANNEL_OPEN_OK, wire.CONNECTION_CLOSE_OK):
            raise ProtocolError(f"unexpected method {method}")

    def _open_channel(self) -> None:
        self.send(wire.method(wire.CHANNEL_OPEN, wire.short_string("")))
        self.ask(wire.CONFIRM_SELECT, b"\0", lambda _: self._opened())

    def _opened(self) -> None:
        if not self.open:
            self.open = True
            self.on_open()

    def _channel_closed(self, arguments: bytes) -> None:
        """A refusal: what was asked last is answered with None, and the channel is opened again."""
        code = int.from_bytes(arguments[:2], "big")
        text = arguments[3 : 3 + arguments[2]].decode()
        if code != 404 or len(self._waiting) != 1:
            raise ProtocolError(f"the channel was closed: {code} {text}")
        then = self._waiting.popleft()
        self.send(wire.method(CHANNEL_CLOSE_OK))
        self._open_channel()
        then(None)

    # --- methods -------------------------------------------------------------------------------------

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool = True,
        passive: bool = False,
        priority_max: int = 0,
        then: Answer = _ignore,
    ) -> None:
        flags = bytes([passive | durable << 1])
        table = wire.short_string("x-max-priority") + b"b" + bytes([priority_max]) if priority_max else b""
        self.ask(
            wire.QUEUE_DECLARE, b"\0\0" + wire.short_string(name) + flags + wire.long_string(table), then
        )

    def delete_queue(self, name: str, *, then: Answer = _ignore) -> None:
        self.ask(wire.QUEUE_DELETE, b"\0\0" + wire.short_string(name) + b"\0", then)

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = True,
        passive: bool = False,
        then: Answer = _ignore,
    ) -> None:
        flags = bytes([passive | durable << 1])
        names = b"\0\0" + wire.short_string(name) + wire.short_string(kind)
        self.ask(wire.EXCHANGE_DECLARE, names + flags + wire.long_string(b""), then)

    def delete_exchange(self, name: str, *, then: Answer = _ignore) -> None:
        self.ask(wire.EXCHANGE_DELETE, b"\0\0" + wire.short_string(name) + b"\0", then)

    def bind_queue(self, queue: str, exchange: str, key: str, *, then: Answer = _ignore) -> None:
        self.ask(wire.QUEUE_BIND, _binding(queue, exchange, key) + b"\0" + wire.long_string(b""), then)

    def unbind_queue(self, queue: str, exchange: str, key: str, *, then: Answer = _ignore) -> None:
        self.ask(QUEUE_UNBIND, _binding(queue, exchange, key) + wire.long_string(b""), then)

    def bind_exchange(self, destination: str, source: str, key: str) -> None:
        self.ask(EXCHANGE_BIND, _binding(destination, source, key) + b"\0" + wire.long_string(b""))

    def qos(self, prefetch: int) -> None:
        self.ask(wire.BASIC_QOS, struct.pack(">IHB", 0, prefetch, 0))

    def consume(self, queue: str, consumer: str) -> None:
        names = b"\0\0" + wire.short_string(queue) + wire.short_string(consumer)
        self.ask(wire.BASIC_CONSUME, names + b"\0" + wire.long_string(b""))

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self.send(wire.ack(tag, multiple=multiple))

    def nack(self, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        self.send(wire.method(BASIC_NACK, struct.pack(">QB", tag, multiple | requeue << 1)))

    def reject(self, tag: int, *, requeue: bool) -> None:
        self.send(wire.method(BASIC_REJECT, struct.pack(">QB", tag, requeue)))


def _binding(destination: str, source: str, key: str) -> bytes:
    names = wire.short_string(destination) + wire.short_string(source) + wire.short_string(key)
    return b"\0\0" + names
