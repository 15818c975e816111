"""Messages that wait for a time: the schedule of one exchange (R28).

A schedule is a hidden queue, so its messages are stored, spilled, confirmed and recovered as those of any
queue; in no listing, without consumers, and known to the journal by a definition of kind `schedule`. Its lane
hands messages out by due time, those of one moment as they came. The index in memory is a heap of
numbers, due time and sequence in one; bodies may rest on disk and are asked for when they are due. When a
checkpoint merges small records, the blocks that name them become one, so that what waits costs little more
than its number, however it was published.

Firing routes messages from the schedule's exchange, and settles them here at the same moment: both stand in
one group of the journal, so a crash neither loses nor doubles them. After a restart every record is read once
for its due times, and nothing fires before all are known, so that the order holds.

When a message is due, and what it is when it fires, its protocol knows: a head enters a `Timetable` for its
origin. Source: the plugin rabbitmq_delayed_message_exchange.
Invariant: a sequence stands in the heap exactly as long as it is unsettled, once its record was read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pillarbox.broker import definitions as kept
from pillarbox.broker.index import NO_ENVELOPE, Envelope
from pillarbox.broker.lane import SHADOW, Lane
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import MESSAGE_BYTES, Run, body_bytes_of, message_bytes_of
from pillarbox.engine.base import NO_EXPIRATION, Address, Location, Message, QueueState, StoredRun

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.vhost import VHost
    from pillarbox.engine.base import Recovery

FIRE_MESSAGES = 200
"""Messages that fire before a tick lets sockets be read again: about two milliseconds' work."""

READ_MESSAGES = 4000
"""Messages whose records are read at a time, after a restart and ahead of what is due."""

BLOCK_BYTES = 480
"""About what a block takes, with its run and location. A gap takes a byte for each sequence in it, so blocks
with a larger gap between them stay apart."""

NOTHING = Message(Address("", "", ""), b"", b"", 0)
"""Stands in a block's messages for one that is gone."""

_SEQUENCE_BITS = 48
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1


class Fired(NamedTuple):
    """A message as it goes on when its time has come."""

    message: Message
    keys: tuple[str, ...]
    envelope: Envelope


class Timetable(NamedTuple):
    """What a protocol knows of its delayed messages."""

    delay_ms: Callable[[Message], int]
    """Counted from the moment at which the message was accepted."""
    fire: Callable[[Message, int], Fired]
    """What it is when it fires at this time."""


class _Block(msgspec.Struct, eq=False):
    """Messages that came together, and which of them are gone."""

    run: Run
    left: int
    gone: bytearray | None = None
    """A flag for each message; None: all are left."""
    known: bool = True
    """Its due times stand in the heap."""

    def positions(self) -> Iterator[int]:
        gone = self.gone
        for position in range(len(self.run.sequences)):
            if gone is None or not gone[position]:
                yield position

    def flags(self) -> bytes | bytearray:
        """Which messages are gone."""
        return bytes(len(self.run.sequences)) if self.gone is None else self.gone

    def place(self, pairs: Sequence[tuple[int, Message]]) -> list[Message] | None:
        """What a record holds of this block, by position; None: some that are left are missing."""
        sequences, gone = self.run.sequences, self.gone
        if gone is None:
            return [message for _, message in pairs] if len(pairs) == len(sequences) else None
        messages = [NOTHING] * len(sequences)
        found = 0
        for sequence, message in pairs:
            position = sequence - sequences.start
            if not gone[position]:
                messages[position] = message
                found += 1
        return messages if found == self.left else None

    def ranges(self) -> Iterator[range]:
        """The sequences that are left, in unbroken stretches."""
        sequences = self.run.sequences
        if self.gone is None:
            yield sequences
            return
        start = 0
        while (start := self.gone.find(0, start)) >= 0:
            stop = self.gone.find(1, start)
            stop = len(sequences) if stop < 0 else stop
            yield sequences[start:stop]
            start = stop


