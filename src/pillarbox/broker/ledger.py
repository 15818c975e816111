"""The ledger: which deliveries are out, by tag, and what becomes of them when they are settled.

Tags count from 1 per ledger and stand for (consumer, lane of a queue, sequence). Deliveries are entered
by runs; an answer that covers a run costs the same as an answer for one message. The same ledger serves
cumulative and single acknowledgements of every protocol.

Source: AMQP 0-9-1 basic.ack, basic.nack, basic.reject (60, 80/120/90): tag 0 with `multiple` is "all".
Invariant: entries are ordered by tag and do not overlap.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker import returning
from pillarbox.broker.counters import ChannelCounters
from pillarbox.broker.lean import NO_DICT, NO_LIST
from pillarbox.broker.run import Run

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.lane import Lane
    from pillarbox.broker.queue import Queue


class Outcome(enum.Enum):
    """The receiver's answer to a delivery."""

    ACCEPTED = enum.auto()
    RELEASED = enum.auto()
    """Back to its place in the queue, to be delivered again."""
    MODIFIED = enum.auto()
    """The same, and the delivery counts as failed: its receiver could not cope with it, or went away."""
    REJECTED = enum.auto()
    """Dead-lettered where the queue says so, else dropped."""


GIVEN_BACK = (Outcome.RELEASED, Outcome.MODIFIED)
"""Outcomes after which the message is ready again."""


class UnknownDelivery(Exception):
    """This tag was never handed out, or is settled already."""

    def __init__(self, tag: int) -> None:
        super().__init__(f"unknown delivery tag {tag}")
        self.tag = tag


class Entry(msgspec.Struct, eq=False):
    """Deliveries of one run that are still out: the positions `start` to `stop` of the run.

    The message at position i carries the tag `base + i`.
    """

    base: int
    consumer: Consumer | None
    lane: Lane
    run: Run
    start: int
    stop: int

    def __repr__(self) -> str:
        name = self.lane.queue.name
        return f"<Entry tags={self.tag_first}..{self.base + self.stop - 1} queue={name!r}>"

    @property
    def tag_first(self) -> int:
        return self.base + self.start

    @property
    def held_bytes(self) -> int:
        """About how much memory these messages take; none if they were given up."""
        if self.run.messages is None:
            return 0
        return self.part_bytes(self.start, self.stop) + (self.stop - self.start) * self.run.message_bytes

    def has(self, tag: int) -> bool:
        """Does this tag belong to it?"""
        return self.start <= tag - self.base < self.stop

    def part_bytes(self, start: int, stop: int) -> int:
        """Body bytes of these positions; all of them together always add up to the run's."""
        run = self.run
        if stop - start == len(run.sequences):
            return run.body_bytes
        return run.part_bytes(start, stop)

    def give_up(self) -> int:
        """Let go of the messages, which the disk holds too, until they come back; return what is freed."""
        held = self.held_bytes
        if self.start or self.stop != len(self.run.sequences):
            # A run of its own: what else there was of it is in memory, or gone.
            self.run = self.run.cut(slice(self.start, self.stop))
            self.base += self.start
            self.start, self.stop = 0, len(self.run.sequences)
        self.run.messages = None
        return held


_BY_TAG = attrgetter("tag_first")
_LANE = attrgetter("lane")


