"""What has become of each record of one partition for one share group: the pure heart of KIP-932.

Records from `start` up to `end` are *in flight*: each is available, acquired by a member until a time,
acknowledged or archived, and has a delivery count. What comes from `end` on nobody has had yet. Offsets are
kept in stretches that are alike, so a thousand records that one member has taken cost as much as one.

No log, clock, bytes or disk here: the time is passed in, which offsets exist is the caller's knowledge, and
what has to survive is taken by `kept`, or what has changed of it by `take_changes`. Not here: members,
sessions (`share_sessions`), reading (`share_partition`).

Invariants: the stretches follow each other without gap or overlap from `start` to `end`; neighbours differ;
the first is not settled, or there is none; a record is with one member at most.

Source: KIP-932, "In-flight records", "Delivery states"; KIP-1222 (renewing); Kafka 4.2's broker, asked with
`tests/compare_kafka/scenarios/java_share.py`; row K56.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

NOBODY: Final = ""
NEVER: Final = 0


class RecordState(IntEnum):
    """As Kafka numbers them."""

    AVAILABLE = 0
    ACQUIRED = 1
    ACKNOWLEDGED = 2
    ARCHIVED = 4


class Answer(IntEnum):
    """How a member answers a record, as Kafka numbers it."""

    GAP = 0
    """There is no such record: compacted away, or a mark of a transaction."""
    ACCEPT = 1
    RELEASE = 2
    REJECT = 3
    RENEW = 4


AVAILABLE, ACQUIRED, ACKNOWLEDGED, ARCHIVED = RecordState
SETTLED: Final = frozenset((ACKNOWLEDGED, ARCHIVED))
SETTLES: Final = {Answer.GAP: ARCHIVED, Answer.ACCEPT: ACKNOWLEDGED, Answer.REJECT: ARCHIVED}
"""What an answer ends in; the others leave the record in flight."""


class Given(NamedTuple):
    """Records that a member has got; `deliveries`: how often each was delivered, this time included."""

    first: int
    last: int
    deliveries: int


class Reply(NamedTuple):
    """The same answer to a stretch of records."""

    first: int
    last: int
    answer: int


class Kept(NamedTuple):
    """A stretch as it survives a restart."""

    first: int
    last: int
    state: int
    deliveries: int


class NotHeld(Exception):
    """A member answers what it does not have; the text is Kafka's."""


class NotFetched(Exception):
    """A member answers what nobody has got yet."""


class Stretch:
    """Neighbouring records that are alike. `until_ms`: when the member's lock ends."""

    __slots__ = ("deliveries", "first", "last", "member", "state", "until_ms")

    def __init__(
        self,
        first: int,
        last: int,
        state: RecordState,
        deliveries: int,
        member: str = NOBODY,
        until_ms: int = NEVER,
    ) -> None:
        self.first = first
        self.last = last
        self.state = state
        self.deliveries = deliveries
        self.member = member
        self.until_ms = until_ms

    def __repr__(self) -> str:
        return f"<Stretch {self.first}..{self.last} {self.state.name} {self.deliveries} {self.member}>"

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def is_like(self, other: Stretch) -> bool:
        return (
            self.state is other.state
            and self.deliveries == other.deliveries
            and self.member == other.member
            and self.until_ms == other.until_ms
        )

    def become(self, state: RecordState) -> None:
        """Be with nobody any more."""
        self.state, self.member, self.until_ms = state, NOBODY, NEVER
        if state in SETTLED:
            self.deliveries = 0  # Nobody asks again, and alike stretches are one.


