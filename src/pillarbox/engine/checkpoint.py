"""Making a checkpoint while the broker goes on.

Steps, each a state of `Checkpoint`:

1. The journal goes on in a new segment N. Replay will start there, so everything older has to be said by
   the checkpoint: definitions now, queues one by one in slices on the domain's thread (`Survey`).
2. When every group that was appended before the survey ended is on the medium, records that rest in
   journal segments before N, or in backlog segments that are hardly live, are copied in a background
   thread into one new backlog segment (`Copier`), which is synced. Not earlier: the segments may not be
   written yet, and the survey may show half of a group, whose other half only the journal has.
3. The checkpoint file is written, synced and renamed into place.
4. On the domain's thread, in slices, locations are changed and merged records told.
5. In the background, the old checkpoint is removed, and then, with its name gone for good, segments that
   nobody needs; those that a load in flight still reads go when it is done.

A failure before the rename leaves everything as it was, and the checkpoint is tried again after another
interval. One after the rename means that nobody knows which checkpoint a restart would find, so the engine
reports `failed`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from pillarbox.engine.base import Location, QueueState, Snapshot
from pillarbox.engine.checkpoint_file import (
    CheckpointFile,
    QueueRow,
    checkpoint_numbers,
    checkpoint_path,
    write_checkpoint,
)
from pillarbox.engine.compaction import Copier, Merge, Move, Survey, choose_segments
from pillarbox.engine.schedulers import Scheduler
from pillarbox.store.files import Files, StoreError
from pillarbox.store.folder import BACKLOG, JOURNAL, segment_ids, segment_path
from pillarbox.store.readers import Readers

SLICE_RUNS = 200
"""Runs surveyed, or locations changed, in one slice on the domain's thread: about 0.3 ms."""
SLICE_QUEUES = 20
"""Queues surveyed in one slice: making a state costs a queue some microseconds even when it is empty."""
STEPS_PER_PAUSE = 16
"""Records copied between two pauses of the background thread: about 0.2 ms under the interpreter lock."""
WRITE_BYTES = 1 << 20


