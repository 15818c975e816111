"""A queue: a range of sequences, of which some are ready, some released, some out, the rest settled.

Ready runs stand in order; released ones (requeued) in a heap by sequence, and go first, since whatever
was delivered once is older than what was not. Outstanding deliveries stand in their receivers' ledgers
and are registered here. Not here: who may do what, routing, dispatch to consumers.

Invariants: sequences only grow. A queue without limits takes no step for them. Counts always equal what
the runs add up to (a test recounts). The same message is never in two of ready, released, outstanding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from pillarbox.broker.exchange import Stamp
from pillarbox.broker.run import Run, held_bytes
from pillarbox.engine.base import NO_EXPIRATION, Location, Message, QueueState, StoredRun

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.ledger import Entry, Ledger

READ_AHEAD_MESSAGES = 4000
"""Messages to have in memory at the head of a queue that rests on disk: a few ticks' worth."""
READ_AHEAD_BYTES = 4 << 20
"""And no more bytes than these, so that large bodies do not fill the memory by their count."""
SHADOW = 1 << 62
"""Set in a queue's uid for messages that were spilled; no queue is ever defined under such a uid."""
TAKE_BYTES = 1 << 20
"""Body bytes that one take hands out at most (but always one message): bounds the work of a tick."""


_SEQUENCE = itemgetter(0)
_BLOCKED = attrgetter("blocked")


class QueueCounters:
    """Totals since the queue was made, added to once per batch."""

    __slots__ = ("ack", "deliver", "deliver_no_ack", "get", "get_empty", "get_no_ack", "publish", "redeliver")

    def __init__(self) -> None:
        self.publish = 0
        self.deliver = 0
        self.deliver_no_ack = 0
        self.get = 0
        self.get_no_ack = 0
        self.get_empty = 0
        self.ack = 0
        self.redeliver = 0


