"""When a partition log is compacted, and how a new segment takes the place of old ones.

Purpose: `Compactor` begins a pass when enough was appended since the last one, has it done in slices on the
read strand, and swaps segments in. Not here: what a pass keeps (`compaction`).

A swap that no crash can tear: the new files are durable under their temporary names; the log's state says
that they take the place of the old ones; from then on every opening would finish the swap; then files are
renamed and removed. The renaming is a work of the read strand, and the log knows the new segment from the
moment at which it is handed over. So reads that were asked for before find the old files, and reads after it
the new ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pillarbox.store.compaction import Cleaned, Cleaning, Source, Step
from pillarbox.store.log_base import UNLIMITED
from pillarbox.store.log_io import LogFolder
from pillarbox.store.retention import segment_time
from pillarbox.store.segment import Segment
from pillarbox.store.strand import Strand

if TYPE_CHECKING:
    from pillarbox.store.log import PartitionLog

SLICE_BYTES = 64 << 10
"""What one work does of a pass: a few milliseconds in which reads of other logs wait, and the loop at most
for the interpreter."""

RETRY_MS = 60_000
"""How long a pass waits that follows on one which the disk has ended."""

_log = logging.getLogger("pillarbox.engine")


class Compactor:
    """See the module. For `PartitionLog`, which calls it on the domain's thread."""

    def __init__(self, log: PartitionLog, folder: LogFolder, strand: Strand) -> None:
        self._log = log
        self._folder = folder
        self._strand = strand
        self._cleaning: Cleaning | None = None
        self._steps: Iterator[Step] = iter(())
        self._working = False
        self.swapping: Cleaned | None = None
        """A new segment on its way to its place: segments must not be removed meanwhile."""
        self._stopping = False
        self._now_ms = 0
        self._retry_ms: int | None = None
        """When a pass may begin, since the disk has ended the last one."""

    def __repr__(self) -> str:
        return f"<Compactor {self._cleaning!r} working={self._working} swapping={self.swapping is not None}>"

    @property
    def busy(self) -> bool:
        return self._working or self._cleaning is not None

    def begin(self, now_ms: int) -> None:
        """Begin a pass if one is due."""
        self._now_ms = now_ms
        if self.busy or self._stopping or (self._retry_ms is not None and now_ms < self._retry_ms):
            return
        if self._log.swap_noted is not None:
            # What a pass leaves half written would take the place of a segment at the next opening.
            return
        segments = self._cleanable(now_ms)
        if self._is_due(segments, now_ms):
            log, options = self._log, self._log.options
            sources = [Source(s.base, s.offset_next, s.size, tuple(s.aborted)) for s in segments]
            self._cleaning = Cleaning(
                self._folder,
                sources,
                cleaned=log.state.cleaned,
                segment_bytes=options.segment_bytes,
                index_interval_bytes=options.index_interval_bytes,
                delete_retention_ms=options.delete_retention_ms,
                now_ms=now_ms,
                has_producers=log.state.has_producers,
                aborted=log.aborted_between(segments[0].base, segments[-1].offset_next),
            )
            self._steps = self._cleaning.steps()
            self._go_on()

    def stop(self) -> None:
        """The log is about to be closed: what is under way ends with its slice or swap."""
        self._stopping = True

    def _cleanable(self, now_ms: int) -> list[Segment]:
        """Segments that a pass may touch: sealed, all their transactions ended, old enough."""
        log = self._log
        found = []
        stable, lag_ms = log.last_stable, log.options.min_compaction_lag_ms
        for segment in log.segments[:-1]:
            young = lag_ms > 0 and now_ms - segment_time(segment) < lag_ms
            if young or not segment.sealed or segment.offset_next > stable:
                break
            found.append(segment)
        return found

    def _is_due(self, segments: list[Segment], now_ms: int) -> bool:
        dirty = [segment for segment in segments if segment.offset_next > self._log.state.cleaned]
        if not dirty:
            return False
        options = self._log.options
        ratio = sum(segment.size for segment in dirty) / sum(segment.size for segment in segments)
        lag_ms = options.max_compaction_lag_ms
        late = lag_ms != UNLIMITED and now_ms - segment_time(dirty[0]) > lag_ms
        return late or ratio > options.min_cleanable_ratio

    # --- slices -------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        self._working = True
        self._strand.submit(CleanWork(self, self._steps))

    def end_slice(self, work: CleanWork, error: Exception | None) -> None:
        """Take note of what a slice did."""
        self._working = False
        if error is not None:
            # What was trimmed meanwhile is not missed; the next pass begins behind it.
            if not isinstance(error, FileNotFoundError):
                self._retry_ms = self._now_ms + RETRY_MS
                reason = error.strerror if isinstance(error, OSError) and error.strerror else error
                _log.warning("compacting the log %s failed: %s", self._folder.folder, reason)
            self._end_pass()
        elif work.cleaned is not None and self._log.begin_swap(work.cleaned):
            self.swapping = work.cleaned
        elif self._stopping:
            self._end_pass()
        elif work.is_last:
            assert self._cleaning is not None
            self._log.note_cleaned(self._cleaning.until)
            self._end_pass()
        else:
            self._go_on()

    def _end_pass(self) -> None:
        close = getattr(self._steps, "close", None)
        if close is not None:
            close()
        self._steps = iter(())
        self._cleaning = None

    # --- swaps --------------------------------------------------------------------------------------------

    def swap_is_noted(self) -> None:
        """The state that says what is to be swapped is durable: do it."""
        if self.swapping is not None and not self._working:
            others = self._log.replace_segments(self.swapping)
            self._working = True
            self._strand.submit(SwapWork(self, self._folder, self.swapping.segment.base, others))

    def end_swap(self, error: Exception | None) -> None:
        """The new segment is in its place."""
        self._working = False
        self.swapping = None
        self._log.end_swap(error)
        if error is not None or self._stopping:
            self._end_pass()
        else:
            self._go_on()

    def give_up(self) -> None:
        """The log has failed: no state will be saved, so no swap will begin."""
        if not self._working:
            self.swapping = None
            self._end_pass()
        self._stopping = True


class CleanWork:
    """Do one slice of a pass."""

    def __init__(self, compactor: Compactor, steps: Iterator[Step]) -> None:
        self.compactor = compactor
        self.steps = steps
        self.cleaned: Cleaned | None = None
        self.is_last = False

    def prepare(self) -> bool:
        return True

    def run(self) -> None:
        done = 0
        for step in self.steps:
            if isinstance(step, Cleaned):
                self.cleaned = step
                return
            done += step
            if done >= SLICE_BYTES:
                return
        self.is_last = True

    def finish(self, error: Exception | None) -> None:
        self.compactor.end_slice(self, error)


class SwapWork:
    """Put a new segment in the place of old ones."""

    def __init__(self, compactor: Compactor, folder: LogFolder, base: int, others: list[int]) -> None:
        self.compactor = compactor
        self.folder = folder
        self.base = base
        self.others = others

    def prepare(self) -> bool:
        return True

    def run(self) -> None:
        self.folder.swap(self.base, self.others)

    def finish(self, error: Exception | None) -> None:
        self.compactor.end_swap(error)