class ShareState:
    """See the module. `deliveries_max`: after so many a record is given up; `locks_max`: how many records may
    be in flight before no new ones are handed out."""

    def __init__(self, start: int, *, deliveries_max: int, locks_max: int) -> None:
        self.start = self.end = start
        self._deliveries_max = deliveries_max
        self._locks_max = locks_max
        self._few_from = max(2, -(-deliveries_max // 2))
        """Deliveries after which records come in smaller and smaller numbers, so that one that kills its
        readers is alone in the end."""
        self._stretches: list[Stretch] = []
        self._changed: list[tuple[int, int]] = []
        """First and last offset of what has changed for good since `take_changes`."""

    def __repr__(self) -> str:
        return f"<ShareState {self.start}..{self.end} stretches={len(self._stretches)}>"

    def __iter__(self) -> Iterator[Stretch]:
        return iter(self._stretches)

    def __len__(self) -> int:
        """How many stretches there are."""
        return len(self._stretches)

    # --- what there is -------------------------------------------------------------------------------

    @property
    def next_offset(self) -> int:
        """From where on there is something to acquire: what has come back, or what nobody has had."""
        return next((one.first for one in self._stretches if one.state is AVAILABLE), self.end)

    @property
    def is_full(self) -> bool:
        """Whether nothing can be acquired before something is settled."""
        return self.next_offset == self.end and self.end - self.start >= self._locks_max

    @property
    def settled_count(self) -> int:
        """Records in flight that are done with."""
        return sum(one.size for one in self._stretches if one.state in SETTLED)

    @property
    def due_ms(self) -> int | None:
        """When the first lock ends."""
        return min((one.until_ms for one in self._stretches if one.state is ACQUIRED), default=None)

    # --- handing out ---------------------------------------------------------------------------------

    def acquire(
        self,
        member: str,
        first: int,
        stop: int,
        count_max: int,
        until_ms: int,
        end_of: Callable[[int], int] = lambda offset: offset,
    ) -> list[Given]:
        """Give a member what is available of first..stop-1, about `count_max` records.

        `end_of` says at which offset the batch ends that has an offset: what reaches the limit is handed out
        up to there. Cost: O(stretches).
        """
        first = max(first, self.start)
        stop = self._stop(first, stop, count_max, end_of)
        if stop > self.end:
            self._take_in(stop)
        given = []
        for one in self._between(first, stop - 1):
            if one.state is AVAILABLE:
                one.state, one.member, one.until_ms = ACQUIRED, member, until_ms
                one.deliveries += 1
                given.append(Given(one.first, one.last, one.deliveries))
        self._tidy()
        return _joined(given)

    def _stop(self, first: int, stop: int, count_max: int, end_of: Callable[[int], int]) -> int:
        """Before which offset handing out ends."""
        taken = 0
        for one in self._stretches[self._index(first) :] if first < self.end else ():
            if one.first >= stop or taken >= count_max:
                break
            if one.state is not AVAILABLE:
                continue
            begin, last = max(first, one.first), min(one.last, stop - 1)
            if one.deliveries >= self._few_from:
                return one.first if taken else begin + self._few(one.deliveries, last - begin + 1)
            if taken + last - begin + 1 >= count_max:
                return min(stop, end_of(begin + count_max - taken - 1) + 1)
            taken += last - begin + 1
        room = min(count_max - taken, self._locks_max - (self.end - self.start))
        begin = max(first, self.end)
        if stop <= begin or room <= 0:
            return min(stop, self.end)
        return min(stop, end_of(begin + room - 1) + 1)

    def _few(self, deliveries: int, size: int) -> int:
        """How many of such records, delivered so often, are handed out at once."""
        if deliveries >= self._deliveries_max - 1 and self._deliveries_max > 2:
            return 1
        return max(1, size >> (deliveries - self._few_from + 1))

    def skip(self, first: int, last: int) -> None:
        """Have nobody get these, of those that are with nobody: an aborted transaction's."""
        first = max(first, self.start)
        if last >= self.end:
            self._take_in(last + 1)
        for one in self._between(first, last):
            if one.state is AVAILABLE:
                one.become(ARCHIVED)
                self._changed.append((one.first, one.last))
        self._tidy()

    def _take_in(self, end: int) -> None:
        self._stretches.append(Stretch(self.end, end - 1, AVAILABLE, 0))
        self.end = end

    # --- answers -------------------------------------------------------------------------------------

    def settle(self, member: str, replies: Sequence[Reply], until_ms: int) -> bool:
        """Take a member's answers, all or none; whether that has to survive a restart.

        Raises NotHeld, NotFetched. What lies before `start` was settled by somebody else and is passed over.
        `until_ms`: until when a renewed lock lasts.
        """
        for first, last, _ in replies:
            if last >= self.start:
                self._demand_held(member, max(first, self.start), last)
        lasting = False
        for first, last, answer in replies:
            for one in self._between(max(first, self.start), last) if last >= self.start else ():
                if answer == Answer.RENEW:
                    one.until_ms = until_ms
                    continue
                lasting = True
                self._changed.append((one.first, one.last))
                if answer == Answer.RELEASE:
                    self._give_back(one)
                else:
                    one.become(SETTLES[Answer(answer)])
        self._tidy()
        return lasting

    def _demand_held(self, member: str, first: int, last: int) -> None:
        if self.start == self.end:
            text = "Batch record not found. The request batch offsets are not found in the cache."
            raise NotHeld(text)
        if first >= self.end:
            text = "Batch record not found. The first offset in request is past acquired records."
            raise NotFetched(text)
        if last >= self.end:
            text = "Batch record not found. The last offset in request is past acquired records."
            raise NotFetched(text)
        for one in self._stretches[self._index(first) : self._index(last) + 1]:
            if one.state is not ACQUIRED:
                raise NotHeld("The batch cannot be acknowledged. The batch is not in the acquired state.")
            if one.member != member:
                raise NotHeld("Member is not the owner of batch record")

    def release(self, member: str) -> bool:
        """A member is gone: what it had is free again. Whether it had something."""
        return self._free(one for one in self._stretches if one.state is ACQUIRED and one.member == member)

    def expire(self, now_ms: int) -> bool:
        """End the locks whose time is over; whether there were such."""
        return self._free(one for one in self._stretches if one.state is ACQUIRED and one.until_ms <= now_ms)

    def _free(self, found: Iterable[Stretch]) -> bool:
        stretches = list(found)
        for one in stretches:
            self._changed.append((one.first, one.last))
            self._give_back(one)
        self._tidy()
        return bool(stretches)

    def _give_back(self, one: Stretch) -> None:
        one.become(ARCHIVED if one.deliveries >= self._deliveries_max else AVAILABLE)

    # --- what the log and the administrator do -------------------------------------------------------

    def trim(self, log_start: int) -> bool:
        """The log begins here now, and what was before is gone. Whether that changes something."""
        if log_start <= self.start:
            return False
        if log_start >= self.end:
            self._stretches.clear()
            self.end = log_start
        else:
            self._split(log_start)
            del self._stretches[: self._index(log_start)]
        self.start = log_start
        self._tidy()
        return True

    def cut(self, log_end: int) -> bool:
        """The log ends here now: it has lost what was beyond. Whether that changes something."""
        if log_end >= self.end:
            return False
        if log_end <= self.start:
            self._stretches.clear()
            self.start = log_end
        else:
            self._split(log_end)
            del self._stretches[self._index(log_end) :]
        self.end = log_end
        self._tidy()
        return True

    # --- restarts ------------------------------------------------------------------------------------

    def kept(self) -> list[Kept]:
        """What has to survive: what is settled beyond `start`, and delivery counts. A record that is with a
        member counts as if it had never been given to it."""
        return [kept for one in self._stretches for kept in _kept(one, one.first, one.last)]

    def take_changes(self) -> list[Kept]:
        """What of `kept` has changed since this was asked last, unless `trim` or `cut` has changed
        something. Cost: O(changes)."""
        changed, self._changed = sorted(self._changed), []
        found: list[Kept] = []
        done = self.start
        for first, last in changed:
            first, last = max(first, done), min(last, self.end - 1)
            if first <= last:
                stretches = self._stretches[self._index(first) : self._index(last) + 1]
                for one in stretches:
                    found += _kept(one, max(first, one.first), min(last, one.last))
                done = last + 1
        return found

    def restore(self, kept: Iterable[Sequence[int]]) -> None:
        """Be as it was when `kept` said this; `start` is told beside."""
        for first, last, state, deliveries in kept:
            if last < self.end:
                continue
            if first > self.end:
                self._take_in(first)
            self._stretches.append(Stretch(self.end, last, RecordState(state), deliveries))
            self.end = last + 1
        self._tidy()

    def amend(self, start: int, changes: Iterable[Sequence[int]]) -> None:
        """Be as it was when `take_changes` said this, after it was as it was when that was asked before."""
        for first, last, state, deliveries in changes:
            if last >= self.end:
                self._take_in(last + 1)
            for one in self._between(max(first, self.start), last):
                one.state, one.deliveries = RecordState(state), deliveries
        if not self.trim(start):
            self._tidy()

    # --- stretches -----------------------------------------------------------------------------------

    def _index(self, offset: int) -> int:
        """The place of the stretch with this offset, which is in flight."""
        return bisect_right(self._stretches, offset, key=_first) - 1

    def _split(self, offset: int) -> None:
        """Let a stretch begin at this offset."""
        if not self.start < offset < self.end:
            return
        index = self._index(offset)
        one = self._stretches[index]
        if one.first < offset:
            rest = Stretch(offset, one.last, one.state, one.deliveries, one.member, one.until_ms)
            one.last = offset - 1
            self._stretches.insert(index + 1, rest)

    def _between(self, first: int, last: int) -> list[Stretch]:
        """Stretches that are exactly these offsets, all in flight."""
        if first > last or first >= self.end:
            return []
        self._split(first)
        self._split(last + 1)
        return self._stretches[self._index(first) : self._index(min(last, self.end - 1)) + 1]

    def _tidy(self) -> None:
        """Join what is alike, and move `start` over what is settled."""
        joined: list[Stretch] = []
        for one in self._stretches:
            if not joined and one.state in SETTLED:
                self.start = one.last + 1
            elif joined and joined[-1].is_like(one):
                joined[-1].last = one.last
            else:
                joined.append(one)
        self._stretches = joined
        if not joined:
            self.start = self.end


def _kept(one: Stretch, first: int, last: int) -> list[Kept]:
    """What has to survive of these offsets of a stretch: nothing, if they are as if nobody had had them."""
    state, deliveries = one.state, one.deliveries
    if state is ACQUIRED:
        state, deliveries = AVAILABLE, deliveries - 1
    return [Kept(first, last, state, deliveries)] if state or deliveries else []


def _first(one: Stretch) -> int:
    return one.first


def _joined(given: list[Given]) -> list[Given]:
    """Stretches that were taken together and alike are told as one."""
    found: list[Given] = []
    for one in given:
        if found and found[-1].last + 1 == one.first and found[-1].deliveries == one.deliveries:
            found[-1] = Given(found[-1].first, one.last, one.deliveries)
        else:
            found.append(one)
    return found
