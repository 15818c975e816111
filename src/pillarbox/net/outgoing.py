"""Connections that the broker itself opens: to another broker, or to itself without a port.

`Dialer` opens them, each as a `Link` between a socket and a sans-I/O `Head`; a link to this broker is a pair
of sockets, at the other end of which is a driver like any other, so it meets the same back-pressure and the
same limits as a client. Not here: what is spoken, when it is tried again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import ssl

READ_BYTES = 32 << 10
"""What is read at a stretch; then others have a turn. Some three hundred small messages to be moved on, which
is two milliseconds' work."""

WRITE_BUFFER_HIGH = 1 << 20
WRITE_BUFFER_LOW = 1 << 18


class Head(Protocol):
    """What is at our end of a link."""

    def receive(self, data: bytes) -> None:
        """Take what the socket gave."""

    def full(self, full: bool) -> None:
        """The socket takes no more for now; or it takes more again."""

    def lost(self, reason: str) -> None:
        """The socket is gone."""


class Link(asyncio.BufferedProtocol):
    """One socket; see the module."""

    def __init__(self, loop: asyncio.AbstractEventLoop, head: Head) -> None:
        self._loop = loop
        self._head = head
        self._space = memoryview(bytearray(READ_BYTES))
        self._transport: asyncio.Transport | None = None
        self._held = False
        self._resting = False

    def __repr__(self) -> str:
        return f"<Link open={self._transport is not None} held={self._held}>"

    # --- what its head asks for -----------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Write; does nothing when the socket is gone."""
        if self._transport is not None:
            self._transport.write(data)

    def hold(self, held: bool) -> None:
        """Read nothing, or go on."""
        if held != self._held:
            self._held = held
            self._read_or_rest()

    def close(self) -> None:
        """Close the socket when everything is written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Cut the socket."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the loop says ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(WRITE_BUFFER_HIGH, WRITE_BUFFER_LOW)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        self._head.receive(bytes(self._space[:nbytes]))
        if nbytes == READ_BYTES and not self._resting:
            # uvloop would go on with this socket while others wait.
            self._resting = True
            self._read_or_rest()
            self._loop.call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._read_or_rest()

    def _read_or_rest(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._held or self._resting:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._head.full(True)

    def resume_writing(self) -> None:
        self._head.full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._head.lost(str(exc) if exc is not None else "the connection was closed")


class Dialer:
    """`make_driver` makes this broker's end of a link to itself: for somebody who is logged in, by a name."""

    def __init__(self, make_driver: Callable[[Any, str], asyncio.BaseProtocol]) -> None:
        self._make_driver = make_driver

    async def dial(self, host: str, port: int, context: ssl.SSLContext | None, name: str, head: Head) -> Link:
        """Connect; `name`: whose certificate the other end must have, with a context. Raises OSError."""
        return await _whole(self._dial(host, port, context, name, head))

    async def join(self, user: Any, name: str, head: Head) -> Link:
        """Connect to this broker as this user. Raises OSError."""
        return await _whole(self._join(user, name, head))

    async def _dial(
        self, host: str, port: int, context: ssl.SSLContext | None, name: str, head: Head
    ) -> Link:
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(
            lambda: Link(loop, head), host, port, ssl=context, server_hostname=name if context else None
        )
        return link

    async def _join(self, user: Any, name: str, head: Head) -> Link:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setblocking(False)
        await loop.connect_accepted_socket(lambda: self._make_driver(user, name), theirs)
        _, link = await loop.create_unix_connection(lambda: Link(loop, head), sock=ours)
        return link


async def _whole(opening: Coroutine[Any, Any, Link]) -> Link:
    """Open a link, and have it closed if nobody waits for it any more.

    Cancelled half-way, uvloop would forget the sockets, whose other ends would never hear that it is over.
    """
    task = asyncio.get_running_loop().create_task(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_abandon)
        raise


def _abandon(task: asyncio.Task[Link]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
