"""Where a simulated broker keeps its journal: in memory, or through the local engine on simulated files.

Both answer only when the simulation says so, and both can be stopped, killed, or lose power at any moment.
"""

from __future__ import annotations

import random
from typing import Any, Protocol

from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.engine.base import Journal, Recovery
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.logs import Logs
from pillarbox.store.committer import QUICK_SYNC_US
from pillarbox.testing.faults import Medium, SimulatedFiles
from pillarbox.testing.journal import ShuffledScheduler
from pillarbox.testing.memory_journal import MemoryJournal

FOLDER = "/data"
NEVER = -1
"""No sync is quick enough to be waited for: the disk always takes its own turns."""


class Storage(Protocol):
    """What the simulator needs."""

    @property
    def journal(self) -> Journal:
        """Where the core puts its groups."""

    @property
    def logs(self) -> Logs | None:
        """Where it puts its streams, if it can have any."""

    def open(self) -> Recovery:
        """What there is; a core may be attached afterwards."""

    def attach(self, core: Core) -> None: ...

    def step(self) -> bool:
        """Let the disk do something; False if it has nothing to do."""

    def stop(self, snapshot: CoreSnapshot) -> None:
        """A clean stop: everything that was appended is durable."""

    def crash(self) -> None:
        """The process or the power is gone; `open` comes next."""


class MemoryStorage:
    """A `MemoryJournal`, of whose groups a crash keeps any number that includes the synced ones."""

    logs = None

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count: int | None = None
        self.journal: MemoryJournal = MemoryJournal(checkpoint_groups=chance.choice((0, 10, 100)))

    def open(self) -> Recovery:
        self.journal, recovery = self.journal.reopened(self._count)
        return recovery

    def attach(self, core: Core) -> None:
        self.journal.attach(core)

    def step(self) -> bool:
        journal, chance = self.journal, self._chance
        works = [journal.step_checkpoint] if journal.checkpointing else []
        if journal.loads:
            works.append(journal.answer_load)
        if journal.synced_count < journal.writable_count:
            works.append(self._sync)
        if not works:
            return False
        chance.choice(works)()
        return True

    def _sync(self) -> bool:
        self.journal.sync(self._chance.choice((None, 1, 2)))
        return True

    def stop(self, snapshot: CoreSnapshot) -> None:
        self.journal.sync()
        self.journal.finish_checkpoint(snapshot)
        self._count = None

    def crash(self) -> None:
        self._count = self._chance.randint(self.journal.synced_count, self.journal.writable_count)


class DiskStorage:
    """The local engine on simulated files; every thread of it is a lane of a shuffled scheduler."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._files = SimulatedFiles()
        self._options: dict[str, Any] = {
            "segment_bytes": chance.choice((4000, 1 << 20)),
            "checkpoint_records": chance.choice((30, 1000)),
            "allocate_bytes": chance.choice((0, 8192)),
            # Syncs take no time, or a busy machine would decide what is committed on the loop.
            "now_ns": lambda: 0,
            "quick_sync_us": chance.choice((NEVER, QUICK_SYNC_US)),
        }
        self.journal: LocalEngine

    @property
    def logs(self) -> Logs:
        return self.journal.logs

    def open(self) -> Recovery:
        self._scheduler = ShuffledScheduler(self._chance)
        self.journal = LocalEngine(FOLDER, self._files, self._scheduler, **self._options)
        return self.journal.open()

    def attach(self, core: Core) -> None:
        self.journal.attach(core)

    def step(self) -> bool:
        return self._scheduler.step()

    def stop(self, snapshot: CoreSnapshot) -> None:
        self.journal.close(snapshot)

    def crash(self) -> None:
        """Half of the time only the process dies, and what it wrote is there."""
        if self._chance.random() < 0.5:
            self._files.release_locks()
            return
        medium = Medium(self._files.start)
        for operation in self._files.log:
            medium.apply(operation)
        self._files = SimulatedFiles(self._chance.choice(list(medium.images(self._chance, 2))))
