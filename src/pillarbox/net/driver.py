"""One socket: bytes to and from a sans-I/O connection, and back-pressure in both directions.

The only module that writes to a transport. A peer that does not read gets no more deliveries, but is
still read, because what it sends may be acknowledgements; only when answers pile up beyond
`ANSWERS_BYTES_MAX` is it left alone until it reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from pillarbox.endpoints import in_url
from pillarbox.net.certificates import facts_of
from pillarbox.net.ticker import DEFECT, Ticker

_log = logging.getLogger("pillarbox")

WRITE_BUFFER_HIGH = 1 << 20
"""Unwritten bytes at which a connection's consumers are paused. About what a fast peer reads in a tick;
asyncio's own 64 KiB would stop and start it for every read of the socket."""
WRITE_BUFFER_LOW = 1 << 18

ANSWERS_BYTES_MAX = 8 << 20
"""Unwritten bytes at which even answers are too many: the peer is not read until it has taken them."""

TURN_BYTES_MAX = 128 << 10
"""Bytes read from one socket in a turn after which it waits for the next turn. uvloop would go on with the
same socket many times over while others wait: this keeps turns short."""

GATHER_BYTES = 256 << 10
PARTS_LARGE = 512
"""Output of more bytes than the one in fewer parts than the other is large bodies: the socket gathers
their parts. Anything else is put together first, which costs less than many small parts."""

UNREAD_MS = 120_000
"""How long a peer that is not read because it takes no answers may take none at all before its socket is cut:
nothing that it sends is seen meanwhile, neither heartbeats nor its end. Two usual heartbeat intervals."""

CLOSE_WAIT_MS = 5000
"""How long the last bytes to a peer may take before its socket is cut."""


# Why a socket is not being read; plain integers, because they are combined for every read.
STOP_TURN = 1
"""It has had its share of this turn."""
STOP_ANSWERS = 2
"""The peer does not take the answers it asked for."""
STOP_HELD = 4
"""Publishers are held up."""
STOP_WAITING = 8
"""What it asks for next has no room yet, or has to wait for another turn."""


class Traffic(Protocol):
    """What a connection counts of its socket: bytes and calls."""

    recv_oct: int
    recv_cnt: int
    send_oct: int
    send_cnt: int


class Connection(Protocol):
    """What a driver drives: the sans-I/O head of one socket."""

    want_close: bool
    published: bool
    waiting: bool
    """Leaves input where it is until what there is to write is written."""
    writable: bool
    certificate_user: str | None
    """Whom the peer's TLS certificate speaks for."""
    tls: Mapping[str, str] | None
    """What is known of the encryption, in words; None without it."""
    bodies_out_bytes: int
    """Bytes of bodies in what there is to write."""
    unsent_bytes: Callable[[], int]
    """Told by the driver: how much of what was written the socket has not taken yet."""

    in_body: int
    """Not 0: a large body is being read."""

    @property
    def traffic(self) -> Traffic: ...

    def body_bytes_due(self) -> int: ...

    def receive(self, data: memoryview) -> None: ...

    def take_output(self) -> list[bytes | bytearray | memoryview]: ...

    def tick(self, now_ms: int) -> None: ...

    def touch(self, now_ms: int) -> None: ...

    def pause(self) -> None: ...

    def unpause(self) -> None: ...

    def wake_consumers(self) -> None: ...

    def shut_down(self, text: str) -> None: ...

    def closed(self, reason: str) -> None: ...


ConnectionFactory = Callable[[str, bool, Callable[[], None]], Connection]
"""(name of its ends, whether the peer is on this host, what to call when there is output) → a connection."""


