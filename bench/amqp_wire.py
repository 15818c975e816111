"""Just enough AMQP 0-9-1 for a load generator: encode frames ahead of time, read the few answers that matter.

Deliberately shares nothing with the package under test. A `RawConnection` is a logged-in socket with channel
1 open; workers take its `socket` and send and count bytes themselves.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Final

Method = tuple[int, int]

METHOD, HEADER, BODY, END = 1, 2, 3, b"\xce"
START: Final[Method] = (10, 10)
START_OK: Final[Method] = (10, 11)
TUNE: Final[Method] = (10, 30)
TUNE_OK: Final[Method] = (10, 31)
OPEN: Final[Method] = (10, 40)
OPEN_OK: Final[Method] = (10, 41)
CONNECTION_CLOSE: Final[Method] = (10, 50)
CONNECTION_CLOSE_OK: Final[Method] = (10, 51)
CHANNEL_OPEN: Final[Method] = (20, 10)
CHANNEL_OPEN_OK: Final[Method] = (20, 11)
CHANNEL_CLOSE: Final[Method] = (20, 40)
EXCHANGE_DECLARE: Final[Method] = (40, 10)
EXCHANGE_DECLARE_OK: Final[Method] = (40, 11)
EXCHANGE_DELETE: Final[Method] = (40, 20)
EXCHANGE_DELETE_OK: Final[Method] = (40, 21)
QUEUE_DECLARE: Final[Method] = (50, 10)
QUEUE_DECLARE_OK: Final[Method] = (50, 11)
QUEUE_BIND: Final[Method] = (50, 20)
QUEUE_BIND_OK: Final[Method] = (50, 21)
QUEUE_DELETE: Final[Method] = (50, 40)
QUEUE_DELETE_OK: Final[Method] = (50, 41)
BASIC_QOS: Final[Method] = (60, 10)
BASIC_QOS_OK: Final[Method] = (60, 11)
BASIC_CONSUME: Final[Method] = (60, 20)
BASIC_CONSUME_OK: Final[Method] = (60, 21)
BASIC_PUBLISH: Final[Method] = (60, 40)
BASIC_ACK: Final[Method] = (60, 80)
BASIC_NACK: Final[Method] = (60, 120)
CONFIRM_SELECT: Final[Method] = (85, 10)
CONFIRM_SELECT_OK: Final[Method] = (85, 11)
TX_SELECT: Final[Method] = (90, 10)
TX_SELECT_OK: Final[Method] = (90, 11)
TX_COMMIT: Final[Method] = (90, 20)
TX_COMMIT_OK: Final[Method] = (90, 21)

FRAME_MAX_OFFERED = 131072  # What RabbitMQ offers; a broker without a limit gets it as well.
RECEIVE_SIZE = 1 << 18


class WireError(Exception):
    """The broker closed the channel or the connection, or sent what a load never asks for."""


def short_string(text: str) -> bytes:
    octets = text.encode()
    return bytes([len(octets)]) + octets


def long_string(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def field_value(text: str) -> bytes:
    """Return a value of a field table: a number, if it is one."""
    return b"I" + struct.pack(">i", int(text)) if text.isdigit() else b"S" + long_string(text.encode())


def field_table(pairs: str) -> bytes:
    """Return the entries of a field table: KEY=VALUE with commas between them, a number where it is one."""
    split = [pair.split("=", 1) for pair in pairs.split(",") if pair]
    return b"".join(short_string(key) + field_value(value) for key, value in split)


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method(name: Method, arguments: bytes = b"", channel: int = 1) -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", *name) + arguments)


def message(
    exchange: str,
    routing_key: str,
    body: bytes,
    *,
    persistent: bool,
    frame_max: int,
    priority: int = 0,
    delay_ms: int = 0,
) -> bytes:
    """Return basic.publish, content header and body frames (as many as `frame_max` demands) on channel 1."""
    arguments = b"\0\0" + short_string(exchange) + short_string(routing_key) + b"\0"
    properties = struct.pack(">HB", 0x1000, 2) if persistent else b"\0\0"
    if priority:
        properties = struct.pack(">HBB", 0x1800, 1 + persistent, priority)
    if delay_ms:
        table = short_string("x-delay") + b"I" + struct.pack(">i", delay_ms)
        properties = struct.pack(">H", 0x3000) + long_string(table) + bytes([1 + persistent])
    header = struct.pack(">HHQ", 60, 0, len(body)) + properties
    room = frame_max - 8
    bodies = (frame(BODY, 1, body[start : start + room]) for start in range(0, len(body), room))
    return method(BASIC_PUBLISH, arguments) + frame(HEADER, 1, header) + b"".join(bodies)


def ack(tag: int, *, multiple: bool) -> bytes:
    return method(BASIC_ACK, struct.pack(">QB", tag, multiple))


def reject(tag: int) -> bytes:
    """Give back every delivery up to this one, for good."""
    return method(BASIC_NACK, struct.pack(">QB", tag, 1))


CLOSED: Final = method(CONNECTION_CLOSE_OK, channel=0)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens; with `tls`, its certificate is not verified (it is a throw-away one)."""

    port: int
    host: str = "127.0.0.1"
    tls: bool = False
    user: str = "guest"
    password: str = "guest"

    def connect(self) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.tls:
            return plain
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(plain, server_hostname="localhost")


