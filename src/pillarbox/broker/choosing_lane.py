"""A lane of a queue whose consumers choose: messages that somebody has passed over wait on a *shelf*.

What nobody has looked at stands in `ready`, as in any lane. Whoever looks takes messages from its front, or
passes them over: those stand on the shelf, in stretches that may have gaps, and so does what comes back, in
its original place. Nothing else is changed: a stretch counts as ready, leaves the memory and comes back, is
purged, dropped, stored in a checkpoint and found again after a restart as any run.

A lane becomes one of these while it lives (`choosing`) and a plain one again (`plain`); it stays the same
object, since deliveries, loads and a checkpoint under way know it. Not here: who takes what (see `choice`).

Invariants: sequences on the shelf ascend, and all are below those of `ready`; `released` is empty.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.attempts import note_out, note_passed
from pillarbox.broker.deadletter import EXPIRED, MAXLEN
from pillarbox.broker.lane import NONE_PASSED, READ_AHEAD_MESSAGES, Lane, due_ms_of, in_parts
from pillarbox.broker.run import MESSAGE_BYTES, Run, message_bytes_of

if TYPE_CHECKING:
    from pillarbox.broker.choice import Choice
    from pillarbox.broker.limits import Limits
    from pillarbox.engine.base import Location, Message

GAPS_MAX = 64
"""Emptied stretches that stay on a shelf before it is looked whether they are worth clearing away."""

_LAST = attrgetter("last")


class Stretch(msgspec.Struct, eq=False):
    """Messages of one record, or of one run in memory, that were passed over; some may be taken already.

    It is changed only in memory and while nothing of it is asked for; otherwise its lists are replaced.
    """

    lane: Lane
    sequences: Sequence[int]
    messages: list[Message] | None
    body_bytes: int
    location: Location | None
    redelivered: bool
    accepted_ms: int
    stored: bool
    message_bytes: int = MESSAGE_BYTES
    counts: list[int] | None = None
    failures: list[int] | None = None
    loading: bool = False
    estimated: bool = False
    fetched: bool = False
    """It came from disk to be looked at, and may leave the memory again when that is done."""
    last: int = -1
    """The highest sequence that it ever had."""

    def __repr__(self) -> str:
        state = "cold" if self.messages is None else "hot"
        return f"<Stretch {len(self.sequences)} up to {self.last} {state}>"

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def held_bytes(self) -> int:
        """About how much memory the messages take while they are in memory."""
        return self.body_bytes + len(self.sequences) * self.message_bytes

    def part(self, start: int, stop: int) -> Stretch:
        """The messages at these positions, as a stretch of their own."""
        messages = None if self.messages is None else self.messages[start:stop]
        size = len(self.sequences)
        if messages is None:
            # Parts that follow one another add up.
            part_bytes = self.body_bytes * stop // size - self.body_bytes * start // size
        else:
            part_bytes = sum([len(message.body) for message in messages])
        sequences = self.sequences[start:stop]
        return Stretch(
            self.lane,
            sequences,
            messages,
            part_bytes,
            self.location,
            self.redelivered,
            self.accepted_ms,
            self.stored,
            self.message_bytes,
            self.counts and self.counts[start:stop],
            self.failures and self.failures[start:stop],
            estimated=messages is None,
            fetched=self.fetched,
            last=sequences[-1],
        )

    def runs(self) -> Iterator[Run]:
        """The same as runs, one for each part without a gap."""
        sequences = self.sequences
        start = 0
        size = len(sequences)
        while start < size:
            if sequences[-1] - sequences[start] == size - start - 1:
                stop = size
            else:
                stop = start + 1
                while sequences[stop] == sequences[stop - 1] + 1:
                    stop += 1
            yield self.run(start, stop)
            start = stop

    def run(self, start: int, stop: int) -> Run:
        """The messages at these positions, between which there is no gap, as a run."""
        whole = stop - start == len(self.sequences)
        part = self if whole else self.part(start, stop)
        return Run(
            self.lane,
            range(part.sequences[0], part.sequences[-1] + 1),
            part.messages,
            part.body_bytes,
            self.location,
            self.redelivered,
            self.accepted_ms,
            self.stored,
            self.message_bytes,
            counts=part.counts,
            failures=part.failures,
            estimated=part.estimated,
        )

    def remove(self, start: int, stop: int, body_bytes: int) -> None:
        """Let go of the messages at these positions, whose bodies have this size."""
        if self.messages is None:
            assert start == 0, "what is cold is dropped from its beginning"
            self.sequences = self.sequences[stop:]
            self.estimated = self.lane.queue.estimated = True
        else:
            if isinstance(self.sequences, range):
                self.sequences = list(self.sequences)
            del self.sequences[start:stop]  # type: ignore[attr-defined]
            del self.messages[start:stop]
        for values in (self.counts, self.failures):
            if values is not None:
                del values[start:stop]
        self.body_bytes -= body_bytes

    def arrived(self, pairs: Sequence[tuple[int, Message]]) -> None:
        """See `Cold`."""
        lane = self.lane
        if isinstance(lane, ChoosingLane):
            lane.stretch_loaded(self, pairs)


def _stretch(run: Run) -> Stretch:
    """A whole run as a stretch."""
    return Stretch(
        run.lane,
        run.sequences,
        None if run.messages is None else list(run.messages),
        run.body_bytes,
        run.location,
        run.redelivered,
        run.accepted_ms,
        run.stored,
        run.message_bytes,
        run.counts and list(run.counts),
        run.failures and list(run.failures),
        estimated=run.estimated,
        last=run.sequences[-1],
    )


class Shelf:
    """Stretches in ascending order; emptied ones stay for a while, so that to take one moves no others."""

    __slots__ = ("_gaps", "choice", "count", "stretches")

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        """Who is told of what comes back."""
        self.stretches: list[Stretch] = []
        self.count = 0
        """Messages that stand here."""
        self._gaps = 0

    def __repr__(self) -> str:
        return f"<Shelf {self.count} in {len(self.stretches)}>"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Stretch]:
        """Those that have any messages."""
        return (stretch for stretch in self.stretches if stretch.sequences)

    def __reversed__(self) -> Iterator[Stretch]:
        return (stretch for stretch in reversed(self.stretches) if stretch.sequences)

    def at(self, sequence: int) -> int:
        """The position of the first stretch that may have this sequence or a higher one."""
        return bisect_left(self.stretches, sequence, key=_LAST)

    def find(self, sequence: int) -> tuple[Stretch, int] | None:
        """Where this message stands, if it is here."""
        at = self.at(sequence)
        if at < len(self.stretches):
            stretch = self.stretches[at]
            position = bisect_left(stretch.sequences, sequence)
            if position < len(stretch.sequences) and stretch.sequences[position] == sequence:
                return stretch, position
        return None

    def append(self, stretch: Stretch) -> None:
        """Put messages behind all others."""
        self.stretches.append(stretch)
        self.count += len(stretch.sequences)

    def insert(self, stretch: Stretch) -> None:
        """Put messages between which there is no gap in their place."""
        first = stretch.sequences[0]
        self.count += len(stretch.sequences)
        stretches = self.stretches
        at = self.at(first)
        if at < len(stretches):
            there = stretches[at]
            position = bisect_left(there.sequences, first)
            if 0 < position < len(there.sequences):
                # It closes a gap of this one.
                there.loading = False
                left, right = there.part(0, position), there.part(position, len(there.sequences))
                stretches[at : at + 1] = [left, stretch, right]
                return
            if position:
                there.last = there.sequences[-1]
                at += 1
        end = at
        while end < len(stretches) and not stretches[end].sequences and stretches[end].last <= stretch.last:
            end += 1
        self._gaps -= end - at
        stretches[at:end] = [stretch]

    def part_at(self, stretch: Stretch, position: int) -> Stretch:
        """Part a stretch in front of this position, which is not its first; return what is behind."""
        at = self.at(stretch.sequences[position])
        stretch.loading = False
        parts = [stretch.part(0, position), stretch.part(position, len(stretch.sequences))]
        self.stretches[at : at + 1] = parts
        return parts[1]

    def first(self) -> Stretch:
        """The first that has any messages; there is one."""
        for stretch in self.stretches:
            if stretch.sequences:
                return stretch
        raise AssertionError(self)

    def taken(self, stretch: Stretch, count: int) -> None:
        """Note that messages of a stretch are gone."""
        self.count -= count
        if not stretch.sequences:
            stretch.loading = False
            self._gaps += 1

    def tidy(self) -> None:
        """Clear emptied stretches away, where they are many or first. Positions do not count any more."""
        stretches = self.stretches
        if self._gaps > GAPS_MAX and self._gaps > len(stretches) // 2:
            self.stretches = [stretch for stretch in stretches if stretch.sequences]
            self._gaps = 0
            return
        empty = 0
        while empty < len(stretches) and not stretches[empty].sequences:
            empty += 1
        if empty > GAPS_MAX or empty == len(stretches):
            del stretches[:empty]
            self._gaps -= empty


class ChoosingLane(Lane):
    """See the module. Without fields of its own, so that a lane may become one."""

    __slots__ = ()

    passed: Shelf

    # --- what is looked at -------------------------------------------------------------------------------

    @property
    def frontier(self) -> int:
        """The sequence of the first message that nobody has looked at, or would have."""
        return self.ready[0].sequences[self._offset] if self.ready else self.sequence_next

    def front(self) -> tuple[Run, int] | None:
        """The run at the front and how many of its messages are gone; None: it has to come from disk."""
        run = self.ready[0]
        if run.messages is None:
            self._want_head(run)
            return None
        if run.sequences[-1] <= self.delivered_through:
            # As in a plain lane: only after a restart.
            run.redelivered = True
        return run, self._offset

    def looked_at(self, run: Run, start: int, stop: int, kept: list[int]) -> None:
        """Messages at the front were looked at; those at the positions `kept` were passed over."""
        if kept:
            assert run.messages is not None
            if kept[-1] - kept[0] == len(kept) - 1:
                part = _stretch(run.cut(slice(kept[0], kept[-1] + 1)))
            else:
                part = _stretch(run)
                part.sequences = [run.sequences[position] for position in kept]
                part.messages = [run.messages[position] for position in kept]
                part.body_bytes = sum([len(message.body) for message in part.messages])
                part.counts = run.counts and [run.counts[position] for position in kept]
                part.failures = run.failures and [run.failures[position] for position in kept]
            part.last = part.sequences[-1]
            self._pass_over(part)
        if stop == len(run.sequences):
            self.ready.popleft()
            self._offset = 0
            if self._cold_runs:
                self._read_ahead()
        else:
            self._offset = stop

    def _pass_over(self, part: Stretch) -> None:
        if self.queue.delivery_limit is not None and part.counts is None:
            # What is delivered behind them must not make it look as if they had been.
            part.counts, part.failures = [0] * len(part), [0] * len(part)
            for one in part.runs():
                note_passed(self._changes, one)
        self.passed.append(part)

    def shelve(self, sequence: int) -> None:
        """Put what nobody has looked at on the shelf, unread, at least up to this message."""
        while self.ready and self.frontier <= sequence:
            run = self.untaken(0)
            if run.sequences[-1] <= self.delivered_through:
                run.redelivered = True
            first = self.ready.popleft()
            first.loading = False
            self._cold_runs -= first.messages is None
            self._offset = 0
            self._pass_over(_stretch(run))

    def holds(self, sequence: int) -> bool:
        """Does this message wait here?"""
        return sequence >= self.frontier or self.passed.find(sequence) is not None

    def strike(self, sequence: int) -> None:
        """Forget a message, if it waits here."""
        self.shelve(sequence)
        found = self.passed.find(sequence)
        if found is None:
            return
        stretch, position = found
        if stretch.messages is None and position:
            stretch, position = self.passed.part_at(stretch, position), 0
        run = self._cut_out(stretch, position, position + 1)
        self.queue.ready_count -= 1
        self.queue.ready_bytes -= run.body_bytes
        self._gone(run)

    def want(self, at: int) -> None:
        """Ask for the cold stretch at this position of the shelf, and for some behind it."""
        messages = 0
        for position in range(at, len(self.passed.stretches)):
            stretch = self.passed.stretches[position]
            if stretch.messages is None and stretch.sequences:
                self._want(stretch)
                messages += len(stretch.sequences)
            if messages >= READ_AHEAD_MESSAGES or position - at >= 64:
                break

    def leave(self, stretch: Stretch) -> None:
        """Everything of it was looked at: what came from disk for that may leave the memory again."""
        if stretch.fetched and stretch.sequences and self.passed.first() is not stretch:
            stretch.fetched = False
            self.unload(stretch)

    def take_passed(self, stretch: Stretch, start: int, stop: int) -> Run:
        """Hand out messages of a stretch between which there is no gap."""
        run = self._cut_out(stretch, start, stop)
        self.hand_out(run)
        return run

    def hand_out(self, run: Run) -> None:
        """Count messages as unacknowledged that were ready; they stand in no place any more."""
        queue = self.queue
        count = len(run.sequences)
        queue.ready_count -= count
        queue.ready_bytes -= run.body_bytes
        queue.unacked_count += count
        queue.unacked_bytes += run.body_bytes
        queue.active_ms = self._changes.now_ms
        if run.redelivered:
            queue.counters.redeliver += count

    def is_over(self, message: Message, sequence: int) -> bool:
        """Is the time of this message over?"""
        return self._is_over(due_ms_of(message, self.lifetime_of(sequence)), sequence)

    def lapse(self, run: Run) -> None:
        """Drop messages whose time is over; they stand in no place any more."""
        self._drop(run, EXPIRED)

    def lapse_passed(self, stretch: Stretch, position: int) -> None:
        """Drop a message of a stretch whose time is over."""
        self._drop(self._cut_out(stretch, position, position + 1), EXPIRED)

    def _drop(self, run: Run, reason: str) -> None:
        queue = self.queue
        queue.ready_count -= len(run.sequences)
        queue.ready_bytes -= run.body_bytes
        self.perish(run, reason)

    def _cut_out(self, stretch: Stretch, start: int, stop: int) -> Run:
        run = stretch.run(start, stop)
        if stop - start == len(stretch.sequences):
            # The run has the lists now.
            stretch.sequences, stretch.messages = (), None
            stretch.counts = stretch.failures = None
            stretch.body_bytes = 0
        else:
            stretch.remove(start, stop, run.body_bytes)
        self.passed.taken(stretch, stop - start)
        return run

    # --- what a plain lane does, with the shelf ----------------------------------------------------------

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
        first = self.sequence_next
        super().push(
            messages, body_bytes, location, stored=stored, expiring=expiring, message_bytes=message_bytes
        )
        values = self.passed.choice.values
        if values is not None:
            if self._cold_runs:
                # Of what is on disk alone nobody may know the values.
                self._read_ahead()
            values.note(self, enumerate(messages, first))

    def loaded(self, run: Run, pairs: Sequence[tuple[int, Message]]) -> None:
        super().loaded(run, pairs)
        if run.messages is not None and run not in self.dying:
            self._note_values(run)

    def _note_values(self, those: Run | Stretch) -> None:
        values = self.passed.choice.values
        if values is not None and those.messages is not None:
            values.note(self, list(zip(those.sequences, those.messages, strict=True)))

    def ready_again(self, run: Run) -> None:
        queue = self.queue
        run.redelivered = True
        count = len(run)
        queue.ready_count += count
        queue.ready_bytes += run.body_bytes
        queue.active_ms = self._changes.now_ms
        self._put_back(run)
        self.passed.choice.returned(self, run.sequences)
        self._note_values(run)
        queue.wake()

    def _put_back(self, run: Run) -> None:
        if run.sequences.step == 1:
            self.passed.insert(_stretch(run))
            return
        whole = _stretch(run)
        for position in range(len(run.sequences)):
            self.passed.insert(whole.part(position, position + 1))

    def take(self, count_max: int) -> Run | None:
        if not self.passed:
            return super().take(count_max)
        stretch = self.passed.first()
        if stretch.messages is None:
            self._want(stretch)
            return None
        stop = 1
        sequences = stretch.sequences
        while stop < min(count_max, len(sequences)) and sequences[stop] == sequences[stop - 1] + 1:
            if self.queue.timed and self.is_over(stretch.messages[stop], sequences[stop]):
                break
            stop += 1
        run = self.take_passed(stretch, 0, stop)
        self.passed.tidy()
        return run

    def delivered(self, run: Run) -> None:
        if run.counts is not None and run.sequences[-1] > self.delivered_through:
            note_out(self._changes, run)
        super().delivered(run)

    def purge(self) -> None:
        self._clear(self._all_gone)
        super().purge()

    def _all_gone(self, stretch: Stretch) -> None:
        for run in stretch.runs():
            self._gone(run)

    def _clear(self, forget: Callable[[Stretch], None]) -> None:
        stretches = deque(self.passed)
        for stretch in stretches:
            stretch.loading = False
        self.passed = Shelf(self.passed.choice)
        self._changes.chores.begin(in_parts(stretches, forget))

    def drop_head(self, limits: Limits) -> bool:
        if not self.passed:
            return super().drop_head(limits)
        queue = self.queue
        stretch = self.passed.first()
        if stretch.messages is None and queue.dead_letters is not None:
            self._want(stretch)
            return False
        count = queue.ready_count + queue.delayed_count - limits.length
        if count > 0:
            stop = min(len(stretch.sequences), count)
        elif (unknown := queue.first_estimated()) is not None:
            # Only the real sizes tell whether anything is too much.
            unknown.lane._want(unknown)
            return False
        elif stretch.messages is None:
            self._want(stretch)
            return False
        else:
            size, stop = queue.ready_bytes + queue.delayed_bytes - limits.body_bytes, 0
            while stop < len(stretch.messages) and size > 0:
                size -= len(stretch.messages[stop].body)
                stop += 1
        while stop:
            count = 1
            while count < stop and stretch.sequences[count] == stretch.sequences[count - 1] + 1:
                count += 1
            self._drop(self._cut_out(stretch, 0, count), MAXLEN)
            stop -= count
        self.passed.tidy()
        return True

    def expire(self) -> None:
        while self.passed:
            stretch = self.passed.first()
            if stretch.messages is None:
                self._want(stretch)
                return
            due_ms = due_ms_of(stretch.messages[0], self.lifetime_of(stretch.sequences[0]))
            if not self._is_over(due_ms, stretch.sequences[0]):
                if due_ms is not None:
                    self.queue.look_at(due_ms + 1)
                return
            self.lapse_passed(stretch, 0)
            self.passed.tidy()
        super().expire()

    def close(self) -> None:
        self._clear(self._let_go_of_stretch)
        super().close()

    def _let_go_of_stretch(self, stretch: Stretch) -> None:
        if stretch.messages is not None:
            self._changes.resident_bytes -= stretch.held_bytes

    def unloadable(self) -> Iterator[Run | Stretch]:
        yield from super().unloadable()
        for stretch in reversed(self.passed):
            location = stretch.location
            if stretch.messages is not None and location is not None and location.segment >= 0:
                yield stretch

    def unload(self, run: Run | Stretch) -> None:
        if isinstance(run, Run):
            super().unload(run)
        elif run.location is not None and run.location.segment >= 0:
            run.messages = None
            self._changes.resident_bytes -= run.held_bytes

    def may_unload(self, run: Run | Stretch) -> bool:
        if isinstance(run, Run):
            return super().may_unload(run)
        return run.messages is not None and run.location is not None and run.location.segment >= 0

    def ready_runs(self) -> Iterator[Run]:
        for stretch in self.passed:
            yield from stretch.runs()
        yield from super().ready_runs()

    def stretch_loaded(self, stretch: Stretch, pairs: Sequence[tuple[int, Message]]) -> None:
        """The messages of a cold stretch are here; if not all are, they cannot be read and stay cold."""
        queue = self.queue
        queue.wake()
        if not stretch.loading or queue.deleted:
            return
        found = dict(pairs)
        messages = [found[sequence] for sequence in stretch.sequences if sequence in found]
        if len(messages) < len(stretch.sequences):
            queue.unreadable = True
            return
        stretch.messages = messages
        stretch.loading, stretch.fetched, stretch.estimated = False, True, False
        exact = sum([len(message.body) for message in messages])
        queue.ready_bytes += exact - stretch.body_bytes
        stretch.body_bytes = exact
        stretch.message_bytes = message_bytes_of(messages)
        queue.uneven = True
        self._changes.resident_bytes += stretch.held_bytes
        self._note_values(stretch)


def choosing(lane: Lane, choice: Choice) -> None:
    """Let consumers choose among the messages of a lane."""
    lane.__class__ = ChoosingLane
    assert isinstance(lane, ChoosingLane)
    lane.passed = Shelf(choice)
    released, lane.released = lane.released, []
    for run in sorted(released):
        lane._put_back(run)


def plain(lane: Lane) -> None:
    """Make a lane a plain one again; nothing waits on its shelf."""
    assert not lane.passed
    lane.__class__ = Lane
    lane.passed = NONE_PASSED
