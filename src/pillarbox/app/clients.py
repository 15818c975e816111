"""The sockets of clients that are open: how many may be, who is held up, how they end.

Not here: what is spoken on them (`protocols`), how bytes move (`net.driver`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pillarbox.net.lobby import Lobby

if TYPE_CHECKING:
    from pillarbox.clock import Clock
    from pillarbox.config import Config
    from pillarbox.net.driver import Driver
    from pillarbox.net.ticker import Ticker

log = logging.getLogger("pillarbox")

FILES_RESERVED = 256
"""Open files that connections leave to the data folder: a journal that cannot open its next segment has
failed for good."""

TOLD_MAX = 64
"""Sockets beyond `connection_max` that are let in to be told why they have no place. More are cut at once: a
flood of them costs no more than so many handshakes at a time."""


class Clients:
    """Every driver from its first byte to its last; those of whom the protocol is not known yet wait in the
    `lobby`."""

    def __init__(self, config: Config, ticker: Ticker, clock: Clock) -> None:
        self._drivers: dict[Driver, None] = {}
        self._wanted = config.connection_max
        self._max = connections_possible()
        if self._wanted:
            self._max = min(self._wanted + TOLD_MAX, self._max or self._wanted + TOLD_MAX)
        self._all_closed: asyncio.Event | None = None
        self.lobby = Lobby(
            ticker,
            clock,
            timeout_s=config.handshake_timeout_s,
            has_room=lambda: not self._max or self._count < self._max,
        )

    def __iter__(self) -> Iterator[Driver]:
        return iter(list(self._drivers))

    def __len__(self) -> int:
        return len(self._drivers)

    @property
    def _count(self) -> int:
        """Sockets that are open."""
        return len(self._drivers) + len(self.lobby)

    def opened(self, driver: Driver) -> None:
        """A socket is there and, on a TLS port, has finished its handshake."""
        self._drivers[driver] = None
        limit, wanted = self._max, self._wanted
        if limit and self._count > limit:
            whose = "above connection_max" if 0 < wanted < limit else "what the limit of open files allows"
            log.warning("connection refused: %d are open, which is %s", limit, whose)
            driver.refuse = True
        if self._all_closed is not None:
            # Accepted before the listeners closed, ready only now.
            driver.refuse = True

    def closed(self, driver: Driver) -> None:
        """A socket is gone."""
        self._drivers.pop(driver, None)
        if not self._drivers and self._all_closed is not None:
            self._all_closed.set()

    def hold(self) -> None:
        """Read no more from those who publish."""
        for driver in self._drivers:
            if driver.connection is not None and driver.connection.published:
                driver.hold(True)

    def release(self) -> None:
        """Read from all of them again."""
        for driver in self._drivers:
            driver.hold(False)
            if driver.connection is not None:
                driver.connection.published = False

    async def shut_down(self, reason: str, begin: Callable[[], None], wait_s: float) -> None:
        """Tell all of them why, wait so long for their answers, and cut off whoever is still there."""
        self._all_closed = asyncio.Event()
        for driver in self:
            if driver.connection is not None:
                driver.connection.shut_down(reason)
        begin()
        if self._drivers:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_closed.wait(), wait_s)
        for driver in self:
            driver.abort()
        while self._drivers:
            await asyncio.sleep(0)


def connections_possible() -> int:
    """How many connections the limit of open files leaves room for; 0 if there is none."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else max(soft - FILES_RESERVED, soft // 2)
