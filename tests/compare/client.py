"""A small synchronous AMQP 0-9-1 client that hides nothing: every frame a broker sends becomes an event.

`Client` holds named connections ("a", "b", ...), each with any channels, and reads all of them together. It
answers only what a silent client would be hung up on (close), measures nothing, and corrects nothing: what is
not a legal frame is an event too. pamqp is the codec, so nothing of Pillarbox is trusted here.

Quiescence without sleeping: `barrier` sends basic.cancel of a consumer that does not exist on every open
channel (answered by a cancel-ok with the same tag, without any other effect) and reads until each channel
has answered or is gone. What an operation caused on a channel has then arrived, as far as the broker
answers a channel's input in order; `run.Runner` repeats it, with counts of the queues, until nothing moves
any more.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pamqp import base, commands, decode, encode

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE
FRAME_OVERHEAD_SIZE = 8
TIMEOUT_S = 20.0  # A broker that says nothing for so long has hung.
BARRIER = "barrier-"

CLIENT_PROPERTIES: dict[str, Any] = {
    "product": "pillarbox-compare",
    "platform": "Python",
    "capabilities": {
        "authentication_failure_close": True,
        "basic.nack": True,
        "connection.blocked": True,
        "consumer_cancel_notify": True,
        "exchange_exchange_bindings": True,
        "publisher_confirms": True,
    },
}


class PeerSilent(Exception):
    """The broker did not answer within TIMEOUT_S; says what was waited for."""


@dataclass
class Event:
    """One thing that a broker sent on one channel: a method with its arguments, content included.

    `name` is the protocol's ("basic.deliver"), or "eof", "protocol-header", "undecodable",
    "unknown-method", "stray-header", "stray-body", "frame-too-large".
    """

    name: str
    args: dict[str, Any] = field(default_factory=dict)
    properties: bytes | None = None
    body: bytes | None = None


def method_name(method: type[base.Frame] | base.Frame) -> str:
    """Return the specification's name: Queue.DeclareOk → "queue.declare-ok"."""
    group, _, name = method.name.partition(".")
    dashed = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
    return f"{group.lower()}.{dashed.lstrip('-')}"


def _unchecked(method: type[base.Frame]) -> type[base.Frame]:
    """Return the method without pamqp's validation: what the broker is to refuse must be sent first."""
    return type(method.__name__, (method,), {"validate": lambda self: None})


METHODS: dict[str, type[base.Frame]] = {
    method_name(m): _unchecked(m) for m in commands.INDEX_MAPPING.values()
}
EXTRA_METHODS = {30 << 16 | 11: "access.request-ok"}  # 0-8's, which pamqp does not know
CONTENT_METHODS = frozenset(("basic.deliver", "basic.get-ok", "basic.return"))


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return one frame as bytes."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes((FRAME_END,))


def method_frame(channel: int, name: str, **args: Any) -> bytes:
    """Return the frame of one method; unchecked, so that wrong values can be sent too."""
    method = METHODS[name]()
    for key, value in args.items():
        if key not in method.__slots__:
            raise KeyError(f"{name} has no argument {key!r}")
        setattr(method, key, value)
    return frame(FRAME_METHOD, channel, struct.pack(">I", method.index) + method.marshal())


