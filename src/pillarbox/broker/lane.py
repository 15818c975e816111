"""A lane: the messages of one priority of a queue, in the order in which they came.

It is a range of sequences, of which some are ready, some released, some out, the rest settled. Ready runs
stand in order; released ones (requeued) in a heap by sequence, and go first, since whatever was delivered
once is older than what was not. Outstanding deliveries stand in their receivers' ledgers and are registered
here. A lane has a uid of its own, under which the journal knows it; what it counts, it counts for its
queue. Not here: which lane comes first, consumers, when to look for what has expired (see `queue`).

Invariants: sequences only grow. The same message is never in two of ready, released, outstanding, dying.
Counts of the queue always equal what the runs of its lanes add up to (a test recounts).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar, cast

from pillarbox.broker.attempts import known_facts, note_out, recall, take_back
from pillarbox.broker.deadletter import EXPIRED, MAXLEN, REJECTED, Dying
from pillarbox.broker.lean import NO_DICT, NO_LIST
from pillarbox.broker.run import MESSAGE_BYTES, Run, message_bytes_of
from pillarbox.engine.base import NO_EXPIRATION, Location, Message, QueueState, StoredRun

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.choosing_lane import Shelf, Stretch
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.ledger import Entry
    from pillarbox.broker.limits import Limits
    from pillarbox.broker.queue import Queue

READ_AHEAD_MESSAGES = 4000
"""Messages to have in memory at the head of a lane that rests on disk: a few ticks' worth."""
READ_AHEAD_BYTES = 4 << 20
"""And no more bytes than these, so that large bodies do not fill the memory by their count."""
OUT_LOOKED_AT = 2000
"""Deliveries to look at in one go for what may leave the memory: some more than a tick makes."""
SHADOW = 1 << 62
"""Set in a lane's uid for messages that were spilled; nothing is ever defined under such a uid."""
TAKE_BYTES = 1 << 20
"""Body bytes that one take hands out at most (but always one message): bounds the work of a tick."""

RUNS_AT_ONCE = 800
"""Runs of a queue that is purged or deleted which are forgotten in one part: less than a millisecond."""

LIFETIMES_MAX = 16
"""Changes of a queue's time to live that are remembered for what waits in one lane: an operator makes few."""

NONE_PASSED = cast("Shelf", ())
"""In place of the shelf of a lane whose consumers take what comes."""

_SEQUENCE = itemgetter(0)
T = TypeVar("T")


