"""Sockets of whose clients nobody knows yet what they speak: how many there are, and for how long.

A client in here has no connection that would look at its deadlines, so the lobby does: whoever is in it for
longer than the handshake may take is cut, however many bytes it sends meanwhile. Not here: reading (`sniff`,
`websocket`); sockets on their way through a PROXY header or a TLS handshake, which have their own time-outs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pillarbox.clock import Clock
from pillarbox.net.driver import shown
from pillarbox.net.ticker import Ticker

log = logging.getLogger("pillarbox")


class Lobby:
    """See the module. `has_room`: whether one more may be let in."""

    def __init__(
        self, ticker: Ticker, clock: Clock, *, timeout_s: float, has_room: Callable[[], bool] = lambda: True
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._has_room = has_room
        self._waiting: dict[asyncio.Transport, int] = {}
        """Until when each may stay, in milliseconds; who has come first stands first."""
        self._closed = False
        self.sockets = ()
        """None of its own: it is closed as listeners are."""
        ticker.drivers[self] = None

    def __repr__(self) -> str:
        return f"<Lobby waiting={len(self._waiting)} closed={self._closed}>"

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, transport: asyncio.Transport) -> None:
        """Let a socket wait, or cut it, because there is no room or the broker stops."""
        if self._closed or not self._has_room():
            transport.abort()
        else:
            self._waiting[transport] = self._clock.now_ms() + round(self._timeout_s * 1000)

    def leave(self, transport: asyncio.Transport) -> None:
        """It is known what it speaks, or it is gone."""
        self._waiting.pop(transport, None)

    def housekeeping(self, now_ms: int) -> None:
        """Cut those who have had their time."""
        for transport, until_ms in list(self._waiting.items()):
            if now_ms < until_ms:
                break
            name, limit_s = name_of(transport), self._timeout_s
            log.warning("connection from %s closed: nobody knows what it speaks after %g s", name, limit_s)
            transport.abort()

    def close(self) -> None:
        """Cut all who wait, and whoever comes."""
        self._closed = True
        for transport in list(self._waiting):
            transport.abort()


def name_of(transport: asyncio.BaseTransport) -> str:
    """Who is at the other end, for people."""
    peer = transport.get_extra_info("peername")
    return shown(peer) if isinstance(peer, tuple) else "local"