class RawConnection:
    """A logged-in connection with channel 1 open, answering nothing by itself (heartbeats are off)."""

    def __init__(self, address: Address) -> None:
        self.socket = address.connect()
        self.received = b""
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(START)
        login = long_string(f"\0{address.user}\0{address.password}".encode())
        start_ok = long_string(b"") + short_string("PLAIN") + login + short_string("en_US")
        self.socket.sendall(method(START_OK, start_ok, channel=0))
        channel_max, frame_max, _ = struct.unpack(">HIH", self.expect(TUNE)[:8])
        self.frame_max = frame_max or FRAME_MAX_OFFERED
        self.socket.sendall(method(TUNE_OK, struct.pack(">HIH", channel_max, self.frame_max, 0), channel=0))
        self.socket.sendall(method(OPEN, short_string("/") + b"\0\0", channel=0))
        self.expect(OPEN_OK)
        self.call(CHANNEL_OPEN, short_string(""), CHANNEL_OPEN_OK)

    def read_frame(self) -> tuple[int, bytes]:
        """Return kind and payload of the next frame of any channel."""
        while True:
            if len(self.received) >= 7:
                kind, _, size = struct.unpack(">BHI", self.received[:7])
                if len(self.received) >= size + 8:
                    payload = self.received[7 : 7 + size]
                    self.received = self.received[size + 8 :]
                    return kind, payload
            data = self.socket.recv(RECEIVE_SIZE)
            if not data:
                raise WireError("connection closed by the broker")
            self.received += data

    def expect(self, wanted: Method) -> bytes:
        """Skip frames up to the method `wanted`; return its arguments."""
        while True:
            kind, payload = self.read_frame()
            if kind != METHOD:
                continue
            name = struct.unpack(">HH", payload[:4])
            if name == wanted:
                return payload[4:]
            if name in (CONNECTION_CLOSE, CHANNEL_CLOSE):
                # A reply code, then a short string.
                text = payload[7 : 7 + payload[6]].decode(errors="replace")
                raise WireError(f"closed by the broker: {text}")

    def call(self, name: Method, arguments: bytes, answer: Method) -> bytes:
        self.socket.sendall(method(name, arguments))
        return self.expect(answer)

    def declare_queue(
        self, name: str, *, durable: bool = True, queue_type: str = "", arguments: str = ""
    ) -> None:
        """Declare a queue; `arguments` as `field_table` reads them."""
        table = field_table(f"{arguments},x-queue-type={queue_type}" if queue_type else arguments)
        flags = bytes([2 if durable else 0])
        self.call(QUEUE_DECLARE, b"\0\0" + short_string(name) + flags + long_string(table), QUEUE_DECLARE_OK)

    def ready(self, name: str) -> int:
        """Return the number of ready messages by a passive declare (answered after every earlier publish)."""
        arguments = b"\0\0" + short_string(name) + b"\1" + long_string(b"")
        answer = self.call(QUEUE_DECLARE, arguments, QUEUE_DECLARE_OK)
        count: int = struct.unpack_from(">I", answer, 1 + answer[0])[0]
        return count

    def delete_queue(self, name: str) -> None:
        self.call(QUEUE_DELETE, b"\0\0" + short_string(name) + b"\0", QUEUE_DELETE_OK)

    def declare_fanout(self, name: str) -> None:
        arguments = b"\0\0" + short_string(name) + short_string("fanout") + b"\2" + long_string(b"")
        self.call(EXCHANGE_DECLARE, arguments, EXCHANGE_DECLARE_OK)

    def declare_delayed(self, name: str) -> None:
        """Declare an exchange that delays messages and then routes them as a direct one."""
        table = short_string("x-delayed-type") + b"S" + long_string(b"direct")
        arguments = b"\0\0" + short_string(name) + short_string("x-delayed-message") + b"\2"
        self.call(EXCHANGE_DECLARE, arguments + long_string(table), EXCHANGE_DECLARE_OK)

    def delete_exchange(self, name: str) -> None:
        self.call(EXCHANGE_DELETE, b"\0\0" + short_string(name) + b"\0", EXCHANGE_DELETE_OK)

    def bind(self, queue: str, exchange: str, routing_key: str = "") -> None:
        arguments = b"\0\0" + short_string(queue) + short_string(exchange) + short_string(routing_key)
        self.call(QUEUE_BIND, arguments + b"\0" + long_string(b""), QUEUE_BIND_OK)

    def select_transactions(self) -> None:
        self.call(TX_SELECT, b"", TX_SELECT_OK)

    def select_confirms(self) -> None:
        self.call(CONFIRM_SELECT, b"\0", CONFIRM_SELECT_OK)

    def consume(self, queue: str, *, prefetch: int, arguments: str = "") -> None:
        """Start a consumer; `prefetch` 0 means automatic acknowledgement."""
        if prefetch:
            self.call(BASIC_QOS, struct.pack(">IHB", 0, prefetch, 0), BASIC_QOS_OK)
        head = b"\0\0" + short_string(queue) + short_string("") + bytes([0 if prefetch else 2])
        self.call(BASIC_CONSUME, head + long_string(field_table(arguments)), BASIC_CONSUME_OK)

    def close(self) -> None:
        """Close in an orderly way, so that the broker logs no lost connection.

        Workers read the socket themselves, so what comes may begin in mid-frame: close-ok is looked for as
        bytes.
        """
        self.socket.settimeout(10)
        arguments = struct.pack(">H", 200) + short_string("") + struct.pack(">HH", 0, 0)
        self.socket.sendall(method(CONNECTION_CLOSE, arguments, channel=0))
        tail = b""
        while CLOSED not in tail:
            data = self.socket.recv(RECEIVE_SIZE)
            if not data:
                raise WireError("the broker ended the connection without close-ok")
            tail = tail[-len(CLOSED) :] + data
        self.socket.close()


