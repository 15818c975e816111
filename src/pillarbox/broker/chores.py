"""Chores: work that is too long for one tick, in parts.

The one way in which the core does what may take longer than a unit on the loop may: a generator does a part
of it and yields; the core takes it up again in each tick until it ends. A chore begins at once, so what is
done within one part is done as if there were no chores. Several are done one after another, in order.

Input is cut by whoever takes it: what is more than a share of a tick is taken up by `in_turn`, beside chores
and not behind them, one share of one peer in each tick.

Not here: what is cut into parts, and what nobody may see meanwhile; whoever begins a chore sees to that
(queues are held, a channel waits with what comes next). Answers to clients about work under way wait for
`when_done`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

Parts = Iterator[None]
"""Does one part, of about a millisecond at most, for each item."""


Result = TypeVar("Result")


def at_once(steps: Generator[None, None, Result]) -> Result:
    """Do all of what could be done in steps; return its result. For where nobody else is kept waiting."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def in_strides(steps: Generator[None, None, Result], size: int) -> Generator[None, None, Result]:
    """The same steps, so many at a time: what is between two of them may be much less than a part."""
    number = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        number += 1
        if number % size == 0:
            yield


def _nothing() -> None:
    pass


class Chores:
    """See the module. `wake` asks for a tick soon; it is set when there is somebody to ask."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = _nothing
        self.under_way: deque[Parts] = deque()
        self.turns: deque[Callable[[], None]] = deque()
        """Who goes on with its input, one in each tick."""
        self._promised: deque[tuple[Parts, Callable[[], None]]] = deque()

    def __repr__(self) -> str:
        return f"<Chores under_way={len(self.under_way)}>"

    def begin(self, parts: Parts) -> None:
        """Do the first part now and the others in ticks to come."""
        for _ in parts:
            self.add(parts)
            return

    def add(self, parts: Parts) -> None:
        """Do everything in ticks to come, after what is under way."""
        self.under_way.append(parts)
        self.wake()

    def in_turn(self, go_on: Callable[[], None]) -> None:
        """Call back in a tick to come, when all have been called who asked before."""
        self.turns.append(go_on)
        self.wake()

    def when_done(self, then: Callable[[], None]) -> None:
        """Call back when everything is done that is under way now: at once, if there is nothing."""
        if self.under_way:
            self._promised.append((self.under_way[-1], then))
        else:
            then()

    def step(self) -> None:
        """Do the next part of what is under way, and give one its turn. A tick comes soon if more is left."""
        if self.under_way:
            self._do_part(self.under_way[0])
        if self.turns:
            self.turns.popleft()()
        if self.under_way or self.turns:
            self.wake()

    def _do_part(self, first: Parts) -> None:
        for _ in first:
            return
        self.under_way.popleft()
        while self._promised and self._promised[0][0] is first:
            self._promised.popleft()[1]()
