"""Which stored records a checkpoint moves, and how: verbatim, slimmed or merged.

Three steps, which share nothing but plain data. `Survey` counts, run by run, what is still unsettled in
each record. `choose_segments` decides which backlog segments are worth rewriting. `Copier` writes every
live record of the chosen segments into one new backlog segment, queue after queue, so that a queue is read
back sequentially: verbatim, each once even if a hundred queues share it; with only its live messages, where
they are less than half; and small neighbours of one queue merged into one record.

A copier does no I/O. It is a generator of small units of work, some of which come with a `Job`: something
to run in a thread before it is resumed. So Python objects are handled on the domain's thread alone, in
slices, and threads do nothing but wait for the disk: two threads that both want the interpreter would make
each other wait for every lock hand-over, hundreds of microseconds a time.

Not here: when files are synced, swapped and removed (`checkpoint`).
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from pillarbox.engine import record
from pillarbox.engine.base import Location, Recovery, ReturnedFact, StoredRun
from pillarbox.engine.checkpoint_file import DueRow, pack_runs, unpack_runs
from pillarbox.engine.record import Columns, Target

Job = Callable[[], object]
"""Blocking work for a thread."""
Steps = Iterator[Job | None]
"""Small units of work on the domain's thread; a job has to be done before the next one."""


def rest() -> None:
    """The job that ends a turn: what follows is a larger unit of work, or was one."""


MERGE_MESSAGES_MAX = 1000
MERGE_BYTES_MAX = 1 << 20
"""A merged record is no larger than what one read brings in a few milliseconds, and one tick hands out."""
MERGE_BELOW_MESSAGES = 64
"""Records with more live messages stay as they are. Merging costs about a microsecond a message, and what it
saves, some hundred bytes of memory a record, is then less than ten bytes a message."""

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

BLOCK_BYTES = 1 << 20
BLOCKS_MAX = 72
"""Source bytes held while copying: the journal since the last checkpoint (64 MiB), whose records are taken
queue by queue and so in any order, and a little more."""
WRITE_BYTES = 1 << 20
"""Copied bytes per write."""
SURVEY_RUNS = 25
"""Runs looked through in one unit of work: as long as copying one record."""


RESTING_MIN = 1 << 20
"""Queues of which less rests on the disk are not told: all of them together are not worth a checkpoint."""
TABLE_SHIFT = 16
"""A table for every 64 KiB of a segment: at most about a thousand records."""
SEGMENT_SHIFT = 32
"""Enough for segments of 256 TiB."""
FREED_PER_STEP = 2000


