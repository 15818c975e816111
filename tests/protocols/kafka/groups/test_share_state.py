"""What becomes of each record of a share group, beside a twin with an entry for every offset (row K56)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pillarbox.protocols.kafka.groups.share_state import (
    ACKNOWLEDGED,
    ACQUIRED,
    ARCHIVED,
    AVAILABLE,
    Answer,
    Given,
    Kept,
    NotFetched,
    NotHeld,
    Reply,
    ShareState,
)

pytestmark = pytest.mark.row("K56")

DELIVERIES = 3
LOCKS = 12
LOCK_MS = 100
LOG_END = 60
MEMBERS = ("one", "two")
SETTLED = (ACKNOWLEDGED, ARCHIVED)


def state(start: int = 0, *, deliveries: int = 5, locks: int = 2_000) -> ShareState:
    return ShareState(start, deliveries_max=deliveries, locks_max=locks)


def acquire(one: ShareState, member: str = "one", stop: int = 10, count: int = 500, until: int = 100) -> Any:
    return one.acquire(member, one.next_offset, stop, count, until)


def answer(one: ShareState, kind: Answer, first: int, last: int | None = None, member: str = "one") -> bool:
    return one.settle(member, [Reply(first, first if last is None else last, kind)], 100)


# --- the rules, one by one ----------------------------------------------------------------------------------


def test_a_record_is_with_one_member_until_it_is_settled() -> None:
    one = state()
    assert acquire(one, "one", count=4) == [Given(0, 3, 1)]
    assert acquire(one, "two") == [Given(4, 9, 1)]
    assert acquire(one, "two") == []
    assert answer(one, Answer.ACCEPT, 0, 3)
    assert (one.start, one.end, one.settled_count) == (4, 10, 0)


def test_what_is_settled_out_of_order_waits_for_what_is_before() -> None:
    one = state()
    acquire(one)
    answer(one, Answer.ACCEPT, 2, 5)
    answer(one, Answer.REJECT, 7)
    assert (one.start, one.settled_count) == (0, 5)
    answer(one, Answer.ACCEPT, 0, 1)
    assert (one.start, one.settled_count) == (6, 1)
    answer(one, Answer.GAP, 6)
    assert (one.start, one.end, one.settled_count) == (8, 10, 0)


def test_released_records_come_again_in_their_place_with_a_count() -> None:
    one = state()
    acquire(one)
    answer(one, Answer.RELEASE, 3, 4)
    assert one.next_offset == 3
    assert acquire(one, "two", stop=20) == [Given(3, 4, 2), Given(10, 19, 1)]


def test_a_record_is_given_up_after_so_many_deliveries() -> None:
    one = state(deliveries=2)
    for count in (1, 2):
        assert acquire(one, stop=1) == [Given(0, 0, count)]
        answer(one, Answer.RELEASE, 0)
    assert (one.start, acquire(one, stop=1)) == (1, [])


def test_what_has_failed_often_comes_with_fewer_beside_it_and_alone_in_the_end() -> None:
    one = state()
    sizes = []
    for _ in range(5):
        given = acquire(one, stop=8)
        sizes.append(sum(each.last - each.first + 1 for each in given))
        one.release("one")
    assert sizes == [8, 8, 8, 4, 1]
    assert (one.start, one.next_offset) == (1, 1)


def test_a_lock_ends_by_its_time_and_can_be_renewed() -> None:
    one = state()
    acquire(one)
    assert (one.due_ms, one.expire(99)) == (100, False)
    assert not one.settle("one", [Reply(0, 4, Answer.RENEW)], 300), "a renewal need not be durable"
    assert one.expire(100)
    assert acquire(one, "two") == [Given(5, 9, 2)]
    assert (one.due_ms, one.expire(300)) == (100, True)


def test_answers_are_taken_all_or_none() -> None:
    one = state()
    acquire(one, count=5)
    acquire(one, "two")
    wrong = {
        "not the owner": [Reply(0, 4, Answer.ACCEPT), Reply(5, 5, Answer.ACCEPT)],
        "not in the acquired state": [Reply(0, 0, Answer.ACCEPT)],
    }
    with pytest.raises(NotHeld, match="not the owner"):
        one.settle("one", wrong["not the owner"], 100)
    assert one.settled_count == 0
    assert one.start == 0
    answer(one, Answer.RELEASE, 0)
    with pytest.raises(NotHeld, match="not in the acquired state"):
        one.settle("one", wrong["not in the acquired state"], 100)
    for first, last, which in ((9, 10, "last"), (10, 11, "first")):
        with pytest.raises(NotFetched, match=f"The {which} offset"):
            one.settle("two", [Reply(first, last, Answer.ACCEPT)], 100)
    with pytest.raises(NotHeld, match="not found in the cache"):
        answer(state(), Answer.ACCEPT, 0)


def test_what_is_before_the_start_was_settled_by_somebody_and_is_passed_over() -> None:
    one = state()
    acquire(one)
    answer(one, Answer.ACCEPT, 0, 4)
    assert answer(one, Answer.ACCEPT, 0, 1) is False
    assert answer(one, Answer.ACCEPT, 3, 6) is True
    assert one.start == 7


def test_no_more_than_so_many_are_in_flight() -> None:
    one = state(locks=10)
    assert acquire(one, stop=50) == [Given(0, 9, 1)]
    assert one.is_full
    assert acquire(one, stop=50) == []
    answer(one, Answer.ACCEPT, 5, 9)
    assert one.is_full, "what is settled behind the first that is not counts too"
    answer(one, Answer.RELEASE, 0)
    assert not one.is_full
    assert acquire(one, "two", stop=50) == [Given(0, 0, 2)]
    answer(one, Answer.ACCEPT, 1, 4)
    answer(one, Answer.ACCEPT, 0, member="two")
    assert (one.is_full, acquire(one, stop=50)) == (False, [Given(10, 19, 1)])


def test_a_limit_is_reached_at_the_end_of_a_batch() -> None:
    one = state(locks=10)

    def end_of(offset: int) -> int:
        return offset // 4 * 4 + 3

    assert one.acquire("one", 0, 40, 6, 100, end_of) == [Given(0, 7, 1)]
    assert one.acquire("one", 8, 40, 500, 100, end_of) == [Given(8, 11, 1)], "beyond the limit of ten"
    answer(one, Answer.RELEASE, 1, 2)
    assert one.acquire("two", 1, 40, 1, 100, end_of) == [Given(1, 2, 2)]


def test_skipped_records_go_to_nobody() -> None:
    one = state()
    one.skip(3, 5)
    assert acquire(one) == [Given(0, 2, 1), Given(6, 9, 1)]
    one.skip(0, 1)
    assert one.settled_count == 3, "what somebody has stays with it"


def test_log_that_begins_later_or_ends_earlier_takes_records_away() -> None:
    one = state()
    acquire(one)
    assert one.trim(4)
    assert not one.trim(4)
    assert (one.start, one.end) == (4, 10)
    assert one.cut(8)
    assert not one.cut(8)
    assert (one.start, one.end) == (4, 8)
    assert one.trim(20)
    assert (one.start, one.end, list(one)) == (20, 20, [])
    assert one.cut(3)
    assert (one.start, one.end) == (3, 3)


def test_restart_keeps_what_is_settled_and_counts_but_no_locks() -> None:
    one = state()
    acquire(one)
    answer(one, Answer.ACCEPT, 2, 3)
    answer(one, Answer.RELEASE, 5)
    acquire(one, stop=20)
    kept, start = one.kept(), one.start
    again = state(start)
    again.restore(kept)
    assert again.end == 6, "what was only handed out is new"
    assert acquire(again, "two") == [Given(0, 1, 1), Given(4, 4, 1), Given(5, 5, 2), Given(6, 9, 1)]


def test_what_has_changed_is_told_once_and_alone() -> None:
    """Neither what was changed before nor what a member only holds."""
    records = state(deliveries=3)
    records.acquire("a", 0, 100, 100, LOCK_MS)
    records.settle("a", [Reply(first, first, Answer.ACCEPT) for first in range(1, 99, 2)], 0)
    assert len(records.take_changes()) == 49
    assert records.take_changes() == []
    records.settle("a", [Reply(40, 40, Answer.RELEASE), Reply(50, 50, Answer.REJECT)], 0)
    assert records.take_changes() == [Kept(40, 40, AVAILABLE, 1), Kept(50, 50, ARCHIVED, 0)]
    records.acquire("b", 40, 41, 1, LOCK_MS)
    assert records.take_changes() == []


def test_changes_before_the_start_are_not_told() -> None:
    records = state()
    records.acquire("a", 0, 10, 10, LOCK_MS)
    records.settle("a", [Reply(0, 4, Answer.ACCEPT), Reply(7, 7, Answer.ACCEPT)], 0)
    assert (records.start, records.take_changes()) == (5, [Kept(7, 7, ACKNOWLEDGED, 0)])


# --- the twin -----------------------------------------------------------------------------------------------


class Entry:
    """One record."""

    def __init__(self) -> None:
        self.state, self.deliveries, self.member, self.until = AVAILABLE, 0, "", 0

    def free(self) -> None:
        self.state = ARCHIVED if self.deliveries >= DELIVERIES else AVAILABLE
        self.member, self.until = "", 0


class Twin:
    """The obvious way: a dictionary of offsets."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self.entries: dict[int, Entry] = {}

    def take_in(self, end: int) -> None:
        for offset in range(self.end, end):
            self.entries[offset] = Entry()
        self.end = max(self.end, end)

    def settle_down(self) -> None:
        while self.start < self.end and self.entries[self.start].state in SETTLED:
            del self.entries[self.start]
            self.start += 1

    def next_offset(self) -> int:
        free = [offset for offset, one in self.entries.items() if one.state is AVAILABLE]
        return min(free, default=self.end)

    def acquire(self, member: str, first: int, stop: int, count: int, until: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        offset = first
        while offset < stop and len(found) < count:
            if offset == self.end:
                if self.end - self.start >= LOCKS:
                    break
                self.take_in(offset + 1)
            one = self.entries[offset]
            if one.state is AVAILABLE:
                if one.deliveries >= 2:  # Half of three, and the last time: alone.
                    if not found:
                        found.append((offset, self.hand_out(one, member, until)))
                    break
                found.append((offset, self.hand_out(one, member, until)))
            offset += 1
        return found

    @staticmethod
    def hand_out(one: Entry, member: str, until: int) -> int:
        one.state, one.member, one.until = ACQUIRED, member, until
        one.deliveries += 1
        return one.deliveries

    def holds(self, member: str, first: int, last: int) -> bool:
        return all(
            offset in self.entries
            and self.entries[offset].state is ACQUIRED
            and self.entries[offset].member == member
            for offset in range(max(first, self.start), last + 1)
        )


class ShareStateMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ours = state(deliveries=DELIVERIES, locks=LOCKS)
        self.twin = Twin()
        self.now = 0
        self.whole: tuple[int, list[Kept]] = (0, [])
        self.changes: list[tuple[int, list[Kept]]] = []
        """What was kept last as a whole, and since then."""

    @rule(
        member=strategies.sampled_from(MEMBERS),
        count=strategies.integers(1, 8),
        size=strategies.integers(1, 9),
    )
    def acquire(self, member: str, count: int, size: int) -> None:
        first = self.ours.next_offset
        stop = min(first + size, LOG_END)
        given = self.ours.acquire(member, first, stop, count, self.now + LOCK_MS)
        told = [(offset, one.deliveries) for one in given for offset in range(one.first, one.last + 1)]
        assert told == self.twin.acquire(member, first, stop, count, self.now + LOCK_MS)

    @rule(
        member=strategies.sampled_from(MEMBERS),
        kind=strategies.sampled_from(Answer),
        at=strategies.integers(-2, 14),
        size=strategies.integers(1, 5),
    )
    def answer(self, member: str, kind: Answer, at: int, size: int) -> None:
        first = max(0, self.ours.start + at)
        last = first + size - 1
        self.reply(member, [Reply(first, last, kind)])

    @precondition(lambda self: any(one.state is ACQUIRED for one in self.ours))
    @rule(data=strategies.data(), kind=strategies.sampled_from(Answer))
    def answer_what_is_held(self, data: Any, kind: Answer) -> None:
        held = data.draw(strategies.sampled_from([one for one in self.ours if one.state is ACQUIRED]))
        first = data.draw(strategies.integers(held.first, held.last))
        last = data.draw(strategies.integers(first, held.last))
        self.reply(held.member, [Reply(first, last, kind)])

    def reply(self, member: str, replies: list[Reply]) -> None:
        (first, last, kind), until = replies[0], self.now + LOCK_MS
        if last >= self.twin.start and not self.twin.holds(member, first, last):
            with pytest.raises((NotHeld, NotFetched)):
                self.ours.settle(member, replies, until)
            return
        self.ours.settle(member, replies, until)
        for offset in range(max(first, self.twin.start), last + 1):
            one = self.twin.entries[offset]
            if kind is Answer.RENEW:
                one.until = until
            elif kind is Answer.RELEASE:
                one.free()
            else:
                one.state, one.member, one.until = (
                    (ACKNOWLEDGED if kind is Answer.ACCEPT else ARCHIVED),
                    "",
                    0,
                )
        self.twin.settle_down()

    @rule(member=strategies.sampled_from(MEMBERS))
    def release(self, member: str) -> None:
        self.ours.release(member)
        self.free(lambda one: one.member == member)

    @rule(by=strategies.integers(0, 120))
    def time_goes_by(self, by: int) -> None:
        self.now += by
        self.ours.expire(self.now)
        self.free(lambda one: one.until <= self.now)

    def free(self, which: Any) -> None:
        for one in self.twin.entries.values():
            if one.state is ACQUIRED and which(one):
                one.free()
        self.twin.settle_down()

    @rule(at=strategies.integers(0, 10), size=strategies.integers(1, 4))
    def skip(self, at: int, size: int) -> None:
        first = min(self.ours.start + at, self.ours.end)
        last = first + size - 1
        self.ours.skip(first, last)
        self.twin.take_in(last + 1)
        for offset in range(first, last + 1):
            if self.twin.entries[offset].state is AVAILABLE:
                self.twin.entries[offset].state = ARCHIVED
        self.twin.settle_down()

    @rule(by=strategies.integers(0, 5))
    def trim(self, by: int) -> None:
        start = self.ours.start + by
        self.ours.trim(start)
        for offset in range(self.twin.start, start):
            self.twin.entries.pop(offset, None)
        self.twin.start, self.twin.end = start, max(start, self.twin.end)
        self.twin.settle_down()
        self.keep(whole=True)

    @rule(whole=strategies.booleans())
    def keep(self, whole: bool) -> None:
        changes = self.ours.take_changes()
        if whole:
            self.whole, self.changes = (self.ours.start, self.ours.kept()), []
        else:
            self.changes.append((self.ours.start, changes))

    @rule()
    def restart(self) -> None:
        self.keep(whole=False)
        start, kept = self.whole
        again = state(start, deliveries=DELIVERIES, locks=LOCKS)
        again.restore(kept)
        for change in self.changes:
            again.amend(*change)
        self.ours = again
        for offset, one in list(self.twin.entries.items()):
            if one.state is ACQUIRED:
                one.state, one.deliveries, one.member, one.until = AVAILABLE, one.deliveries - 1, "", 0
            if offset >= again.end:
                assert (one.state, one.deliveries) == (AVAILABLE, 0), "forgotten"
                del self.twin.entries[offset]
        self.twin.end = again.end
        self.twin.settle_down()

    @invariant()
    def is_the_same(self) -> None:
        ours, twin = self.ours, self.twin
        assert (ours.start, ours.end, ours.next_offset) == (twin.start, twin.end, twin.next_offset())
        for one in ours:
            for offset in range(one.first, one.last + 1):
                other = twin.entries[offset]
                assert (one.state, one.member, one.until_ms) == (other.state, other.member, other.until)
                assert one.state in SETTLED or one.deliveries == other.deliveries
        assert ours.settled_count == sum(one.state in SETTLED for one in twin.entries.values())

    @invariant()
    def stretches_are_whole_and_as_few_as_can_be(self) -> None:
        stretches = list(self.ours)
        ends = [self.ours.start, *(one.last + 1 for one in stretches)]
        assert [one.first for one in stretches] == ends[:-1]
        assert ends[-1] == self.ours.end
        assert all(one.first <= one.last for one in stretches)
        assert not any(before.is_like(after) for before, after in pairwise(stretches))
        assert not stretches or stretches[0].state not in SETTLED


TestShareState = ShareStateMachine.TestCase
TestShareState.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
