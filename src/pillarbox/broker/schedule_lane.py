"""The lane of a schedule: messages by the time at which they are due (R28).

What it knows of every message is one number, its *key*: due time and sequence in one (`schedule_keys`). The
first of them are taken out ahead of their time, in order, and stand *near*: their messages are in memory or
on their way there. All others rest on disk, in *blocks*, a block for each stored
record; what has just arrived stays in memory as well, up to a bound. So a million messages that wait cost
their keys, however they were published, and firing costs no more memory than what is near.

A record holds messages of many due times. It is read for all those near at once, which are therefore
gathered in large parts.

A restart finds the keys in the checkpoint; records that came after it are read once, and nothing fires
before all are known, so that the order holds. Keys of messages that are gone are passed over when they are
met.

Invariants: every unsettled message has exactly one key, once its record is known. Of the other keys none is
before one that is near when anything fires.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.lane import SHADOW, Lane
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.schedule_keys import CHUNK_KEYS, Keys
from pillarbox.broker.schedule_places import joined_places
from pillarbox.engine.base import DUE_SEQUENCE_BITS, Location, Message, QueueState, StoredRun

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.schedule import Schedule

AHEAD_MS = 10_000
"""How long before its time a message may be read back; half of it is left when the next ones are."""
NEAR_MESSAGES = 64_000
"""And no more than these, so that a record of a thousand is read for some tens of them at once. Half of them
are read while the other half fires: among a million that is some hundred megabytes."""
NEAR_MESSAGES_MIN = 200
"""As many are near however small the memory budget is: what one tick fires."""
NEAR_SHARE = 4
"""And no more than this part of the memory budget, judged by the average size."""
GATHER_MESSAGES = 400
"""Keys brought near in one tick, more than fire in one: about a millisecond's work among a million."""
FRESH_BYTES = 16 << 20
"""What has just arrived stays in memory up to this: short delays then need no disk."""
READ_BYTES = 4 << 20
"""Bytes of records that are asked for at a time; as many are on their way while those before are decoded."""
PIECE_BLOCKS = 500
"""A checkpoint looks at no more blocks in one step,"""
PIECE_RUNS = 200
"""and at no further ones when it has found so many runs: less than a millisecond's work."""
BLOCK_BYTES = 250
"""About what a block takes, with its location. A gap takes a byte for each sequence in it, so blocks with
a larger gap between them stay apart."""

SEQUENCE_MASK = (1 << DUE_SEQUENCE_BITS) - 1

Taken = list[tuple[int, Message]]
"""Sequences and messages that are due."""


def cost_of(message: Message) -> int:
    """About how much memory a message takes."""
    return MESSAGE_BYTES + len(message.properties) + len(message.body)


class Block(msgspec.Struct, eq=False, gc=False):
    """Messages that rest in one stored record, and which of them are gone."""

    first: int
    count: int
    location: Location
    stored: bool
    accepted_ms: int
    body_bytes: int
    """Of those that are left; after a restart an estimate."""
    left: int
    gone: bytearray | None = None
    """A flag for each message; None: all are left."""
    places: array[int] | None = None
    """Where each message will go; None: nobody asks, or knows (see `schedule_places`)."""

    @property
    def stop(self) -> int:
        return self.first + self.count

    def has(self, sequence: int) -> bool:
        """Does this message rest here, and is it not gone?"""
        position = sequence - self.first
        return 0 <= position < self.count and (self.gone is None or not self.gone[position])

    def flags(self) -> bytes | bytearray:
        """Which messages are gone."""
        return bytes(self.count) if self.gone is None else self.gone

    def ranges(self) -> Iterator[range]:
        """The sequences that are left, in unbroken stretches."""
        sequences = range(self.first, self.stop)
        if self.gone is None:
            yield sequences
            return
        start = 0
        while (start := self.gone.find(0, start)) >= 0:
            stop = self.gone.find(1, start)
            stop = self.count if stop < 0 else stop
            yield sequences[start:stop]
            start = stop