def content_frames(channel: int, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """Return header and body frames; `properties` are flags and values as on the wire."""
    header = struct.pack(">HHQ", 60, 0, len(body)) + properties
    size_max = frame_max - FRAME_OVERHEAD_SIZE
    parts = [body[at : at + size_max] for at in range(0, len(body), size_max)]
    return frame(FRAME_HEADER, channel, header) + b"".join(frame(FRAME_BODY, channel, part) for part in parts)


def encode_properties(values: dict[str, Any]) -> bytes:
    """Return basic properties as on the wire."""
    properties = commands.Basic.Properties()
    for key, value in values.items():
        setattr(properties, key, value)
    return bytes(properties.marshal())


def decode_properties(data: bytes) -> dict[str, Any]:
    """Return those basic properties that are present."""
    properties = commands.Basic.Properties()
    flags = struct.unpack_from(">H", data)[0]
    properties.unmarshal(flags, data[2:])
    return {key: value for key, value in properties if value is not None}


def field_table(data: bytes) -> dict[str, Any]:
    """Return a table from its wire form (with its length)."""
    return decode.field_table(data)[1]


def encode_table(table: dict[str, Any]) -> bytes:
    """Return the wire form (with its length) of a table."""
    return encode.field_table(table)


@dataclass
class Channel:
    """What the client knows of one channel: open or not, and its events since they were last taken."""

    number: int
    is_open: bool = False
    events: list[Event] = field(default_factory=list)
    waiting: Event | None = None  # a method whose content has not all arrived
    body_size: int = 0
    barrier: str = ""  # the tag of an unanswered barrier
    hold_close_ok: bool = False


class Link:
    """One connection: socket, input buffer, channels."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.channels: dict[int, Channel] = {0: Channel(0, is_open=True)}
        self.is_open = True  # the socket
        self.is_closing = False  # close was received or sent: nothing but close-ok may follow
        self.frame_max = 131072
        self.server_properties: dict[str, Any] = {}
        self.hold_close_ok = False

    def channel(self, number: int) -> Channel:
        """Return the channel of that number, made known if need be."""
        return self.channels.setdefault(number, Channel(number))

    def send(self, data: bytes) -> None:
        """Send bytes; what a broker that has hung up cannot take is dropped: its eof is the event."""
        if not self.is_open:
            return
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self._ended("eof")

    def receive(self) -> None:
        """Read once and turn all complete frames into events."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            self._ended("eof")
            return
        self.buffer += data
        self._parse()

    def drop(self) -> None:
        """Close the socket without a word."""
        self.socket.close()
        self.is_open = False
        self._close_channels()

    def open_channels(self) -> Iterator[Channel]:
        """Yield the channels but 0 on which commands may be sent."""
        if self.is_open and not self.is_closing:
            yield from (channel for number, channel in self.channels.items() if number and channel.is_open)

    def _ended(self, name: str) -> None:
        # Whether the end shows as eof or as reset depends on unread input: it is the same answer.
        self.channels[0].events.append(Event(name))
        self.drop()

    def _close_channels(self) -> None:
        for channel in self.channels.values():
            channel.is_open = False
            channel.barrier = ""

    def _parse(self) -> None:
        while len(self.buffer) >= 7:
            if self.buffer.startswith(b"AMQP") and len(self.buffer) >= 8:
                self.channels[0].events.append(
                    Event("protocol-header", {"bytes": bytes(self.buffer[:8]).hex()})
                )
                del self.buffer[:8]
                continue
            kind, number, size = struct.unpack_from(">BHI", self.buffer)
            if len(self.buffer) < size + FRAME_OVERHEAD_SIZE:
                return
            payload = bytes(self.buffer[7 : 7 + size])
            end = self.buffer[7 + size]
            del self.buffer[: size + FRAME_OVERHEAD_SIZE]
            channel = self.channel(number)
            if end != FRAME_END or size + FRAME_OVERHEAD_SIZE > self.frame_max:
                channel.events.append(Event("frame-too-large" if end == FRAME_END else "undecodable"))
            self._frame(kind, channel, payload)

    def _frame(self, kind: int, channel: Channel, payload: bytes) -> None:
        if kind == FRAME_METHOD:
            self._method(channel, payload)
        elif kind == FRAME_HEADER:
            self._header(channel, payload)
        elif kind == FRAME_BODY:
            self._body(channel, payload)
        elif kind != FRAME_HEARTBEAT:
            channel.events.append(Event("undecodable", {"bytes": payload.hex()}))

    def _method(self, channel: Channel, payload: bytes) -> None:
        index = struct.unpack_from(">I", payload)[0]
        if index not in commands.INDEX_MAPPING:
            channel.events.append(
                Event(EXTRA_METHODS.get(index, "unknown-method"), {"bytes": payload[4:].hex()})
            )
            return
        method = commands.INDEX_MAPPING[index]()
        method.unmarshal(payload[4:])
        event = Event(method_name(method), dict(method))
        if event.name == "basic.cancel-ok" and event.args["consumer_tag"].startswith(BARRIER):
            if event.args["consumer_tag"] == channel.barrier:
                channel.barrier = ""
            return
        if event.name in CONTENT_METHODS:
            channel.waiting = event
            return
        channel.events.append(event)
        if event.name == "channel.open-ok":
            channel.is_open = True
        elif event.name in ("channel.close", "channel.close-ok"):
            channel.is_open = False
            channel.barrier = ""
            if event.name == "channel.close" and not channel.hold_close_ok:
                self.send(method_frame(channel.number, "channel.close-ok"))
        elif event.name == "connection.close":
            self.is_closing = True
            self._close_channels()
            if not self.hold_close_ok:
                self.send(method_frame(0, "connection.close-ok"))
        elif event.name == "connection.close-ok":
            # RabbitMQ leaves it to the client to hang up.
            self.is_closing = True
            self.drop()

    def _header(self, channel: Channel, payload: bytes) -> None:
        event = channel.waiting
        if event is None or event.properties is not None:
            channel.events.append(Event("stray-header"))
            return
        channel.body_size = struct.unpack_from(">Q", payload, 4)[0]
        event.properties = payload[12:]
        event.body = b""
        self._complete(channel, event)

    def _body(self, channel: Channel, payload: bytes) -> None:
        event = channel.waiting
        if event is None or event.body is None:
            channel.events.append(Event("stray-body"))
            return
        event.body += payload
        self._complete(channel, event)

    def _complete(self, channel: Channel, event: Event) -> None:
        assert event.body is not None
        if len(event.body) >= channel.body_size:
            channel.waiting = None
            channel.events.append(event)


class Client:
    """Named connections to one broker."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.links: dict[str, Link] = {}
        self.selector = selectors.DefaultSelector()
        self.barriers = 0

    def dial(self, name: str) -> Link:
        """Open a socket and send nothing."""
        self._forget_closed()
        link = self.links[name] = Link(self.address)
        self.selector.register(link.socket, selectors.EVENT_READ, link)
        return link

    def connect(
        self,
        name: str,
        *,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        tune: dict[str, int] | None = None,
        properties: dict[str, Any] | None = None,
        mechanism: str = "PLAIN",
        response: str | None = None,
    ) -> Link:
        """Open a connection as far as the broker lets us; what it answered is in channel 0's events."""
        link = self.dial(name)
        link.send(PROTOCOL_HEADER)
        start = self.expect(link, 0, "connection.start")
        if start is None:
            return link
        link.server_properties = start.args["server_properties"]
        plain = f"\0{user}\0{password}" if response is None else response
        sent = CLIENT_PROPERTIES if properties is None else properties
        link.send(
            method_frame(
                0,
                "connection.start-ok",
                client_properties=sent,
                mechanism=mechanism,
                response=plain,
                locale="en_US",
            )
        )
        proposed = self.expect(link, 0, "connection.tune")
        if proposed is None:
            return link
        answer = {"channel_max": 2047, "frame_max": 131072, "heartbeat": 0, **(tune or {})}
        link.frame_max = answer["frame_max"] or 1 << 31
        link.send(method_frame(0, "connection.tune-ok", **answer))
        link.send(method_frame(0, "connection.open", virtual_host=vhost))
        self.expect(link, 0, "connection.open-ok")
        return link

    def expect(self, link: Link, number: int, name: str) -> Event | None:
        """Read until that method has come on the channel; None if the connection or channel ended instead."""
        found: list[Event] = []

        def arrived() -> bool:
            channel = link.channel(number)
            found[:] = [event for event in channel.events if event.name == name]
            ended = any(event.name == "channel.close" for event in channel.events)
            return bool(found) or ended or not link.is_open or link.is_closing

        self.read_until(arrived, f"{name} on channel {number}")
        return found[0] if found else None

    def open_channel(self, link: Link, number: int) -> bool:
        """Open a channel and forget the answer; tell whether it is open."""
        channel = link.channel(number)
        link.send(method_frame(number, "channel.open"))
        self.read_until(lambda: channel.is_open or not link.is_open or link.is_closing, "channel.open-ok")
        channel.events = [event for event in channel.events if event.name != "channel.open-ok"]
        return channel.is_open

    def barrier(self, skip: Callable[[Channel], bool] = lambda channel: False) -> None:
        """Return when every open channel has answered once more, or is gone."""
        self.barriers += 1
        tag = f"{BARRIER}{self.barriers}"
        waiting: list[Channel] = []
        for link in list(self.links.values()):
            asked = [channel for channel in link.open_channels() if not skip(channel)]
            for channel in asked:
                channel.barrier = tag
            link.send(b"".join(method_frame(c.number, "basic.cancel", consumer_tag=tag) for c in asked))
            waiting += asked
        self.read_until(lambda: not any(channel.barrier for channel in waiting), "barrier")
        self.read_until(self._closing_ended, "end of closing connections")

    def _closing_ended(self) -> bool:
        return not any(
            link.is_closing and link.is_open and not link.hold_close_ok for link in self.links.values()
        )

    def read_until(self, condition: Callable[[], bool], what: str) -> None:
        """Read from all connections until `condition`; raise PeerSilent after TIMEOUT_S."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise PeerSilent(f"no {what} within {TIMEOUT_S:g} s")
            self.read(left_s)

    def read(self, timeout_s: float) -> bool:
        """Read once what any connection has; tell whether there was something."""
        self._forget_closed()
        ready = self.selector.select(timeout_s)
        for key, _ in ready:
            key.data.receive()
        self._forget_closed()
        return bool(ready)

    def _forget_closed(self) -> None:
        for key in list(self.selector.get_map().values()):
            if not key.data.is_open:
                self.selector.unregister(key.fileobj)

    def disconnect(self, name: str) -> None:
        """Hang up without a word."""
        link = self.links.pop(name, None)
        if link is not None and link.is_open:
            self.selector.unregister(link.socket)
            link.drop()

    def close(self) -> None:
        """Hang up everywhere."""
        for name in list(self.links):
            self.disconnect(name)
        self.selector.close()