class Survey:
    """What is unsettled, by record and by queue, as the checkpoint came to know it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, list[bytes]]] = []
        """uid, sequence_next, delivered_through, packed runs in pieces."""
        self.returned: list[ReturnedFact] = []
        """Passed on as they are."""
        self.due: list[DueRow] = []
        """The same."""
        self.locations: list[Location] = []
        """One for each record; others that name the same record are in `aliases`."""
        self.aliases: dict[int, list[Location]] = {}
        self.live = array("q")
        """Unsettled messages of each record: the most that any single queue has."""
        self.users = array("q")
        """Queues that have unsettled messages in each record."""
        self.live_bytes: dict[int, int] = {}
        """Estimated live bytes of every segment that has any."""
        self.resting: dict[int, tuple[int, int]] = {}
        """Of each queue of which much rests on the disk, how many messages and bytes."""
        self.moves = array("q")
        """Records that were copied; where to, the next three say, by record."""
        self.new_positions = array("q")
        self.new_sizes = array("q")
        self.new_messages = array("q")
        self._counted = array("q")
        self._last_uid = array("q")
        self._indexes: dict[int, dict[int, int]] = {}
        """Places in `locations` by position, in many small tables by segment and position: a large one would
        take tens of milliseconds whenever it has to grow, and again when it is freed."""
        self._pieces: list[bytes] = []
        self._messages = self._bytes = 0

    def add_runs(self, uid: int, runs: Sequence[StoredRun]) -> None:
        """Count some runs of the queue that is being surveyed."""
        indexes = self._indexes
        places = []
        for run in runs:
            location = run.location
            position = location.position
            part = location.segment << SEGMENT_SHIFT | position >> TABLE_SHIFT
            table = indexes.get(part)
            if table is None:
                table = indexes[part] = {}
            index = table.get(position)
            if index is None:
                index = table[position] = self._add_location(location)
            elif self.locations[index] is not location:
                self._add_alias(index, location)
            places.append(index)
            if self._last_uid[index] != uid:
                self._last_uid[index] = uid
                self.users[index] += 1
                self._counted[index] = 0
            count = len(run.sequences)
            self._messages += count
            self._bytes += share_bytes(location, count)
            self._counted[index] += count
            more = self._counted[index] - self.live[index]
            if more > 0:
                self.live[index] += more
                segment = location.segment
                share = share_bytes(location, more) or 1
                self.live_bytes[segment] = self.live_bytes.get(segment, 0) + share
        self._pieces.append(pack_runs(runs, places))

    def end_queue(self, uid: int, sequence_next: int, delivered_through: int) -> None:
        """All runs of the queue are counted."""
        self.rows.append((uid, sequence_next, delivered_through, self._pieces))
        self._pieces = []
        if self._bytes >= RESTING_MIN:
            self.resting[uid] = self._messages, self._bytes
        self._messages = self._bytes = 0

    def _add_location(self, location: Location) -> int:
        assert location.segment >= 0, "a snapshot shows a record that was never appended"
        self.locations.append(location)
        self.live.append(0)
        self.users.append(0)
        self.new_positions.append(0)
        self.new_sizes.append(0)
        self.new_messages.append(0)
        self._counted.append(0)
        self._last_uid.append(-1)
        return len(self.locations) - 1

    def _add_alias(self, index: int, location: Location) -> None:
        others = self.aliases.setdefault(index, [])
        if not others or others[-1] is not location:
            others.append(location)

    def free_steps(self) -> Steps:
        """Let go of everything, piece by piece."""
        self.aliases.clear()
        while self._indexes:
            for _ in range(min(len(self._indexes), FREED_PER_STEP // 500)):
                self._indexes.popitem()
            yield None
        while self.locations:
            del self.locations[-FREED_PER_STEP:]
            yield None

    def move(self, record: int, position: int, size: int, messages: int) -> None:
        """The record rests at this position of the new segment now; several may share it."""
        self.moves.append(record)
        self.new_positions[record] = position
        self.new_sizes[record] = size
        self.new_messages[record] = messages


def share_bytes(location: Location, count: int) -> int:
    """About how many bytes of a record so many of its messages are."""
    return location.size * count // max(1, location.messages)


def resting_of(recovery: Recovery) -> dict[int, tuple[int, int]]:
    """What `Survey.resting` would say of a folder that was recovered."""
    found = {}
    for uid, queue in recovery.queues.items():
        size = sum([share_bytes(run.location, len(run.sequences)) for run in queue.runs])
        if size >= RESTING_MIN:
            found[uid] = sum([len(run.sequences) for run in queue.runs]), size
    return found


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


class Sources:
    """Blocks of the segments that are copied from, a bounded number of them."""

    def __init__(self, read: Callable[[int, int, int], bytes]) -> None:
        self._read = read
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def fetch(self, location: Location) -> Job | None:
        """What has to be run before `value`, if anything."""
        if location.size > BLOCK_BYTES:
            key = (location.segment, location.position)
            return None if key in self._blocks else lambda: self._load(key, location.position, location.size)
        first = location.position // BLOCK_BYTES
        last = (location.position + location.size - 1) // BLOCK_BYTES
        for number in range(first, last + 1):
            key = (location.segment, -1 - number)
            if key not in self._blocks:
                return lambda: self._load_blocks(location.segment, first, last)
        return None

    def value(self, location: Location) -> bytes:
        """The record's bytes."""
        if location.size > BLOCK_BYTES:
            # A large one is used once and would only crowd out the others.
            return self._blocks.pop((location.segment, location.position))
        first, start = divmod(location.position, BLOCK_BYTES)
        end = start + location.size
        block = self._blocks[location.segment, -1 - first]
        if end <= BLOCK_BYTES:
            return block[start:end]
        return block[start:] + self._blocks[location.segment, -2 - first][: end - BLOCK_BYTES]

    def _load_blocks(self, segment: int, first: int, last: int) -> None:
        for number in range(first, last + 1):
            self._load((segment, -1 - number), number * BLOCK_BYTES, BLOCK_BYTES)

    def _load(self, key: tuple[int, int], position: int, size: int) -> None:
        """In a thread, while the copier waits: the only one who touches the blocks."""
        self._blocks[key] = self._read(key[0], position, size)
        self._blocks.move_to_end(key)
        while len(self._blocks) > BLOCKS_MAX:
            self._blocks.popitem(last=False)


