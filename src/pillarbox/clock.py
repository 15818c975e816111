"""All time in the broker: the system's clock, and one that tests move by hand.

The only module that reads the time. The core never asks: `now_ms` is passed in, once a tick. Wall-clock
milliseconds serve for stamps that outlive the process and for timers alike, because a time to live must
go on while the broker is down.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


class Clock(Protocol):
    """Where time comes from."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""

    def now_ms_up(self) -> int:
        """The same, rounded up: nothing that has happened was later."""


CATCHING_UP = 2
"""How many times slower than the machine's the clock goes that is ahead of it. At 2, what was set back by an
hour is caught up with in two, and a timer takes twice its time until then."""


class SystemClock:
    """The machine's clock, but that it never goes back.

    If the machine's is set back, timers would stand still until it is where it was: no heartbeat, no look at
    the disk. So this one goes on from where it is, at a slower pace until the machine's has caught up.
    `wall_ns` and `steady_ns` are where the times come from.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._last_ns = wall_ns()
        self._ahead_since_ns: int | None = None
        """By the steady clock, when it was looked at last, while this one is ahead."""

    def now_ms(self) -> int:
        wall_ns = self._wall_ns()
        if wall_ns < self._last_ns:
            wall_ns = self._catching_up(wall_ns)
        elif self._ahead_since_ns is not None:
            self._ahead_since_ns = None
        self._last_ns = wall_ns
        return wall_ns // 1_000_000

    def now_ms_up(self) -> int:
        self.now_ms()
        return -(-self._last_ns // 1_000_000)

    def _catching_up(self, wall_ns: int) -> int:
        """What time it is for a clock that is ahead of the machine's."""
        steady_ns = self._steady_ns()
        since_ns = steady_ns if self._ahead_since_ns is None else self._ahead_since_ns
        self._ahead_since_ns = steady_ns
        return max(wall_ns, self._last_ns + (steady_ns - since_ns) // CATCHING_UP)


class ManualClock:
    """A clock that stands still until a test advances it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def now_ms_up(self) -> int:
        return self._now_ms

    def advance(self, duration: str | int) -> int:
        """Move on by milliseconds or by a text such as "30m" or "1h 30s"; return the new time.

        Raises ValueError for a text that is no duration.
        """
        self._now_ms += duration if isinstance(duration, int) else duration_ms(duration)
        return self._now_ms


def duration_ms(text: str) -> int:
    """Read a duration such as "250ms", "30m" or "1h 30s" in milliseconds; ValueError if it is none."""
    if not text.strip() or _DURATION.sub("", text).strip():
        raise ValueError(f"not a duration: {text!r} (try 250ms, 10s, 30m, 2h, 1d)")
    return round(sum(float(number) * _UNITS_MS[unit] for number, unit in _DURATION.findall(text)))


monotonic_ns = time.perf_counter_ns
"""A steady clock for measuring how long something took."""


def iso_time(when_ms: int) -> str:
    """Write a time in UTC as ISO 8601 has it: `2026-11-23T18:09:46.285+00:00`."""
    seconds, milliseconds = divmod(when_ms, 1000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{milliseconds:03}+00:00", time.gmtime(seconds))
