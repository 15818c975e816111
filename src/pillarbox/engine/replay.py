"""What a data folder amounts to: the last good checkpoint, and the groups after it on top.

Purpose: `replay` reads a folder and returns a `Recovery` with all that a later writer must know. It changes
nothing; `repair` then makes the files agree with it (cuts the torn tail, syncs what was replayed). Not
here: checkpoints being written (`checkpoint`), messages being decoded (never, only targets and counts).

Rules: the next sequence of a queue is the highest seen in any fact or message, plus one. Facts are
idempotent, because a checkpoint is taken queue by queue while groups go on: messages below the sequence at
which a queue was taken are in the checkpoint already, deliveries only rise, settlements subtract from
whatever is there, and of what came back the last fact about each message counts. A queue whose definition
is gone has no state.

Cost: a few microseconds per record, memory per stored record and not per message. Settlements are
collected as intervals and subtracted in bulk; the pile is normalised whenever it has doubled.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from pillarbox.engine import facts, record
from pillarbox.engine.base import UID_KINDS, Location, QueueState, Recovery, ReturnedFact, StoredRun
from pillarbox.engine.checkpoint_file import (
    CheckpointReader,
    locations_of,
    read_last_checkpoint,
    stale_checkpoints,
    unpack_keys,
    unpack_runs,
)
from pillarbox.engine.returned import Returns, decode_returned
from pillarbox.store.batch import BatchError, value_spans
from pillarbox.store.files import Files, StoreError
from pillarbox.store.folder import BACKLOG, JOURNAL, segment_ids, segment_path
from pillarbox.store.journal import SegmentWalk, Walked

PILE_MAX = 65536
"""Settled intervals that a queue collects before they are normalised the first time."""


class Intervals:
    """A growing set of integers, given as ranges in any order; kept as sorted, disjoint intervals."""

    def __init__(self) -> None:
        self.starts = array("q")
        self.stops = array("q")
        self._limit = PILE_MAX

    def add(self, sequences: range) -> None:
        """Add a range. Cost: O(1) if it goes on where the last one ended, amortised O(log n) otherwise."""
        starts, stops = self.starts, self.stops
        if not sequences:
            return
        if sequences.step == 1:
            if stops and stops[-1] == sequences.start:
                stops[-1] = sequences.stop
                return
            starts.append(sequences.start)
            stops.append(sequences.stop)
        else:
            starts.extend(sequences)
            stops.extend(range(sequences.start + 1, sequences.stop + 1, sequences.step))
        if len(starts) > self._limit:
            self.normalise()
            self._limit = 2 * len(self.starts) + PILE_MAX

    def normalise(self) -> None:
        """Sort, and join what overlaps or touches."""
        starts, stops = array("q"), array("q")
        last = None
        for start, stop in sorted(zip(self.starts, self.stops, strict=True)):
            if last is None or start > last:
                starts.append(start)
                stops.append(stop)
                last = stop
            elif stop > last:
                stops[-1] = last = stop
        self.starts, self.stops = starts, stops

    def missing_from(self, sequences: range) -> Iterator[range]:
        """The parts of an ascending range that are not in the set, which must be normalised."""
        starts, stops = self.starts, self.stops
        step = sequences.step
        at = bisect_right(stops, sequences.start)
        while at < len(starts) and sequences:
            low, high = starts[at], stops[at]
            if low > sequences[-1]:
                break
            before = max(0, -(-(low - sequences.start) // step))
            if before:
                yield sequences[:before]
            sequences = sequences[max(before, -(-(high - sequences.start) // step)) :]
            at += 1
        if sequences:
            yield sequences


class _Queue:
    """One queue while it is being replayed."""

    __slots__ = (
        "delivered_through",
        "due",
        "due_below",
        "floor",
        "returns",
        "runs",
        "sequence_next",
        "settled",
    )

    def __init__(self, floor: int = 0, sequence_next: int = 0, delivered_through: int = -1) -> None:
        self.floor = floor
        """Messages below it are in the checkpoint, or were settled before it."""
        self.sequence_next = sequence_next
        self.delivered_through = delivered_through
        self.runs: list[tuple[range, Location, int, int]] = []
        self.settled: Intervals | None = None
        self.returns: Returns | None = None
        self.due: list[int] | None = None
        self.due_below = 0

    def seen(self, sequence: int) -> None:
        if sequence >= self.sequence_next:
            self.sequence_next = sequence + 1

    def state(self, uid: int) -> QueueState:
        """What is left: stored runs in order, body bytes shared out where a run was cut."""
        runs = [
            StoredRun(sequences, location, body_bytes, accepted_ms)
            for sequences, location, body_bytes, accepted_ms in self._left()
        ]
        runs.sort(key=_first_of)
        returned = self.returns.left(self._is_gone) if self.returns is not None else []
        return QueueState(
            uid, self.sequence_next, self.delivered_through, runs, returned, self.due, self.due_below
        )

    def came_back(self, fact: ReturnedFact) -> None:
        if self.returns is None:
            self.returns = Returns()
        elif self.settled is not None and self.returns.is_full:
            self.settled.normalise()
        self.seen(fact.sequences[-1])
        self.returns.add(fact, self._is_gone)

    def _is_gone(self, sequences: range) -> bool:
        """Is nothing of this range left? Settlements must be normalised."""
        return self.settled is not None and next(self.settled.missing_from(sequences), None) is None

    def _left(self) -> Iterator[tuple[range, Location, int, int]]:
        if self.settled is None:
            yield from self.runs
            return
        self.settled.normalise()
        for run in self.runs:
            sequences, location, body_bytes, accepted_ms = run
            for part in self.settled.missing_from(sequences):
                yield part, location, body_bytes * len(part) // len(sequences), accepted_ms


def _first_of(run: StoredRun) -> int:
    return run.sequences.start


class Replayed(NamedTuple):
    """A recovery and what its writer has to go on with."""

    recovery: Recovery
    checkpoint: CheckpointReader | None
    offset_next: int
    """Base offset of the next group."""
    segment_next: int
    """An id beyond that of any segment seen."""
    segments: dict[int, int]
    """Journal segments that were replayed, and where their last group ends."""
    records: int
    bytes: int


class Replay:
    """Replays one folder; `run` does it all."""

    def __init__(self, files: Files, folder: str, barrier: int) -> None:
        self._files = files
        self._folder = folder
        self._barrier = barrier
        self._queues: dict[int, _Queue] = {}
        self._definitions: dict[tuple[str, str], bytes] = {}
        self._warnings: list[str] = []
        self._uid_last = 0
        self._offset = 0
        self._ends: dict[int, int] = {}
        self._records = 0
        self._bytes = 0

    def run(self) -> Replayed:
        """Read everything; StoreError in words if confirmed data is missing or damaged."""
        checkpoint = read_last_checkpoint(self._files, self._folder, self._warnings)
        first = 0
        if checkpoint is not None:
            first = checkpoint.segment
            self._start_from(checkpoint)
        present = segment_ids(self._files, self._folder, JOURNAL)
        segments = [segment for segment in present if segment >= first]
        self._replay_segments(segments)
        ids = [*present, *segment_ids(self._files, self._folder, BACKLOG), first - 1]
        defined = {int(key) for kind, key in self._definitions if kind in UID_KINDS}
        queues = {uid: queue.state(uid) for uid, queue in self._queues.items() if uid in defined}
        recovery = Recovery(self._definitions, queues, self._warnings, self._uid_last)
        return Replayed(
            recovery, checkpoint, self._offset, max(ids) + 1, self._ends, self._records, self._bytes
        )

    # --- the checkpoint ----------------------------------------------------------------------------

    def _start_from(self, checkpoint: CheckpointReader) -> None:
        self._offset = checkpoint.offset
        self._definitions = {(kind, key): value for kind, key, value in checkpoint.definitions()}
        locations = locations_of(checkpoint.locations())
        self._check_backlog(locations, checkpoint.segment)
        for uid, sequence_next, delivered_through, packed in checkpoint.queues():
            queue = self._queues.get(uid)
            if queue is None:
                queue = self._queues[uid] = _Queue(sequence_next, sequence_next, delivered_through)
            runs = queue.runs
            for sequences, index, body_bytes, accepted_ms in unpack_runs(packed):
                location = locations[index]
                if runs:
                    last, last_location, last_bytes, last_ms = runs[-1]
                    if (
                        last_location is location
                        and last.stop == sequences.start
                        and sequences.step == last.step == 1
                    ):
                        joined = range(last.start, sequences.stop)
                        runs[-1] = (joined, location, last_bytes + body_bytes, last_ms)
                        continue
                runs.append((sequences, location, body_bytes, accepted_ms))
        for fact in checkpoint.returned():
            self._queue(fact.uid).came_back(fact)
        for uid, below, packed in checkpoint.due():
            queue = self._queue(uid)
            if queue.due is None:
                queue.due = []
            queue.due += unpack_keys(packed)
            queue.due_below = below

    def _check_backlog(self, locations: list[Location], first: int) -> None:
        """Every backlog segment that the checkpoint names must be there and long enough."""
        ends: dict[int, int] = {}
        for location in locations:
            end = location.position + location.size
            if end > ends.get(location.segment, 0):
                ends[location.segment] = end
        for segment, end in ends.items():
            kind = JOURNAL if segment >= first and self._is_journal(segment) else BACKLOG
            path = segment_path(self._folder, kind, segment)
            if not self._files.exists(path):
                raise StoreError(f"{path} is missing, and unsettled messages rest in it")
            handle = self._files.open(path)
            size = self._files.size(handle)
            self._files.close(handle)
            if size < end:
                raise StoreError(f"{path} ends at byte {size}, and unsettled messages rest up to byte {end}")

    def _is_journal(self, segment: int) -> bool:
        return self._files.exists(segment_path(self._folder, JOURNAL, segment))

    # --- the journal -------------------------------------------------------------------------------

    def _replay_segments(self, segments: list[int]) -> None:
        for place, segment in enumerate(segments):
            walk = SegmentWalk(self._files, segment_path(self._folder, JOURNAL, segment))
            try:
                trouble = self._replay_segment(walk, segment)
                self._ends[segment] = walk.end
                if trouble is None:
                    continue
                self._refuse_damage(walk, segments[place + 1 :], trouble)
                self._warn_of_cut(walk, segments[place + 1 :], trouble)
                return
            finally:
                walk.close()

    def _replay_segment(self, walk: SegmentWalk, segment: int) -> str | None:
        """Apply the groups of a segment; return why that stopped early, if it did."""
        for group in walk:
            if group.header.base_offset != self._offset:
                walk.end = group.position
                return f"group {self._offset} is missing before group {group.header.base_offset}"
            try:
                self._apply(group, segment)
            except (BatchError, StoreError) as error:
                # Its checksum holds, so these bytes are what was written: nothing a power cut can do.
                raise StoreError(f"{walk.path} at byte {group.position}: {error}") from error
            self._offset = group.header.next_offset
            self._bytes += group.header.size
        return walk.trouble

    def _refuse_damage(self, walk: SegmentWalk, later: list[int], trouble: str) -> None:
        """StoreError if something was synced after the place where replay had to stop."""
        barrier = self._barrier
        damaged = walk.has_barrier_after(walk.end, self._offset, barrier)
        for segment in later:
            other = SegmentWalk(self._files, segment_path(self._folder, JOURNAL, segment))
            damaged = damaged or other.has_barrier_after(0, self._offset, barrier)
            other.close()
        if damaged:
            raise StoreError(
                f"{walk.path} is damaged at byte {walk.end} ({trouble}), and confirmed groups follow; "
                f"nothing was changed: restore the folder from a copy"
            )

    def _warn_of_cut(self, walk: SegmentWalk, later: list[int], trouble: str) -> None:
        lost = walk.size - walk.end
        for other in later:
            handle = self._files.open(segment_path(self._folder, JOURNAL, other))
            lost += self._files.size(handle)
            self._files.close(handle)
        self._warnings.append(
            f"the journal ends in the middle of a write that was never confirmed ({trouble}): "
            f"cut {lost} bytes from byte {walk.end} of {walk.path}"
        )

    def _apply(self, group: Walked, segment: int) -> None:
        """One group: definitions, messages, delivered, returned, settled, in this order."""
        data = group.data
        spans = value_spans(data, group.start, group.header)
        shift = group.position - group.start
        self._records += len(spans)
        for key, start, stop in spans:
            if key == facts.DEFINITION:
                self._define(data[start:stop])
        for key, start, stop in spans:
            if key == facts.MESSAGES:
                self._enter(data, start, stop, segment, start + shift)
            elif key not in _KINDS:
                raise StoreError(f"a fact of an unknown kind {key!r}; it was written by a newer version")
        for key, start, stop in spans:
            if key == facts.DELIVERED:
                for uid, sequence in facts.decode_delivered(data[start:stop]):
                    queue = self._queue(uid)
                    queue.seen(sequence)
                    queue.delivered_through = max(queue.delivered_through, sequence)
            elif key == facts.RETURNED:
                for fact in decode_returned(data[start:stop]):
                    self._queue(fact.uid).came_back(fact)
            elif key == facts.SETTLED:
                for uid, ranges in facts.decode_settled(data[start:stop]):
                    self._settle(self._queue(uid), ranges)

    def _queue(self, uid: int) -> _Queue:
        queue = self._queues.get(uid)
        if queue is None:
            queue = self._queues[uid] = _Queue()
        return queue

    def _define(self, value: bytes) -> None:
        fact = facts.decode_definition(value)
        uid = int(fact.key) if fact.kind in UID_KINDS else None
        if uid is not None:
            self._uid_last = max(self._uid_last, uid)
        if fact.value is not None:
            self._definitions[fact.kind, fact.key] = fact.value
            if uid is not None:
                self._queue(uid)
            return
        self._definitions.pop((fact.kind, fact.key), None)
        if uid is not None:
            self._queues.pop(uid, None)

    def _enter(self, data: bytes, start: int, stop: int, segment: int, position: int) -> None:
        head = record.read_head(data, start)
        if head.size != stop - start:
            raise StoreError(f"a stored record says {head.size} bytes and has {stop - start}")
        location = Location(segment, position, head.size, head.messages)
        for target in record.read_targets(data, head, start):
            queue = self._queue(target.uid)
            first = target.sequence_first
            last = first + target.message_count
            queue.seen(last - 1)
            if first < queue.floor:
                first = min(queue.floor, last)
            if first == last:
                continue
            body_bytes = head.body_bytes
            if last - first != head.messages:
                body_bytes = body_bytes * (last - first) // head.messages
            queue.runs.append((range(first, last), location, body_bytes, head.accepted_ms))

    def _settle(self, queue: _Queue, ranges: list[range]) -> None:
        settled = queue.settled
        if settled is None:
            settled = queue.settled = Intervals()
        for sequences in ranges:
            if sequences:
                settled.add(sequences)
                queue.seen(sequences[-1])


_KINDS = frozenset((facts.DEFINITION, facts.MESSAGES, facts.DELIVERED, facts.RETURNED, facts.SETTLED))


def repair(files: Files, folder: str, replayed: Replayed) -> None:
    """Make the files agree with what was replayed, so that a writer may go on behind it.

    Later segments go first, then the tail: a power cut in between leaves a folder that replays to the same
    state. What was replayed is synced, because what follows will be built on it. Checkpoints that a crash has
    left go before anything that only they need: one of them, without it, is an old state that looks whole.
    """
    journal = os.path.join(folder, JOURNAL)
    present = segment_ids(files, folder, JOURNAL)
    first = replayed.checkpoint.segment if replayed.checkpoint is not None else 0
    number = replayed.checkpoint.number if replayed.checkpoint is not None else 0
    stale = stale_checkpoints(files, folder, number)
    for path in stale:
        files.remove(path)
    if stale:
        files.sync_folder(folder)
    behind_the_tear = [
        segment for segment in present if segment >= first and segment not in replayed.segments
    ]
    for segment in reversed(behind_the_tear):
        files.remove(segment_path(folder, JOURNAL, segment))
        files.sync_folder(journal)
    for segment, end in replayed.segments.items():
        handle = files.open(segment_path(folder, JOURNAL, segment), write=True)
        # What is beyond is the torn tail, or space that was reserved and never used.
        if files.size(handle) > end:
            files.truncate(handle, end)
        files.sync(handle)
        files.close(handle)
    for segment in [segment for segment in present if segment < first]:
        files.remove(segment_path(folder, JOURNAL, segment))
    _remove_orphans(files, folder, replayed)
    files.sync_folder(journal)


def _remove_orphans(files: Files, folder: str, replayed: Replayed) -> None:
    """Backlog segments of a checkpoint that was never finished: nothing refers to them."""
    used: set[int] = set()
    if replayed.checkpoint is not None:
        used = {segment for segment, _, _, _ in replayed.checkpoint.locations()}
    orphans = [segment for segment in segment_ids(files, folder, BACKLOG) if segment not in used]
    for segment in orphans:
        files.remove(segment_path(folder, BACKLOG, segment))
    if orphans:
        files.sync_folder(os.path.join(folder, BACKLOG))
