"""One slice at a time: long answers share the loop with the sockets, and with one another.

An answer that is long is produced in slices. Without this, ten of them would each have a slice between two
looks at the sockets, and a message would wait for all ten. Whoever has done a slice waits here for its next
one: in the order of asking, one in each pass of the loop. And since the loop could do nothing else if slices
followed one another at once, each is followed by a pass without one.
"""

from __future__ import annotations

import asyncio
from collections import deque

from pillarbox.clock import monotonic_ns

SLICE_NS = 500_000
"""What is done at a stretch: a quarter of what a unit on the loop may take, because single steps of the work
are not all alike, and because every message that comes meanwhile waits for it."""


class Pace:
    """See the module. One for all that is produced in slices on a loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._began_ns = 0

    async def begin(self) -> None:
        """Wait for a slice."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._let_one_go, loop)
        await turn
        self._began_ns = monotonic_ns()

    @property
    def is_over(self) -> bool:
        """Is the slice used up? Then `begin` another one."""
        return monotonic_ns() - self._began_ns >= SLICE_NS

    def _let_one_go(self, loop: asyncio.AbstractEventLoop) -> None:
        first = self._waiting[0]
        if not first.done():
            # Otherwise whoever waited has been cancelled.
            first.set_result(None)
        loop.call_soon(self._gone, loop)

    def _gone(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting.popleft()
        if self._waiting:
            loop.call_soon(self._let_one_go, loop)