class Copier:
    """Copies the live records of chosen segments; `steps` does it piece by piece.

    `read(segment, position, size)` gives bytes, fewer at the end of a file; `write(chunks)` appends to the
    new segment. Both are called from jobs only.
    """

    def __init__(
        self,
        survey: Survey,
        chosen: Callable[[int], bool],
        read: Callable[[int, int, int], bytes],
        write: Callable[[list[bytes | bytearray]], None],
    ) -> None:
        self._survey = survey
        self.segments = {segment for segment in survey.live_bytes if chosen(segment)}
        """The segments that nothing rests in afterwards."""
        self._sources = Sources(read)
        self._write = write
        self._done = bytearray(len(survey.locations))
        self._chain: list[_Link] = []
        self._chain_messages = 0
        self._chain_bytes = 0
        self._chunks: list[bytes | bytearray] = []
        self._unwritten = 0
        self.position = 0
        """Bytes copied."""
        self.merges: list[Merge] = []

    @property
    def needed(self) -> bool:
        return bool(self.segments)

    def steps(self) -> Steps:
        """Copy everything."""
        shared: dict[int, list[tuple[int, range]]] = {}
        users, locations, segments = self._survey.users, self._survey.locations, self.segments
        for count, (uid, sequences, index) in enumerate(self._runs()):
            if users[index] > 1 and locations[index].segment in segments:
                shared.setdefault(index, []).append((uid, sequences))
            if count % SURVEY_RUNS == 0:
                yield None
        last_uid = -1
        for count, (uid, sequences, index) in enumerate(self._runs()):
            if count % SURVEY_RUNS == 0:
                yield None
            if uid != last_uid:
                yield from self._flush(last_uid)
                last_uid = uid
            if locations[index].segment not in segments:
                yield from self._flush(uid)
            elif users[index] > 1:
                yield from self._flush(uid)
                if not self._done[index]:
                    self._done[index] = 1
                    yield from self._copy_one(index, shared.pop(index))
            else:
                yield from self._enchain(uid, sequences, index)
        yield from self._flush(last_uid)
        yield self._write_out()

    def _runs(self) -> Iterator[tuple[int, range, int]]:
        for uid, _, _, pieces in self._survey.rows:
            for packed in pieces:
                for sequences, index, _, _ in unpack_runs(packed):
                    yield uid, sequences, index

    # --- chains of small records -------------------------------------------------------------------

    def _enchain(self, uid: int, sequences: range, index: int) -> Steps:
        """Take one run of a record that only this queue uses; runs of one record follow each other."""
        links = self._chain
        if links and links[-1].record == index:
            links[-1].sequences.append(sequences)
            return
        survey = self._survey
        live = survey.live[index]
        location = survey.locations[index]
        size = share_bytes(location, live)
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

    def _flush(self, uid: int) -> Steps:
        links = self._chain
        if not links:
            return
        self._chain = []
        self._chain_messages = self._chain_bytes = 0
        if len(links) == 1:
            yield from self._copy_one(links[0].record, [(uid, part) for part in links[0].sequences])
            return
        columns = Columns()
        sequences: list[int] = []
        for link in links:
            yield from self._fetch(link.record)
            self._pick(uid, link, sequences, columns)
            yield None
        assert all(map(int.__lt__, sequences, sequences[1:])), "a snapshot's runs are out of order"
        targets = [
            Target(uid, first, index, count)
            for first, index, count in stretches(sequences, range(len(sequences)))
        ]
        yield rest
        value = record.encode_columns(targets, columns)
        yield rest
        for link in links:
            self._survey.move(link.record, self.position, len(value), len(sequences))
        self.merges.append(Merge(uid, sequences[0], sequences[-1], links[0].record))
        yield self._put(value)
        yield rest

    def _pick(self, uid: int, link: _Link, sequences: list[int], columns: Columns) -> None:
        """Add the live messages of a record, by sequence."""
        value = self._sources.value(self._survey.locations[link.record])
        single = columns.add_single(value)
        if single is not None:
            sequences.append(single)
            return
        head = record.read_head(value)
        record.check_value(value, head)
        targets = record.read_targets(value, head)
        found = sorted(
            chain.from_iterable(record.find_messages(targets, uid, part) for part in link.sequences)
        )
        sequences += [sequence for sequence, _ in found]
        columns.add(value, head, [index for _, index in found])

    # --- single records ----------------------------------------------------------------------------

    def _copy_one(self, index: int, live: Sequence[tuple[int, range]]) -> Steps:
        """Copy one record, without what is settled if that is most of it."""
        yield from self._fetch(index)
        value = self._sources.value(self._survey.locations[index])
        head = record.read_head(value)
        record.check_value(value, head)
        if self._is_worth_slimming(index, head):
            slim = slimmed(value, head, live)
            self._survey.move(index, self.position, len(slim), record.read_head(slim).messages)
            yield self._put(slim)
        else:
            self._survey.move(index, self.position, len(value), head.messages)
            yield self._put(value)

    def _is_worth_slimming(self, index: int, head: record.Head) -> bool:
        survey = self._survey
        if 2 * survey.live[index] < head.messages:
            return True
        return head.targets > TARGETS_FEW and survey.users[index] < head.targets * TARGETS_SHARE_MIN

    def _fetch(self, index: int) -> Steps:
        job = self._sources.fetch(self._survey.locations[index])
        if job is not None:
            yield job

    def _put(self, value: bytes | bytearray) -> Job | None:
        self._chunks.append(value)
        self.position += len(value)
        self._unwritten += len(value)
        return self._write_out() if self._unwritten >= WRITE_BYTES else None

    def _write_out(self) -> Job:
        chunks, self._chunks = self._chunks, []
        self._unwritten = 0
        return lambda: self._write(chunks)


def slimmed(value: bytes, head: record.Head, live: Iterable[tuple[int, range]]) -> bytearray:
    """The value with only those messages, and those queues, that are still unsettled.

    A message that one queue still needs keeps its sequence in every queue that has a live message.
    """
    targets = record.read_targets(value, head)
    users = set()
    indexes: set[int] = set()
    for uid, sequences in live:
        users.add(uid)
        indexes.update(index for _, index in record.find_messages(targets, uid, sequences))
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
    columns = Columns()
    columns.add(value, head, kept)
    return record.encode_columns(slim_targets, columns)


def stretches(sequences: Sequence[int], places: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(first sequence, its place, count) of each part in which both go up by one."""
    begin = 0
    for at in range(1, len(sequences) + 1):
        if at == len(sequences) or sequences[at] != sequences[at - 1] + 1 or places[at] != places[at - 1] + 1:
            yield sequences[begin], places[begin], at - begin
            begin = at