class Host(Protocol):
    """What a checkpoint needs of its engine."""

    def rotate(self) -> tuple[int, int]:
        """Go on in a new segment; return its id and the base offset of the next group."""

    def new_segment(self) -> int:
        """An unused segment id."""

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back when all that was appended so far is on the medium, whatever the durability."""

    def checkpoint_ended(self, error: str | None, *, fatal: bool) -> None:
        """The checkpoint is done, or was given up."""

    def merged(self, uid: int, sequences: range, location: Location) -> None: ...

    def remove_segment(self, kind: str, segment: int) -> None:
        """Remove a segment file as soon as no load in flight needs it."""


class _Copied(NamedTuple):
    segment: int
    moves: list[Move]
    merges: list[Merge]


class Checkpoint:
    """One checkpoint from beginning to end; see the module."""

    def __init__(
        self, host: Host, files: Files, folder: str, readers: Readers, scheduler: Scheduler, number: int
    ) -> None:
        self._host = host
        self._files = files
        self._folder = folder
        self._readers = readers
        self._scheduler = scheduler
        self._number = number
        self._survey = Survey()
        self._uid = -1
        self._sequence_next = 0
        self._delivered_through = -1
        self._copied: _Copied | None = None
        self._renamed = False

    def start(self, snapshot: Snapshot) -> None:
        self._segment, self._offset = self._host.rotate()
        self._backlog = self._host.new_segment()
        self._definitions = [(kind, key, value) for (kind, key), value in snapshot.definitions().items()]
        slices = self._survey_slices(iter(snapshot.queues()))
        self._run_slices(slices, self._surveyed)

    def _run_slices(self, slices: Iterator[None], done: Callable[[], None]) -> None:
        """Run one slice per turn of the domain's thread."""

        def run() -> None:
            try:
                next(slices)
            except StopIteration:
                done()
            except BaseException as error:
                self._failed(error)
            else:
                self._scheduler.call_soon(run)

        self._scheduler.call_soon(run)

    # --- 1. survey ---------------------------------------------------------------------------------

    def _survey_slices(self, states: Iterator[QueueState]) -> Iterator[None]:
        for count, state in enumerate(states, 1):
            runs = state.runs
            if state.uid != self._uid:
                self._end_queue()
                self._uid = state.uid
                self._sequence_next = state.sequence_next
            else:
                # A later piece: what was appended since the first one is replayed from the journal.
                runs = [run for run in runs if run.sequences.start < self._sequence_next]
            self._delivered_through = max(self._delivered_through, state.delivered_through)
            for first in range(0, len(runs), SLICE_RUNS):
                self._survey.add_runs(state.uid, runs[first : first + SLICE_RUNS])
                yield
            if count % SLICE_QUEUES == 0:
                yield
        self._end_queue()

    def _end_queue(self) -> None:
        if self._uid >= 0:
            self._survey.end_queue(self._uid, self._sequence_next, self._delivered_through)
        self._delivered_through = -1

    def _surveyed(self) -> None:
        # Not before: what the survey has seen may still be on its way to the file that is copied from.
        self._host.when_durable(self._on_durable)

    def _on_durable(self) -> None:
        self._scheduler.run_in_thread(self._copy, self._on_copied, background=True)

    # --- 2. copy -----------------------------------------------------------------------------------

    def _copy(self) -> _Copied:
        """In the background: write the new backlog segment."""
        survey = self._survey
        live_bytes = survey.live_bytes()
        sizes = {segment: self._size(segment) for segment in segment_ids(self._files, self._folder, BACKLOG)}
        chosen = choose_segments(live_bytes, sizes)
        writer = _SegmentWriter(self._files, self._folder, self._backlog)
        copier = Copier(
            survey,
            lambda segment: segment in chosen or (segment < self._segment and segment not in sizes),
            self._readers.read,
            writer.write,
        )
        if not copier.needed:
            return _Copied(self._backlog, [], [])
        writer.open()
        try:
            for step, _ in enumerate(copier.steps()):
                if step % STEPS_PER_PAUSE == 0:
                    self._scheduler.pause()
            writer.finish()
        finally:
            writer.close()
        return _Copied(self._backlog, copier.moves, copier.merges)

    def _size(self, segment: int) -> int:
        handle = self._files.open(segment_path(self._folder, BACKLOG, segment))
        try:
            return self._files.size(handle)
        finally:
            self._files.close(handle)

    def _on_copied(self, result: _Copied | BaseException) -> None:
        if isinstance(result, BaseException):
            self._failed(result)
            return
        self._copied = result
        self._scheduler.run_in_thread(self._write, self._on_written, background=True)

    # --- 3. write ----------------------------------------------------------------------------------

    def _write(self) -> None:
        """In the background: put the checkpoint in place."""
        assert self._copied is not None
        checkpoint = CheckpointFile(
            self._number,
            self._segment,
            self._offset,
            self._definitions,
            self._location_rows(self._copied),
            self._queue_rows(),
        )
        write_checkpoint(self._files, self._folder, checkpoint, self._scheduler.pause)
        self._renamed = True
        self._files.sync_folder(self._folder)

    def _location_rows(self, copied: _Copied) -> Iterator[tuple[int, int, int, int]]:
        moved = {move.record: move for move in copied.moves}
        for index, location in enumerate(self._survey.locations):
            move = moved.get(index)
            if move is None:
                yield location.segment, location.position, location.size, location.messages
            else:
                yield copied.segment, move.position, move.size, move.messages

    def _queue_rows(self) -> Iterator[QueueRow]:
        for uid, sequence_next, delivered_through, pieces in self._survey.rows:
            for packed in pieces or [b""]:
                yield uid, sequence_next, delivered_through, packed

    def _on_written(self, result: BaseException | None) -> None:
        if isinstance(result, BaseException):
            self._failed(result)
            return
        self._run_slices(self._relocate_slices(), self._relocated)

    # --- 4. relocate -------------------------------------------------------------------------------

    def _relocate_slices(self) -> Iterator[None]:
        assert self._copied is not None
        segment, moves, merges = self._copied
        locations, aliases = self._survey.locations, self._survey.aliases
        for count, move in enumerate(moves):
            for location in (locations[move.record], *aliases.get(move.record, ())):
                location.segment = segment
                location.position = move.position
                location.size = move.size
                location.messages = move.messages
            if count % SLICE_RUNS == SLICE_RUNS - 1:
                yield
        for count, merge in enumerate(merges):
            sequences = range(merge.sequence_first, merge.sequence_last + 1)
            self._host.merged(merge.uid, sequences, locations[merge.record])
            if count % SLICE_QUEUES == SLICE_QUEUES - 1:
                yield

    # --- 5. clean up -------------------------------------------------------------------------------

    def _relocated(self) -> None:
        used = {location.segment for location in self._survey.locations}
        first = self._segment
        # What follows needs neither; a large survey should not wait for the slow disk to be freed.
        self._survey = Survey()
        self._scheduler.run_in_thread(
            lambda: self._find_garbage(used, first), self._on_garbage, background=True
        )

    def _find_garbage(self, used: set[int], first: int) -> list[tuple[str, int]]:
        """In the background: remove older checkpoints for good, then list the segments nobody needs."""
        for number in checkpoint_numbers(self._files, self._folder):
            if number < self._number:
                self._files.remove(checkpoint_path(self._folder, number))
        self._files.sync_folder(self._folder)
        journal = segment_ids(self._files, self._folder, JOURNAL)
        backlog = segment_ids(self._files, self._folder, BACKLOG)
        return [
            *[(JOURNAL, segment) for segment in journal if segment < first],
            *[(BACKLOG, segment) for segment in backlog if segment not in used],
        ]

    def _on_garbage(self, result: list[tuple[str, int]] | BaseException) -> None:
        if isinstance(result, BaseException):
            self._failed(result)
            return
        for kind, segment in result:
            self._host.remove_segment(kind, segment)
        self._host.checkpoint_ended(None, fatal=False)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, OSError | StoreError):
            self._host.checkpoint_ended(f"a checkpoint failed: {error!r}", fatal=True)
            raise error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        damaged = isinstance(error, StoreError)
        self._host.checkpoint_ended(f"a checkpoint failed: {reason}", fatal=self._renamed or damaged)


class _SegmentWriter:
    """Appends records to a new backlog segment in large writes."""

    def __init__(self, files: Files, folder: str, segment: int) -> None:
        self._files = files
        self._path = segment_path(folder, BACKLOG, segment)
        self._handle = -1
        self._chunks: list[bytes | bytearray] = []
        self._size = 0
        self._position = 0
        self._finished = False

    def open(self) -> None:
        self._handle = self._files.open(self._path, create=True)
        # A checkpoint that was given up may have left a file of this name behind in its folder.
        self._files.truncate(self._handle, 0)

    def write(self, chunks: list[bytes | bytearray]) -> None:
        self._chunks += chunks
        self._size += sum(map(len, chunks))
        if self._size >= WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._position += self._files.write(self._handle, self._position, self._chunks)
        self._chunks = []
        self._size = 0

    def finish(self) -> None:
        """Contents and name are on the medium when this returns."""
        self._flush()
        self._files.sync(self._handle)
        self._files.sync_folder(os.path.dirname(self._path))
        self._finished = True

    def close(self) -> None:
        self._files.close(self._handle)
        if not self._finished:
            self._files.remove(self._path)