class Queue:
    """See the module. Made by `vhost`; `uid` is never used again, `name` may be."""

    def __init__(
        self,
        changes: Changes,
        uid: int,
        name: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        owner: object | None = None,
        arguments: Mapping[str, Any] | None = None,
        ttl_ms: int | None = None,
        expires_ms: int | None = None,
    ) -> None:
        self._changes = changes
        self.uid = uid
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.owner = owner
        """The connection that has it exclusively, if any."""
        self.arguments = dict(arguments or {})
        self.ttl_ms = ttl_ms
        self.expires_ms = expires_ms
        self.expiry: object | None = None
        """What deletes the queue when nobody has used it for so long: a timer keeps nothing alive."""
        self.journaled = durable and owner is None and changes.journaled
        self.counters = QueueCounters()
        self.stamp = Stamp()
        self.consumers: list[Consumer] = []
        self.outstanding: dict[Entry, None] = {}
        self.sequence_next = 0
        self.delivered_through = -1
        self.ready_count = self.ready_bytes = 0
        self.unacked_count = self.unacked_bytes = 0
        self.active_ms = self.used_ms = changes.now_ms
        self.deleted = False
        self.queued = False
        """Stands in `changes.dirty`."""
        self._blocks = 0
        """How often a consumer was taken out of the turns."""
        self._ready: deque[Run] = deque()
        self._offset = 0
        """Messages of the first ready run that are taken already."""
        self._released: list[Run] = []
        self._cold_runs = 0
        self.timed = ttl_ms is not None
        self._timer_ms: int | None = None
        self._waiting: list[Callable[[], None]] = []
        """Who wants to know when cold messages have come."""
        self.unreadable = False
        """Messages could not be read back from disk."""

    def __repr__(self) -> str:
        return (
            f"<Queue {self.name} ready={self.ready_count} unacked={self.unacked_count} "
            f"next={self.sequence_next} consumers={len(self.consumers)}>"
        )

    # --- messages in -------------------------------------------------------------------------------

    def push(
        self,
        messages: list[Message],
        body_bytes: int,
        location: Location | None,
        *,
        stored: bool = True,
        expiring: bool = False,
    ) -> None:
        """Append messages that arrived in this tick; `expiring`: at least one has a time to live.

        With a location they are `stored`, or else spilled.

        Cost: O(1). The list is kept and must not change.
        """
        changes = self._changes
        count = len(messages)
        first = self.sequence_next
        self.sequence_next = first + count
        stored = stored and location is not None
        sequences = range(first, first + count)
        run = Run(sequences, messages, body_bytes, location, False, changes.now_ms, stored)
        self._ready.append(run)
        self.ready_count += count
        self.ready_bytes += body_bytes
        changes.resident_bytes += held_bytes(count, body_bytes)
        self.counters.publish += count
        self.active_ms = changes.now_ms
        if expiring:
            self.timed = True
        if not self.queued and (self.consumers or self.timed):
            self.queued = True
            changes.dirty.append(self)

    def release(self, run: Run) -> None:
        """Put delivered messages back to their original place; they will be `redelivered`."""
        if self.deleted:
            return
        count = len(run)
        run.redelivered = True
        heappush(self._released, run)
        self.unacked_count -= count
        self.unacked_bytes -= run.body_bytes
        self.ready_count += count
        self.ready_bytes += run.body_bytes
        self.active_ms = self._changes.now_ms
        self.wake()

    def wake(self) -> None:
        """Have the queue looked at when the tick ends."""
        if not self.queued and (self.ready_count or self.timed):
            self.queued = True
            self._changes.dirty.append(self)

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer take part, behind those of its priority (R69)."""
        consumers = self.consumers
        position = len(consumers)
        while position and consumers[position - 1].priority < consumer.priority:
            position -= 1
        consumers.insert(position, consumer)

    def move_back(self, consumer: Consumer) -> None:
        """Let a consumer stand behind the others of its priority."""
        self.consumers.remove(consumer)
        self.add_consumer(consumer)

    def block(self, consumer: Consumer) -> None:
        """Take a consumer without credit out of the turns."""
        self._blocks += 1
        consumer.blocked = self._blocks
        if consumer.pool.credit <= 0:
            consumer.pool.waiting[self] = None

    def unblock(self, ledger: Ledger) -> None:
        """Let consumers of this receiver that have credit again stand behind those that wait already."""
        waiting = [
            consumer
            for consumer in self.consumers
            if consumer.blocked and consumer.ledger is ledger and consumer.credit > 0
        ]
        if len(waiting) > 1:
            waiting.sort(key=_BLOCKED)
        for consumer in waiting:
            if consumer.pool.credit > 0:
                consumer.blocked = 0
                if len(self.consumers) > 1:
                    self.move_back(consumer)
            else:
                consumer.pool.waiting[self] = None

    # --- messages out ------------------------------------------------------------------------------

    def take(self, count_max: int) -> Run | None:
        """Hand out the next messages, at most `count_max`, as one run; they count as unacknowledged.

        None: nothing is ready, or it rests on disk and was asked for (`wake` follows when it is here).
        """
        if self.timed:
            self.expire()
        run = self._released[0] if self._released else self._ready[0] if self._ready else None
        if run is None or not self._hot(run):
            return None
        run = self._take_released(count_max) if self._released else self._take_ready(run, count_max)
        count = len(run.sequences)
        self.ready_count -= count
        self.ready_bytes -= run.body_bytes
        self.unacked_count += count
        self.unacked_bytes += run.body_bytes
        self.active_ms = self._changes.now_ms
        if run.redelivered:
            self.counters.redeliver += count
        return run

    def _take_released(self, count_max: int) -> Run:
        # Where stripes of one run were released they take turns, so that the original order is kept.
        count = min(_bounded(self._released[0], count_max), self._unbroken())
        run = heappop(self._released)
        if count < len(run.sequences):
            rest = run.cut(slice(count, None))
            rest.redelivered = True
            heappush(self._released, rest)
            run = run.cut(slice(0, count))
        return run

    def _take_ready(self, run: Run, count_max: int) -> Run:
        offset = self._offset
        left = len(run.sequences) - offset
        count = min(left, _bounded(run, count_max))
        part = run.cut(slice(offset, offset + count))
        if count == left:
            self._ready.popleft()
            self._offset = 0
            if self._cold_runs:
                self._read_ahead()
        else:
            self._offset = offset + count
        if part.sequences[-1] <= self.delivered_through:
            part.redelivered = True
        return part

    def delivered(self, run: Run) -> None:
        """Note that this run was handed to a receiver that will acknowledge it."""
        last = run.sequences[-1]
        if last > self.delivered_through:
            self.delivered_through = last
            if run.stored:
                self._changes.delivered[self.uid] = last

    # --- messages gone -----------------------------------------------------------------------------

    def settle(self, sequences: range, body_bytes: int, stored: bool) -> None:
        """Forget delivered messages for good. Cost: O(1)."""
        if self.deleted:
            return
        count = len(sequences)
        self.unacked_count -= count
        self.unacked_bytes -= body_bytes
        changes = self._changes
        changes.resident_bytes -= held_bytes(count, body_bytes)
        self.counters.ack += count
        self.active_ms = changes.now_ms
        if stored:
            changes.settle(self.uid, sequences)

    def settle_unanswered(self, run: Run) -> None:
        """Forget messages whose receiver wants no acknowledgement: handed out is settled."""
        count = len(run.sequences)
        self.unacked_count -= count
        self.unacked_bytes -= run.body_bytes
        self._gone(run)

    def reject(self, run: Run) -> None:
        """Drop delivered messages that their receiver does not want."""
        if not self.deleted:
            self.settle_unanswered(run)

    def purge(self) -> int:
        """Drop all ready messages; return how many."""
        count = self.ready_count
        for run in self._ready_runs():
            self._gone(run)
        self._ready.clear()
        self._released.clear()
        self._offset = self._cold_runs = 0
        self.unreadable = False
        self.ready_count = self.ready_bytes = 0
        self.active_ms = self._changes.now_ms
        return count

    def _gone(self, run: Run) -> None:
        if run.messages is not None:
            self._changes.resident_bytes -= held_bytes(len(run.sequences), run.body_bytes)
        # What is asked for and gone before it comes is not wanted any more.
        run.loading = False
        if run.stored:
            self._changes.settle(self.uid, run.sequences)

    def close(self) -> None:
        """Let go of everything; the queue is deleted."""
        self.deleted = True
        self.expiry = None
        self.stamp.valid = False
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            again()
        hot = [run for run in self._ready_runs() if run.messages is not None]
        count = sum([len(run.sequences) for run in hot]) + self.unacked_count
        held = sum([run.body_bytes for run in hot]) + self.unacked_bytes
        self._changes.resident_bytes -= held_bytes(count, held)
        self._ready.clear()
        self._released.clear()
        self.outstanding.clear()
        self.ready_count = self.ready_bytes = self.unacked_count = self.unacked_bytes = 0

    # --- time to live ------------------------------------------------------------------------------

    def expire(self, *, at_once: bool = False) -> None:
        """Drop messages at the head whose time is over, and ask to be looked at when the next one's is.

        A time to live of 0 leaves a message until whoever waits for it had a chance; `at_once`: no longer.

        Only the head is examined (R44): a message behind one that lives longer waits for it.
        """
        now_ms = self._changes.now_ms
        while True:
            run = self._released[0] if self._released else self._ready[0] if self._ready else None
            if run is None or not self._hot(run):
                return
            assert run.messages is not None
            start, stop = (0, self._unbroken()) if self._released else (self._offset, len(run.messages))
            over = start
            while over < stop:
                due_ms = self._due_ms(run.messages[over])
                if due_ms is None or due_ms > now_ms or (due_ms == now_ms and not at_once):
                    if due_ms is not None:
                        self._arm(due_ms + 1)
                    break
                over += 1
            if over > start:
                self._drop_first(run, start, over)
            if over < stop:
                return

    def _due_ms(self, message: Message) -> int | None:
        own = message.expiration_ms
        ttl = self.ttl_ms
        if own == NO_EXPIRATION:
            return None if ttl is None else message.accepted_ms + ttl
        return message.accepted_ms + (own if ttl is None or own < ttl else ttl)

    def _arm(self, due_ms: int) -> None:
        if self._timer_ms is None or due_ms < self._timer_ms:
            self._timer_ms = due_ms
            self._changes.timed.append((due_ms, self))

    def on_timer(self, now_ms: int) -> None:
        """The time asked for has come."""
        if self._timer_ms is not None and self._timer_ms <= now_ms:
            self._timer_ms = None
        self.wake()

    def _unbroken(self) -> int:
        """How many messages of the first released run come before any of the others."""
        sequences = self._released[0].sequences
        if len(self._released) > 1:
            # The second of a heap is one of the first one's two children.
            following = min(self._released[1:3]).sequences.start
            if following < sequences[-1]:
                return len(range(sequences.start, following, sequences.step))
        return len(sequences)

    def _drop_first(self, run: Run, start: int, stop: int) -> None:
        """Drop these positions of the run at the head; nothing of it waits before them."""
        if self._released:
            heappop(self._released)
            if stop < len(run.sequences):
                rest = run.cut(slice(stop, None))
                rest.redelivered = True
                heappush(self._released, rest)
        elif stop < len(run.sequences):
            self._offset = stop
        else:
            self._ready.popleft()
            self._offset = 0
        gone = run.cut(slice(start, stop))
        self.ready_count -= len(gone.sequences)
        self.ready_bytes -= gone.body_bytes
        self._gone(gone)

    # --- memory and disk ---------------------------------------------------------------------------

    def _hot(self, run: Run) -> bool:
        """Is the run in memory? If not, ask for it and for those behind it."""
        if run.messages is not None:
            return True
        self._want(run)
        self._read_ahead()
        return False

    def _want(self, run: Run) -> None:
        if not run.loading:
            run.loading = True
            self._changes.cold.append((self, run))

    def _read_ahead(self) -> None:
        """Ask for cold runs near the head before they are needed."""
        messages = held = 0
        for run in self._ready:
            if run.messages is None:
                self._want(run)
            messages += len(run.sequences)
            held += run.body_bytes
            if messages >= READ_AHEAD_MESSAGES or held >= READ_AHEAD_BYTES:
                break

    def loaded(self, run: Run, messages: list[Message]) -> None:
        """The messages of a cold run are here; if not all are, they cannot be read and stay cold."""
        if len(messages) < len(run.sequences):
            self.unreadable = True
        elif run.loading and not self.deleted:
            assert len(messages) == len(run.sequences), (self, run, len(messages))
            run.loading = False
            run.messages = messages
            run.body_bytes = self._recount(run, messages)
            self._cold_runs -= 1
            self._changes.resident_bytes += held_bytes(len(messages), run.body_bytes)
            self.wake()
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            again()

    def when_loaded(self, again: Callable[[], None]) -> None:
        """Call back once when messages that `take` asked for are in memory."""
        self._waiting.append(again)

    def _recount(self, run: Run, messages: list[Message]) -> int:
        """Correct the estimate that a cold run carries."""
        exact = sum([len(message.body) for message in messages])
        self.ready_bytes += exact - run.body_bytes
        return exact

    def unload(self, memory_budget: int) -> None:
        """Let go of messages that the disk holds until the budget is kept, the newest first.

        Near consumers some are kept. Cost: O(messages let go).
        """
        ready = self._ready
        count = self.ready_count
        size = self.ready_bytes
        changes = self._changes
        for run in reversed(ready):
            location = run.location
            # A segment below 0: storage failed before the message was appended.
            if run.messages is None or location is None or location.segment < 0 or run is ready[0]:
                break
            if changes.resident_bytes <= memory_budget:
                break
            if self.consumers and count < READ_AHEAD_MESSAGES and size < READ_AHEAD_BYTES:
                break
            run.messages = None
            self._cold_runs += 1
            count -= len(run.sequences)
            size -= run.body_bytes
            changes.resident_bytes -= held_bytes(len(run.sequences), run.body_bytes)

    def _ready_runs(self) -> Iterator[Run]:
        """Everything that waits, without what was taken of the first ready run."""
        yield from sorted(self._released)
        for position, run in enumerate(self._ready):
            yield run.cut(slice(self._offset, None)) if position == 0 and self._offset else run

    def states(self) -> Iterator[QueueState]:
        """What a checkpoint has to keep: every unsettled run that rests on disk."""
        out = [entry.run.cut(slice(entry.start, entry.stop)) for entry in self.outstanding]
        runs = sorted([run for run in (*self._ready_runs(), *out) if run.location is not None])
        if self.journaled:
            yield self._state(self.uid, [run for run in runs if run.stored])
        spilled = [run for run in runs if not run.stored]
        if spilled:
            yield self._state(self.uid | SHADOW, spilled)

    def _state(self, uid: int, runs: list[Run]) -> QueueState:
        stored = [
            StoredRun(run.sequences, run.location, run.body_bytes, run.accepted_ms)
            for run in runs
            if run.location is not None
        ]
        return QueueState(uid, self.sequence_next, self.delivered_through, stored)

    def restore(self, state: QueueState) -> None:
        """Take over what an engine found; everything is cold."""
        self.sequence_next = state.sequence_next
        self.delivered_through = state.delivered_through
        for stored in _untangled(state.runs):
            for sequences in self._split_at_delivered(stored.sequences):
                part_bytes = stored.body_bytes * len(sequences) // len(stored.sequences)
                run = Run(sequences, None, part_bytes, stored.location, False, stored.accepted_ms, True)
                self._ready.append(run)
                self.ready_count += len(sequences)
                self.ready_bytes += part_bytes
        self._cold_runs = len(self._ready)
        # A message may carry a time to live of its own, which only its record tells.
        self.timed = True
        self.wake()

    def _split_at_delivered(self, sequences: range) -> list[range]:
        """Part the sequences that were delivered before the restart from those that were not."""
        if sequences.start > self.delivered_through or sequences[-1] <= self.delivered_through:
            return [sequences]
        count = len(range(sequences.start, self.delivered_through + 1, sequences.step))
        return [sequences[:count], sequences[count:]]


def _bounded(run: Run, count_max: int) -> int:
    """At most `count_max` messages and about `TAKE_BYTES`, but at least one."""
    length = len(run.sequences)
    if run.body_bytes > TAKE_BYTES:
        count_max = min(count_max, max(1, TAKE_BYTES * length // run.body_bytes))
    return min(count_max, length)


def _untangled(runs: list[StoredRun]) -> Iterator[StoredRun]:
    """The same sequences in ascending order throughout: stripes that interleave are cut apart."""
    position = 0
    while position < len(runs):
        end, last = position + 1, runs[position].sequences[-1]
        while end < len(runs) and runs[end].sequences.start < last:
            last = max(last, runs[end].sequences[-1])
            end += 1
        if end == position + 1:
            yield runs[position]
        else:
            tangled = runs[position:end]
            numbered = [(sequence, stored) for stored in tangled for sequence in stored.sequences]
            for sequence, stored in sorted(numbered, key=_SEQUENCE):
                part_bytes = stored.body_bytes // len(stored.sequences)
                single = range(sequence, sequence + 1)
                yield StoredRun(single, stored.location, part_bytes, stored.accepted_ms)
        position = end
