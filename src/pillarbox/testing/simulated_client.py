"""An AMQP 0-9-1 client without a socket, for the simulator: what it asked for, and what it was told.

It speaks real frames to a real sans-I/O connection, and hands every method that comes back to a listener.
It knows just enough of its own state (tags, confirms, consumers) for the simulator to decide what to do
next and what must not happen. Not here: what a right answer is (see `simulated_queues`, `simulator`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pillarbox.broker.core import Core
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER, Settings
from pillarbox.testing.simulated_queues import Letter, SimulatedQueue

SETTINGS = Settings()
CLIENT_PROPERTIES = {"capabilities": {"consumer_cancel_notify": True, "connection.blocked": True}}
PERSISTENT = wire.encode_properties(wire.Properties(delivery_mode=2))
TRANSIENT = wire.encode_properties(wire.Properties())


class Subscription:
    """One consumer, as its client sees it."""

    def __init__(self, queue: SimulatedQueue, *, no_ack: bool, prefetch: int) -> None:
        self.queue = queue
        self.no_ack = no_ack
        self.prefetch = prefetch
        self.count = 0
        """Deliveries that it has not answered."""

    @property
    def has_credit(self) -> bool:
        return self.no_ack or not self.prefetch or self.count < self.prefetch


class Listener(Protocol):
    """What a client tells: one call per method that the broker sent."""

    def on_deliver(
        self,
        client: Client,
        channel: ClientChannel,
        tag: int,
        subscription: Subscription,
        redelivered: bool,
        body: bytes,
    ) -> None: ...

    def on_get_ok(
        self, client: Client, channel: ClientChannel, tag: int, redelivered: bool, count: int, body: bytes
    ) -> None: ...

    def on_get_empty(self, client: Client, channel: ClientChannel) -> None: ...

    def on_confirm(self, client: Client, channel: ClientChannel, tag: int, multiple: bool) -> None: ...

    def on_return(self, client: Client, channel: ClientChannel, body: bytes) -> None: ...

    def on_cancel(self, client: Client, channel: ClientChannel, subscription: Subscription) -> None: ...

    def on_channel_close(self, client: Client, channel: ClientChannel, code: int, text: str) -> None: ...

    def on_connection_close(self, client: Client, code: int, text: str) -> None: ...


class ClientChannel:
    """One channel. `out` are the deliveries that it may answer, by tag."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.confirming = False
        self.published = 0
        self.unconfirmed: dict[int, list[Letter]] = {}
        """Number of a publish → the letters that it became, one for each queue."""
        self.subscriptions: dict[str, Subscription] = {}
        self.out: dict[int, tuple[SimulatedQueue, Letter, Subscription | None]] = {}
        self.tag_last = 0
        self.prefetch = 0
        self.pool = 0
        """Limit of all its consumers together; 0 is none."""
        self.getting: tuple[SimulatedQueue, bool] | None = None
        """A basic.get (queue, no_ack) that was not answered yet; nothing else is sent meanwhile."""
        self.closing = False
        self.returned = 0
        self.answers: list[tuple[int, tuple[Any, ...]]] = []
        """Methods that only answer a request."""

    @property
    def pool_count(self) -> int:
        return sum(subscription is not None for _, _, subscription in self.out.values())

    def take_answer(self, method_id: int) -> tuple[Any, ...]:
        """The answer to the one request that was sent; it must be this method."""
        assert [answer[0] for answer in self.answers] == [method_id], self.answers
        return self.answers.pop()[1]


