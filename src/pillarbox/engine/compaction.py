"""Which stored records a checkpoint moves, and how: verbatim, slimmed or merged.

Three steps, which share nothing but plain data. `Survey` counts, run by run, what is still unsettled in
each record. `choose_segments` decides which backlog segments are worth rewriting. `Copier` writes every
live record of the chosen segments into one new backlog segment, queue after queue, so that a queue is read
back sequentially: verbatim, each once even if a hundred queues share it; with only its live messages, where
they are less than half; and small neighbours of one queue merged into one record.

Not here: when files are synced, swapped and removed (`checkpoint`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain as join
from typing import NamedTuple

from pillarbox.engine import facts
from pillarbox.engine.base import Location, StoredRun
from pillarbox.engine.checkpoint_file import pack_runs, unpack_runs
from pillarbox.engine.facts import Columns, Target

MERGE_MESSAGES_MAX = 1000
MERGE_BYTES_MAX = 1 << 20
"""A merged record is no larger than what one read brings in a few milliseconds, and one tick hands out."""
MERGE_BELOW_MESSAGES = 250
"""Records with more live messages stay as they are: merging four of them saves next to nothing."""

LIVE_SHARE_MIN = 0.25
"""Backlog segments with a smaller share of live bytes are copied forward: at most four times the live
bytes rest on disk, and a byte is copied about 1 / (1 - 0.25) times in its life."""
TIER_SEGMENTS = 8
TIER_BYTES = (1 << 20, 8 << 20, 64 << 20)
"""Eight segments of one size class are joined, as in a log-structured merge: one stuck message per
checkpoint would leave a file each otherwise."""
TARGETS_SHARE_MIN = 0.5
"""Records whose targets are mostly drained queues lose those targets when they are copied."""
TARGETS_FEW = 16
"""Fewer targets than that are never worth a rewrite: they take less than 400 bytes."""

POSITION_BITS = 40
"""A key is segment << 40 | position; segments are far smaller than a terabyte."""


class Survey:
    """What is unsettled, by record and by queue, as the checkpoint came to know it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, list[bytes]]] = []
        """uid, sequence_next, delivered_through, packed runs in pieces."""
        self.locations: list[Location] = []
        """One for each record; others that name the same record are in `aliases`."""
        self.aliases: dict[int, list[Location]] = {}
        self.live = array("q")
        """Unsettled messages of each record: the most that any single queue has."""
        self.users = array("q")
        """Queues that have unsettled messages in each record."""
        self._counted = array("q")
        self._last_uid = array("q")
        self._indexes: dict[int, int] = {}
        self._pieces: list[bytes] = []

    def add_runs(self, uid: int, runs: Sequence[StoredRun]) -> None:
        """Count some runs of the queue that is being surveyed."""
        indexes = self._indexes
        places = []
        for run in runs:
            location = run.location
            key = location.segment << POSITION_BITS | location.position
            index = indexes.get(key)
            if index is None:
                index = indexes[key] = self._add_location(location)
            elif self.locations[index] is not location:
                self._add_alias(index, location)
            places.append(index)
            count = len(run.sequences)
            if self._last_uid[index] != uid:
                self._last_uid[index] = uid
                self.users[index] += 1
                self._counted[index] = 0
            self._counted[index] += count
            if self._counted[index] > self.live[index]:
                self.live[index] = self._counted[index]
        self._pieces.append(pack_runs(runs, places))

    def end_queue(self, uid: int, sequence_next: int, delivered_through: int) -> None:
        """All runs of the queue are counted."""
        self.rows.append((uid, sequence_next, delivered_through, self._pieces))
        self._pieces = []

    def _add_location(self, location: Location) -> int:
        assert location.segment >= 0, "a snapshot shows a record that was never appended"
        self.locations.append(location)
        self.live.append(0)
        self.users.append(0)
        self._counted.append(0)
        self._last_uid.append(-1)
        return len(self.locations) - 1

    def _add_alias(self, index: int, location: Location) -> None:
        others = self.aliases.setdefault(index, [])
        if not others or others[-1] is not location:
            others.append(location)

    def live_bytes(self) -> dict[int, int]:
        """Estimated live bytes of every segment that has any."""
        total: dict[int, int] = {}
        for location, live in zip(self.locations, self.live, strict=True):
            share = location.size * min(live, location.messages) // max(1, location.messages)
            total[location.segment] = total.get(location.segment, 0) + max(1, share)
        return total


