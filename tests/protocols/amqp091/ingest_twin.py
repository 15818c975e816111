"""The slow, obvious twin of the way in: octets are gathered, frames are taken one by one, nothing is kept.

It takes the place of `Connection.receive` and everything that is fast in it: the hot loop of `ingest`, runs
of publishes, ranges of acknowledgements, body frames taken in pieces, and what the connection remembers of
routes and properties. What a frame means on its channel is the connection's own, slow path.
"""

from __future__ import annotations

import struct

from pillarbox.protocols.amqp091 import methods
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.errors import AmqpError
from pillarbox.protocols.amqp091.handshake import ACCEPTED_HEADERS, State, begin
from pillarbox.protocols.amqp091.wire import octets_text

CLOSE_OK = methods.method_frame(0, methods.CONNECTION_CLOSE_OK)
LEAST = {1: 4, 2: 14, 3: 0, 8: 0}


def beginning(payload: bytes) -> str:
    """How a frame begins, in RabbitMQ's words."""
    if len(payload) > 16:
        return f"first 16 octets = {octets_text(payload[:16])}"
    return f"all octets = {octets_text(payload)}"


class TwinConnection(Connection):
    """A connection that reads slowly. Only `receive` differs."""

    framing_lost = False

    def receive(self, data: bytes | memoryview) -> None:
        self._tail += bytes(data)
        while self.state is not State.CLOSED and self._step():
            pass
        if self.state is State.CLOSED:
            self._tail = b""

    def _step(self) -> bool:
        """Do what the first octets say; False if more must come first."""
        if self.framing_lost:
            if CLOSE_OK in self._tail:
                self.finish("closed by the broker")
            return False
        if self.state is State.PROTOCOL_HEADER:
            return self._step_header()
        try:
            return self._step_frame()
        except AmqpError as error:
            self.fail(error)
            return True

    def _step_header(self) -> bool:
        given = self._tail[:8]
        if len(given) < 8 and given in [header[: len(given)] for header in ACCEPTED_HEADERS]:
            return False
        rest = self._tail[8:]
        begin(self, given)
        self._tail = rest
        return True

    def _step_frame(self) -> bool:
        data = self._tail
        if len(data) < 7:
            return False
        kind, channel, size = struct.unpack(">BHI", data[:7])
        if size > self.frame_max:
            self._tail = data[7:]
            self.framing_lost = True
            problem = f"{{frame_too_large,{size},{self.frame_max - 8}}}"
            raise AmqpError(501, f"type {kind}, all octets = <<>>: {problem}")
        if len(data) < size + 8:
            return False
        payload = data[7 : size + 7]
        end = data[size + 7]
        if end != 0xCE:
            self._tail = data[size + 8 :]
            self.framing_lost = True
            problem = f"{{invalid_frame_end_marker,{end}}}"
            raise AmqpError(501, f"type {kind}, {beginning(payload)}: {problem}")
        if self._must_wait(kind, payload):
            return False
        self._tail = data[size + 8 :]
        if kind not in LEAST or size < LEAST[kind]:
            raise AmqpError(501, f"type {kind}, {beginning(payload)}: unknown_frame")
        # Nothing is remembered from one frame to the next.
        self.routes.clear()
        self.facts.clear()
        self._frame(kind, channel, payload)
        return True

    def _must_wait(self, kind: int, payload: bytes) -> bool:
        """Contents wait for the end of an alarm, basic.get for room."""
        method = payload[:4] if kind == 1 else b""
        content = kind in (2, 3) or method == b"\x00\x3c\x00\x28"
        if self.session is not None and self.core.alarm is not None and content:
            self.published_while_held()
            return True
        if not self.has_room and method == b"\x00\x3c\x00\x46":
            self.waiting = True
            return True
        return False
