"""When garbage is collected: young objects often and in small numbers, all of them when nothing is going on.

CPython's collector looks at a generation as a whole, at 0.1 to 0.3 µs an object (measured), and holds up the
loop for so long. Most objects of a broker go without it, when nobody refers to them any more; it is for
those that refer to one another, such as a closed connection and its channels. So the young generations are
kept small enough to be looked at within a millisecond, and the old one, which holds every queue, is looked at
when the loop had next to nothing to do for a while, or, in a broker that is never idle, once in `BUSY_S`.

What is free goes back to the system then, if there was enough to do before: the C library keeps what lies
between things that are in use, which after a million deletions is nearly all that they took.

Only for a process that is a broker's own: within somebody else's program the collector is not ours.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

YOUNG_OBJECTS = 64
"""New objects after which they are looked at. Few, because one of them may be a list of two thousand
messages, each of which is looked at with it: fifty such lists are a millisecond."""
YOUNG_TIMES = 1
"""How often the youngest generation is looked at alone before the one after it is, too, with three times as
many objects in both."""
NEVER = 1 << 30

LOOK_S = 1.0
IDLE_TURNS = 5
"""Turns of the loop in `LOOK_S` up to which a broker has next to nothing to do."""
IDLE_S = 5
"""How long nothing must have gone on before the old generation is looked at."""
BUSY_S = 600
"""How long it may wait."""
OLD_TIMES = 320
"""It is not looked at for less: so often young objects have become old ones (some 120,000 at most)."""

TRIM_TURNS = 1000
"""Turns of the loop since the last time for which it is worth while to give memory back: 0.7 ms a MB."""


def give_back() -> None:
    """Let the system have the memory that is free, where the C library has a call for that (glibc)."""
    # Whoever has nothing to give back is spared the library.
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Collector:
    """See the module. `turns` counts the turns of the loop."""

    def __init__(self, turns: Callable[[], int]) -> None:
        self._turns = turns
        self._turns_seen = self._turns_trimmed = 0
        self._idle_s = self._waited_s = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Freeze what is there, which lives as long as the process, and see to what comes."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, YOUNG_TIMES, NEVER)
        loop.call_later(LOOK_S, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        turns = self._turns()
        self._idle_s = self._idle_s + LOOK_S if turns - self._turns_seen <= IDLE_TURNS else 0.0
        self._turns_seen = turns
        self._waited_s = self._waited_s + LOOK_S if gc.get_count()[2] >= OLD_TIMES else 0.0
        if self._waited_s and (self._idle_s >= IDLE_S or self._waited_s >= BUSY_S):
            gc.collect()
        if self._idle_s >= IDLE_S and turns - self._turns_trimmed >= TRIM_TURNS:
            self._turns_trimmed = turns
            give_back()
        loop.call_later(LOOK_S, self._look, loop)
