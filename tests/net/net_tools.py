"""What the transports' tests share: real event loops, real sockets, and a head that is small but complete."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from pillarbox.broker.counters import TrafficCounters
from pillarbox.clock import ManualClock
from pillarbox.net.driver import Driver
from pillarbox.net.ticker import Ticker

T = TypeVar("T")

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]
TIMEOUT_S = 30.0


def loop_name(make: Callable[[], asyncio.AbstractEventLoop]) -> str:
    return make.__module__.partition(".")[0]


def run(make_loop: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new loop of this kind, within `TIMEOUT_S`."""
    loop = make_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main, TIMEOUT_S))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Head:
    """A connection that answers each `n` of its input with n bytes, and closes when it reads `!`.

    It notes what its driver does. `changed` is set whenever something happened.
    """

    def __init__(self, peer: str, loopback: bool, on_output: Callable[[], None]) -> None:
        self.peer = peer
        self.loopback = loopback
        self.on_output = on_output
        self.out: list[bytes] = []
        self.traffic = TrafficCounters()
        self.want_close = False
        self.published = self.waiting = False
        self.in_body = self.bodies_out_bytes = 0
        self.writable = True
        self.received = bytearray()
        self.events: list[str] = []
        self.writes = 0
        self.changed = asyncio.Event()

    def note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    def receive(self, data: memoryview) -> None:
        given = bytes(data)
        self.received += given
        self.changed.set()
        if b"?" in given:
            raise ValueError("a fault of ours")
        if b"!" in given:
            self.want_close = True
            self.send(b"bye")

    def send(self, data: bytes) -> None:
        if not self.out:
            self.on_output()
        self.out.append(data)

    def take_output(self) -> list[bytes]:
        out, self.out = self.out, []
        self.writes += bool(out)
        return out

    def tick(self, now_ms: int) -> None:
        self.note(f"tick {now_ms}")

    def touch(self, now_ms: int) -> None:
        self.note("touch")

    def pause(self) -> None:
        self.writable = False
        self.note("pause")

    def unpause(self) -> None:
        self.writable = True
        self.note("unpause")

    def wake_consumers(self) -> None:
        self.note("wake")

    def shut_down(self, text: str) -> None:
        self.note(f"shut down: {text}")

    def closed(self, reason: str) -> None:
        self.note(f"closed: {reason}")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the head to be in some state, without asking the clock."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Net:
    """A ticker, a listener on a free port, and the heads that were made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: ManualClock | None = None) -> None:
        self.loop = loop
        self.clock = clock or ManualClock()
        self.due_ms: int | None = None
        self.ticks: list[int] = []
        self.times: list[int] = []
        self.after: list[int] = []
        self.failed: list[int] = []
        self.on_tick: Callable[[], None] = lambda: None
        self.ticked = asyncio.Event()
        self.heads: list[Head] = []
        self.drivers: list[Driver] = []
        self.gone: list[Driver] = []
        self.refuse = False
        self.accepted = asyncio.Event()
        self.ticker = Ticker(
            loop,
            self.clock,
            set_time=self.times.append,
            tick=self._tick,
            after=self.after.append,
            failed=lambda: self.failed.append(self.clock.now_ms()),
        )

    def _tick(self, now_ms: int) -> int | None:
        self.ticks.append(now_ms)
        self.ticked.set()
        self.on_tick()
        return self.due_ms

    async def next_tick(self) -> None:
        self.ticked.clear()
        await self.ticked.wait()

    def make_head(self, peer: str, loopback: bool, on_output: Callable[[], None]) -> Head:
        head = Head(peer, loopback, on_output)
        self.heads.append(head)
        self.accepted.set()
        return head

    def _make_driver(self) -> Driver:
        driver = Driver(self.ticker, self.make_head, on_closed=self.gone.append)
        driver.refuse = self.refuse
        self.drivers.append(driver)
        return driver

    def driver_for(self, peer: tuple[str, int] | None = None) -> Driver:
        """A driver that goes on with a socket of somebody else."""
        return self._make_driver()

    @contextlib.asynccontextmanager
    async def listening(
        self, make_protocol: Callable[[], asyncio.BaseProtocol] | None = None
    ) -> AsyncIterator[int]:
        server = await self.loop.create_server(make_protocol or self._make_driver, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for driver in self.drivers:
                driver.abort()
            while len(self.gone) < len(self.drivers):
                await asyncio.sleep(0)
            self.ticker.stop()

    async def connect(self, port: int, *, receive_bytes: int = 0, wait: bool = True) -> Peer:
        """A client with a socket of its own, whose kernel buffer may be small; `wait` until it has a head."""
        raw = socket.socket()
        raw.setblocking(False)
        if receive_bytes:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.accepted.clear()
        await self.loop.sock_connect(raw, ("127.0.0.1", port))
        if wait and not self.refuse:
            await self.accepted.wait()
        return Peer(self.loop, raw, self.heads[-1] if self.heads else None, self.drivers[-1:])


class Peer:
    """The other end of one socket."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, raw: socket.socket, head: Head | None, drivers: list[Driver]
    ) -> None:
        self._loop = loop
        self.raw = raw
        self._head = head
        self._drivers = drivers

    @property
    def head(self) -> Head:
        assert self._head is not None
        return self._head

    @property
    def driver(self) -> Driver:
        return self._drivers[0]

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.raw, data)

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes, or what came before the end."""
        data = b""
        while len(data) < size:
            part = await self._loop.sock_recv(self.raw, min(1 << 16, size - len(data)))
            if not part:
                break
            data += part
        return data

    async def read_to_end(self) -> bytes:
        data = b""
        while part := await self._loop.sock_recv(self.raw, 1 << 16):
            data += part
        return data

    def close(self) -> None:
        self.raw.close()
