"""Timers of the core: things to look at when a time has come.

No clock here: the current time is an argument. A timer cannot be cancelled; what it wakes looks for itself
whether there is anything to do. It does not keep anything alive: a deleted queue with a day to live would
otherwise stay in memory for that day.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import Protocol
from weakref import ref


class Timed(Protocol):
    """Something that wants to be told that a time has come."""

    def on_timer(self, now_ms: int) -> None: ...


class Scheduler:
    """A heap of (time, who)."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, ref[Timed]]] = []
        self._order = count()
        self.next_ms: int | None = None
        """When the next timer is due; None if there is none."""

    def at(self, due_ms: int, who: Timed) -> None:
        """Tell `who` when `due_ms` has come."""
        heappush(self._heap, (due_ms, next(self._order), ref(who)))
        self.next_ms = self._heap[0][0]

    def run(self, now_ms: int) -> None:
        """Tell all whose time has come."""
        while self._heap and self._heap[0][0] <= now_ms:
            who = heappop(self._heap)[2]()
            if who is not None:
                who.on_timer(now_ms)
        self.next_ms = self._heap[0][0] if self._heap else None
