"""A blocking AMQP 0-9-1 client that sends exactly what a test tells it to, for rules that real clients hide.

pamqp encodes and decodes single frames; this module only moves them. It never answers by itself: no
heartbeats, no close-ok, no checks of the order of frames.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Any, Self, TypeVar

from pamqp import commands, frame, header, heartbeat

WAIT_S = 15.0
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
CAPABILITIES = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}
T = TypeVar("T")


class RawClient:
    """One socket; `send` and `expect` move single frames."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=WAIT_S)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, what: Any, channel: int = 0) -> None:
        """Send one method, header, body or heartbeat as a frame."""
        self.send_bytes(frame.marshal(what, channel))

    def send_pika(self, method: Any, channel: int) -> None:
        """Send a method of pika.spec, for values that pamqp refuses to encode."""
        self.send_frame(1, channel, struct.pack(">I", method.INDEX) + b"".join(method.encode()))

    def send_frame(self, kind: int, channel: int, payload: bytes, end: bytes = b"\xce") -> None:
        """Send a frame of any type, valid or not."""
        self.send_bytes(struct.pack(">BHI", kind, channel, len(payload)) + payload + end)

    def receive_bytes(self, count: int) -> bytes:
        """Return exactly `count` bytes, fewer only if the broker closes the socket."""
        while len(self.buffer) < count:
            data = self.socket.recv(65536)
            if not data:
                break
            self.buffer += data
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def receive(self, *, skip_heartbeats: bool = True) -> tuple[int, Any]:
        """Return (channel, frame); EOFError if the broker has closed the socket."""
        while True:
            start = self.receive_bytes(7)
            if len(start) < 7:
                raise EOFError(start)
            size = struct.unpack(">I", start[3:7])[0]
            _, channel, got = frame.unmarshal(start + self.receive_bytes(size + 1))
            if not (skip_heartbeats and isinstance(got, heartbeat.Heartbeat)):
                return channel, got

    def expect(self, kind: type[T], channel: int = 0) -> T:
        """Return the next frame, which must be of this kind and on this channel."""
        on, got = self.receive()
        assert (on, type(got)) == (channel, kind), (on, got, vars(got) if hasattr(got, "__dict__") else got)
        assert isinstance(got, kind)
        return got

    def expect_closed_socket(self) -> None:
        """Read until the broker closes the socket; heartbeats may still come before."""
        try:
            while True:
                _, got = self.receive()
                raise AssertionError(got)
        except (EOFError, ConnectionResetError):
            pass

    def start(self) -> commands.Connection.Start:
        """Send the protocol header, return connection.start."""
        self.send_bytes(PROTOCOL_HEADER)
        return self.expect(commands.Connection.Start)

    def log_in(
        self, *, mechanism: str = "PLAIN", response: str = "\0guest\0guest", **properties: Any
    ) -> None:
        """Send header and start-ok; what comes next is the test's to read."""
        self.start()
        properties.setdefault("capabilities", CAPABILITIES)
        self.send(commands.Connection.StartOk(properties, mechanism, response, "en_US"))

    def tune(self) -> commands.Connection.Tune:
        """Log in and return the broker's proposal."""
        self.log_in()
        return self.expect(commands.Connection.Tune)

    def open(self, *, vhost: str = "/", frame_max: int = 131072, heartbeat_s: int = 0) -> Self:
        """Go through the whole handshake."""
        tune = self.tune()
        self.send(commands.Connection.TuneOk(tune.channel_max, frame_max, heartbeat_s))
        self.send(commands.Connection.Open(vhost))
        self.expect(commands.Connection.OpenOk)
        return self

    def open_channel(self, channel: int = 1) -> int:
        self.send(commands.Channel.Open(), channel)
        self.expect(commands.Channel.OpenOk, channel)
        return channel

    def publish(
        self,
        key: str,
        body: bytes,
        *,
        exchange: str = "",
        mandatory: bool = False,
        properties: commands.Basic.Properties | None = None,
        channel: int = 1,
    ) -> None:
        """Send basic.publish, the header, and the body in one frame."""
        self.send(commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory), channel)
        self.send(content_header(len(body), properties), channel)
        if body:
            self.send_frame(3, channel, body)

    def expect_connection_close(self) -> tuple[int, str, int, int]:
        """Return (code, text, class id, method id) of connection.close, answer it, see the socket close."""
        close = self.expect(commands.Connection.Close)
        self.send(commands.Connection.CloseOk())
        self.expect_closed_socket()
        return (close.reply_code, close.reply_text, close.class_id, close.method_id)

    def expect_channel_close(self, channel: int = 1) -> tuple[int, str, int, int]:
        """Return (code, text, class id, method id) of channel.close and answer it."""
        close = self.expect(commands.Channel.Close, channel)
        self.send(commands.Channel.CloseOk(), channel)
        return (close.reply_code, close.reply_text, close.class_id, close.method_id)


def content_header(
    body_size: int, properties: commands.Basic.Properties | None = None
) -> header.ContentHeader:
    return header.ContentHeader(0, body_size, properties or commands.Basic.Properties())
