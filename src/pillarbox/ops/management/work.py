"""Work: what a request asks for that is too long for one turn, and when it may be answered.

What may be refused half-way is done in slices while its request waits (`in_slices`); what the core does in
parts of its own, whoever waits for it, is waited for (`done`). Either way other requests and sockets are
served in between, and the answer says that it is done. Not here: what is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

from pillarbox.broker.confirm import Publisher
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.ops.pace import Pace

Result = TypeVar("Result")


class Work:
    """See the module. `begin` starts a turn of the broker, and slices keep to the `pace`."""

    def __init__(self, core: Core, begin: Callable[[], None], pace: Pace) -> None:
        self._core = core
        self._begin = begin
        self.pace = pace

    async def in_slices(self, steps: Generator[None, None, Result]) -> Result:
        """Do all steps, in slices that are turns of the broker, and return their result when what they have
        defined is stored. Raises what a step raises, which ends it; and 503 if nothing can be stored."""
        try:
            while True:
                await self.pace.begin()
                self._begin()
                next(steps)
                while not self.pace.is_over:
                    next(steps)
        except StopIteration as end:
            result: Result = end.value
        await self.stored()
        return result

    async def done(self) -> None:
        """Wait until the core has done what it does in parts, as far as it is known now."""
        done = asyncio.Event()
        self._core.chores.when_done(done.set)
        await done.wait()
        self._begin()

    async def stored(self) -> None:
        """Wait until what is defined so far is as durable as it was asked to be. Raises 503 if it never will
        be."""
        core = self._core
        core.demand_storage()
        if core.changes.has_facts or core.journal_ticket > core.synced_ticket:
            waiter = _Waiter()
            core.confirms.accept(Publisher(waiter), 1, stored=True)
            self._begin()
            await waiter.answer
            self._begin()


class _Waiter:
    """A publisher of nothing, which is confirmed when what came before is stored."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def confirm(self, tag_first: int, tag_last: int) -> None:
        if not self.answer.done():
            self.answer.set_result(None)

    def refuse(self, tag_first: int, tag_last: int) -> None:
        raise AssertionError("no queue has seen it")

    def disconnect(self, reason: Reason, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(BrokerError(reason, text))
