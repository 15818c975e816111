"""The partition log: ordered record batches with offsets, in segments; what topics and streams are made of.

Purpose: take batches in as they came, give them offsets, write, sync and index them, read them back from
memory or from disk, and remove the oldest. Producers' sequences and transactions are decided in `producers`.
Not here: what records mean, who waits for new data, threads.

Everything here runs on the domain's thread and decides; files are touched by works that are handed to three
strands and report back: *write* (one work of a log at a time: all that was appended since the last),
*sync* (one at a time: sync, index entries, seal, the state file, removals) and *read* (cold data). With
`durability="fsync"` the write work syncs, too, so that one trip does both.

Offsets: start <= synced <= written <= accepted, each the offset after the last record it speaks of; only
between a `trim` of records that are not synced and the end of the sync that follows is start ahead of synced.

- *accepted*: in memory. *written*: survives a killed process. *synced*: survives a power cut.
- *committed* is what the options promise: synced with `durability="fsync"`, else written. Readers see
  no further unless they ask.
- `written(ticket)` and `synced(ticket)` are reported in order, after the fact. After the first error of a
  write or sync nothing is reported any more, appends are refused, and reads go on below committed; the log
  has to be opened anew, which verifies it.

- *last_stable*: below it every transaction has ended; what readers of committed records see.

Source of the behaviour: Apache Kafka's topic configs (segment.bytes, segment.ms, index.interval.bytes,
flush.messages, flush.ms, retention.ms, retention.bytes); leader epochs KIP-101, KIP-320.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import partial

from pillarbox.store import log_recovery
from pillarbox.store.batch import BatchError
from pillarbox.store.compaction import Cleaned
from pillarbox.store.files import Files
from pillarbox.store.log_base import (
    NOT_FOUND,
    UNLIMITED,
    Appended,
    LogFailed,
    LogListener,
    LogOptions,
    Mark,
    OffsetOutOfRange,
    Offsets,
    Strands,
)
from pillarbox.store.log_compaction import Compactor
from pillarbox.store.log_io import LogFolder, Place
from pillarbox.store.log_works import ReadWork, SyncTask, SyncWork, TimeWork, WriteWork
from pillarbox.store.producer_files import SegmentProducers, picture
from pillarbox.store.producers import Aborted, Producer, encode_marker
from pillarbox.store.retention import expired_by_size, expired_by_time
from pillarbox.store.segment import (
    Buffer,
    Segment,
    Slice,
    Stamped,
    empty_slice,
    stamp_batches,
    stamp_time,
)
from pillarbox.store.strand import run_inline
from pillarbox.store.tail import Tail, TailBudget

SYNC_BYTES = 16 << 20
"""Unsynced bytes at which a log that need not sync does so in the background: bounds what a start after a
power cut has to read, and keeps the sync of a full segment from being one long stall."""

IDLE_MS = 10_000
"""A log that nobody wrote to for so long is synced and its file closed: thousands of idle partitions must
not hold a file descriptor each."""

INDEX_SAVE_MIN = 64
"""Index entries worth a write of their own, unless a segment is sealed; fewer wait for the next sync."""

HINTS_MAX = 64
"""Sequential cold readers whose place is remembered, so that they do not search the index each time."""


class PartitionLog:
    """One partition. See the module; `open` makes one."""

    def __init__(
        self,
        folder: LogFolder,
        recovered: log_recovery.Recovered,
        options: LogOptions,
        listener: LogListener,
        strands: Strands,
        budget: TailBudget,
        *,
        now_ms: int,
        is_made: bool,
        clean: bool,
    ) -> None:
        self.options = options
        self.warnings = recovered.warnings
        """Sentences for the operator about what was found at the opening."""
        self._folder = folder
        self._listener = listener
        self._strands = strands
        self.segments = recovered.segments
        self.state = recovered.state
        self._producers = recovered.producers
        self._endings: dict[Segment, SegmentProducers] = {}
        """What was known of producers at the ends of segments that are not sealed yet."""
        self._tail = Tail(budget)
        self._hints: dict[int, tuple[Segment, int]] = {}
        self._failure: str | None = None
        self._now_ms = now_ms
        self._appended_ms = now_ms

        self._accepted = Mark(self.segments[-1].offset_next, 0, 0)
        self._written = self._accepted
        self._synced = self._accepted
        self._unsynced_since_ms: int | None = None
        self._sync_asked = 0
        """`sync` was called when the log reached to here."""

        # What is taken in and in no work yet: steps for the write strand, and what the sync strand has to do.
        self._steps: list[Callable[[], object]] = []
        self._chunks: list[Buffer] | None = None
        """The chunks of the last step, if that is a write to the last segment: more can join."""
        self._touched: dict[Segment, None] = {}
        self._doomed: list[Segment] = []
        self._state_changed = False
        self._may_write = True
        """Invariant: no batch of a leader epoch is written before the epoch is durable, nor the first one of
        a producer before the state says that there are producers, nor anything before there is a folder."""
        self._writing = False
        self._syncing = False
        self._compactor: Compactor | None = None
        self.swap_noted: tuple[int, int] | None = None
        """The swap of which the file `state` speaks: an opening would carry it out."""
        self._is_in_doubt = False
        """A leader epoch has begun since something may be gone that clients saw."""
        self._is_made = is_made
        """Its folder is there. A new log has none until its first record comes."""
        if is_made:
            self._begin_epoch(bump=recovered.damaged or recovered.unfinished or not clean)
        else:
            self._may_write = False
            self._steps.append(partial(folder.create, self.segments[0].base))

    @classmethod
    def open(
        cls,
        files: Files,
        folder: str,
        options: LogOptions,
        listener: LogListener,
        strands: Strands,
        budget: TailBudget,
        *,
        now_ms: int,
        clean: bool = True,
    ) -> PartitionLog:
        """Open the log in a folder; where there is none, it is made when the first record comes.

        Blocks where there is one: for the start of the broker, or another thread. `clean=False`: the process
        before did not stop in order, so records that clients saw may be gone; a new leader epoch begins, as
        it does wherever the last segment was not closed.
        StoreError in words if the log is damaged in a way that no crash explains.
        """
        log_folder = LogFolder(files, folder)
        is_made = files.exists(folder)
        if is_made:
            recovered = log_recovery.recover(
                log_folder, interval_bytes=options.index_interval_bytes, now_ms=now_ms
            )
        else:
            recovered = log_recovery.nothing(now_ms)
        return cls(
            log_folder,
            recovered,
            options,
            listener,
            strands,
            budget,
            now_ms=now_ms,
            is_made=is_made,
            clean=clean,
        )

    def __repr__(self) -> str:
        failed = " failed" if self._failure else ""
        return (
            f"<PartitionLog {self._folder.folder} start={self.state.start} synced={self._synced.offset} "
            f"written={self._written.offset} accepted={self._accepted.offset} "
            f"segments={len(self.segments)}{failed}>"
        )

    # --- what is there -------------------------------------------------------------------------------------

    def offsets(self) -> Offsets:
        return Offsets(self.state.start, self._synced.offset, self._written.offset, self._accepted.offset)

    @property
    def committed(self) -> int:
        """The offset up to which readers see: what the options promise to keep."""
        return self._synced.offset if self.options.syncs_each_write else self._written.offset

    @property
    def last_stable(self) -> int:
        """The offset up to which readers of committed records see; what to leave out below it
        `aborted_between` says."""
        return max(self.state.start, self._producers.last_stable(self.committed))

    @property
    def open_transactions(self) -> dict[int, int]:
        """Producers with an open transaction, and the offset at which it begins."""
        return self._producers.open_transactions

    @property
    def producers(self) -> Mapping[int, Producer]:
        """What is known of each producer id, to be looked at only."""
        return self._producers.table

    @property
    def leader_epoch(self) -> int:
        """The epoch that batches get which are appended now."""
        return self.state.epoch_last

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    @property
    def busy(self) -> bool:
        """Whether a strand has a work of this log that is no read: then it cannot be closed yet."""
        compacting = self._compactor is not None and self._compactor.busy
        return self._writing or self._syncing or compacting

    @property
    def unsynced_bytes(self) -> int:
        """Bytes taken and not yet durable."""
        return self._accepted.size - self._synced.size

    @property
    def unwritten_bytes(self) -> int:
        """Bytes taken and not yet written: what slows producers down."""
        return self._accepted.size - self._written.size

    def end_of_epoch(self, epoch: int) -> tuple[int, int]:
        """(epoch, offset after its last record) of the last epoch up to `epoch`; (-1, -1) if unknown."""
        return self.state.end_of_epoch(epoch, self._accepted.offset)

    def max_timestamp(self) -> tuple[int, int]:
        """The highest timestamp and the first offset of the batch that has it; (-1, -1) if there is none."""
        newest = max(self.segments, key=lambda segment: segment.max_timestamp)
        if newest.max_timestamp < 0:
            return -1, NOT_FOUND
        return newest.max_timestamp, max(newest.max_timestamp_offset, self.state.start)

    # --- taking in -----------------------------------------------------------------------------------------

    def append(self, batches: Buffer, ticket: int, *, now_ms: int, append_time: bool = False) -> Appended:
        """Take batches in, one after another. A batch with a producer id must come alone (Kafka demands it).

        `append_time`: records get the time of their arrival as timestamp, whatever their producer wrote.
        Answered by `written` and `synced`, unless it is a repetition: see `Appended`. Raises BatchError for
        bytes that are not whole and intact batches, ProducerRefused and LogFailed; then nothing is taken in.
        Cost: one copy and one checksum.
        """
        if self._failure is not None:
            raise LogFailed(self._failure)
        data = bytearray(batches)
        stamped = stamp_batches(data, self._accepted.offset, self.state.epoch_last)
        if append_time:
            stamped = stamp_time(data, stamped, now_ms)
        for _, header in stamped:
            if header.producer_id >= 0:
                return self._append_of_producer(data, stamped, ticket, now_ms)
        self._take_in(data, stamped, ticket, now_ms)
        return Appended(stamped[0][1].base_offset, self._accepted.offset, stamped[0][1].max_timestamp)

    def _append_of_producer(self, data: bytearray, stamped: Stamped, ticket: int, now_ms: int) -> Appended:
        if len(stamped) > 1:
            raise BatchError("a batch of a producer came with others")
        header = stamped[0][1]
        repeated = self._producers.repeated(header)
        if repeated is not None:
            return Appended(repeated.offset_first, repeated.offset_next, repeated.timestamp_ms, True)
        self._producers.check(header)
        self._note_producers()
        self._take_in(data, stamped, ticket, now_ms)
        self._producers.take(header, now_ms)
        return Appended(header.base_offset, header.next_offset, header.max_timestamp)

    def append_marker(
        self, producer_id: int, epoch: int, coordinator_epoch: int, ticket: int, *, commit: bool, now_ms: int
    ) -> Appended:
        """Take in the control batch that ends a producer's transaction; answered as `append` is.

        Raises ProducerRefused and LogFailed.
        """
        if self._failure is not None:
            raise LogFailed(self._failure)
        self._producers.check_marker(producer_id, epoch, coordinator_epoch)
        data = bytearray(encode_marker(producer_id, epoch, coordinator_epoch, now_ms, commit=commit))
        stamped = stamp_batches(data, self._accepted.offset, self.state.epoch_last)
        header = stamped[0][1]
        self._note_producers()
        self._take_in(data, stamped, ticket, now_ms)
        aborted = self._producers.end(header, coordinator_epoch, now_ms, commit=commit)
        if aborted is not None:
            self.segments[-1].abort(aborted)
        return Appended(header.base_offset, header.next_offset, now_ms)

    def _note_producers(self) -> None:
        """From the first batch of a producer on, the state says that there are some."""
        if not self.state.has_producers:
            self.state.note_producers()
            self._may_write = False

    def _take_in(self, data: bytearray, stamped: Stamped, ticket: int, now_ms: int) -> None:
        """Give verified batches their place in segments, and have them written."""
        offset = self._accepted.offset
        options = self.options
        self._now_ms = self._appended_ms = now_ms
        if self._unsynced_since_ms is None:
            self._unsynced_since_ms = now_ms
        for position, header in stamped:
            segment = self.segments[-1]
            if not segment.has_room(header, segment_bytes=options.segment_bytes) or self._is_old(segment):
                segment = self._roll(offset)
            chunk = data if len(stamped) == 1 else data[position : position + header.size]
            self._plan_write(segment, chunk)
            segment.add(header, interval_bytes=options.index_interval_bytes)
            segment.appended_ms = now_ms
            self._tail.append(chunk, offset, header.next_offset)
            offset = header.next_offset
        self._accepted = Mark(offset, self._accepted.size + len(data), ticket)
        self._wake_writer()

    def _is_old(self, segment: Segment) -> bool:
        limit = self.options.roll_ms
        return segment.size > 0 and limit != UNLIMITED and self._now_ms - segment.created_ms >= limit

    def _roll(self, offset: int) -> Segment:
        """Begin a new segment; the one before is sealed in the background."""
        if self.state.has_producers:
            self._endings[self.segments[-1]] = picture(self.segments[-1], self._producers)
        segment = Segment(offset, self._now_ms)
        self.segments.append(segment)
        self._steps.append(partial(self._folder.create, segment.base))
        self._chunks = None
        return segment

    def _plan_write(self, segment: Segment, chunk: Buffer) -> None:
        if self._chunks is None:
            self._chunks = []
            self._steps.append(partial(self._folder.write, segment.base, segment.size, self._chunks))
            self._touched[segment] = None
        self._chunks.append(chunk)

    # --- the write strand -----------------------------------------------------------------------------------

    def _wake_writer(self) -> None:
        if not self._may_write:
            self._wake_syncer()
        elif self._steps and not self._writing and self._failure is None:
            self._writing = True
            self._strands.write.submit(WriteWork(self, self._folder))

    def begin_write(self, work: WriteWork) -> bool:
        """Give a write work all that was taken in; False if there is nothing to do. For `WriteWork`."""
        if not self._steps or not self._may_write or self._failure is not None:
            self._writing = False
            return False
        work.steps, self._steps = self._steps, []
        work.sizes = [(segment, segment.size) for segment in self._touched]
        self._touched.clear()
        self._chunks = None
        work.mark = self._accepted
        if self.options.syncs_each_write and not self._syncing:
            # No new start is waiting to be saved, or the sync strand would have been woken for it: segments
            # that it drops are not synced any more, and without it they would be a hole below what is.
            assert not self._state_changed, f"{self!r} has a start that nobody saves"
            self._syncing = True
            work.sync = self._sync_tasks(self._accepted.offset)
        return True

    def end_write(self, work: WriteWork, error: Exception | None) -> None:
        """Take note of what a write work did. For `WriteWork`."""
        self._writing = False
        if work.sync is not None:
            self._syncing = False
        if error is not None:
            self._fail("writing", error)
            return
        for segment, size in work.sizes:
            segment.written = size
        self._written = work.mark
        self._tail.mark_written(work.mark.offset)
        self._listener.written(work.mark.ticket)
        if work.sync is not None:
            self._note_synced(work.sync, work.mark)
        self._wake_writer()
        self._wake_syncer()

    # --- the sync strand ------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Ask for a sync of all that was appended so far, whatever the options say."""
        self._sync_asked = self._accepted.offset
        self._wake_syncer()

    def tick(self, now_ms: int) -> None:
        """Let time pass: `flush_ms`, and what an idle log does. Any interval will do."""
        self._now_ms = now_ms
        self._wake_syncer()
        self._producers.expire(now_ms - self.options.producer_expiry_ms)
        if self.options.compact:
            self.compact()
        quiet = not (self.busy or self._steps)
        if quiet and self._is_idle() and self._synced.offset == self._accepted.offset:
            self._folder.release(self.segments[-1].base)

    def _is_idle(self) -> bool:
        return self._now_ms - self._appended_ms >= IDLE_MS

    def _sync_is_due(self) -> bool:
        """Whether written records should be made durable now."""
        unsynced = self._written.offset - self._synced.offset
        if not unsynced:
            return False
        options = self.options
        since = self._unsynced_since_ms
        return (
            options.syncs_each_write
            or self._synced.offset < self._sync_asked
            or self._written.size - self._synced.size >= SYNC_BYTES
            or 0 < options.flush_messages <= unsynced
            or (options.flush_ms >= 0 and since is not None and self._now_ms - since >= options.flush_ms)
            or (len(self.segments) > 1 and not self.segments[-2].sealed)
            or self._is_idle()
        )

    @property
    def _is_blank(self) -> bool:
        """It has no folder, and nothing for one."""
        return not self._is_made and not self._accepted.size

    def _wake_syncer(self) -> None:
        if self._syncing or self._failure is not None or self._is_blank:
            return
        if self._doomed or self._state_changed or not self._may_write or self._sync_is_due():
            self._syncing = True
            self._strands.sync.submit(SyncWork(self, self._folder))

    def begin_sync(self, work: SyncWork) -> bool:
        """Give a sync work what is due; False if the log has failed. For `SyncWork`."""
        if self._failure is not None:
            self._syncing = False
            return False
        if work.closing or self._written.offset > self._synced.offset:
            work.tasks = self._sync_tasks(self._written.offset, closing=work.closing)
        work.mark = self._written
        if self._state_changed or not self._may_write:
            work.state = self.state.copy()
            work.makes_folder = not self._is_made
            self._state_changed = False
        work.removed = [segment.base for segment in self._doomed]
        self._doomed.clear()
        return True

    def end_sync(self, work: SyncWork, error: Exception | None) -> None:
        """Take note of what a sync work did. For `SyncWork`."""
        self._syncing = False
        if error is not None:
            self._fail("syncing", error)
            return
        self._is_made |= work.makes_folder
        if work.state is not None:
            # What was noted while the work was under way is saved by the next one.
            saved, state = work.state, self.state
            self._may_write = (saved.has_producers, saved.epoch_last) == (
                state.has_producers,
                state.epoch_last,
            )
            self.swap_noted = work.state.swap
            # A state that was on its way for another reason may still speak of the swap before.
            if self.swap_noted is not None and self.swap_noted == self.state.swap:
                assert self._compactor is not None, "nobody else swaps"
                self._compactor.swap_is_noted()
        self._note_synced(work.tasks, work.mark)
        self._wake_syncer()
        self._wake_writer()

    def _sync_tasks(self, offset: int, *, closing: bool = False) -> list[SyncTask]:
        """What makes everything below `offset` durable, segment by segment, oldest first."""
        tasks = []
        last = self.segments[-1]
        for segment in self.segments:
            if segment.sealed or not segment.size or segment.base >= offset:
                continue
            seals = (segment is not last or closing) and segment.offset_next <= offset
            entries = segment.index.covered(offset)
            if not seals and len(entries) < INDEX_SAVE_MIN:
                entries = []
            final = segment.end_entry(final=True) if seals else None
            ending = self._endings.get(segment) if seals else None
            if seals and segment is last and self.state.has_producers:
                ending = picture(segment, self._producers)
            tasks.append(SyncTask(segment, segment.index.saved, entries, final, ending))
        return tasks

    def _note_synced(self, tasks: list[SyncTask], mark: Mark) -> None:
        for task in tasks:
            task.segment.index.mark_saved(len(task.entries), finals=task.final is not None)
            if task.final is not None and task.segment.offset_next == task.final.last_offset + 1:
                task.segment.sealed = True
                self._endings.pop(task.segment, None)
        if mark.offset > self._synced.offset:
            self._synced = mark
            self._unsynced_since_ms = self._now_ms if self._accepted.offset > mark.offset else None
            self._listener.synced(mark.ticket)

    def _fail(self, action: str, error: Exception) -> None:
        if self._failure is None:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self._failure = f"{action} the log {self._folder.folder} failed: {reason}"
            self._listener.failed(self._failure)
            if self._compactor is not None:
                self._compactor.give_up()

    # --- reading -------------------------------------------------------------------------------------------

    def read(self, offset: int, size_max: int, ticket: int, *, offset_end: int | None = None) -> Slice | None:
        """Whole batches from the one that holds `offset`, up to `size_max` bytes but at least one.

        Empty at the end. None: it is not in memory, a load was started, and `loaded` or `load_failed` will
        answer. Nothing at or beyond `offset_end` is returned (default: `committed`; a reader that may see
        what is not yet durable passes `offsets().accepted`). Raises OffsetOutOfRange.
        """
        start, accepted = self.state.start, self._accepted.offset
        end = self.committed if offset_end is None else offset_end
        if not start <= offset <= accepted:
            raise OffsetOutOfRange(offset, start, accepted)
        if offset >= min(end, accepted):
            return empty_slice(offset)
        hot = self._tail.read(offset, size_max, end)
        if hot is None:
            segment, offset = self._segment_of(offset)
            place = self._place(segment, offset)
            self._strands.read.submit(
                ReadWork(
                    self,
                    self._folder,
                    segment,
                    place,
                    offset=offset,
                    size_max=size_max,
                    offset_end=end,
                    ticket=ticket,
                )
            )
        return hot

    def end_read(self, work: ReadWork, error: Exception | None) -> None:
        """Answer a read of cold data. For `ReadWork`."""
        if error is not None:
            self._answer_failed(work.ticket, work.offset, error)
            return
        found, position = work.found
        if found.size:
            self._hints[found.offset_next] = (work.segment, position)
            if len(self._hints) > HINTS_MAX:
                del self._hints[next(iter(self._hints))]
        self._listener.loaded(work.ticket, found)

    def _answer_failed(self, ticket: int, offset: int, error: Exception) -> None:
        start = self.state.start
        if isinstance(error, FileNotFoundError) and offset < start:
            error = OffsetOutOfRange(offset, start, self._accepted.offset)
        self._listener.load_failed(ticket, error)

    def _segment_of(self, offset: int) -> tuple[Segment, int]:
        """The segment that holds an offset or, if it is in a gap, what follows the gap."""
        index = bisect_right(self.segments, offset, key=_base) - 1
        segment = self.segments[index]
        if offset >= segment.offset_next and index + 1 < len(self.segments):
            segment = self.segments[index + 1]
            offset = segment.base
        return segment, offset

    def _place(self, segment: Segment, offset: int) -> Place:
        hint = self._hints.pop(offset, None)
        if hint is not None and hint[0] is segment:
            position = hint[1]
        else:
            near = segment.index.near_offset(offset)
            position = -1 if near is None else near.position
        return Place(segment.base, position, segment.index.saved, segment.written)

    def aborted_between(self, offset_first: int, offset_next: int) -> list[Aborted]:
        """Transactions that were aborted and have records there, in the order of their markers.

        Below `last_stable`. A reader leaves out the records of each producer from the transaction's first
        offset to its marker.
        """
        found = []
        index = max(0, bisect_right(self.segments, offset_first, key=_base) - 1)
        for segment in self.segments[index:]:
            for aborted in segment.aborted.ending_from(offset_first):
                if aborted.offset_first < offset_next:
                    found.append(aborted)
                if aborted.last_stable >= offset_next:
                    return found
        return found

    def find_time(self, timestamp_ms: int, ticket: int) -> int | None:
        """First offset of the first batch with a record not older than that; NOT_FOUND if there is none.

        None: `found` or `load_failed` will answer. To find the record, open the batch.
        """
        places = []
        for segment in self.segments:
            if segment.max_timestamp >= timestamp_ms and segment.written:
                near = segment.index.near_time(timestamp_ms)
                position = -1 if near is None else near.position
                places.append(Place(segment.base, position, segment.index.saved, segment.written))
        if not places:
            return NOT_FOUND
        self._strands.read.submit(
            TimeWork(
                self,
                self._folder,
                places,
                timestamp_ms=timestamp_ms,
                offset_min=self.state.start,
                ticket=ticket,
            )
        )
        return None

    def end_find_time(self, work: TimeWork, error: Exception | None) -> None:
        """Answer a search by time. For `TimeWork`."""
        if error is not None:
            self._answer_failed(work.ticket, work.offset_min, error)
        elif work.found is None or work.found >= self.committed:
            self._listener.found(work.ticket, NOT_FOUND)
        else:
            self._listener.found(work.ticket, max(work.found, self.state.start))

    # --- removing ------------------------------------------------------------------------------------------

    def trim(self, offset: int) -> None:
        """Let the log begin at `offset`, if it begins before; whole segments below are removed.

        The new start is durable before anything is removed. Raises OffsetOutOfRange beyond `committed`.
        """
        if offset <= self.state.start:
            return
        if offset > self.committed:
            raise OffsetOutOfRange(offset, self.state.start, self.committed)
        self.state.trim(offset)
        self._state_changed = True
        self._drop_trimmed()
        self._wake_syncer()

    def _drop_trimmed(self) -> None:
        """Remove segments below the start; while a new one is on its way to its place they stay."""
        if self._compactor is not None and self._compactor.swapping is not None:
            return
        offset = self.state.start
        while len(self.segments) > 1 and self.segments[1].base <= offset:
            segment = self.segments.pop(0)
            self._doomed.append(segment)
            self._endings.pop(segment, None)

    def retain(self, now_ms: int) -> int:
        """Remove segments that `retention_ms` or `retention_bytes` no longer keep; return how many.

        The last segment goes only when all its records are too old; then a new one takes its place.
        """
        self._now_ms = now_ms
        segments = self.segments
        by_time = expired_by_time(segments, now_ms=now_ms, retention_ms=self.options.retention_ms)
        count = max(by_time, expired_by_size(segments, retention_bytes=self.options.retention_bytes))
        if count == len(segments):
            if self.committed == self._accepted.offset and self._failure is None:
                self._roll(self._accepted.offset)
                self._wake_writer()
            else:
                count -= 1
        while count and segments[count].base > self.committed:
            count -= 1
        if count:
            self.trim(segments[count].base)
        return count

    def truncate(self, offset: int) -> None:
        """Remove every batch that reaches to `offset` or beyond. Blocks; for recovery, before any append.

        Raises OffsetOutOfRange below the start; no effect at the end or beyond.
        """
        start = self.state.start
        if offset < start:
            raise OffsetOutOfRange(offset, start, self._accepted.offset)
        if offset >= self._accepted.offset:
            return
        assert not self.busy, f"{self!r} is being written or synced"
        assert not self._steps, f"{self!r} has unwritten records"
        epoch = self.state.epoch_last
        self._producers = log_recovery.truncate(
            self._folder,
            self.segments,
            self.state,
            offset,
            interval_bytes=self.options.index_interval_bytes,
            now_ms=self._now_ms,
        )
        self._tail.clear()
        self._hints.clear()
        self._accepted = Mark(self.segments[-1].offset_next, 0, 0)
        self._written = self._accepted
        self._synced = self._accepted
        if self.state.epoch_last < epoch:
            self.state.begin_epoch(epoch, self._accepted.offset)
            self._may_write = False

    def doubt(self) -> None:
        """Begin a leader epoch if none has begun since the opening, before anything comes: what was written,
        not synced, and read by clients may have gone without a trace, also where the log looks closed."""
        if self._is_made and self._failure is None and not (self._is_in_doubt or self._accepted.size):
            self._begin_epoch(bump=True)

    def _begin_epoch(self, *, bump: bool) -> None:
        last = self.state.epoch_last
        self._is_in_doubt = bump
        if bump or last < 0:
            self.state.begin_epoch(last + 1, self._accepted.offset)
            self._may_write = False

    # --- compaction ----------------------------------------------------------------------------------------

    def compact(self) -> None:
        """Begin a pass of compaction if one is due; it goes on in slices, and segments change as it comes on.

        `tick` does so for logs with the option `compact`.
        """
        if self._failure is None:
            if self._compactor is None:
                self._compactor = Compactor(self, self._folder, self._strands.read)
            self._compactor.begin(self._now_ms)

    def stop_compacting(self) -> None:
        """Let a pass end early, since the log is to be closed."""
        if self._compactor is not None:
            self._compactor.stop()

    def begin_swap(self, cleaned: Cleaned) -> bool:
        """Have the state say that this segment takes the place of others; False: they are not there any more,
        or nothing can be saved. For `Compactor`."""
        old = self._replaced(cleaned)
        place = cleaned.segment.base, cleaned.offset_next
        if self._failure is not None or not old or (old[0].base, old[-1].offset_next) != place:
            return False
        self.state.note_swap(*place)
        self._state_changed = True
        self._wake_syncer()
        return True

    def replace_segments(self, cleaned: Cleaned) -> list[int]:
        """From here on the new segment is the log's; return the others that it was made of."""
        old = self._replaced(cleaned)
        new = cleaned.segment
        new.created_ms, new.appended_ms = old[0].created_ms, old[-1].appended_ms
        index = self.segments.index(old[0])
        self.segments[index : index + len(old)] = [new]
        self._tail.drop_below(cleaned.offset_next)
        return [segment.base for segment in old[1:]]

    def _replaced(self, cleaned: Cleaned) -> list[Segment]:
        base, end = cleaned.segment.base, cleaned.offset_next
        return [segment for segment in self.segments if base <= segment.base < end]

    def end_swap(self, error: Exception | None) -> None:
        """The new segment is in its place. For `Compactor`."""
        if error is not None:
            self._fail("compacting", error)
            return
        self.state.swap = None
        self._state_changed = True
        self._drop_trimmed()
        self._wake_syncer()

    def note_cleaned(self, offset: int) -> None:
        """A pass has come to here. For `Compactor`."""
        self.state.note_cleaned(offset)
        self._state_changed = True
        self._wake_syncer()

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write, sync and close everything, so that the next opening has nothing to read. Blocks; the strands
        must have done what they were given."""
        assert not self.busy, f"{self!r} is being written or synced"
        if self._is_blank:
            return
        if not self._may_write:
            self._run_sync(closing=False)
        if self._steps and self._failure is None:
            self._writing = True
            run_inline(WriteWork(self, self._folder))
        self._run_sync(closing=True)
        self._tail.clear()
        self._folder.close()

    def abandon(self) -> None:
        """Let go of everything; the log's files are about to be removed. The strands must have done what they
        were given."""
        assert not self.busy, f"{self!r} is being written or synced"
        self._tail.clear()
        self._folder.close()

    def _run_sync(self, *, closing: bool) -> None:
        if self._failure is None:
            self._syncing = True
            run_inline(SyncWork(self, self._folder, closing=closing))


def _base(segment: Segment) -> int:
    return segment.base