class Lane:
    """See the module. Made by its queue; `uid` is never used again."""

    __slots__ = (
        "_chances",
        "_changes",
        "_cold_runs",
        "_offset",
        "delivered_through",
        "dying",
        "lifetimes",
        "outstanding",
        "passed",
        "priority",
        "queue",
        "ready",
        "released",
        "sequence_next",
        "uid",
    )

    def __init__(self, queue: Queue, changes: Changes, uid: int, priority: int) -> None:
        self.queue = queue
        self._changes = changes
        self.uid = uid
        self.priority = priority
        self.sequence_next = 0
        self.delivered_through = -1
        self.ready: deque[Run] = NO_LIST
        self._offset = 0
        """Messages of the first ready run that are taken already."""
        self.released: list[Run] = NO_LIST
        self.passed = NONE_PASSED
        """What consumers that choose have passed over: see `choosing_lane`."""
        self.outstanding: dict[Entry, None] = NO_DICT
        self._cold_runs = 0
        self._chances = 0
        """Messages before this sequence were here when a tick ended: whoever waited could have had them."""
        self.lifetimes: list[tuple[int, int | None]] = NO_LIST
        """Times to live that the queue had when messages came: up to which sequence, and how long (None: no
        such time). Those that are in none of them came under its present one."""
        self.dying: dict[Run, str] = NO_DICT
        """What is to be forwarded as dead letters, and why: not ready any more, and not settled yet."""

    def __repr__(self) -> str:
        return (
            f"<Lane {self.queue.name}/{self.priority} ready={len(self.ready)} released={len(self.released)} "
            f"out={len(self.outstanding)} next={self.sequence_next}>"
        )

    @property
    def has_cold(self) -> bool:
        """Do some of the messages that were never delivered rest on the disk alone?"""
        return self._cold_runs > 0

    def rest(self) -> None:
        """Let go of what is empty."""
        if not self.ready:
            self.ready = NO_LIST
        if not self.released:
            self.released = NO_LIST
        if not self.outstanding:
            self.outstanding = NO_DICT

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
        """Append messages that arrived in this tick; `expiring`: at least one has a time to live.

        With a location they are `stored`, or else spilled.

        Cost: O(1). The list is kept and must not change.
        """
        queue = self.queue
        changes = self._changes
        count = len(messages)
        first = self.sequence_next
        self.sequence_next = first + count
        stored = stored and location is not None
        sequences = range(first, first + count)
        now_ms = changes.now_ms
        run = Run(self, sequences, messages, body_bytes, location, False, now_ms, stored, message_bytes)
        if self.ready is NO_LIST:
            self.ready = deque()
        self.ready.append(run)
        queue.ready_count += count
        queue.ready_bytes += body_bytes
        changes.resident_bytes += body_bytes + count * message_bytes
        queue.counters.publish += count
        queue.active_ms = now_ms
        if expiring:
            queue.timed = queue.uneven = True
        if not queue.queued and (queue.turns or queue.timed):
            queue.queued = True
            changes.dirty.append(queue)

    def release(self, run: Run, *, failed: bool = False) -> None:
        """Put delivered messages back to their original place; they will be `redelivered`.

        `failed`: their receiver could not cope with them, or went away without an answer.
        """
        queue = self.queue
        if queue.deleted:
            return
        count = len(run)
        queue.unacked_count -= count
        queue.unacked_bytes -= run.body_bytes
        if run.messages is None:
            # Given up while it was out: of its parts only the engine knows how many bytes they have.
            queue.estimated = True
        if queue.delivery_limit is not None:
            failed = failed and not queue.redelivers
            take_back(self, self._changes, run, queue.delivery_limit, failed=failed)
        else:
            self.ready_again(run)

    def ready_again(self, run: Run) -> None:
        """Let messages that were ready once stand in their original place."""
        queue = self.queue
        count = len(run)
        run.redelivered = True
        if self.released is NO_LIST:
            self.released = []
        heappush(self.released, run)
        queue.ready_count += count
        queue.ready_bytes += run.body_bytes
        queue.active_ms = self._changes.now_ms
        queue.wake()

    # --- messages out ------------------------------------------------------------------------------

    def take(self, count_max: int) -> Run | None:
        """Hand out the next messages, at most `count_max`, as one run; they count as unacknowledged.

        There must be some. None: they rest on disk and were asked for (the queue wakes when they are here).
        """
        run = self.released[0] if self.released else self.ready[0]
        if run.messages is None:
            self._want_head(run)
            return None
        run = self._take_released(count_max) if self.released else self._take_ready(run, count_max)
        queue = self.queue
        count = len(run.sequences)
        queue.ready_count -= count
        queue.ready_bytes -= run.body_bytes
        queue.unacked_count += count
        queue.unacked_bytes += run.body_bytes
        queue.active_ms = self._changes.now_ms
        if run.redelivered:
            queue.counters.redeliver += count
        return run

    def _take_released(self, count_max: int) -> Run:
        # Where stripes of one run were released they take turns, so that the original order is kept.
        first = self.released[0]
        count = min(_bounded(first, count_max), self._unbroken())
        if self.queue.uneven:
            count = self._lasting(first, 0, count)
        run = heappop(self.released)
        if count < len(run.sequences):
            rest = run.cut(slice(count, None))
            rest.redelivered = True
            heappush(self.released, rest)
            run = run.cut(slice(0, count))
        return run

    def _take_ready(self, run: Run, count_max: int) -> Run:
        offset = self._offset
        left = len(run.sequences) - offset
        if count_max == 1:
            count, part = 1, run.one(offset)
        else:
            count = min(left, _bounded(run, count_max))
            if self.queue.uneven:
                count = self._lasting(run, offset, count)
            part = run.cut(slice(offset, offset + count))
        if count == left:
            self.ready.popleft()
            self._offset = 0
            if self._cold_runs:
                self._read_ahead()
        else:
            self._offset = offset + count
        if part.sequences[-1] <= self.delivered_through:
            # Only after a restart: what was delivered before it was given back when its consumer went.
            part.redelivered = True
            if self.queue.delivery_limit is not None:
                part.counts, part.failures = run.counts_at(offset, offset + count)
        return part

    def delivered(self, run: Run) -> None:
        """Note that this run was handed to a receiver that will acknowledge it."""
        last = run.sequences[-1]
        if last > self.delivered_through:
            self.delivered_through = last
            if run.stored:
                self._changes.delivered[self.uid] = last
        elif run.counts is not None:
            note_out(self._changes, run)

    # --- messages gone -----------------------------------------------------------------------------

    def settle(self, run: Run, sequences: range, body_bytes: int) -> None:
        """Forget delivered messages of a run for good, with bodies of this size. Cost: O(1)."""
        queue = self.queue
        if queue.deleted:
            return
        count = len(sequences)
        queue.unacked_count -= count
        queue.unacked_bytes -= body_bytes
        changes = self._changes
        if run.messages is not None:
            changes.resident_bytes -= body_bytes + count * run.message_bytes
        queue.counters.ack += count
        queue.active_ms = changes.now_ms
        if run.stored:
            changes.settle(self.uid, sequences)

    def settle_unanswered(self, run: Run) -> None:
        """Forget messages whose receiver wants no acknowledgement: handed out is settled."""
        queue = self.queue
        count = len(run.sequences)
        queue.unacked_count -= count
        queue.unacked_bytes -= run.body_bytes
        self._gone(run)

    def reject(self, run: Run) -> None:
        """Drop delivered messages that their receiver does not want, or let them be dead letters."""
        queue = self.queue
        if queue.deleted:
            return
        if queue.redelivers and queue.delivery_limit is not None:
            queue.unacked_count -= len(run.sequences)
            queue.unacked_bytes -= run.body_bytes
            queue.estimated = queue.estimated or run.messages is None
            take_back(self, self._changes, run, queue.delivery_limit, failed=True)
            return
        self.condemn(run, REJECTED)

    def condemn(self, run: Run, reason: str) -> None:
        """Let delivered messages die for this reason, also where what is rejected would come back."""
        queue = self.queue
        if not queue.deleted:
            queue.unacked_count -= len(run.sequences)
            queue.unacked_bytes -= run.body_bytes
            self.perish(run, reason)

    def purge(self) -> None:
        """Drop what is ready or held; the queue, which drops that of all lanes, sets its counts to 0."""
        for run in (*self.released, *self._delayed()):
            self._gone(run)
        self.released = NO_LIST
        self._want_nothing()
        self._changes.chores.begin(in_parts(self._take_all_ready(), self._gone))
        self._cold_runs = 0

    def _take_all_ready(self) -> deque[Run]:
        """Everything that was never delivered, which stands in no place any more."""
        runs, self.ready = self.ready or deque(), NO_LIST
        if self._offset:
            runs[0] = runs[0].cut(slice(self._offset, None))
            self._offset = 0
        return runs

    def _want_nothing(self) -> None:
        """What was asked for near the head is not wanted any more when it comes."""
        messages = 0
        for run in self.ready:
            run.loading = False
            messages += len(run.sequences)
            if messages >= 2 * READ_AHEAD_MESSAGES:
                break

    def _gone(self, run: Run) -> None:
        if run.messages is not None:
            self._changes.resident_bytes -= run.body_bytes + len(run.sequences) * run.message_bytes
        # What is asked for and gone before it comes is not wanted any more.
        run.loading = False
        if run.stored:
            self._changes.settle(self.uid, run.sequences)

    # --- dead letters and limits -------------------------------------------------------------------

    def _die(self, run: Run, reason: str) -> None:
        """Let messages that are in no other place any more be forwarded as dead letters.

        What was given up while it was out has to come from disk before.
        """
        self.doom(run, reason)
        if run.messages is None:
            self._want(run)
        else:
            self._changes.dying.append(Dying(self.queue, reason, run, None))

    def doom(self, run: Run, reason: str) -> None:
        """Note that messages which are in no other place any more are to be forwarded, and why."""
        if self.dying is NO_DICT:
            self.dying = {}
        self.dying[run] = reason

    def perish(self, run: Run, reason: str) -> None:
        """Let messages that are in no other place any more die."""
        self.queue.count_deaths(reason, len(run.sequences))
        if self.queue.dead_letters is None:
            self._gone(run)
        else:
            self._die(run, reason)

    def split_dying(self, run: Run, count: int) -> tuple[Run, Run | None]:
        """Part the first messages of a dying run from the rest, if there is any."""
        if len(run.sequences) <= count:
            return run, None
        reason = self.dying.pop(run)
        first, rest = run.cut(slice(0, count)), run.cut(slice(count, None))
        self.dying[first] = self.dying[rest] = reason
        return first, rest

    def forwarded(self, run: Run) -> None:
        """Forget messages for good that have been forwarded."""
        del self.dying[run]
        self._gone(run)

    def drop_head(self, limits: Limits) -> bool:
        """Drop as many messages of the run at the head as the limits ask for; there is one.

        False: that cannot be said, or they cannot be forwarded, before what was asked for has come from disk.
        """
        queue = self.queue
        run = self.released[0] if self.released else self.ready[0]
        start, stop = (0, self._unbroken()) if self.released else (self._offset, len(run.sequences))
        if run.messages is None and queue.dead_letters is not None:
            self._want_head(run)
            return False
        count = queue.ready_count + queue.delayed_count - limits.length
        position = start
        if count > 0:
            # The limit of bytes is looked at again when that of messages is kept.
            position = min(stop, start + count)
        elif (unknown := queue.first_estimated()) is not None:
            # Only the real sizes tell whether anything is too much.
            unknown.lane._want(unknown)
            return False
        else:
            size = queue.ready_bytes + queue.delayed_bytes - limits.body_bytes
            if run.messages is None:
                if run.body_bytes > size:
                    self._want_head(run)
                    return False
                position = stop
            while position < stop and size > 0:
                size -= len(run.messages[position].body)  # type: ignore[index]
                position += 1
        self._drop_first(run, start, position, MAXLEN)
        return True

    def evict(self, gone: frozenset[int]) -> None:
        """Drop these sequences, which are ready, in memory and have never been out.

        Cost: O(ready runs up to the last of them).
        """
        queue = self.queue
        kept: list[Run] = []
        dropped: list[Run] = []
        left = len(gone)
        while left:
            run = self.untaken(0)
            self.ready.popleft()
            self._offset = start = 0
            if run.messages is None or gone.isdisjoint(run.sequences):
                kept.append(run)
                continue
            for stays, part in groupby(run.sequences, lambda sequence: sequence not in gone):
                count = sum([1 for _ in part])
                (kept if stays else dropped).append(run.cut(slice(start, start + count)))
                start += count
                left -= 0 if stays else count
        self.ready.extendleft(reversed(kept))
        for run in dropped:
            queue.ready_count -= len(run.sequences)
            queue.ready_bytes -= run.body_bytes
            self.perish(run, MAXLEN)

    def close(self) -> None:
        """Let go of everything; the queue is deleted."""
        runs = self._take_all_ready()
        runs.extend(self.released)
        runs.extend(self._delayed())
        out = deque(self.outstanding)
        self.released, self.outstanding = NO_LIST, {}
        chores = self._changes.chores
        chores.begin(in_parts(runs, self._let_go))
        chores.begin(in_parts(out, self._let_go_of_delivery))

    def _let_go(self, run: Run) -> None:
        if run.messages is not None:
            self._changes.resident_bytes -= run.held_bytes

    def _let_go_of_delivery(self, entry: Entry) -> None:
        self._changes.resident_bytes -= entry.held_bytes

    # --- time to live ------------------------------------------------------------------------------

    def keep_lifetime(self) -> None:
        """The queue gets another time to live: what has come by now keeps the one that it came under (R44).

        As with RabbitMQ, which says so of each message. Where it changes over and over while messages wait,
        the oldest of them take the time of those behind.
        """
        waits = self.ready or self.released or self.passed or self.outstanding or self.dying
        if not waits and not self.queue.delayed_count:
            self.lifetimes = NO_LIST
            return
        through = self.lifetimes[-1][0] if self.lifetimes else 0
        if self.sequence_next > through:
            self.lifetimes = [*self.lifetimes, (self.sequence_next, self.queue.ttl_ms)][-LIFETIMES_MAX:]
            self.queue.uneven = True

    def lifetime_of(self, sequence: int) -> int | None:
        """The queue's time to live when this message came."""
        for stop, ttl_ms in self.lifetimes:
            if sequence < stop:
                return ttl_ms
        return self.queue.ttl_ms

    def give_chances(self) -> None:
        """A tick ends: what is here could have been had by whoever waits."""
        self._chances = self.sequence_next

    def expire(self) -> None:
        """Drop messages at the head whose time is over; see `Queue.expire`."""
        queue = self.queue
        while True:
            run = self.released[0] if self.released else self.ready[0] if self.ready else None
            if run is None:
                return
            if run.messages is None:
                self._want_head(run)
                return
            start, stop = (0, self._unbroken()) if self.released else (self._offset, len(run.messages))
            over = start
            while over < stop:
                ttl_ms = self.lifetime_of(run.sequences[over]) if self.lifetimes else queue.ttl_ms
                due_ms = due_ms_of(run.messages[over], ttl_ms)
                if not self._is_over(due_ms, run.sequences[over]):
                    if due_ms is not None:
                        queue.look_at(due_ms + 1)
                    break
                over += 1
            if over > start:
                self._drop_first(run, start, over, EXPIRED)
            if over < stop:
                return

    def _is_over(self, due_ms: int | None, sequence: int) -> bool:
        now_ms = self._changes.now_ms
        return due_ms is not None and (due_ms < now_ms or (due_ms == now_ms and sequence < self._chances))

    def _lasting(self, run: Run, offset: int, count: int) -> int:
        """How many of the next `count` messages, the first of which has time, come before one without."""
        assert run.messages is not None
        for position in range(offset + 1, offset + count):
            sequence = run.sequences[position]
            if self._is_over(due_ms_of(run.messages[position], self.lifetime_of(sequence)), sequence):
                return position - offset
        return count

    def _unbroken(self) -> int:
        """How many messages of the first released run come before any of the others."""
        sequences = self.released[0].sequences
        if len(self.released) > 1:
            # The second of a heap is one of the first one's two children.
            following = min(self.released[1:3]).sequences.start
            if following < sequences[-1]:
                return len(range(sequences.start, following, sequences.step))
        return len(sequences)

    def _drop_first(self, run: Run, start: int, stop: int, reason: str) -> None:
        """Drop these positions of the run at the head; nothing of it waits before them.

        They are settled, or forwarded as dead letters. Who waits for them is to have what follows instead.
        """
        awaited, run.loading = run.loading, False
        if self.released:
            heappop(self.released)
            if stop < len(run.sequences):
                rest = run.cut(slice(stop, None))
                rest.redelivered = True
                heappush(self.released, rest)
        elif stop == len(run.sequences):
            self.ready.popleft()
            self._offset = 0
            self._cold_runs -= run.messages is None
        elif run.messages is None:
            # A run of its own, because what comes from disk is whole.
            rest = self.ready[0] = run.cut(slice(stop, None))
            self.queue.estimated = True
            rest.body_bytes = run.body_bytes - run.cut(slice(start, stop)).body_bytes
        else:
            self._offset = stop
        gone = run.cut(slice(start, stop))
        queue = self.queue
        queue.ready_count -= len(gone.sequences)
        queue.ready_bytes -= gone.body_bytes
        self.perish(gone, reason)
        if awaited:
            queue.wake()

    # --- memory and disk ---------------------------------------------------------------------------

    def _want_head(self, run: Run) -> None:
        """Ask for the cold run at the head, and for those behind it."""
        self._want(run)
        self._read_ahead()

    def _want(self, run: Run | Stretch) -> None:
        if not run.loading:
            run.loading = True
            self._changes.cold.append(run)

    def _read_ahead(self) -> None:
        """Ask for cold runs near the head before they are needed."""
        messages = held = 0
        for run in self.ready:
            if run.messages is None:
                self._want(run)
            messages += len(run.sequences)
            held += run.body_bytes
            if messages >= READ_AHEAD_MESSAGES or held >= READ_AHEAD_BYTES:
                break

    def loaded(self, run: Run, pairs: Sequence[tuple[int, Message]]) -> None:
        """The messages of a cold run are here; if not all are, they cannot be read and stay cold."""
        queue = self.queue
        messages = [message for _, message in pairs]
        if len(messages) < len(run.sequences):
            queue.unreadable = True
        elif run.loading and not queue.deleted:
            assert len(messages) == len(run.sequences), (self, run, len(messages))
            run.loading = False
            run.messages = messages
            # A cold run carries an estimate.
            run.estimated = False
            exact = sum([len(message.body) for message in messages])
            reason = self.dying.get(run)
            if reason is not None:
                self._changes.dying.append(Dying(queue, reason, run, None))
            else:
                queue.ready_bytes += exact - run.body_bytes
                # Of those in the heap nobody counts which are cold.
                self._cold_runs -= not run.redelivered
            run.body_bytes = exact
            run.message_bytes = message_bytes_of(messages)
            if not queue.uneven:
                queue.uneven = any(message.expiration_ms != NO_EXPIRATION for message in messages)
            self._changes.resident_bytes += run.held_bytes
            queue.wake()

    def unloadable(self) -> Iterator[Run | Stretch]:
        """Runs that the disk holds as well and that are not at the head, the newest first."""
        ready = self.ready
        for run in reversed(ready):
            location = run.location
            # A segment below 0: storage failed before the message was appended.
            if run.messages is None or location is None or location.segment < 0 or run is ready[0]:
                break
            yield run

    def may_unload(self, run: Run | Stretch) -> bool:
        """Does the disk hold this run, which was ready once, and does it still wait behind the head?"""
        location, ready = run.location, self.ready
        return (
            run.messages is not None
            and location is not None
            and location.segment >= 0
            and bool(ready)
            and run.sequences[0] > ready[0].sequences[0]
        )

    def unload(self, run: Run | Stretch) -> None:
        """Let go of the messages of a run, which can be loaded again."""
        run.messages = None
        self._cold_runs += 1
        self._changes.resident_bytes -= run.held_bytes

    def give_up(self, resident_max: int) -> int:
        """Let go of deliveries that the disk holds as well and that nobody has answered, the newest first.

        They are needed again only if they come back. Returns at how many it has looked, at most
        `OUT_LOOKED_AT`.
        """
        changes = self._changes
        looked = 0
        for entry in islice(reversed(self.outstanding), OUT_LOOKED_AT):
            run = entry.run
            if run.messages is None or changes.resident_bytes <= resident_max:
                # What is older was given up before.
                break
            looked += 1
            if run.location is not None and run.location.segment >= 0:
                changes.resident_bytes -= entry.give_up()
        return looked

    def ready_runs(self) -> Iterator[Run]:
        """Everything that waits, without what was taken of the first ready run."""
        yield from sorted(self.released)
        for position, run in enumerate(self.ready):
            yield run.cut(slice(self._offset, None)) if position == 0 and self._offset else run

    def untaken(self, position: int) -> Run:
        """The ready run at this position, without what was taken of it."""
        run = self.ready[position]
        return run.cut(slice(self._offset, None)) if position == 0 and self._offset else run

    def _delayed(self) -> list[Run]:
        """Everything that is held until it is ready again."""
        delayed = self.queue.delayed
        return [] if delayed is None else [run for run, _ in delayed.waiting(self)]

    def states(self) -> Iterator[QueueState]:
        """What a checkpoint has to keep: every unsettled run that rests on disk."""
        out = [entry.run.cut(slice(entry.start, entry.stop)) for entry in self.outstanding]
        everything = (*self.ready_runs(), *self._delayed(), *out, *self.dying)
        runs = sorted([run for run in everything if run.location is not None])
        if self.queue.journaled:
            state = self._state(self.uid, [run for run in runs if run.stored])
            if self.queue.delivery_limit is not None:
                state.returned.extend(known_facts(self))
            yield state
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
        queue = self.queue
        self.sequence_next = state.sequence_next
        self.delivered_through = state.delivered_through
        self.ready = deque()
        for stored in _untangled(state.runs):
            for sequences in self._split_at_delivered(stored.sequences):
                part_bytes = stored.body_bytes * len(sequences) // len(stored.sequences)
                run = Run(self, sequences, None, part_bytes, stored.location, False, stored.accepted_ms, True)
                run.estimated = queue.estimated = True
                self.ready.append(run)
                queue.ready_count += len(sequences)
                queue.ready_bytes += part_bytes
        if queue.delivery_limit is not None:
            recall(self, self._changes, state.returned, queue.delivery_limit)
        self._cold_runs = len(self.ready)
        self.rest()

    def _split_at_delivered(self, sequences: range) -> list[range]:
        """Part the sequences that were delivered before the restart from those that were not."""
        if sequences.start > self.delivered_through or sequences[-1] <= self.delivered_through:
            return [sequences]
        count = len(range(sequences.start, self.delivered_through + 1, sequences.step))
        return [sequences[:count], sequences[count:]]


def in_parts(things: deque[T], forget: Callable[[T], None]) -> Parts:
    """Forget things from the first on, some at a time; nothing is left for a second part if they are few."""
    while len(things) > RUNS_AT_ONCE:
        for _ in range(RUNS_AT_ONCE):
            forget(things.popleft())
        yield
    for thing in things:
        forget(thing)


def due_ms_of(message: Message, ttl_ms: int | None) -> int | None:
    """When the time of a message is over in a queue with this time to live; None: never."""
    own = message.expiration_ms
    if own == NO_EXPIRATION:
        return None if ttl_ms is None else message.accepted_ms + ttl_ms
    return message.accepted_ms + (own if ttl_ms is None or own < ttl_ms else ttl_ms)


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
