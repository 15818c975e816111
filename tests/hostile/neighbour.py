"""A well-behaved client that works beside a hostile one, and what it demands of the broker meanwhile.

It publishes with confirms, consumes with acknowledgements, checks that every message comes exactly once and
in order, and notes its slowest round. It runs in a thread of its own on a plain socket.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

from pamqp import commands, header
from pamqp.body import ContentBody

from tests.clients.raw_client import RawClient

ROUND_MESSAGES = 20
PACE_S = 0.005
"""Between two rounds, so that the neighbour itself is no load."""
STALL_MAX_S = 5.0
"""The longest that one round of a few messages may take while somebody else misbehaves: generous, because the
test machine may be busy. What it must exclude is a broker that waits for the other client."""

_number = struct.Struct(">Q")


def connect(host: str, port: int) -> RawClient:
    """A socket that sends what it is given at once, without waiting for what was sent before (Nagle)."""
    client = RawClient(host, port)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


class Neighbour:
    """See the module. `check` ends it and says how it went."""

    def __init__(self, host: str, port: int, queue: str = "neighbour") -> None:
        self._client = connect(host, port)
        self._queue = queue
        self._over = threading.Event()
        self._fault: BaseException | None = None
        self._rounds_done = threading.Condition()
        self.rounds = self.published = self.confirmed = self.delivered = 0
        self.slowest_s = 0.0
        client = self._client.open()
        client.open_channel()
        client.send(commands.Queue.Declare(queue=queue, exclusive=True), 1)
        client.expect(commands.Queue.DeclareOk, 1)
        client.send(commands.Confirm.Select(), 1)
        client.expect(commands.Confirm.SelectOk, 1)
        client.send(commands.Basic.Consume(queue=queue), 1)
        client.expect(commands.Basic.ConsumeOk, 1)
        self._thread = threading.Thread(target=self._run, name="neighbour", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Neighbour rounds={self.rounds} slowest={self.slowest_s:.3f}s fault={self._fault!r}>"

    def _run(self) -> None:
        try:
            while not self._over.wait(PACE_S):
                started = time.monotonic()
                self._round()
                with self._rounds_done:
                    self.rounds += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                    self._rounds_done.notify_all()
        except BaseException as fault:
            self._fault = fault
            with self._rounds_done:
                self._rounds_done.notify_all()

    def _round(self) -> None:
        client = self._client
        for _ in range(ROUND_MESSAGES):
            client.publish(self._queue, _number.pack(self.published))
            self.published += 1
        while self.confirmed < self.published or self.delivered < self.published:
            channel, frame = client.receive()
            assert channel == 1, frame
            if isinstance(frame, commands.Basic.Ack):
                self.confirmed = frame.delivery_tag
            elif isinstance(frame, ContentBody):
                assert frame.value == _number.pack(self.delivered), "lost, doubled or out of order"
                self.delivered += 1
            elif isinstance(frame, commands.Basic.Deliver):
                assert not frame.redelivered
            else:
                assert isinstance(frame, header.ContentHeader), frame
        client.send(commands.Basic.Ack(delivery_tag=self.delivered, multiple=True), 1)

    def wait_rounds(self, count: int, timeout_s: float = 30.0) -> None:
        """Wait until that many more rounds are done: the broker still works for others."""
        with self._rounds_done:
            goal = self.rounds + count
            assert self._rounds_done.wait_for(lambda: self.rounds >= goal or self._fault, timeout_s), self
        assert self._fault is None, self

    def check(self) -> None:
        """End it. Raises AssertionError if it was disturbed."""
        self.wait_rounds(2)
        self._over.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), self
        assert self._fault is None, self
        assert self.published == self.confirmed == self.delivered == self.rounds * ROUND_MESSAGES, self
        assert self.slowest_s < STALL_MAX_S, self
        client = self._client
        client.send(commands.Connection.Close(200, "", 0, 0))
        client.expect(commands.Connection.CloseOk)
        client.socket.close()


@contextlib.contextmanager
def undisturbed(host: str, port: int) -> Iterator[Neighbour]:
    """Have a neighbour beside the block; fail if the block disturbed it."""
    neighbour = Neighbour(host, port)
    neighbour.wait_rounds(1)
    yield neighbour
    neighbour.check()
