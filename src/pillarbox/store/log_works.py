"""The works by which a partition log touches its files: see `strand` for how they are run, `log` for when.

A work carries copies of what it needs; between `prepare` and `finish` it shares nothing that changes with the
log but the `LogFolder`, of whose methods each strand uses its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.store import log_io
from pillarbox.store.index import Entry
from pillarbox.store.log_base import Mark
from pillarbox.store.log_io import LogFolder, Place
from pillarbox.store.log_state import LogState
from pillarbox.store.producer_files import SegmentProducers, save_producers
from pillarbox.store.segment import Segment, Slice, empty_slice

if TYPE_CHECKING:
    from pillarbox.store.log import PartitionLog


class SyncTask(NamedTuple):
    """Make what is written of one segment durable."""

    segment: Segment
    index_count: int
    """Entries in the index file."""
    entries: list[Entry]
    """Entries to be added, all of batches that this sync covers."""
    final: Entry | None
    """Given if the segment is full: its index becomes complete, its file is closed."""
    producers: SegmentProducers | None = None
    """Given with it, if the log has producers: what is known at the segment's end."""


def run_sync_tasks(folder: LogFolder, tasks: list[SyncTask]) -> None:
    """Sync segments in order, oldest first, so that what is durable never has a hole."""
    for task in tasks:
        base = task.segment.base
        folder.sync(base)
        folder.save_entries(base, task.index_count, task.entries, final=task.final)
        if task.producers is not None:
            save_producers(folder, base, task.producers)
        if task.final is not None:
            folder.release(base)


class WriteWork:
    """Write all that a log has taken in; with `sync` given, make it durable, too."""

    def __init__(self, log: PartitionLog, folder: LogFolder) -> None:
        self.log = log
        self.folder = folder
        self.steps: list[Callable[[], object]] = []
        self.sizes: list[tuple[Segment, int]] = []
        """What sizes the segments have after it."""
        self.mark = Mark(0, 0, 0)
        """How far the log is written after it."""
        self.sync: list[SyncTask] | None = None

    def prepare(self) -> bool:
        return self.log.begin_write(self)

    def run(self) -> None:
        for step in self.steps:
            step()
        if self.sync is not None:
            run_sync_tasks(self.folder, self.sync)

    def finish(self, error: Exception | None) -> None:
        self.log.end_write(self, error)


class SyncWork:
    """Make the log's state durable, then what is written, then remove segments that the state excludes.

    The state goes first: a segment below its start is not synced any more, and must not be missed.
    """

    def __init__(self, log: PartitionLog, folder: LogFolder, *, closing: bool = False) -> None:
        self.log = log
        self.folder = folder
        self.closing = closing
        self.tasks: list[SyncTask] = []
        self.makes_folder = False
        """With the first state that is saved."""
        self.state: LogState | None = None
        self.removed: list[int] = []
        self.mark = Mark(0, 0, 0)
        """How far the log is durable after it."""

    def prepare(self) -> bool:
        return self.log.begin_sync(self)

    def run(self) -> None:
        if self.makes_folder:
            self.folder.make()
        if self.state is not None:
            self.folder.save_state(self.state)
        run_sync_tasks(self.folder, self.tasks)
        self.folder.remove(self.removed)

    def finish(self, error: Exception | None) -> None:
        self.log.end_sync(self, error)


class ReadWork:
    """Read batches that are not in memory."""

    def __init__(
        self,
        log: PartitionLog,
        folder: LogFolder,
        segment: Segment,
        place: Place,
        *,
        offset: int,
        size_max: int,
        offset_end: int,
        ticket: int,
    ) -> None:
        self.log = log
        self.folder = folder
        self.segment = segment
        self.place = place
        self.offset = offset
        self.size_max = size_max
        self.offset_end = offset_end
        self.ticket = ticket
        self.found: tuple[Slice, int] = (empty_slice(offset), 0)
        """What was found, and the byte of the segment after it."""

    def prepare(self) -> bool:
        return True

    def run(self) -> None:
        self.found = log_io.find_batches(self.folder, self.place, self.offset, self.size_max, self.offset_end)

    def finish(self, error: Exception | None) -> None:
        self.log.end_read(self, error)


class TimeWork:
    """Look for the first batch with a record that is not older than a moment."""

    def __init__(
        self,
        log: PartitionLog,
        folder: LogFolder,
        places: list[Place],
        *,
        timestamp_ms: int,
        offset_min: int,
        ticket: int,
    ) -> None:
        self.log = log
        self.folder = folder
        self.places = places
        self.timestamp_ms = timestamp_ms
        self.offset_min = offset_min
        self.ticket = ticket
        self.found: int | None = None

    def prepare(self) -> bool:
        return True

    def run(self) -> None:
        for place in self.places:
            self.found = log_io.find_time(self.folder, place, self.timestamp_ms, self.offset_min)
            if self.found is not None:
                return

    def finish(self, error: Exception | None) -> None:
        self.log.end_find_time(self, error)
