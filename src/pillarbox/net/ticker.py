"""Turns: gather all input that the loop has, let the core tick once, write once per connection.

A turn begins with the first input (or wake-up) and ends with the callback that `begin` scheduled, by
when every readable socket of that loop iteration was read. No timers, no knobs: a batch is what arrived.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from pillarbox.clock import Clock, monotonic_ns

_log = logging.getLogger("pillarbox")

HOUSEKEEPING_S = 1.0
"""How often heartbeats and deadlines are looked at: the finest unit in which protocols state them."""
LOOKED_AT = 500
"""Connections that are looked at before something else has its turn: less than a millisecond."""


READ_BYTES = 256 << 10
"""The most that is read from a socket at once: some 2,000 small messages, two milliseconds' work."""
LARGE_READ_BYTES = 1 << 20
"""The same while it is known that a large body comes next, which is only copied."""


DEFECT = "a connection ends because of a defect"
"""What the log says, with the exception."""


class ReadSpace:
    """Where sockets are read to. All share it, because each takes out at once what was read for it."""

    def __init__(self) -> None:
        self._usual = memoryview(bytearray(READ_BYTES))
        self._large: memoryview | None = None

    def of(self, size: int) -> memoryview:
        """Space for `size` bytes that are due, as far as that is reasonable, or for what nobody knows (0)."""
        if size <= READ_BYTES:
            return self._usual
        if self._large is None:
            self._large = memoryview(bytearray(LARGE_READ_BYTES))
        return self._large[:size]


class Watched(Protocol):
    """Somebody who has deadlines."""

    def housekeeping(self, now_ms: int) -> None: ...


class Flushable(Watched, Protocol):
    """A driver, as the ticker sees it."""

    def flush(self) -> None: ...

    def turn_ended(self) -> None: ...

    def abort(self) -> None: ...


class Ticker:
    """`set_time` tells the core the time at the start of a turn, `tick` ends it and returns when the core
    wants the next one, if at all. `after` runs after the writes, with the time. `failed` hears of a tick that
    ended with an exception, which is logged here: a mistake of ours must leave nobody waiting for ever."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        set_time: Callable[[int], None],
        tick: Callable[[int], int | None],
        after: Callable[[int], None] = lambda now_ms: None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._set_time = set_time
        self._tick = tick
        self._after = after
        self._failed = failed
        self.begun = False
        """A turn is under way: until it has ticked, whoever has something to write is written."""
        self._now_ms = 0
        """When the turn began."""
        self._begun_ns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None
        self._housekeeping: asyncio.TimerHandle | None = None
        self._closed = False
        self.outputs: list[Flushable] = []
        """Drivers that have something to write; each appends itself once."""
        self.sated: list[Flushable] = []
        """Drivers that are not read again in this turn."""
        self.drivers: dict[Watched, None] = {}
        """All drivers with a living connection, and whoever else looks at deadlines."""
        self.read_space = ReadSpace()
        self.longest_ns = 0
        """The longest turn so far: input, tick and writes, and whatever the loop did between them."""
        self.turns = 0

    def start(self) -> None:
        """Begin with housekeeping."""
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._housekeep)

    def stop(self) -> None:
        """End all timers; turns that were begun still run."""
        self._closed = True
        for handle in (self._housekeeping, self._timer):
            if handle is not None:
                handle.cancel()

    def begin(self) -> None:
        """Begin a turn, unless one has begun."""
        if not self.begun:
            self.begun = True
            self._begun_ns = monotonic_ns()
            self._now_ms = self._clock.now_ms()
            self._set_time(self._now_ms)
            self._loop.call_soon(self.turn)

    def again(self) -> None:
        """Have another turn, after this one if one is under way."""
        self._loop.call_soon(self.begin)

    def turn(self) -> None:
        """End the turn: tick, then write."""
        if not self.begun:
            # Somebody has taken the turn before the loop came to it.
            return
        # All that came in one turn came at one moment: a time to live of 0 lasts until the turn ends.
        began_ns, now_ms = self._begun_ns, self._now_ms
        try:
            due_ms = self._tick(now_ms)
        except Exception:
            _log.exception("a tick ended with an exception")
            due_ms = None
            self._failed()
        self.begun = False
        outputs, self.outputs = self.outputs, []
        for driver in outputs:
            try:
                driver.flush()
            except Exception:
                # The others' answers wait behind it.
                _log.exception(DEFECT)
                driver.abort()
        if self.sated:
            sated, self.sated = self.sated, []
            for driver in sated:
                driver.turn_ended()
        self._after(now_ms)
        if due_ms != self._timer_ms:
            self._arm(due_ms, now_ms)
        self.turns += 1
        if self.turns == 1:
            # It began before there were listeners, and has the start in it.
            return
        took_ns = monotonic_ns() - began_ns
        if took_ns > self.longest_ns:
            self.longest_ns = took_ns

    def _arm(self, due_ms: int | None, now_ms: int) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_ms = due_ms
        if due_ms is not None:
            self._timer = self._loop.call_later(max(0, due_ms - now_ms) / 1000, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = self._timer_ms = None
        self.begin()

    def _housekeep(self) -> None:
        self._look_at(list(self.drivers), 0)
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._housekeep)

    def _look_at(self, drivers: list[Watched], first: int) -> None:
        """Let so many of these connections look at their deadlines, and the others in turns to come."""
        if self._closed:
            return
        self._check(drivers[first : first + LOOKED_AT])
        if first + LOOKED_AT < len(drivers):
            self._loop.call_soon(self._look_at, drivers, first + LOOKED_AT)

    def check_deadlines(self) -> None:
        """Let every connection look at its heartbeats and deadlines now."""
        self._check(list(self.drivers))

    def _check(self, drivers: list[Watched]) -> None:
        now_ms = self._clock.now_ms()
        self._set_time(now_ms)
        for driver in drivers:
            if driver in self.drivers:
                driver.housekeeping(now_ms)
        self.begin()
