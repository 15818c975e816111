"""All time in the broker: the system's clock, and one that tests move by hand.

The only module that reads the time. The core never asks: `now_ms` is passed in, once a tick. Wall-clock
milliseconds serve for stamps that outlive the process and for timers alike, because a time to live must
go on while the broker is down.
"""

from __future__ import annotations

import re
import time
from typing import Protocol

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


class Clock(Protocol):
    """Where time comes from."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""

    def now_ms_up(self) -> int:
        """The same, rounded up: nothing that has happened was later."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def now_ms_up(self) -> int:
        return -(-time.time_ns() // 1_000_000)


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