class Ledger:
    """Outstanding deliveries of one receiver (an AMQP channel, a STOMP session)."""

    __slots__ = ("_entries", "_returned", "busy", "count", "counters", "tag_next")

    def __init__(self) -> None:
        self.counters = ChannelCounters()
        self._entries: deque[Entry] = NO_LIST
        self.tag_next = 1
        self.count = 0
        """Deliveries that are out."""
        self.busy = False
        """An answer to many of them is under way."""
        self._returned: dict[Queue, bool] = NO_DICT
        """Queues with limits to which the answer at hand gives messages back, and whether consumers were to
        get some of theirs before."""

    def __repr__(self) -> str:
        return f"<Ledger out={self.count} next={self.tag_next}>"

    def rest(self) -> None:
        """Nothing has happened here for a while: let go of what is empty."""
        if not self._entries:
            self._entries = NO_LIST

    def skip(self, count: int, run: Run | None = None) -> int:
        """Use up tags for deliveries that need no answer; return the first. `run`: what is delivered."""
        tag = self.tag_next
        self.tag_next = tag + count
        return tag

    def add(self, consumer: Consumer | None, run: Run) -> int:
        """Enter a delivered run and return the tag of its first message."""
        tag = self.tag_next
        count = len(run.sequences)
        self.tag_next = tag + count
        self.count += count
        lane = run.lane
        entry = Entry(tag, consumer, lane, run, 0, count)
        if self._entries is NO_LIST:
            self._entries = deque()
        self._entries.append(entry)
        if lane.outstanding is NO_DICT:
            lane.outstanding = {}
        lane.outstanding[entry] = None
        return tag

    def settle(self, tag: int, multiple: bool, outcome: Outcome) -> int:
        """Settle one tag, or all up to it (0: all there are); return how many.

        Raises UnknownDelivery, and settles nothing, if the tag is not out. Cost: O(entries settled).
        """
        if multiple:
            if tag == 0:
                return self.settle_all(outcome)
            entries = self._entries
            if entries and entries[0].base + entries[0].stop - 1 == tag:
                entry = entries.popleft()
                settled = self._settle_part(entry, entry.start, entry.stop, outcome)
                if self._returned:
                    self._trim_returned()
                return settled
            position = self._find(tag)
            settled = 0
            for _ in range(position):
                entry = self._entries.popleft()
                settled += self._settle_part(entry, entry.start, entry.stop, outcome)
            entry = self._entries[0]
            settled += self._settle_at(0, entry.start, tag - entry.base + 1, outcome)
            if self._returned:
                self._trim_returned()
            return settled
        return self.settle_range(tag, tag, outcome)

    def settle_range(self, tag_first: int, tag_last: int, outcome: Outcome) -> int:
        """Settle exactly these tags (inclusive); return how many.

        Raises UnknownDelivery for the first tag that is not out; those before it are settled by then.
        """
        settled = 0
        while tag_first <= tag_last:
            position = self._find(tag_first)
            entry = self._entries[position]
            start = tag_first - entry.base
            stop = min(tag_last - entry.base + 1, entry.stop)
            settled += self._settle_at(position, start, stop, outcome)
            tag_first += stop - start
        if self._returned:
            self._trim_returned()
        return settled

    def settle_all(self, outcome: Outcome) -> int:
        """Settle everything that is out, in order of tags."""
        entries, self._entries = self._entries, NO_LIST
        settled = sum([self._settle_part(entry, entry.start, entry.stop, outcome) for entry in entries])
        if self._returned:
            self._trim_returned()
        return settled

    def settle_in_parts(self, tag: int, outcome: Outcome) -> Parts | None:
        """Settle all up to this tag (0: all there are): here and now if they are few entries, else in parts.

        They are out of the ledger at once, and count until they are settled. Queues to which they go back
        hand nothing out until all are there. Raises UnknownDelivery, and settles nothing, if the tag is not
        out.
        """
        entries = self._entries
        position = len(entries) if tag == 0 else self._find(tag) + 1
        if position <= returning.ENTRIES_AT_ONCE:
            self.settle(tag, True, outcome)
            return None
        if position == len(entries):
            first, self._entries = entries, NO_LIST
        else:
            first, self._entries = deque(islice(entries, position)), deque(islice(entries, position, None))
        last = first[-1]
        if tag and last.base + last.stop - 1 > tag:
            # The rest of the last entry stays.
            rest = Entry(last.base, last.consumer, last.lane, last.run, tag - last.base + 1, last.stop)
            last.stop = rest.start
            last.lane.outstanding[rest] = None
            self._entries.appendleft(rest)
        parts = self._settle_parts(first, outcome)
        return returning.holding(_queues(first), parts) if outcome in GIVEN_BACK else parts

    def _settle_parts(self, entries: deque[Entry], outcome: Outcome) -> Parts:
        while entries:
            for _ in range(min(returning.ENTRIES_AT_ONCE, len(entries))):
                entry = entries.popleft()
                self._settle_part(entry, entry.start, entry.stop, outcome)
            if self._returned:
                self._trim_returned()
            if entries:
                yield

    def release_first(self, count: int) -> bool:
        """Give back at most this many entries, lowest tags first, as failed; False: nothing is out now."""
        entries = self._entries
        for _ in range(min(count, len(entries))):
            entry = entries.popleft()
            self._settle_part(entry, entry.start, entry.stop, Outcome.MODIFIED)
        if self._returned:
            self._trim_returned()
        return bool(entries)

    def _trim_returned(self) -> None:
        """Let queues with limits drop what is too much, all at once and before consumers get any (R46).

        Unless consumers have yet to be given what was ready before: then their turn comes first.
        """
        returned, self._returned = self._returned, NO_DICT
        for queue, owed in returned.items():
            if not owed and not queue.deleted:
                queue.trim()

    # --- answers that wait for a commit -------------------------------------------------------------

    def withdraw(self, tag_first: int, tag_last: int) -> Iterator[Entry]:
        """Take exactly these deliveries out, unanswered: `settle_withdrawn` or `put_back` follows.

        They stay unacknowledged in their queues and hold their credit, but their tags are not known any more.
        Raises UnknownDelivery for the first tag that is not out; those before it are yielded by then.
        """
        while tag_first <= tag_last:
            position = self._find(tag_first)
            entry = self._entries[position]
            stop = min(tag_last - entry.base + 1, entry.stop)
            start = tag_first - entry.base
            tag_first += stop - start
            yield self._withdraw_at(position, start, stop)

    def withdraw_through(self, tag: int) -> list[Entry]:
        """The same for all up to this tag (0: all there are).

        Raises UnknownDelivery, and takes out nothing, if the tag is not out.
        """
        if tag == 0:
            withdrawn, self._entries = list(self._entries), NO_LIST
            self.count -= sum([entry.stop - entry.start for entry in withdrawn])
            return withdrawn
        withdrawn = []
        for _ in range(self._find(tag)):
            entry = self._entries.popleft()
            self.count -= entry.stop - entry.start
            withdrawn.append(entry)
        entry = self._entries[0]
        withdrawn.append(self._withdraw_at(0, entry.start, tag - entry.base + 1))
        return withdrawn

    def _withdraw_at(self, position: int, start: int, stop: int) -> Entry:
        """Take positions `start` to `stop` of one entry out, as an entry of their own."""
        entry = self._entries[position]
        self.count -= stop - start
        del self._entries[position]
        if start == entry.start and stop == entry.stop:
            return entry
        lane = entry.lane
        parts = [
            Entry(entry.base, entry.consumer, lane, entry.run, first, last)
            for first, last in ((entry.start, start), (start, stop), (stop, entry.stop))
        ]
        lane.outstanding.pop(entry, None)
        lane.outstanding.update({part: None for part in parts if part.start < part.stop})
        left, withdrawn, right = parts
        for part in (right, left):
            if part.start < part.stop:
                self._entries.insert(position, part)
        return withdrawn

    def entry_of(self, tag: int) -> Entry:
        """What holds this tag. Raises UnknownDelivery."""
        return self._entries[self._find(tag)]

    def condemn(self, tag: int, reason: str) -> None:
        """Let a message die for this reason that was got by itself. Raises UnknownDelivery."""
        for entry in self.withdraw(tag, tag):
            assert entry.consumer is None, "nobody's credit is left behind"
            entry.lane.outstanding.pop(entry, None)
            entry.lane.condemn(entry.run.cut(slice(entry.start, entry.stop)), reason)

    def settle_withdrawn(self, entries: Iterable[tuple[Entry, Outcome]]) -> None:
        """Settle deliveries that were taken out, in this order, each with its outcome."""
        for entry, outcome in entries:
            self.count += entry.stop - entry.start
            self._settle_part(entry, entry.start, entry.stop, outcome)
        if self._returned:
            self._trim_returned()

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Let deliveries that were taken out be answered again."""
        back = list(entries)
        self._entries = deque(sorted([*self._entries, *back], key=_BY_TAG))
        self.count += sum([entry.stop - entry.start for entry in back])

    def entries(self) -> Iterator[Entry]:
        """What is out, by tag."""
        return iter(self._entries)

    @property
    def entry_count(self) -> int:
        """How many entries are out: what an answer to all of them costs."""
        return len(self._entries)

    def queues(self) -> list[Queue]:
        """Where what is out came from. Cost: O(entries), without a Python call for each."""
        return _queues(self._entries)

    def _find(self, tag: int) -> int:
        """Position of the entry that holds this tag."""
        entries = self._entries
        if entries:
            # Most answers come in order: look at the front first.
            position = 0
            entry = entries[0]
            if not entry.start <= tag - entry.base < entry.stop:
                position = bisect_right(entries, tag, key=_BY_TAG) - 1
                if position < 0:
                    raise UnknownDelivery(tag)
                entry = entries[position]
            if entry.start <= tag - entry.base < entry.stop:
                return position
        raise UnknownDelivery(tag)

    def _settle_at(self, position: int, start: int, stop: int, outcome: Outcome) -> int:
        """Settle positions `start` to `stop` of one entry and take them out of it."""
        entry = self._entries[position]
        count = self._settle_part(entry, start, stop, outcome)
        if start == entry.start and stop == entry.stop:
            del self._entries[position]
        elif start == entry.start:
            entry.start = stop
        elif stop == entry.stop:
            entry.stop = start
        else:
            right = Entry(entry.base, entry.consumer, entry.lane, entry.run, stop, entry.stop)
            entry.stop = start
            self._entries.insert(position + 1, right)
            entry.lane.outstanding[right] = None
        return count

    def _settle_part(self, entry: Entry, start: int, stop: int, outcome: Outcome) -> int:
        """Tell the lane and give the credit back; the caller takes the part out of the entry."""
        count = stop - start
        self.count -= count
        lane = entry.lane
        if start == entry.start and stop == entry.stop:
            lane.outstanding.pop(entry, None)
        if outcome is Outcome.ACCEPTED:
            self.counters.ack += count
            run = entry.run
            if count == len(run.sequences):
                lane.settle(run, run.sequences, run.body_bytes)
            else:
                lane.settle(run, run.sequences[start:stop], entry.part_bytes(start, stop))
        elif outcome is not Outcome.REJECTED:
            queue = lane.queue
            if queue.limits is not None and queue not in self._returned:
                if self._returned is NO_DICT:
                    self._returned = {}
                self._returned[queue] = queue.owes_turns()
            lane.release(entry.run.cut(slice(start, stop)), failed=outcome is Outcome.MODIFIED)
        else:
            lane.reject(entry.run.cut(slice(start, stop)))
        consumer = entry.consumer
        if consumer is not None:
            consumer.credit += count
            pool = consumer.pool
            if not consumer.blocked and not pool.waiting:
                pool.credit += count
            elif pool.is_limited:
                # Together with those who wait for the pool alone, in the order in which they were blocked.
                if consumer.blocked:
                    pool.wait(consumer)
                pool.give_back(count)
            else:
                pool.credit += count
                consumer.queue.unblock_one(consumer)
            consumer.queue.wake()
        return count


def _queues(entries: Iterable[Entry]) -> list[Queue]:
    """Where entries came from, in the order of their first ones."""
    return list(dict.fromkeys([lane.queue for lane in dict.fromkeys(map(_LANE, entries))]))
