"""Making a checkpoint while the broker goes on.

Stages of `Checkpoint`, one after another:

1. The journal goes on in a new segment N. Replay will start there, so everything older has to be said by
   the checkpoint: definitions now, queues one by one in slices on the domain's thread (`Survey`).
2. When every group that was appended before the survey ended is on the medium, records that rest in
   journal segments before N, or in backlog segments that are hardly live, are copied into one new backlog
   segment (`Copier`), which is synced. Not earlier: the segments may not be written yet, and the survey may
   show half of a group, whose other half only the journal has.
3. The checkpoint file is written, synced and renamed into place.
4. Locations are changed and merged records told.
5. The old checkpoint is removed, and then, with its name gone for good, segments that nobody needs; those
   that a load in flight still reads go when it is done.

All of it is driven as units of work on the domain's thread, a few per turn, with reads, writes and syncs
as jobs in a background thread.

A failure before the rename leaves everything as it was, and the checkpoint is tried again after another
interval. One after the rename means that nobody knows which checkpoint a restart would find, so the engine
reports `failed`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Protocol

from pillarbox.engine.base import Location, QueueState, Snapshot
from pillarbox.engine.checkpoint_file import (
    SECTION_KEYS,
    CheckpointFile,
    CheckpointWriter,
    LocationRow,
    QueueRow,
    checkpoint_numbers,
    checkpoint_path,
    pack_keys,
    sections_of,
)
from pillarbox.engine.compaction import WRITE_BYTES, Copier, Steps, Survey, choose_segments, rest
from pillarbox.engine.schedulers import Scheduler
from pillarbox.store.files import ROOM_BYTES, Files, StoreError
from pillarbox.store.folder import BACKLOG, JOURNAL, segment_ids, segment_path

SLICE_RUNS = 100
"""Runs surveyed, or locations changed, in one unit: about 0.2 ms."""
SLICE_QUEUES = 20
"""Queues surveyed in one unit: making a state costs a queue some microseconds even when it is empty."""
SPARE_BYTES = 16 << 20
"""Free space that a checkpoint leaves to the journal, which cannot wait; without that it is given up. Where
less than `ROOM_BYTES` would be left, segments that need not be copied are not."""
COPIES_PER_TURN = 20
"""Records copied in one turn: about 0.2 ms."""


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

    def rests(self, resting: dict[int, tuple[int, int]]) -> None:
        """Say of how many messages and bytes of each queue the checkpoint knows, where they are many."""

    def urgency(self) -> int:
        """How many times the usual work a turn should do: 1, and more when the next checkpoint is due."""

    def remove_segment(self, kind: str, segment: int) -> None:
        """Remove a segment file as soon as no load in flight needs it."""


class Checkpoint:
    """One checkpoint from beginning to end; see the module."""

    def __init__(self, host: Host, files: Files, folder: str, scheduler: Scheduler, number: int) -> None:
        self._host = host
        self._files = files
        self._folder = folder
        self._scheduler = scheduler
        self._number = number
        self._survey = Survey()
        self._uid = -1
        self._sequence_next = 0
        self._delivered_through = -1
        self._copier: Copier | None = None
        self._sizes: dict[int, int] = {}
        self._free_bytes = 0
        self._garbage: list[tuple[str, int]] = []
        self._writer = CheckpointWriter(files, folder, number)
        self._steps: Steps = iter(())
        self._units = 1
        self._then: Callable[[], None] = self._ended

    def start(self, snapshot: Snapshot) -> None:
        self._segment, self._offset = self._host.rotate()
        self._backlog = _Backlog(self._files, self._folder, self._host.new_segment())
        self._definitions = snapshot.definitions()
        self._drive(self._survey_steps(iter(snapshot.queues())), 1, self._surveyed)

    # --- driving -----------------------------------------------------------------------------------

    def _drive(self, steps: Steps, units: int, then: Callable[[], None]) -> None:
        """Take so many steps a turn until they end, doing the jobs in between elsewhere."""
        self._steps, self._units, self._then = steps, units, then
        self._scheduler.call_soon(self._turn)

    def _turn(self) -> None:
        try:
            for _ in range(self._units * self._host.urgency()):
                job = next(self._steps)
                if job is rest:
                    break
                if job is not None:
                    self._scheduler.run_in_thread(job, self._job_done, background=True)
                    return
        except StopIteration:
            self._then()
        except BaseException as error:
            self._failed(error)
        else:
            self._scheduler.call_soon(self._turn)

    def _job_done(self, result: object) -> None:
        if isinstance(result, BaseException):
            self._failed(result)
        else:
            self._turn()

    # --- 1. survey ---------------------------------------------------------------------------------

    def _survey_steps(self, states: Iterator[QueueState]) -> Steps:
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
            self._survey.returned += state.returned
            yield from self._survey_due(state)
            for first in range(0, len(runs), SLICE_RUNS):
                self._survey.add_runs(state.uid, runs[first : first + SLICE_RUNS])
                yield None
            if count % SLICE_QUEUES == 0:
                yield None
        self._end_queue()

    def _survey_due(self, state: QueueState) -> Steps:
        if state.due is not None:
            for first in range(0, max(1, len(state.due)), SECTION_KEYS):
                packed = pack_keys(state.due[first : first + SECTION_KEYS])
                self._survey.due.append((state.uid, state.due_below, packed))
                yield None

    def _end_queue(self) -> None:
        if self._uid >= 0:
            self._survey.end_queue(self._uid, self._sequence_next, self._delivered_through)
        self._delivered_through = -1

    def _surveyed(self) -> None:
        # Not before: what the survey has seen may still be on its way to the file that is copied from.
        self._host.when_durable(self._on_durable)

    def _on_durable(self) -> None:
        self._drive(self._copy_steps(), COPIES_PER_TURN, self._copied)

    # --- 2. copy -----------------------------------------------------------------------------------

    def _copy_steps(self) -> Steps:
        yield self._find_sizes
        sizes, live_bytes = self._sizes, self._survey.live_bytes
        chosen = choose_segments(live_bytes, sizes)
        if sum([live_bytes[segment] for segment in chosen]) > self._free_bytes - ROOM_BYTES:
            chosen = set()
        self._copier = Copier(
            self._survey,
            lambda segment: segment in chosen or (segment < self._segment and segment not in sizes),
            self._backlog.read,
            self._backlog.write,
        )
        if self._copier.needed:
            size = sum([live_bytes[segment] for segment in self._copier.segments])
            if size > self._free_bytes - SPARE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield self._backlog.open
            yield from self._copier.steps()
            yield self._backlog.finish

    def _find_sizes(self) -> None:
        self._free_bytes = self._files.free_bytes(self._folder)
        for segment in segment_ids(self._files, self._folder, BACKLOG):
            handle = self._files.open(segment_path(self._folder, BACKLOG, segment))
            self._sizes[segment] = self._files.size(handle)
            self._files.close(handle)

    def _copied(self) -> None:
        self._drive(self._write_steps(), 1, self._written)

    # --- 3. write ----------------------------------------------------------------------------------

    def _write_steps(self) -> Steps:
        checkpoint = CheckpointFile(
            self._number,
            self._segment,
            self._offset,
            self._definitions,
            self._location_rows(),
            self._queue_rows(),
            self._survey.returned,
            self._survey.due,
        )
        writer = self._writer
        yield writer.open
        chunks: list[bytes] = []
        size = 0
        for section in sections_of(checkpoint):
            chunks.append(section)
            size += len(section)
            if size >= WRITE_BYTES:
                full, chunks, size = chunks, [], 0
                yield lambda full=full: writer.write(full)  # type: ignore[misc]
            else:
                yield None
        yield lambda: writer.write(chunks)
        yield writer.finish

    def _location_rows(self) -> Iterator[LocationRow]:
        survey = self._survey
        sizes, positions, messages = survey.new_sizes, survey.new_positions, survey.new_messages
        segment = self._backlog.segment
        for record, location in enumerate(survey.locations):
            if sizes[record]:
                yield segment, positions[record], sizes[record], messages[record]
            else:
                yield location.segment, location.position, location.size, location.messages

    def _queue_rows(self) -> Iterator[QueueRow]:
        for uid, sequence_next, delivered_through, pieces in self._survey.rows:
            for packed in pieces or [b""]:
                yield uid, sequence_next, delivered_through, packed

    def _written(self) -> None:
        self._drive(self._relocate_steps(), 1, self._relocated)

    # --- 4. relocate -------------------------------------------------------------------------------

    def _relocate_steps(self) -> Steps:
        survey, segment = self._survey, self._backlog.segment
        for count, record in enumerate(survey.moves, 1):
            for location in (survey.locations[record], *survey.aliases.get(record, ())):
                location.segment = segment
                location.position = survey.new_positions[record]
                location.size = survey.new_sizes[record]
                location.messages = survey.new_messages[record]
            if count % SLICE_RUNS == 0:
                yield None
        assert self._copier is not None
        for merge in self._copier.merges:
            sequences = range(merge.sequence_first, merge.sequence_last + 1)
            self._host.merged(merge.uid, sequences, survey.locations[merge.record])
            yield None

    def _relocated(self) -> None:
        assert self._copier is not None
        used = set(self._survey.live_bytes) - self._copier.segments
        if self._survey.moves:
            used.add(self._backlog.segment)
        self._drive(self._clean_up_steps(used), 1, self._ended)

    # --- 5. clean up -------------------------------------------------------------------------------

    def _clean_up_steps(self, used: set[int]) -> Steps:
        yield self._remove_older
        yield lambda: self._find_garbage(used)
        for kind, segment in self._garbage:
            self._host.remove_segment(kind, segment)
        yield from self._survey.free_steps()

    def _remove_older(self) -> None:
        """Remove older checkpoints for good, before anything that they need."""
        for number in checkpoint_numbers(self._files, self._folder):
            if number < self._number:
                self._files.remove(checkpoint_path(self._folder, number))
        self._files.sync_folder(self._folder)

    def _find_garbage(self, used: set[int]) -> None:
        journal = segment_ids(self._files, self._folder, JOURNAL)
        backlog = segment_ids(self._files, self._folder, BACKLOG)
        self._garbage = [
            *[(JOURNAL, segment) for segment in journal if segment < self._segment],
            *[(BACKLOG, segment) for segment in backlog if segment not in used],
        ]

    # --- the end -----------------------------------------------------------------------------------

    def _ended(self) -> None:
        self._let_go()
        self._host.rests(self._survey.resting)
        self._host.checkpoint_ended(None, fatal=False)

    def _failed(self, error: BaseException) -> None:
        """Give up; what was half written is removed, unless the rename may have made it count."""
        self._let_go()
        if not self._writer.renamed:
            self._scheduler.run_in_thread(self._discard, lambda result: None, background=True)
        if not isinstance(error, OSError | StoreError):
            self._host.checkpoint_ended(f"a checkpoint failed: {error!r}", fatal=True)
            raise error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        damaged = isinstance(error, StoreError)
        self._host.checkpoint_ended(f"a checkpoint failed: {reason}", fatal=self._writer.renamed or damaged)

    def _let_go(self) -> None:
        """Break the cycles through what was to come next."""
        self._steps, self._then = iter(()), _nothing
        self._backlog.close_sources()

    def _discard(self) -> None:
        try:
            self._writer.discard()
        finally:
            self._backlog.discard()


def _nothing() -> None:
    pass


class _Backlog:
    """The new backlog segment, and the segments that it is made of. Every method blocks."""

    def __init__(self, files: Files, folder: str, segment: int) -> None:
        self.segment = segment
        self._files = files
        self._folder = folder
        self._path = segment_path(folder, BACKLOG, segment)
        self._handle = -1
        self._position = 0
        self._sources: dict[int, int] = {}

    def read(self, segment: int, position: int, size: int) -> bytes:
        handle = self._sources.get(segment)
        if handle is None:
            handle = self._sources[segment] = self._open_source(segment)
        return self._files.read(handle, position, size)

    def _open_source(self, segment: int) -> int:
        for kind in (BACKLOG, JOURNAL):
            path = segment_path(self._folder, kind, segment)
            if self._files.exists(path):
                return self._files.open(path)
        raise StoreError(f"segment {segment} is missing")

    def open(self) -> None:
        self._handle = self._files.open(self._path, create=True)
        self._files.truncate(self._handle, 0)

    def write(self, chunks: list[bytes | bytearray]) -> None:
        self._position += self._files.write(self._handle, self._position, chunks)

    def finish(self) -> None:
        """Contents and name are on the medium when this returns."""
        self._files.sync(self._handle)
        self._files.close(self._handle)
        self._handle = -1
        self._files.sync_folder(os.path.dirname(self._path))

    def close_sources(self) -> None:
        for handle in self._sources.values():
            self._files.close(handle)
        self._sources.clear()

    def discard(self) -> None:
        if self._handle >= 0:
            self._files.close(self._handle)
            self._handle = -1
        if self._files.exists(self._path):
            self._files.remove(self._path)
