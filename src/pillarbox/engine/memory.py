"""The engine that keeps nothing: for tests, and for brokers that need not survive their process.

Every group is "synced" on the next turn of the domain's thread. Locations stay unfilled, which tells the
domain to keep its messages: there is nothing to load them from.
"""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.engine.base import Group, JournalListener, Location, Recovery, Snapshot
from pillarbox.engine.logs import Logs
from pillarbox.engine.schedulers import Scheduler
from pillarbox.store.memory_files import MemoryFiles


class MemoryEngine:
    """See the module; the methods are those of `LocalEngine`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.logs = Logs(MemoryFiles(), "", scheduler, sync=False)
        self._listener: JournalListener | None = None
        self._ticket: int | None = None

    def open(self) -> Recovery:
        return Recovery({}, {}, [])

    def attach(self, listener: JournalListener) -> None:
        self._listener = listener

    def close(self, snapshot: Snapshot | None = None) -> None:
        """Answer what is still owed."""
        self._answer()
        self.logs.close()
        self._scheduler.close()

    def append(self, group: Group) -> None:
        if self._ticket is None:
            self._scheduler.call_soon(self._answer)
        self._ticket = group.ticket

    def release(self, ticket: int) -> None:
        pass

    def fail(self, reason: str) -> None:
        if self._listener is not None:
            self._listener.failed(reason)

    def _answer(self) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None and self._listener is not None:
            self._listener.synced(ticket)

    def load(self, ticket: int, requests: Sequence[tuple[int, Sequence[int], Location]]) -> None:
        raise AssertionError("messages without a location cannot be loaded")

    def checkpoint(self, snapshot: Snapshot) -> None:
        pass

    @property
    def checkpoint_due(self) -> bool:
        return False

    @property
    def checkpoint_behind(self) -> bool:
        return False

    @property
    def unsynced_bytes(self) -> int:
        return 0