class Driver(asyncio.BufferedProtocol):
    """See the module. `on_opened` is told when the socket can be used, `on_closed` when it is gone.

    A TLS socket whose handshake fails is neither: nothing is to be kept for a driver before `on_opened`.
    """

    __slots__ = (
        "_close_ms",
        "_full",
        "_identify",
        "_listed",
        "_make_connection",
        "_on_closed",
        "_on_opened",
        "_peer",
        "_space",
        "_stops",
        "_ticker",
        "_transport",
        "_turn",
        "_turn_bytes",
        "_unread_bytes",
        "_unread_ms",
        "_usual_space",
        "connection",
        "refuse",
    )

    def __init__(
        self,
        ticker: Ticker,
        make_connection: ConnectionFactory,
        *,
        peer: tuple[str, int] | None = None,
        identify: Callable[[Any], str | None] | None = None,
        on_opened: Callable[[Driver], None] = lambda driver: None,
        on_closed: Callable[[Driver], None] = lambda driver: None,
    ) -> None:
        self._ticker = ticker
        self._make_connection = make_connection
        self._peer = peer
        """Who is at the other end, if it is not whom the socket names."""
        self._identify = identify
        """For a TLS socket: whom a checked certificate speaks for."""
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._listed = False
        self._stops = 0
        self._full = False
        """More than `WRITE_BUFFER_HIGH` bytes are not written yet."""
        self._turn = -1
        """When it was read last."""
        self._turn_bytes = 0
        self._space = self._usual_space = ticker.read_space.of(0)
        self._close_ms: int | None = None
        self._unread_ms = 0
        """When the peer was last seen to take something, while it is not read for that."""
        self._unread_bytes = -1
        """How much it had not taken then; below 0: it is read."""
        self.connection: Connection | None = None
        self.refuse = False
        """Cut the socket as soon as it is there: too many are open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._on_opened(self)
        if self.refuse:
            self._transport.abort()
            return
        # TCP_NODELAY is set: by uvloop as by asyncio.
        self._transport.set_write_buffer_limits(WRITE_BUFFER_HIGH, WRITE_BUFFER_LOW)
        peer = self._peer or transport.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else ""
        local = transport.get_extra_info("sockname")
        name = f"{shown(peer)} -> {shown(local)}" if isinstance(peer, tuple) else "local"
        self._ticker.begin()
        self.connection = self._make_connection(name, _is_loopback(host), self._has_output)
        self.connection.unsent_bytes = self._transport.get_write_buffer_size
        if self._identify is not None:
            certificate = transport.get_extra_info("peercert")
            self.connection.certificate_user = self._identify(certificate)
            self.connection.tls = facts_of(transport.get_extra_info("cipher"), certificate)
        self._ticker.drivers[self] = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the socket is read to: what all share, because it is taken out at once."""
        connection = self.connection
        due = connection.body_bytes_due() if connection is not None and connection.in_body else 0
        self._space = space = self._ticker.read_space.of(due) if due else self._usual_space
        return space

    def buffer_updated(self, nbytes: int) -> None:
        ticker = self._ticker
        if not ticker.begun:
            ticker.begin()
        connection = self.connection
        if connection is not None:
            traffic = connection.traffic
            traffic.recv_oct += nbytes
            traffic.recv_cnt += 1
            connection.receive(self._space[:nbytes])
            if connection.waiting:
                self._stop(STOP_WAITING)
            if self._turn != ticker.turns:
                self._turn = ticker.turns
                self._turn_bytes = 0
            self._turn_bytes += nbytes
            if self._turn_bytes >= TURN_BYTES_MAX:
                self._stop(STOP_TURN)
                ticker.sated.append(self)

    def take_over(self, transport: asyncio.BaseTransport, first: bytes) -> None:
        """Go on with a socket of which somebody else has read the first bytes."""
        self.connection_made(transport)
        self.feed(first)

    def feed(self, data: bytes) -> None:
        """Take bytes that somebody else has read, as many at a time as there is room for."""
        view = memoryview(data)
        while view:
            space = self.get_buffer(len(view))
            part = view[: len(space)]
            space[: len(part)] = part
            self.buffer_updated(len(part))
            view = view[len(part) :]

    def turn_ended(self) -> None:
        """Another share may be read."""
        self._go_on(STOP_TURN)

    def _stop(self, why: int) -> None:
        if not self._stops and self._transport is not None:
            self._transport.pause_reading()
        self._stops |= why

    def _go_on(self, why: int) -> None:
        if self._stops & why:
            self._stops &= ~why
            if not self._stops and self._transport is not None:
                self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ticker.begin()
        self._ticker.drivers.pop(self, None)
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.closed(str(exc) if exc is not None else "the peer closed the socket")
        self._transport = None
        self._on_closed(self)

    def pause_writing(self) -> None:
        self._full = True
        if self.connection is not None:
            self.connection.pause()

    def resume_writing(self) -> None:
        self._full = False
        self._ticker.begin()
        connection = self.connection
        if connection is not None:
            connection.unpause()
            if not connection.waiting:
                self._go_on(STOP_WAITING)
        self._go_on(STOP_ANSWERS)

    def _has_output(self) -> None:
        if not self._listed:
            self._listed = True
            ticker = self._ticker
            ticker.outputs.append(self)
            if not ticker.begun:
                ticker.begin()

    def flush(self) -> None:
        """Write what the connection has, once; close the socket if it wants that."""
        self._listed = False
        connection, transport = self.connection, self._transport
        if connection is None or transport is None:
            return
        starved = not connection.writable
        large = connection.bodies_out_bytes > GATHER_BYTES
        out = connection.take_output()
        if out:
            traffic = connection.traffic
            traffic.send_cnt += 1
            if large and len(out) < PARTS_LARGE:
                traffic.send_oct += sum([len(part) for part in out])
                transport.writelines(out)
            else:
                data = b"".join(out)
                traffic.send_oct += len(data)
                transport.write(data)
            if self._full and transport.get_write_buffer_size() > ANSWERS_BYTES_MAX:
                self._stop(STOP_ANSWERS)
        if connection.want_close:
            transport.close()
            return
        if starved:
            connection.wake_consumers()
            self._ticker.begin()
        if self._stops and not connection.waiting:
            self._go_on(STOP_WAITING)

    def hold(self, held: bool) -> None:
        """Stop reading a publisher, or go on."""
        if held:
            self._stop(STOP_HELD)
        else:
            self._go_on(STOP_HELD)

    def housekeeping(self, now_ms: int) -> None:
        """Heartbeats and deadlines; a peer that we do not read is not blamed for its silence."""
        try:
            self._keep_deadlines(now_ms)
        except Exception:
            # Those of the others are looked at behind it.
            _log.exception(DEFECT)
            self.abort()

    def _keep_deadlines(self, now_ms: int) -> None:
        connection, transport = self.connection, self._transport
        if connection is None or transport is None:
            return
        if self._stops & ~STOP_TURN:
            connection.touch(now_ms)
        if self._stops & STOP_ANSWERS or (self._full and self._stops & STOP_WAITING):
            self._demand_progress(transport, now_ms)
        else:
            self._unread_bytes = -1
        connection.tick(now_ms)
        if transport.is_closing():
            if self._close_ms is None:
                self._close_ms = now_ms + CLOSE_WAIT_MS
            elif now_ms >= self._close_ms:
                transport.abort()

    def _demand_progress(self, transport: asyncio.Transport, now_ms: int) -> None:
        """Cut the socket of a peer that takes nothing of what it asked for."""
        unread = transport.get_write_buffer_size()
        if unread != self._unread_bytes:
            self._unread_bytes, self._unread_ms = unread, now_ms
        elif now_ms - self._unread_ms >= UNREAD_MS:
            transport.abort()

    def abort(self) -> None:
        """Cut the socket."""
        if self._transport is not None:
            self._transport.abort()


def shown(address: tuple[str, int]) -> str:
    """Host and port, as people write them."""
    host, port = address[:2]
    return f"{in_url(host)}:{port}"


def _is_loopback(host: str) -> bool:
    return not host or host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")