class ScheduleLane(Lane):
    """The lane of a schedule: everything that `core` and `queue` ask of a lane, by due time."""

    __slots__ = ("_blocks", "_empty", "_heap", "_hot", "_reading", "_schedule", "_starts", "_unread")

    def __init__(self, schedule: Schedule, queue: Queue, changes: Changes, uid: int) -> None:
        super().__init__(queue, changes, uid, 0)
        self._schedule = schedule
        self._heap: list[int] = []
        self._blocks: list[_Block] = []
        self._starts: list[int] = []
        """The first sequence of each block, which ascend."""
        self._hot: dict[_Block, None] = {}
        """Blocks that are in memory and on disk."""
        self._unread: deque[_Block] = deque()
        """Blocks found at a restart whose due times are not known yet."""
        self._reading: dict[_Block, None] = {}
        """Those of them that were asked for."""
        self._empty = 0
        """Blocks with nothing left."""

    def __repr__(self) -> str:
        return f"<ScheduleLane {self.queue.name!r} waiting={len(self._heap)} unread={len(self._unread)}>"

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
        super().push(messages, body_bytes, location, stored=stored, message_bytes=message_bytes)
        run = self.ready.pop()
        block = self._add(run)
        if location is not None:
            self._hot[block] = None
        self._note(block, messages)

    def _add(self, run: Run) -> _Block:
        block = _Block(run, len(run.sequences))
        self._blocks.append(block)
        self._starts.append(run.sequences.start)
        return block

    def _note(self, block: _Block, messages: list[Message]) -> None:
        due_ms = self._schedule.due_ms
        heap = self._heap
        for sequence, message in zip(block.run.sequences, messages, strict=True):
            heappush(heap, due_ms(message) << _SEQUENCE_BITS | sequence)
        self._schedule.look_at(heap[0] >> _SEQUENCE_BITS)

    # --- messages out ------------------------------------------------------------------------------

    @property
    def next_ms(self) -> int | None:
        """When the first message is due; None: there is none, or not all are known yet."""
        return self._heap[0] >> _SEQUENCE_BITS if self._heap and self._knows_all else None

    @property
    def _knows_all(self) -> bool:
        return not self._unread and not self._reading

    def take_due(self, now_ms: int, count_max: int) -> list[tuple[_Block, int, Message]]:
        """Messages that are due, in order, as far as they are in memory; others are asked for."""
        taken: list[tuple[_Block, int, Message]] = []
        heap = self._heap
        limit = (now_ms + 1) << _SEQUENCE_BITS
        while heap and heap[0] < limit and len(taken) < count_max and self._knows_all:
            block = self._block_of(heap[0] & _SEQUENCE_MASK)
            run = block.run
            if run.messages is None:
                self._want_due(limit)
                break
            sequence = heappop(heap) & _SEQUENCE_MASK
            taken.append((block, sequence, run.messages[sequence - run.sequences.start]))
        return taken

    def _want_due(self, limit: int) -> None:
        """Ask for the record at the head and for some more of what is due."""
        want = READ_MESSAGES
        pending = [0]
        heap = self._heap
        # A heap's children are never before their parent, so what is due stands together at its root.
        for place in pending:
            block = self._block_of(heap[place] & _SEQUENCE_MASK)
            if block.run.messages is None and not block.run.loading:
                self._want(block.run)
                want -= len(block.run.sequences)
            if want <= 0 or place > READ_MESSAGES:
                return
            pending += [
                child for child in (2 * place + 1, 2 * place + 2) if child < len(heap) and heap[child] < limit
            ]

    def _block_of(self, sequence: int) -> _Block:
        return self._blocks[bisect_right(self._starts, sequence) - 1]

    def settle_fired(self, taken: list[tuple[_Block, int, Message]]) -> None:
        """Forget messages for good that have fired."""
        queue, changes = self.queue, self._changes
        for block, sequence, message in taken:
            run = block.run
            if block.gone is None:
                block.gone = bytearray(len(run.sequences))
                # Others may share the list with which they came.
                run.messages = list(run.messages or ())
            position = sequence - run.sequences.start
            block.gone[position] = 1
            block.left -= 1
            if run.messages is not None:
                run.messages[position] = NOTHING
            size = len(message.body)
            queue.ready_count -= 1
            queue.ready_bytes -= size
            run.body_bytes -= size
            changes.resident_bytes -= size + run.message_bytes
            if run.stored:
                changes.settle(self.uid, range(sequence, sequence + 1))
            if not block.left:
                run.messages = None
                self._hot.pop(block, None)
                self._empty += 1
        if 2 * self._empty > len(self._blocks):
            self._sweep()

    def _sweep(self) -> None:
        """Forget empty blocks. Cost: O(1) for each of them, as they are more than the half."""
        self._blocks = [block for block in self._blocks if block.left]
        self._starts = [block.run.sequences.start for block in self._blocks]
        self._empty = 0

    # --- memory and disk ---------------------------------------------------------------------------

    def loaded(self, run: Run, pairs: Sequence[tuple[int, Message]]) -> None:
        """A record is here: for its due times, or because a message in it is due."""
        if self.queue.deleted or not run.loading:
            return
        run.loading = False
        block = self._block_of(run.sequences.start)
        messages = block.place(pairs)
        if messages is None:
            self.queue.unreadable = True
            return
        left = [messages[position] for position in block.positions()]
        exact = body_bytes_of(left)
        self.queue.ready_bytes += exact - run.body_bytes
        run.body_bytes = exact
        run.message_bytes = message_bytes_of(left)
        run.messages = messages
        self._hot[block] = None
        self._changes.resident_bytes += self._held_bytes(block)
        if block in self._reading:
            self._read(block, messages)
        self._schedule.rouse()

    def _read(self, block: _Block, messages: list[Message]) -> None:
        """Learn the due times of a record that a restart has left; when it was the last, begin."""
        del self._reading[block]
        block.known = True
        due_ms = self._schedule.due_ms
        first = block.run.sequences.start
        self._heap += [
            due_ms(messages[position]) << _SEQUENCE_BITS | first + position for position in block.positions()
        ]
        self._schedule.relieve()
        if not self._reading:
            self._read_on()

    def _read_on(self) -> None:
        """Ask for the next records whose due times are not known."""
        count = 0
        while self._unread and count < READ_MESSAGES:
            block = self._unread.popleft()
            self._reading[block] = None
            self._want(block.run)
            count += len(block.run.sequences)
        if not self._reading:
            heapify(self._heap)

    def unloadable(self) -> Iterator[Run]:
        """Runs that the disk holds as well, the newest first."""
        for block in list(reversed(self._hot)):
            location = block.run.location
            if location is not None and location.segment >= 0:
                yield block.run

    def may_unload(self, run: Run) -> bool:
        """Does the disk hold this run, and is it in memory?"""
        return run.messages is not None and run.location is not None and run.location.segment >= 0

    def unload(self, run: Run) -> None:
        """Let go of the messages of a run, which can be loaded again."""
        block = self._block_of(run.sequences.start)
        self._changes.resident_bytes -= self._held_bytes(block)
        run.messages = None
        del self._hot[block]

    def _held_bytes(self, block: _Block) -> int:
        return block.run.body_bytes + block.left * block.run.message_bytes

    def merged(self, sequences: range) -> None:
        """Small records with these sequences rest in one now: let their blocks be one."""
        first = bisect_left(self._starts, sequences.start)
        end = bisect_left(self._starts, sequences.stop)
        blocks = self._blocks[first:end]
        left = [block for block in blocks if block.left]
        self._empty -= len(blocks) - len(left)
        joined = [self._join(part) for part in _neighbours(left)]
        self._blocks[first:end] = joined
        self._starts[first:end] = [block.run.sequences.start for block in joined]

    def _join(self, parts: list[_Block]) -> _Block:
        """Neighbours in the same record, as one block; in memory if all of them are."""
        if len(parts) == 1:
            return parts[0]
        changes = self._changes
        hot = all(block.run.messages is not None for block in parts)
        whole = all(block.gone is None for block in parts)
        messages: list[Message] = []
        gone = bytearray()
        first = end = parts[0].run.sequences.start
        left = body_bytes = message_bytes = 0
        for block in parts:
            run = block.run
            gap = run.sequences.start - end
            end = run.sequences.stop
            left += block.left
            body_bytes += run.body_bytes
            message_bytes += run.message_bytes * block.left
            whole = whole and not gap
            gone += b"\1" * gap
            gone += block.flags()
            if run.messages is not None:
                changes.resident_bytes -= self._held_bytes(block)
                del self._hot[block]
                messages += [NOTHING] * gap
                messages += run.messages
            elif run.loading:
                # Its answer is for what it was; whoever waits for it asks again.
                run.loading = False
                self._schedule.rouse()
        run = parts[0].run
        joined = _Block(
            Run(
                self,
                range(first, end),
                messages if hot else None,
                body_bytes,
                run.location,
                False,
                run.accepted_ms,
                run.stored,
                -(-message_bytes // left),
            ),
            left,
            None if whole else gone,
            parts[0].known,
        )
        if hot:
            changes.resident_bytes += self._held_bytes(joined)
            self._hot[joined] = None
        return joined

    def expire(self, *, at_once: bool) -> None:
        """Times to live begin when a message fires."""

    def close(self) -> None:
        """Let go of everything; the exchange is deleted."""
        for block in self._blocks:
            if block.run.messages is not None:
                self._changes.resident_bytes -= self._held_bytes(block)
            block.run.loading = False
        self._blocks, self._starts, self._heap = [], [], []
        self._hot.clear()
        self._unread.clear()
        self._reading.clear()

    # --- checkpoint and restart --------------------------------------------------------------------

    def states(self) -> Iterator[QueueState]:
        """What a checkpoint has to keep."""
        for uid, stored in ((self.uid, True), (self.uid | SHADOW, False)):
            runs: list[StoredRun] = []
            for block in self._blocks:
                run = block.run
                if run.location is None or run.stored is not stored or not block.left:
                    continue
                for sequences in block.ranges():
                    part_bytes = run.body_bytes * len(sequences) // block.left
                    runs.append(StoredRun(sequences, run.location, part_bytes, run.accepted_ms))
            if runs or (stored and self.queue.journaled):
                yield QueueState(uid, self.sequence_next, self.delivered_through, runs)

    def restore(self, state: QueueState) -> None:
        """Take over what an engine found; everything is cold, and has to be read once."""
        super().restore(state)
        found = [_Block(run, len(run.sequences), None, False) for run in self.ready]
        self.ready.clear()
        self._blocks = [self._join(part) for part in _neighbours(found)]
        self._starts = [block.run.sequences.start for block in self._blocks]
        self._unread.extend(self._blocks)
        self._cold_runs = 0
        self._read_on()


def _neighbours(blocks: list[_Block]) -> Iterator[list[_Block]]:
    """Blocks in parts, each of which may be one."""
    part: list[_Block] = []
    for block in blocks:
        if part and not _may_join(part[-1], block):
            yield part
            part = []
        part.append(block)
    if part:
        yield part


def _may_join(one: _Block, other: _Block) -> bool:
    """Do two neighbours rest in the same record, and is one block less than two?"""
    a, b = one.run, other.run
    return (
        a.location is not None
        and b.location is not None
        and a.location.segment >= 0
        and (a.location.segment, a.location.position) == (b.location.segment, b.location.position)
        and a.stored is b.stored
        and one.known is other.known
        and b.sequences.start - a.sequences.stop < BLOCK_BYTES
    )


class Schedule:
    """The messages that wait in one exchange; see the module."""

    def __init__(self, core: Core, exchange: Exchange, uid: int) -> None:
        self._core = core
        self._exchange = exchange
        self._timer_ms: int | None = None
        self.queue = Queue(core.changes, uid, f"amq.delayed.{exchange.name}", durable=exchange.durable)
        self.lane = ScheduleLane(self, self.queue, core.changes, uid)
        self.queue.lanes[:] = [self.lane]

    def __repr__(self) -> str:
        return f"<Schedule of {self._exchange.name!r} waiting={self.waiting_count}>"

    @property
    def waiting_count(self) -> int:
        """How many messages wait."""
        return self.queue.ready_count

    def due_ms(self, message: Message) -> int:
        """When a message is due; one that no head knows any more, at once."""
        timetable = self._core.schedules.timetables.get(message.address.origin)
        return message.accepted_ms + (timetable.delay_ms(message) if timetable is not None else 0)

    def look_at(self, due_ms: int) -> None:
        """Have a look when this time has come."""
        if self._timer_ms is None or due_ms < self._timer_ms:
            self._timer_ms = due_ms
            self._core.scheduler.at(due_ms, self)

    def on_timer(self, now_ms: int) -> None:
        """The time asked for has come."""
        if self._timer_ms is not None and self._timer_ms <= now_ms:
            self._timer_ms = None
            self.rouse()

    def rouse(self) -> None:
        """Have what is due fire in the next tick, and wait for what comes after that."""
        if not self.queue.deleted:
            self._core.schedules.due[self] = None
            self._core.wake()

    def relieve(self) -> None:
        """Keep the memory budget."""
        if self._core.changes.resident_bytes > self._core.memory_budget:
            self.queue.unload(self._core.memory_budget)

    def fire(self, count_max: int) -> int:
        """Let at most `count_max` messages go that are due; return how many."""
        core = self._core
        now_ms = core.changes.now_ms
        taken = self.lane.take_due(now_ms, count_max)
        if taken:
            self._publish([message for _, _, message in taken], now_ms)
            core.changes.note_move()
            self.lane.settle_fired(taken)
        if len(taken) == count_max:
            self.rouse()
        elif (next_ms := self.lane.next_ms) is not None and next_ms > now_ms:
            self.look_at(next_ms)
        return len(taken)

    def _publish(self, messages: list[Message], now_ms: int) -> None:
        """Publish messages that have become due, those that go to the same queues together."""
        core = self._core
        routed: list[tuple[tuple[Queue, ...], bool, bool, Message]] = []
        for message in messages:
            timetable = core.schedules.timetables.get(message.address.origin)
            fired, keys, envelope = (
                Fired(message, (message.address.routing_key,), NO_ENVELOPE)
                if timetable is None
                else timetable.fire(message, now_ms)
            )
            route = self._exchange.resolve(keys, envelope)
            route.remember(keys, envelope, fired)
            self._exchange.counters.publish_out += len(route.queues)
            if route.queues:
                expiring = fired.expiration_ms != NO_EXPIRATION
                routed.append((route.queues, fired.persistent, expiring, fired))
        for (queues, persistent, expiring), group in groupby(routed, lambda one: one[:3]):
            batch = [message for _, _, _, message in group]
            core.publish(
                queues,
                batch,
                body_bytes_of(batch),
                persistent=persistent,
                expiring=expiring,
                prioritized=any(message.priority for message in batch),
                message_bytes=message_bytes_of(batch),
            )


class Schedules:
    """All schedules of one broker."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.timetables: dict[str, Timetable] = {}
        """By the origin of messages (see `Address`)."""
        self.due: dict[Schedule, None] = {}
        """Schedules that may have something to fire."""
        self._by_uid: dict[int, Schedule] = {}

    def __repr__(self) -> str:
        return f"<Schedules due={len(self.due)}>"

    def add(self, vhost: VHost, exchange: Exchange) -> None:
        """Give a new exchange its schedule, if it delays messages."""
        if not exchange.row.delays:
            return
        schedule = exchange.schedule = Schedule(self._core, exchange, self._core.take_uid())
        self._by_uid[schedule.queue.uid] = schedule
        if exchange.durable:
            definition = kept.ScheduleDefinition(vhost.name, exchange.name)
            self._core.define("schedule", str(schedule.queue.uid), definition)

    def restore(self, uid: int, definition: kept.ScheduleDefinition, recovery: Recovery) -> None:
        """Give an exchange its schedule and the messages that an engine found."""
        vhost = self._core.vhosts[definition.vhost]
        exchange = vhost.exchanges[definition.exchange]
        schedule = exchange.schedule = self._by_uid[uid] = Schedule(self._core, exchange, uid)
        state = recovery.queues.get(uid)
        if state is not None:
            schedule.lane.restore(state)
            schedule.rouse()

    def merged(self, uid: int, sequences: range) -> None:
        """Small records of a queue, if it is a schedule, have become one."""
        schedule = self._by_uid.get(uid & ~SHADOW)
        if schedule is not None:
            schedule.lane.merged(sequences)

    def remove(self, exchange: Exchange) -> None:
        """Drop the schedule of an exchange that is being deleted, with all that waits."""
        schedule = exchange.schedule
        if schedule is None:
            return
        exchange.schedule = None
        self.due.pop(schedule, None)
        del self._by_uid[schedule.queue.uid]
        if exchange.durable:
            self._core.undefine("schedule", str(schedule.queue.uid))
        schedule.queue.close()

    def fire(self) -> None:
        """Let what is due fire, a bounded number of messages."""
        if self._core.failure is not None:
            # It cannot be stored elsewhere; a restart finds it where it was.
            return
        due, self.due = self.due, {}
        left = FIRE_MESSAGES
        for schedule in due:
            if left > 0:
                left -= schedule.fire(left)
            else:
                schedule.rouse()
