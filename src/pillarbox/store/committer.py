"""The one writer of the journal: takes everything that piled up, writes it at once, syncs it once.

Purpose: `submit` is called on the loop's thread and never waits; `work` runs wherever the scheduler runs it
(a thread of its own, or inline in tests) and reports through `done` and `failed`. While one sync is under
way the next pile grows, so the batch size adapts to the disk without a timer.

Invariants: entries are written in the order in which they were submitted. `done(ticket)` is called after
the write, and with `sync` after the sync, of everything up to that ticket. After the first error
nothing is written any more, `failed` is called once, and a sync is never tried again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from pillarbox.clock import monotonic_ns
from pillarbox.store.batch import set_leader_epoch
from pillarbox.store.files import Files
from pillarbox.store.folder import JOURNAL, segment_path

_log = logging.getLogger(__name__)

Chunk = bytes | bytearray

QUICK_SYNC_US = 500
"""Commits that take less on average may be made on the loop: two changes of thread cost about as much."""
SYNC_MEMORY = 8
"""How many commits the moving average looks back: one of 10 ms forbids the next 25 or so."""

AHEAD_BYTES = 256 << 10
AHEAD_FOR_BYTES = 64 << 10
"""Zeros of the one size are written ahead with a write of at most the other that comes to blocks which were
only reserved. With each of those, a sync would have to change the file system's tables as well, and take half
as long again (8 KB: 190 instead of 130 µs); a large write is not worth it."""

LINGER_S = 0.01
"""How long a group may wait for company that nobody waits for: acknowledgements, publishes without confirms.
Each sync that is not made for it is one that others need not wait for."""


class Worker(Protocol):
    """Runs one function, in a thread of its own or not, whenever it was woken."""

    def wake(self) -> None: ...

    def wake_within(self, seconds: float) -> None:
        """Run it by then, or as soon as it is woken."""

    def stop(self) -> None:
        """Run what was asked for and end."""


class Entry(msgspec.Struct, gc=False):
    """One group on its way to the disk, or with no chunks only a place in the order of answers."""

    ticket: int
    segment: int
    position: int
    chunks: list[Chunk]
    sync: bool = False
    """Sync whatever was written up to here, also when groups need not be."""


class Committer:
    """See the module. `worker` makes the worker that runs `work`."""

    def __init__(
        self,
        files: Files,
        folder: str,
        worker: Callable[[Callable[[], None]], Worker],
        done: Callable[[int], None],
        failed: Callable[[str], None],
        *,
        barrier: int,
        sync: bool,
        allocate_bytes: int = 0,
        now_ns: Callable[[], int] | None = None,
        quick_sync_us: int = QUICK_SYNC_US,
    ) -> None:
        self._files = files
        self._folder = folder
        self._done = done
        self._failed = failed
        self._barrier = barrier
        self._sync = sync
        self._allocate_bytes = allocate_bytes
        self._now_ns = now_ns
        """The clock by which syncs are quick or not; None: the real one."""
        self._quick_sync_us = quick_sync_us
        self._pending: deque[Entry] = deque()
        self._broken = False
        self._segment = -1
        self._handle = -1
        self._end = 0
        self._reserved = 0
        """So large a segment may become without new blocks."""
        self._ahead = 0
        """Up to here the segment has contents, if only zeros."""
        self._unsynced: list[int] = []
        """Handles of earlier segments with unsynced bytes (only without `sync`)."""
        self._clean = True
        """Everything written is synced: the next write may begin with a barrier."""
        self._sync_us = 0
        """How long a commit takes, as a moving average."""
        self._lingering = False
        """The worker knows that something is pending that is not urgent."""
        self._working = threading.Lock()
        """Held while a commit is under way, by whichever thread makes it."""
        self._worker = worker(self.work)

    def submit(self, entry: Entry, *, urgent: bool = True) -> None:
        """Take an entry; one that is not urgent is written with the next that is, or within `LINGER_S`."""
        self._pending.append(entry)
        if urgent:
            self._worker.wake()
        elif not self._lingering:
            self._lingering = True
            self._worker.wake_within(LINGER_S)

    def hurry(self) -> None:
        """Somebody waits for what was not urgent."""
        if self._pending:
            self._worker.wake()

    def commit_now(self, entry: Entry, done: Callable[[int], None]) -> bool:
        """Commit one entry here, and what is pending, if nothing is under way and syncs are quick.

        `done` is called in place of the committer's own. False if nothing was tried.

        Publishers that wait for their confirms then wait for the disk alone, and not for two threads to take
        turns as well. One slow sync sends everything back to the worker until syncs are quick again.
        """
        if self._sync_us > self._quick_sync_us or not self._working.acquire(blocking=False):
            return False
        try:
            if self._broken:
                return False
            # Nobody adds anything meanwhile: `submit` is called on this thread.
            entries = [entry]
            if self._pending:
                entries = [*self._pending, entry]
                self._pending.clear()
            self._try_commit(entries, done)
        finally:
            self._working.release()
        return True

    def stop(self) -> None:
        """Write what is pending and end the worker."""
        self._worker.stop()
        for handle in [*self._unsynced, self._handle]:
            if handle >= 0:
                self._files.close(handle)
        self._unsynced.clear()
        self._handle = -1

    def work(self) -> None:
        """Commit until nothing is pending."""
        pending = self._pending
        # Lowered before anything is taken: what comes from here on is taken too, or wakes the worker again.
        self._lingering = False
        while pending:
            with self._working:
                entries = [pending.popleft() for _ in range(len(pending))]
                if entries and not self._broken:
                    self._try_commit(entries, self._done)

    def _try_commit(self, entries: list[Entry], done: Callable[[int], None]) -> None:
        now_ns = self._now_ns or monotonic_ns
        started_ns = now_ns()
        try:
            self._commit(entries)
        except OSError as error:
            self._break(error.strerror or str(error))
            return
        except Exception as error:
            # A mistake of ours must not leave those who wait for a confirm without any answer.
            _log.exception("the journal's writer has a defect")
            self._break(repr(error))
            return
        done(entries[-1].ticket)
        took_us = (now_ns() - started_ns) // 1000
        self._sync_us += (took_us - self._sync_us) // SYNC_MEMORY

    def _break(self, reason: str) -> None:
        self._broken = True
        self._failed(f"writing the journal failed: {reason}")

    def _commit(self, entries: list[Entry]) -> None:
        chunks: list[Chunk] = []
        position = self._end
        sync = self._sync
        for entry in entries:
            sync = sync or entry.sync
            if not entry.chunks:
                continue
            if entry.segment != self._segment:
                self._write(position, chunks)
                chunks = []
                self._rotate(entry.segment)
                position = self._end
            if not chunks and self._clean:
                head = entry.chunks[0]
                assert isinstance(head, bytearray), "a batch's first chunk may be patched"
                set_leader_epoch(head, self._barrier)
            chunks += entry.chunks
        self._write(position, chunks)
        if sync:
            self._sync_all()

    def _write(self, position: int, chunks: list[Chunk]) -> None:
        if chunks:
            self._clean = False
            self._end = end = position + sum(map(len, chunks))
            if end > self._ahead:
                self._ahead = end
                spare = min(AHEAD_BYTES, self._reserved - end)
                if spare > 0 and end - position <= AHEAD_FOR_BYTES:
                    self._ahead += spare
                    chunks = [*chunks, bytes(spare)]
            self._files.write(self._handle, position, chunks)

    def _sync_all(self) -> None:
        if self._clean:
            return
        if self._unsynced:
            for handle in self._unsynced:
                self._files.sync(handle)
                self._files.close(handle)
            self._unsynced.clear()
        self._files.sync(self._handle)
        self._clean = True

    def _rotate(self, segment: int) -> None:
        """Go on in a new segment, whose name is on the medium before its first group is acknowledged."""
        if self._handle >= 0:
            if self._reserved:
                self._files.truncate(self._handle, self._end)
            if self._sync:
                if not self._clean:
                    self._files.sync(self._handle)
                    self._clean = True
                self._files.close(self._handle)
            else:
                self._unsynced.append(self._handle)
        path = segment_path(self._folder, JOURNAL, segment)
        self._handle = self._files.open(path, create=True)
        self._segment = segment
        self._end = self._ahead = 0
        self._reserved = self._reserve(self._allocate_bytes) if self._allocate_bytes else 0
        self._files.sync_folder(os.path.dirname(path))

    def _reserve(self, size: int) -> int:
        """Reserve blocks for the segment; return for how many bytes.

        A file system may not be able to, or have no room for all of that, which groups need not be refused
        for that are smaller: then the segment grows as it is written.
        """
        try:
            self._files.allocate(self._handle, size)
        except OSError:
            # Some of it may be there.
            self._files.truncate(self._handle, 0)
            return 0
        return size
