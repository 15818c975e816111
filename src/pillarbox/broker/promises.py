"""Calls that are made when what was kept so far is durable: a receipt for anything but messages.

For heads whose answers have to wait for the journal without anything having been published: an offset that a
group commits, a definition. Not here: confirms of messages (`confirm`), which these are told by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pillarbox.broker.confirm import Publisher

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.errors import Reason


class Promises:
    """See the module. Calls are made in the order in which they were asked for, each with None, or with a
    sentence if what it waits for can never be durable."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._publisher = Publisher(self)
        self._waiting: deque[Callable[[str | None], None]] = deque()

    def when_durable(self, call: Callable[[str | None], None]) -> None:
        """Call when all that was kept up to now is durable, which may be at once."""
        core = self._core
        all_durable = core.synced_ticket >= core.journal_ticket and not core.changes.has_facts
        if core.failure is not None or (all_durable and not self._waiting):
            call(core.failure)
            return
        self._waiting.append(call)
        core.confirms.accept(self._publisher, 1, True)
        core.wake()

    # --- what the publisher says: see `sink.Waiting` ---------------------------------------------------

    def confirm(self, tag_first: int, tag_last: int) -> None:
        for _ in range(tag_first, tag_last + 1):
            self._keep(self._waiting.popleft(), None)

    def disconnect(self, reason: Reason, text: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            self._keep(call, text)

    def _keep(self, call: Callable[[str | None], None], failure: str | None) -> None:
        try:
            call(failure)
        except Exception as error:
            self._core.fence.report(error)

    def refuse(self, tag_first: int, tag_last: int) -> None:
        raise AssertionError("no queue has part in this")