def choose_segments(live_bytes: dict[int, int], sizes: dict[int, int]) -> set[int]:
    """Backlog segments worth rewriting: hardly live ones, and many small ones. `sizes`: of all backlog."""
    chosen = {
        segment for segment, size in sizes.items() if 0 < live_bytes.get(segment, 0) < size * LIVE_SHARE_MIN
    }
    low = 0
    for high in TIER_BYTES:
        tier = [segment for segment in sizes if low < live_bytes.get(segment, 0) <= high]
        if len(tier) >= TIER_SEGMENTS:
            chosen.update(tier)
        low = high
    return chosen


class Move(NamedTuple):
    """Where a record rests now; several records share a place if they were merged."""

    record: int
    position: int
    size: int
    messages: int


class Merge(NamedTuple):
    """All of a queue's stored messages in first..last rest in the record that these were merged into."""

    uid: int
    sequence_first: int
    sequence_last: int
    record: int


class _Link(NamedTuple):
    """A small record of one queue that waits to be merged with its neighbours."""

    record: int
    sequences: list[range]
    messages: int


class Copier:
    """Writes the live records of chosen segments; `steps` does it piece by piece.

    `read(segment, position, size)` gives bytes, `write(chunks)` appends to the new segment.
    """

    def __init__(
        self,
        survey: Survey,
        is_chosen: Callable[[int], bool],
        read: Callable[[int, int, int], bytes],
        write: Callable[[list[bytes | bytearray]], None],
    ) -> None:
        self._survey = survey
        self._chosen = bytearray(is_chosen(location.segment) for location in survey.locations)
        self._read = read
        self._write = write
        self._done = bytearray(len(survey.locations))
        self._chain: list[_Link] = []
        self._chain_messages = 0
        self._chain_bytes = 0
        self.position = 0
        """Bytes written."""
        self.moves: list[Move] = []
        self.merges: list[Merge] = []

    @property
    def needed(self) -> bool:
        return 1 in self._chosen

    def steps(self) -> Iterator[None]:
        """Copy everything, yielding after each small piece of work."""
        shared: dict[int, list[tuple[int, range]]] = {}
        users = self._survey.users
        for uid, sequences, index in self._runs():
            if self._chosen[index] and users[index] > 1:
                shared.setdefault(index, []).append((uid, sequences))
                yield
        last_uid = -1
        for uid, sequences, index in self._runs():
            if uid != last_uid:
                yield from self._flush(last_uid)
                last_uid = uid
            if not self._chosen[index]:
                yield from self._flush(uid)
            elif users[index] > 1:
                yield from self._flush(uid)
                if not self._done[index]:
                    self._done[index] = 1
                    self._copy_one(index, shared.pop(index))
                    yield
            else:
                yield from self._enchain(uid, sequences, index)
        yield from self._flush(last_uid)

    def _runs(self) -> Iterator[tuple[int, range, int]]:
        for uid, _, _, pieces in self._survey.rows:
            for packed in pieces:
                for sequences, index, _, _ in unpack_runs(packed):
                    yield uid, sequences, index

    # --- chains of small records -------------------------------------------------------------------

    def _enchain(self, uid: int, sequences: range, index: int) -> Iterator[None]:
        """Take one run of a record that only this queue uses; runs of one record follow each other."""
        links = self._chain
        if links and links[-1].record == index:
            links[-1].sequences.append(sequences)
            return
        survey = self._survey
        live = survey.live[index]
        location = survey.locations[index]
        size = location.size * live // max(1, location.messages)
        if (
            live > MERGE_BELOW_MESSAGES
            or self._chain_messages + live > MERGE_MESSAGES_MAX
            or self._chain_bytes + size > MERGE_BYTES_MAX
        ):
            yield from self._flush(uid)
        self._chain.append(_Link(index, [sequences], live))
        if live > MERGE_BELOW_MESSAGES:
            # A large one stands alone: the next run that is not its own finds the chain too long.
            self._chain_messages = MERGE_MESSAGES_MAX
        else:
            self._chain_messages += live
            self._chain_bytes += size

    def _flush(self, uid: int) -> Iterator[None]:
        links = self._chain
        if not links:
            return
        self._chain = []
        self._chain_messages = self._chain_bytes = 0
        if len(links) == 1:
            self._copy_one(links[0].record, [(uid, sequences) for sequences in links[0].sequences])
            yield
            return
        parts: list[Columns] = []
        sequences: list[int] = []
        for link in links:
            part_sequences, columns = self._pick(uid, link)
            sequences += part_sequences
            parts.append(columns)
            yield
        assert all(map(int.__lt__, sequences, sequences[1:])), "a snapshot's runs are out of order"
        targets = [
            Target(uid, first, index, count)
            for first, index, count in stretches(sequences, range(len(sequences)))
        ]
        value = facts.encode_columns(targets, facts.join_columns(parts))
        for link in links:
            self.moves.append(Move(link.record, self.position, len(value), len(sequences)))
        self.merges.append(Merge(uid, sequences[0], sequences[-1], links[0].record))
        self._put(value)
        yield

    def _pick(self, uid: int, link: _Link) -> tuple[list[int], Columns]:
        """The live messages of a record, by sequence."""
        value, head = self._fetch(link.record)
        targets = facts.read_targets(value, head)
        found = sorted(join.from_iterable(facts.find_messages(targets, uid, part) for part in link.sequences))
        return [sequence for sequence, _ in found], facts.decode_columns(value, [index for _, index in found])

    # --- single records ----------------------------------------------------------------------------

    def _copy_one(self, index: int, live: Sequence[tuple[int, range]]) -> None:
        """Copy one record, without what is settled if that is most of it."""
        value: bytes | bytearray
        value, head = self._fetch(index)
        count = head.messages
        if self._is_worth_slimming(index, head):
            slim = slimmed(value, head, live)
            value, count = slim, facts.read_head(slim).messages
        self.moves.append(Move(index, self.position, len(value), count))
        self._put(value)

    def _is_worth_slimming(self, index: int, head: facts.Head) -> bool:
        survey = self._survey
        if 2 * survey.live[index] < head.messages:
            return True
        return head.targets > TARGETS_FEW and survey.users[index] < head.targets * TARGETS_SHARE_MIN

    def _fetch(self, index: int) -> tuple[bytes, facts.Head]:
        location = self._survey.locations[index]
        value = self._read(location.segment, location.position, location.size)
        head = facts.read_head(value)
        facts.check_value(value, head)
        return value, head

    def _put(self, value: bytes | bytearray) -> None:
        self._write([value])
        self.position += len(value)


