"""The ledger against a plain dict from tag to message. Source: AMQP 0-9-1 60/80, 60/90, 60/120; row R66."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from broker_tools import Outlet, Receiver, add_consumer, demand_counts, make_queue, message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker.changes import Changes
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.ledger import GIVEN_BACK, Ledger, Outcome, UnknownDelivery
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import Location

OUTCOMES = st.sampled_from(list(Outcome))


class LedgerMachine(RuleBasedStateMachine):
    """Two queues, two consumers with their credit and a shared pool; the model is `out`: tag → where from."""

    @initialize()
    def begin(self) -> None:
        self.changes = Changes(journaled=True)
        self.queues = [make_queue(self.changes, name, uid=uid) for uid, name in enumerate("ab")]
        self.ledger = Ledger()
        self.pool = Pool(1000)
        self.consumers = [
            add_consumer(queue, Receiver(), queue.name, ledger=self.ledger, prefetch=500, pool=self.pool)
            for queue in self.queues
        ]
        self.out: dict[int, tuple[Queue, Consumer | None, int, int, bool]] = {}
        """Tag → queue, consumer, sequence, body size, whether it is stored."""
        self.ready: dict[Queue, dict[int, int]] = {queue: {} for queue in self.queues}
        self.settled: dict[int, set[int]] = {0: set(), 1: set()}
        self.tag_next = 1

    @rule(
        number=st.integers(0, 1),
        sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
        stored=st.booleans(),
    )
    def push(self, number: int, sizes: list[int], stored: bool) -> None:
        queue = self.queues[number]
        first = queue.lanes[-1].sequence_next
        messages = [message(b"x" * size) for size in sizes]
        queue.lanes[-1].push(messages, sum(sizes), Location() if stored else None)
        self.ready[queue].update({first + at: size * 2 + stored for at, size in enumerate(sizes)})

    @rule(
        number=st.integers(0, 1),
        count=st.integers(1, 6),
        stripes=st.integers(1, 3),
        consuming=st.booleans(),
    )
    def take(self, number: int, count: int, stripes: int, consuming: bool) -> None:
        """Deliver a run whole or dealt out in stripes, to a consumer or to basic.get."""
        queue = self.queues[number]
        run = queue.take(count)
        if run is None:
            assert not self.ready[queue]
            return
        consumer = self.consumers[number] if consuming else None
        for start in range(min(stripes, len(run))):
            part = run.cut(slice(start, None, stripes))
            if consumer is not None:
                consumer.credit -= len(part)
                consumer.pool.credit -= len(part)
            assert self.ledger.add(consumer, part) == self.tag_next
            for sequence in part.sequences:
                packed = self.ready[queue].pop(sequence)
                self.out[self.tag_next] = (queue, consumer, sequence, packed // 2, bool(packed % 2))
                self.tag_next += 1

    @rule(count=st.integers(0, 3))
    def skip(self, count: int) -> None:
        """Deliveries that want no answer use up tags, and these are unknown from the start."""
        assert self.ledger.skip(count) == self.tag_next
        self.tag_next += count

    @rule(data=st.data(), outcome=OUTCOMES)
    def settle_one(self, data: st.DataObject, outcome: Outcome) -> None:
        tag = data.draw(st.integers(0, self.tag_next + 1))
        self._settle(lambda: self.ledger.settle(tag, False, outcome), [tag], outcome)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=OUTCOMES)
    def settle_one_that_is_out(self, data: st.DataObject, outcome: Outcome) -> None:
        tag = data.draw(st.sampled_from(sorted(self.out)))
        self._settle(lambda: self.ledger.settle(tag, False, outcome), [tag], outcome)

    @rule(data=st.data(), outcome=OUTCOMES)
    def settle_up_to(self, data: st.DataObject, outcome: Outcome) -> None:
        """Tag 0 means all there are, also when there are none."""
        tag = data.draw(st.integers(0, self.tag_next + 1))
        tags = sorted(self.out) if tag == 0 else [one for one in sorted(self.out) if one < tag] + [tag]
        self._settle(lambda: self.ledger.settle(tag, True, outcome), tags, outcome)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=OUTCOMES)
    def settle_range(self, data: st.DataObject, outcome: Outcome) -> None:
        """As one acknowledgement after the other: what comes before an unknown tag is settled."""
        first = data.draw(st.sampled_from(sorted(self.out)))
        last = first + data.draw(st.integers(0, 8))
        known = []
        for tag in range(first, last + 1):
            if tag not in self.out:
                break
            known.append(tag)
        if len(known) == last + 1 - first:
            self._settle(lambda: self.ledger.settle_range(first, last, outcome), known, outcome)
            return
        with pytest.raises(UnknownDelivery) as caught:
            self.ledger.settle_range(first, last, outcome)
        assert caught.value.tag == known[-1] + 1
        self._expect(known, outcome)

    @rule(outcome=OUTCOMES)
    def settle_all(self, outcome: Outcome) -> None:
        self._settle(lambda: self.ledger.settle_all(outcome), sorted(self.out), outcome)

    def _settle(self, act: Callable[[], int], tags: list[int], outcome: Outcome) -> None:
        if all(tag in self.out for tag in tags):
            assert act() == len(tags)
            self._expect(tags, outcome)
        else:
            with pytest.raises(UnknownDelivery):
                act()

    def _expect(self, tags: list[int], outcome: Outcome) -> None:
        for tag in tags:
            queue, _, sequence, size, stored = self.out.pop(tag)
            if outcome in GIVEN_BACK:
                self.ready[queue][sequence] = size * 2 + stored
            elif stored:
                self.settled[queue.uid].add(sequence)

    @invariant()
    def everything_adds_up(self) -> None:
        ledger_tags = [
            entry.base + position
            for entry in self.ledger.entries()
            for position in range(entry.start, entry.stop)
        ]
        assert ledger_tags == sorted(self.out)
        assert self.ledger.count == len(self.out)
        for entry in self.ledger.entries():
            assert entry in entry.lane.outstanding
            for position in range(entry.start, entry.stop):
                queue, consumer, sequence, size, stored = self.out[entry.base + position]
                assert (entry.lane.queue, entry.consumer) == (queue, consumer)
                assert entry.run.sequences[position] == sequence
                assert entry.run.messages is not None
                assert len(entry.run.messages[position].body) == size
                assert entry.run.stored is stored
        entries = sum(len(list(queue.outstanding())) for queue in self.queues)
        assert entries == len(list(self.ledger.entries()))
        for queue, consumer in zip(self.queues, self.consumers, strict=True):
            demand_counts(queue)
            assert queue.ready_count == len(self.ready[queue])
            mine = [one for one in self.out.values() if one[0] is queue]
            assert queue.unacked_count == len(mine)
            assert queue.unacked_bytes == sum(one[3] for one in mine)
            assert consumer.credit == 500 - sum(one[1] is consumer for one in self.out.values())
        assert self.pool.credit == 1000 - sum(one[1] is not None for one in self.out.values())
        sizes = [one[3] for one in self.out.values()]
        sizes += [packed // 2 for queue in self.queues for packed in self.ready[queue].values()]
        assert self.changes.resident_bytes == sum(sizes) + len(sizes) * MESSAGE_BYTES
        facts = {uid: set().union(*ranges) for uid, ranges in self.changes.settled.items() if ranges}
        assert facts == {uid: sequences for uid, sequences in self.settled.items() if sequences}
        for ranges in self.changes.settled.values():
            assert sum(len(sequences) for sequences in ranges) == len(set().union(*ranges)), "settled twice"


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLedger = pytest.mark.row("R66")(TestLedger)


def delivered(count: int) -> tuple[Queue, Ledger]:
    queue, ledger = make_queue(), Ledger()
    messages = [message(number) for number in range(count)]
    queue.lanes[-1].push(messages, sum(len(one.body) for one in messages), None)
    while (run := queue.take(4)) is not None:
        ledger.add(None, run)
    return queue, ledger


@pytest.mark.row("R66")
def test_multiple_that_names_an_unknown_tag_settles_nothing() -> None:
    """Above the last, below the first, or settled before: 406 in AMQP, and no message is touched."""
    queue, ledger = delivered(10)
    ledger.settle(5, False, Outcome.ACCEPTED)
    for tag in (5, 11, 99):
        with pytest.raises(UnknownDelivery, match=f"unknown delivery tag {tag}"):
            ledger.settle(tag, True, Outcome.ACCEPTED)
    assert ledger.count == queue.unacked_count == 9


@pytest.mark.row("R66")
def test_tag_zero_is_all_with_multiple_and_unknown_without() -> None:
    queue, ledger = delivered(3)
    with pytest.raises(UnknownDelivery, match="unknown delivery tag 0"):
        ledger.settle(0, False, Outcome.ACCEPTED)
    assert ledger.settle(0, True, Outcome.ACCEPTED) == 3
    assert ledger.settle(0, True, Outcome.ACCEPTED) == 0
    assert queue.unacked_count == 0


@pytest.mark.row("R66")
def test_settling_wakes_the_queue_whose_consumer_got_credit() -> None:
    changes = Changes(journaled=False)
    queue = make_queue(changes)
    ledger = Ledger()
    consumer = add_consumer(queue, Receiver(), "c", ledger=ledger, outlet=Outlet(), prefetch=1)
    queue.lanes[-1].push([message(1), message(2)], 2, None)
    run = queue.take(1)
    assert run is not None
    ledger.add(consumer, run)
    changes.dirty.clear()
    queue.queued = False
    ledger.settle(1, False, Outcome.ACCEPTED)
    assert changes.dirty == [queue]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_answers_after_the_queue_is_gone_change_nothing(outcome: Outcome) -> None:
    """The receiver does not know yet; its credit comes back all the same."""
    changes = Changes(journaled=True)
    queue = make_queue(changes)
    ledger = Ledger()
    consumer = add_consumer(queue, Receiver(), "c", ledger=ledger, prefetch=5)
    queue.lanes[-1].push([message(number) for number in range(5)], 5, Location())
    run = queue.take(5)
    assert run is not None
    consumer.credit -= 5
    ledger.add(consumer, run)
    queue.close()
    changes.settled.clear()
    ledger.settle(3, False, outcome)
    ledger.settle(2, True, outcome)
    ledger.settle_all(outcome)
    assert (ledger.count, consumer.credit) == (0, 5)
    assert changes.settled == {}
    assert changes.resident_bytes == 0
    assert (queue.ready_count, queue.unacked_count) == (0, 0)


def test_entries_show_their_tags() -> None:
    _, ledger = delivered(6)
    shown: list[Any] = [repr(entry) for entry in ledger.entries()]
    assert shown == ["<Entry tags=1..4 queue='q'>", "<Entry tags=5..6 queue='q'>"]
    assert repr(ledger) == "<Ledger out=6 next=7>"