class Wanted(msgspec.Struct, eq=False):
    """Messages of one record that were asked for: see `run.Cold`."""

    lane: ScheduleLane
    sequences: Sequence[int]
    location: Location
    stored: bool
    learn: bool
    """Only their due times are wanted."""
    size: int = 0
    """Bytes of the record when it was asked for."""

    def arrived(self, pairs: Sequence[tuple[int, Message]]) -> None:
        self.lane.found(self, pairs)


class ScheduleLane(Lane):
    """See the module: everything that `core` and `queue` ask of a lane, by due time."""

    __slots__ = (
        "_asked",
        "_blocks",
        "_dropped",
        "_empty",
        "_filling",
        "_fresh",
        "_fresh_bytes",
        "_held",
        "_keys",
        "_loading",
        "_missing",
        "_near",
        "_new",
        "_schedule",
        "_stale",
        "_starts",
        "_unread",
        "_wanted",
    )

    def __init__(self, schedule: Schedule, queue: Queue, changes: Changes, uid: int) -> None:
        super().__init__(queue, changes, uid, 0)
        self._schedule = schedule
        self._keys = Keys()
        """Of all but those near."""
        self._near: list[int] = []
        """The first keys, ascending."""
        self._filling = False
        """More are being brought near."""
        self._held: dict[int, Message] = {}
        """In memory until they fire: those near, and those that no disk holds."""
        self._fresh: dict[int, Message] = {}
        """In memory and on disk, as they came."""
        self._fresh_bytes = 0
        self._blocks: list[Block] = []
        self._starts: list[int] = []
        """The first sequence of each block, which ascend."""
        self._empty = 0
        """Blocks with nothing left."""
        self._new = 0
        """Blocks at the end whose records the journal may not have placed yet."""
        self._missing: dict[Block, list[int]] = {}
        """Near, on disk alone, and not asked for yet."""
        self._asked: set[int] = set()
        """Near, and asked for."""
        self._wanted: deque[Wanted] = deque()
        """What is asked for when the parts before it have come."""
        self._loading = 0
        """Bytes on their way."""
        self._dropped = False
        """Something was, before its time."""
        self._stale = 0
        """How many of those may still have their keys."""
        self._unread = 0
        """Records found at a restart whose due times are not known yet."""

    def __repr__(self) -> str:
        waiting = len(self._keys) + len(self._near)
        return f"<ScheduleLane {self.queue.name!r} waiting={waiting} near={len(self._near)}>"

    # --- messages in -------------------------------------------------------------------------------

    def push(
        self,
        messages: list[Message],
        body_bytes: int,
        location: Location | None,
        *,
        stored: bool = True,
        expiring: bool = False,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        """Append messages that arrived in this tick, and note when they are due."""
        queue, changes, schedule = self.queue, self._changes, self._schedule
        schedule.stamp(messages)
        count = len(messages)
        first = self.sequence_next
        self.sequence_next = first + count
        queue.ready_count += count
        queue.ready_bytes += body_bytes
        queue.counters.publish += count
        queue.active_ms = changes.now_ms
        size = sum(map(cost_of, messages))
        changes.resident_bytes += size
        numbered = zip(range(first, first + count), messages, strict=True)
        places = None if schedule.places is None else schedule.places.came(messages)
        if location is None:
            self._held.update(numbered)
        else:
            block = Block(first, count, location, stored, changes.now_ms, body_bytes, count, places=places)
            self._add(block)
            self._new += 1
            self._fresh.update(numbered)
            self._fresh_bytes += size
            schedule.grown()
        keys = self._keys_of(enumerate(messages, first))
        self._keys.add(keys)
        schedule.look_at(min(keys) >> DUE_SEQUENCE_BITS)

    def _keys_of(self, pairs: Iterable[tuple[int, Message]]) -> list[int]:
        due_ms = self._schedule.due_ms
        return [due_ms(message) << DUE_SEQUENCE_BITS | sequence for sequence, message in pairs]

    def _add(self, block: Block) -> None:
        self._blocks.append(block)
        self._starts.append(block.first)

    # --- messages out ------------------------------------------------------------------------------

    @property
    def knows_all(self) -> bool:
        """Are all due times known?"""
        return not self._unread

    def next_look_ms(self, now_ms: int) -> int | None:
        """When there is something to do that nothing else will bring about; None: never."""
        times = [key >> DUE_SEQUENCE_BITS for key in self._near[:1]]
        if (first := self._keys.first) is not None:
            due_ms = first >> DUE_SEQUENCE_BITS
            # And before, to read it back in time.
            times += due_ms, due_ms - AHEAD_MS // 2
        return min((time for time in times if time > now_ms), default=None)

    def first_due(self, count: int) -> list[tuple[int, Message | None]]:
        """When the first so many messages are due, and those of them that are in memory. They stay."""
        found: list[tuple[int, Message | None]] = []
        for key in sorted((*self._near[:count], *self._keys.smallest(count)))[:count]:
            sequence = key & SEQUENCE_MASK
            message = self._held.get(sequence) or self._fresh.get(sequence)
            if message is not None or self._block_of(sequence) is not None:
                found.append((key >> DUE_SEQUENCE_BITS, message))
        return found

    def take_due(self, now_ms: int, count_max: int) -> tuple[Taken, bool]:
        """Messages that are due, in order, as far as they are in memory; and whether there may be more."""
        taken: Taken = []
        if not self.knows_all:
            return taken, False
        more = self._gather(now_ms)
        near, held = self._near, self._held
        limit = (now_ms + 1) << DUE_SEQUENCE_BITS
        if (first := self._keys.first) is not None and first < limit:
            # No more could be brought near in this tick.
            more = True
            limit = first
        position = 0
        while position < len(near) and near[position] < limit and len(taken) < count_max:
            sequence = near[position] & SEQUENCE_MASK
            message = held.get(sequence)
            if message is not None:
                taken.append((sequence, message))
            elif self._block_of(sequence) is not None:
                # Its answer goes on with this.
                self._ask_for_missing()
                more = False
                break
            position += 1
        del near[:position]
        return taken, more or len(taken) == count_max

    def _gather(self, now_ms: int) -> bool:
        """Bring keys near whose time is close, a bounded number; return whether there are more."""
        keys, near = self._keys, self._near
        near_max = self._near_max()
        close = (now_ms + AHEAD_MS // 2) << DUE_SEQUENCE_BITS
        key = keys.first
        if key is not None and key < close and len(near) <= near_max // 2:
            self._filling = True
        limit = (now_ms + AHEAD_MS) << DUE_SEQUENCE_BITS
        moved = 0
        while key is not None and moved < GATHER_MESSAGES:
            if near and key < near[-1]:
                insort(near, keys.pop())
            elif self._filling and key < limit and len(near) < near_max:
                near.append(keys.pop())
            else:
                self._filling = False
                break
            self._bring(key & SEQUENCE_MASK)
            key = keys.first
            moved += 1
        more = moved == GATHER_MESSAGES
        if not more:
            self._ask_for_missing()
        return more

    def _near_max(self) -> int:
        """How many messages may be near."""
        queue = self.queue
        size = MESSAGE_BYTES + queue.ready_bytes // max(1, queue.ready_count)
        share = self._schedule.memory_budget // NEAR_SHARE
        return max(NEAR_MESSAGES_MIN, min(NEAR_MESSAGES, share // size))

    def _bring(self, sequence: int) -> None:
        """See to it that a message is in memory when it is due."""
        message = self._fresh.pop(sequence, None)
        if message is not None:
            self._fresh_bytes -= cost_of(message)
            self._held[sequence] = message
        elif sequence not in self._held:
            block = self._block_of(sequence)
            if block is not None:
                self._missing.setdefault(block, []).append(sequence)

    def _block_of(self, sequence: int) -> Block | None:
        """Where a message rests; None: nowhere, because it is gone or never was on a disk."""
        place = bisect_right(self._starts, sequence) - 1
        if place < 0:
            return None
        block = self._blocks[place]
        return block if block.has(sequence) else None

    def settle_fired(self, taken: Taken) -> None:
        """Forget messages for good that have fired."""
        held = self._held
        for sequence, message in taken:
            del held[sequence]
            self._changes.resident_bytes -= cost_of(message)
            self._settle(sequence, len(message.body), message)
        if 2 * self._empty > len(self._blocks):
            self._sweep()

    def _settle(self, sequence: int, size: int, message: Message | None) -> None:
        """Forget a message for good, which is in memory no more; `size`: of its body."""
        queue = self.queue
        queue.ready_count -= 1
        queue.ready_bytes -= size
        block = self._block_of(sequence)
        if self._schedule.places is not None:
            self._schedule.places.went(block, sequence, message)
        if block is None:
            return
        if block.gone is None:
            block.gone = bytearray(block.count)
        block.gone[sequence - block.first] = 1
        block.left -= 1
        block.body_bytes -= size
        if block.stored:
            self._changes.settle(self.uid, range(sequence, sequence + 1))
        if not block.left:
            # What an estimate was wrong by.
            queue.ready_bytes -= block.body_bytes
            self._empty += 1

    def _sweep(self) -> None:
        """Forget empty blocks. Cost: O(1) for each of them, as they are more than the half."""
        self._blocks = [block for block in self._blocks if block.left]
        self._starts = [block.first for block in self._blocks]
        self._empty = self._new = 0

    # --- looked at, and dropped --------------------------------------------------------------------

    def has(self, sequence: int) -> bool:
        """Does this message wait?"""
        return sequence in self._held or sequence in self._fresh or self._block_of(sequence) is not None

    def in_memory(self, sequence: int) -> Message | None:
        """A message that waits, if it is in memory."""
        return self._held.get(sequence) or self._fresh.get(sequence)

    def on_disk(self, sequence: int) -> Block | None:
        """Where a message rests that is not in memory."""
        return self._block_of(sequence)

    def by_due_time(self) -> Iterator[int]:
        """Keys of this moment, the first due first, with some of messages that are gone. All are known."""
        return merge(self._near.copy(), self._keys.ascending())

    def by_place(self) -> Iterator[int]:
        """Sequences that wait, in the order in which the disk holds them; they may come and go in between.

        Those that come while this goes on are all among them, and some may come twice.
        """
        following = 0
        while following < self.sequence_next:
            first, following = following, self.sequence_next
            yield from [each for each in self._held if first <= each]
            while first < following:
                place = bisect_right(self._starts, first) - 1
                if place < 0 or self._blocks[place].stop <= first:
                    place += 1
                if place == len(self._blocks):
                    break
                block = self._blocks[place]
                stop = block.stop
                for sequences in [*block.ranges()]:
                    yield from range(max(first, sequences.start), sequences.stop)
                first = stop

    def drop(self, sequence: int) -> bool:
        """Forget a message for good before its time; False: it does not wait.

        Its key is passed over when it is met.
        """
        message = self._held.pop(sequence, None)
        if message is None and (message := self._fresh.pop(sequence, None)) is not None:
            self._fresh_bytes -= cost_of(message)
        block = self._block_of(sequence)
        if message is not None:
            self._changes.resident_bytes -= cost_of(message)
            size = len(message.body)
        elif block is not None:
            size = block.body_bytes // block.left
        else:
            return False
        self._asked.discard(sequence)
        self._stale += 1
        self._dropped = True
        self._settle(sequence, size, message)
        if 2 * self._empty > len(self._blocks):
            self._sweep()
        return True

    def tidy_keys(self) -> Iterator[None]:
        """Forget keys of what was dropped, if there are many: it may be years until they are due."""
        if self._stale > CHUNK_KEYS and 2 * self._stale > len(self._keys):
            self._stale = 0
            yield from self._keys.sift(lambda key: self.has(key & SEQUENCE_MASK))

    # --- memory and disk ---------------------------------------------------------------------------

    def tidy(self, resident_max: int) -> None:
        """After the tick's group was appended: what came in one record is one block, and what has just
        arrived leaves the memory as far as there is too much of it, the last first."""
        if self._new:
            first = len(self._blocks) - self._new
            self._new = 0
            self._join_from(first, len(self._blocks))
        changes, fresh = self._changes, self._fresh
        let_go = False
        while fresh and (self._fresh_bytes > FRESH_BYTES or changes.resident_bytes > resident_max):
            sequence, message = fresh.popitem()
            block = self._block_of(sequence)
            if block is None or block.location.segment < 0:
                # Storage failed before it was appended: nothing else holds it.
                fresh[sequence] = message
                break
            size = cost_of(message)
            self._fresh_bytes -= size
            changes.resident_bytes -= size
            let_go = True
        if let_go:
            self._schedule.rouse()

    def merged(self, sequences: range) -> None:
        """Small records with these sequences rest in one now: let their blocks be one."""
        first = bisect_left(self._starts, sequences.start)
        end = bisect_left(self._starts, sequences.stop)
        # Those that came in this tick are no part of it, and stay the last ones.
        self._join_from(first, min(end, len(self._blocks) - self._new))

    def _join_from(self, first: int, end: int) -> None:
        """Let neighbours among these blocks be one where they rest in one record; forget empty ones."""
        blocks = self._blocks[first:end]
        joined: list[Block] = []
        for block in blocks:
            if not block.left:
                self._empty -= 1
            elif joined and _may_join(joined[-1], block):
                last = joined[-1]
                gap = block.first - last.stop
                last.places = joined_places(last, gap, block)
                if gap or last.gone is not None or block.gone is not None:
                    last.gone = bytearray().join((last.flags(), b"\1" * gap, block.flags()))
                last.count = block.stop - last.first
                last.left += block.left
                last.body_bytes += block.body_bytes
                missing = self._missing.pop(block, None)
                if missing is not None:
                    self._missing.setdefault(last, []).extend(missing)
            else:
                joined.append(block)
        self._blocks[first:end] = joined
        self._starts[first:end] = [block.first for block in joined]

    def _ask_for_missing(self) -> None:
        for block, sequences in self._missing.items():
            if self._dropped:
                sequences = [each for each in sequences if block.has(each)]
                if not sequences:
                    continue
            self._asked.update(sequences)
            sequences.sort()
            self._wanted.append(Wanted(self, sequences, block.location, block.stored, learn=False))
        self._missing.clear()
        self._ask()

    def _ask(self) -> None:
        """Ask for the next part of what is wanted, when all but the last of those before have come."""
        if self._loading > READ_BYTES:
            return
        size = 0
        while self._wanted and size < READ_BYTES:
            wanted = self._wanted.popleft()
            if self._dropped:
                # Of what was dropped meanwhile nothing is wanted.
                wanted.sequences = [each for each in wanted.sequences if self._block_of(each) is not None]
                if not wanted.sequences:
                    continue
            block = self._block_of(wanted.sequences[0])
            assert block is not None, "only what fired is gone, and this could not fire"
            # Its block may have become part of another one meanwhile, and its record may rest elsewhere.
            wanted.location = block.location
            wanted.size = wanted.location.size
            size += wanted.size
            self._loading += wanted.size
            self._changes.cold.append(wanted)

    def found(self, wanted: Wanted, pairs: Sequence[tuple[int, Message]]) -> None:
        """A part of a record is here: for its due times, or because messages in it are due soon."""
        if self.queue.deleted:
            return
        self._loading -= wanted.size
        if len(pairs) < len(wanted.sequences) and self._misses(wanted, pairs):
            self.queue.unreadable = True
        elif wanted.learn:
            self._keys.add(self._keys_of(pairs))
            self._unread -= 1
        else:
            held, asked = self._held, self._asked
            for sequence, message in pairs:
                if sequence in asked:
                    # Otherwise it was dropped while it was on its way.
                    asked.remove(sequence)
                    held[sequence] = message
                    self._changes.resident_bytes += cost_of(message)
        self._ask()
        self._schedule.rouse()

    def _misses(self, wanted: Wanted, pairs: Sequence[tuple[int, Message]]) -> bool:
        """Is something missing that was not dropped while it was on its way?"""
        came = {sequence for sequence, _ in pairs}
        return wanted.learn or any(each in self._asked and each not in came for each in wanted.sequences)

    def expire(self) -> None:
        """Times to live begin when a message fires."""

    def close(self) -> None:
        """Let go of everything; the exchange is deleted."""
        held = (*self._held.values(), *self._fresh.values())
        self._changes.resident_bytes -= sum(map(cost_of, held))
        self._blocks, self._starts, self._keys, self._near = [], [], Keys(), []
        self._held, self._fresh, self._missing = {}, {}, {}
        self._wanted.clear()
        self._fresh_bytes = self._unread = self._new = self._empty = 0

    # --- checkpoint and restart --------------------------------------------------------------------

    def states(self) -> Iterator[QueueState]:
        """What a checkpoint has to keep: when everything is due, and where it rests; in pieces, between
        which messages may come and go.

        The keys are those of the first moment: of what is gone later, a restart passes over them.
        """
        below = self.sequence_next
        if self.queue.journaled:
            known = chain((self._near.copy(),), self._keys.pieces()) if self.knows_all else (None,)
            for due in known:
                yield QueueState(self.uid, below, self.delivered_through, [], due=due, due_below=below)
            for runs in self._runs_before(below, stored=True):
                yield QueueState(self.uid, below, self.delivered_through, runs)
        for runs in self._runs_before(below, stored=False):
            yield QueueState(self.uid | SHADOW, below, self.delivered_through, runs)

    def _runs_before(self, below: int, *, stored: bool) -> Iterator[list[StoredRun]]:
        """Where messages with smaller sequences rest, some at a time; blocks may be joined in between."""
        first, done = 0, -1
        while done < first < below:
            done = first
            runs: list[StoredRun] = []
            place = max(0, bisect_right(self._starts, first) - 1)
            for block in self._blocks[place : place + PIECE_BLOCKS]:
                if block.stored is stored and block.left:
                    for sequences in block.ranges():
                        part = range(max(first, sequences.start), min(below, sequences.stop))
                        part_bytes = block.body_bytes * len(part) // block.left
                        if part:
                            runs.append(StoredRun(part, block.location, part_bytes, block.accepted_ms))
                first = max(first, block.stop)
                if len(runs) >= PIECE_RUNS:
                    break
            if runs:
                yield runs

    def restore(self, state: QueueState) -> None:
        """Take over what an engine found; records whose due times it has not kept are read once."""
        queue = self.queue
        self.sequence_next = state.sequence_next
        self.delivered_through = state.delivered_through
        below = state.due_below if state.due is not None else 0
        known = 0
        for run in state.runs:
            count = len(run.sequences)
            first = run.sequences.start
            self._add(Block(first, count, run.location, True, run.accepted_ms, max(0, run.body_bytes), count))
            queue.ready_count += count
            queue.ready_bytes += max(0, run.body_bytes)
            known += first < below
        self._join_from(known, len(self._blocks))
        for block in self._blocks[known:]:
            self._unread += 1
            sequences = [sequence for part in block.ranges() for sequence in part]
            self._wanted.append(Wanted(self, sequences, block.location, block.stored, learn=True))
        self._join_from(0, known)
        self._keys.add_packed(state.due or [])
        self._ask()


def _may_join(one: Block, other: Block) -> bool:
    """Do two neighbours rest in the same record, and is one block less than two?"""
    a, b = one.location, other.location
    return (
        a.segment >= 0
        and (a.segment, a.position) == (b.segment, b.position)
        and one.stored is other.stored
        and other.first - one.stop < BLOCK_BYTES
    )