class Confirms:
    """How many publishes of this channel the broker has confirmed, counted from the bytes that came back."""

    def __init__(self) -> None:
        self.through = 0  # Every tag up to this one is confirmed.
        self.singles: set[int] = set()  # Confirmed tags above it.
        self.buffer = bytearray()

    @property
    def count(self) -> int:
        return self.through + len(self.singles)

    def receive(self, data: bytes) -> None:
        """Take one socket read; raise WireError on anything but basic.ack, and on one that repeats."""
        buffer = self.buffer
        buffer += data
        position, end = 0, len(buffer)
        while end - position >= 7:
            size = int.from_bytes(buffer[position + 3 : position + 7], "big")
            if end - position < size + 8:
                break
            if buffer[position + 7 : position + 11] != b"\x00\x3c\x00\x50":
                raise WireError(f"not an ack: {bytes(buffer[position : position + 100])!r}")
            tag = int.from_bytes(buffer[position + 11 : position + 19], "big")
            self._add(tag, multiple=bool(buffer[position + 19] & 1))
            position += size + 8
        del buffer[:position]

    def _add(self, tag: int, *, multiple: bool) -> None:
        if tag <= self.through or tag in self.singles:
            raise WireError(f"publish {tag} was confirmed twice")
        if multiple:
            self.through = max(self.through, tag)
            self.singles = {single for single in self.singles if single > tag}
        elif tag == self.through + 1:
            self.through = tag
        else:
            self.singles.add(tag)
        while self.singles and self.through + 1 in self.singles:
            self.through += 1
            self.singles.discard(self.through)