def slimmed(value: bytes, head: facts.Head, live: Iterable[tuple[int, range]]) -> bytearray:
    """The value with only those messages, and those queues, that are still unsettled.

    A message that one queue still needs keeps its sequence in every queue that has a live message.
    """
    targets = facts.read_targets(value, head)
    users = set()
    indexes: set[int] = set()
    for uid, sequences in live:
        users.add(uid)
        indexes.update(index for _, index in facts.find_messages(targets, uid, sequences))
    kept = sorted(indexes)
    place_of = dict(zip(kept, range(len(kept)), strict=True))
    slim_targets = []
    for target in targets:
        if target.uid not in users:
            continue
        first, end = target.index_first, target.index_first + target.message_count
        inside = [index for index in kept if first <= index < end]
        shift = target.sequence_first - first
        slim_targets += [
            Target(target.uid, sequence, place, count)
            for sequence, place, count in stretches(
                [index + shift for index in inside], [place_of[index] for index in inside]
            )
        ]
    return facts.encode_columns(slim_targets, facts.decode_columns(value, kept))


def stretches(sequences: Sequence[int], places: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(first sequence, its place, count) of each part in which both go up by one."""
    begin = 0
    for at in range(1, len(sequences) + 1):
        if at == len(sequences) or sequences[at] != sequences[at - 1] + 1 or places[at] != places[at - 1] + 1:
            yield sequences[begin], places[begin], at - begin
            begin = at