class Client:
    """See the module. `split` cuts input as a socket might."""

    def __init__(
        self,
        core: Core,
        listener: Listener,
        *,
        name: str,
        split: Callable[[bytes], Iterator[bytes]],
        on_output: Callable[[Client], None],
    ) -> None:
        self.name = name
        self.listener = listener
        self.channels: dict[int, ClientChannel] = {}
        self.paused = False
        self.open = True
        self.connection = Connection(core, SETTINGS, peer=name, on_output=lambda: on_output(self))
        self._split = split
        self._tail = b""
        self._content: dict[int, tuple[int, tuple[Any, ...], list[bytes], int]] = {}
        """Channel → (method, arguments, body so far, bytes missing; -1 before the header)."""
        self._handshake()

    def __repr__(self) -> str:
        return f"<Client {self.name} channels={len(self.channels)}>"

    def _handshake(self) -> None:
        self.connection.receive(PROTOCOL_HEADER)
        login = b"\0guest\0guest"
        self.send_method(0, m.CONNECTION_START_OK, CLIENT_PROPERTIES, "PLAIN", login, "en_US")
        self.send_method(0, m.CONNECTION_TUNE_OK, 2047, 131_072, 0)
        self.send_method(0, m.CONNECTION_OPEN, "/", "", False)
        self.read()

    @property
    def waits(self) -> bool:
        """Is a basic.get of it not answered yet?"""
        return any(channel.getting is not None for channel in self.channels.values())

    # --- to the broker -----------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        for part in self._split(data):
            self.connection.receive(part)

    def send_method(self, channel: int, method_id: int, *arguments: Any) -> None:
        self.send(m.method_frame(channel, method_id, *arguments))

    def publish_frames(
        self, channel: int, exchange: str, key: str, properties: bytes, body: bytes, *, mandatory: bool
    ) -> bytes:
        """One publish as bytes."""
        method = m.method_frame(channel, m.BASIC_PUBLISH, 0, exchange, key, mandatory, False)
        return method + wire.content_frames(channel, properties, body, 131_072)

    def lost(self) -> None:
        """The socket is gone."""
        self.open = False
        self.connection.closed("reset by the simulation")

    # --- from the broker ---------------------------------------------------------------------------

    def read(self) -> None:
        """Take what the connection has to send, as its driver would, and tell the listener."""
        connection = self.connection
        starved = not connection.writable
        data = self._tail + b"".join(connection.take_output())
        position, size = 0, len(data)
        while position + 7 <= size:
            length = int.from_bytes(data[position + 3 : position + 7], "big")
            end = position + 8 + length
            assert end <= size, "the broker sent half a frame"
            assert data[end - 1] == wire.FRAME_END
            kind, number = data[position], int.from_bytes(data[position + 1 : position + 3], "big")
            self._frame(kind, number, data[position + 7 : end - 1])
            position = end
        self._tail = data[position:]
        if connection.want_close:
            self.open = False
        elif starved and not self.paused:
            connection.wake_consumers()

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if kind == wire.FRAME_METHOD:
            assert number not in self._content, "a method in the middle of a content"
            method_id = int.from_bytes(payload[:4], "big")
            arguments = m.decode(method_id, payload)
            if m.METHODS[method_id].content:
                self._content[number] = (method_id, arguments, [], -1)
            else:
                self._method(number, method_id, arguments)
            return
        method_id, arguments, parts, missing = self._content.pop(number)
        if kind == wire.FRAME_HEADER:
            assert missing == -1
            missing = wire.decode_header(payload)[1]
        else:
            assert kind == wire.FRAME_BODY
            assert 0 < len(payload) <= missing
            parts.append(payload)
            missing -= len(payload)
        if missing:
            self._content[number] = (method_id, arguments, parts, missing)
        else:
            self._message(self.channels[number], method_id, arguments, b"".join(parts))

    def _message(self, channel: ClientChannel, method_id: int, arguments: Any, body: bytes) -> None:
        assert not channel.closing, "a message on a channel that was closed"
        if method_id == m.BASIC_DELIVER:
            consumer_tag, tag, redelivered, _, _ = arguments
            subscription = channel.subscriptions[consumer_tag]
            self._demand_next(channel, tag)
            self.listener.on_deliver(self, channel, tag, subscription, redelivered, body)
        elif method_id == m.BASIC_GET_OK:
            tag, redelivered, _, _, count = arguments
            self._demand_next(channel, tag)
            self.listener.on_get_ok(self, channel, tag, redelivered, count, body)
        else:
            assert method_id == m.BASIC_RETURN
            self.listener.on_return(self, channel, body)

    @staticmethod
    def _demand_next(channel: ClientChannel, tag: int) -> None:
        assert tag == channel.tag_last + 1, "delivery tags must count up by one"
        channel.tag_last = tag

    def _method(self, number: int, method_id: int, arguments: tuple[Any, ...]) -> None:
        if not number:
            if method_id == m.CONNECTION_CLOSE:
                self.listener.on_connection_close(self, arguments[0], arguments[1])
            return
        channel = self.channels[number]
        if method_id == m.BASIC_ACK:
            self.listener.on_confirm(self, channel, *arguments)
        elif method_id == m.BASIC_CANCEL:
            self.listener.on_cancel(self, channel, channel.subscriptions.pop(arguments[0]))
        elif method_id == m.BASIC_GET_EMPTY:
            self.listener.on_get_empty(self, channel)
        elif method_id == m.CHANNEL_CLOSE:
            channel.closing = True
            self.listener.on_channel_close(self, channel, arguments[0], arguments[1])
            del self.channels[number]
            self.send_method(number, m.CHANNEL_CLOSE_OK)
        else:
            channel.answers.append((method_id, arguments))
