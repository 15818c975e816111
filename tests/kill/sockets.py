"""Clients over real sockets, all in one thread: what the broker sends is taken in the moment it arrives."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence

from bench.peers import HOST

from .actors import Actor

RECEIVE_BYTES = 1 << 18
BACKLOG_BYTES = 1 << 18
"""Unwritten bytes of one client after which it does nothing new."""
STEPS_PER_TURN = 8
TIMEOUT_S = 60.0
"""A broker that has not answered by then has hung."""


class Line:
    """One client on one socket."""

    def __init__(self, actor: Actor, port: int) -> None:
        self.actor = actor
        self.socket = socket.create_connection((HOST, port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unwritten = b""
        self.ended = False
        """The broker has closed the socket, or is gone."""

    def read(self) -> None:
        """Take in what is there."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.actor.receive(data)
        else:
            self.ended = True

    def write(self) -> None:
        """Write as much as the socket takes."""
        if not self.unwritten and self.actor.idle:
            return
        data = self.unwritten + self.actor.take()
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # Gone; what it said before may still be read.
            sent = len(data)
        self.unwritten = data[sent:]

    def step(self) -> None:
        for _ in range(STEPS_PER_TURN):
            if len(self.unwritten) > BACKLOG_BYTES:
                self.write()
                break
            self.actor.step()
            self.write()


class Loop:
    """Runs lines until a condition holds."""

    def __init__(self, actors: Iterable[Actor], port: int) -> None:
        self.lines = [Line(actor, port) for actor in actors]
        self._selector = selectors.DefaultSelector()
        for line in self.lines:
            self._selector.register(line.socket, selectors.EVENT_READ, line)

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self.lines:
            line.socket.close()
        self._selector.close()

    def run(self, until: Callable[[], bool], *, timeout_s: float = TIMEOUT_S) -> None:
        """Let the actors act until the condition holds; TimeoutError if it never does."""
        deadline = time.monotonic() + timeout_s
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the broker has not answered within {timeout_s:g} s")
            self._turn(0.001)

    def run_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._turn(min(left, 0.001))

    def _turn(self, wait_s: float) -> None:
        for line in self.lines:
            if not line.ended:
                line.step()
        for key, _ in self._selector.select(wait_s):
            key.data.read()
        for line in self.lines:
            if line.ended and line.socket in self._registered():
                self._selector.unregister(line.socket)

    def _registered(self) -> Sequence[object]:
        return [key.fileobj for key in self._selector.get_map().values()]

    def read_rest(self) -> None:
        """The broker is gone: take in what it had written before."""
        for line in self.lines:
            line.socket.setblocking(True)
            while not line.ended:
                line.read()
