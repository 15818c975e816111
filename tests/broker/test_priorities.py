"""Queues with priorities (R50) against an obvious model: a list, sorted by priority and age.

The model knows nothing of lanes, sequences or uids: whatever the queue does with these, the next message is
the oldest of the highest priority, and a restart brings back what was kept, in the same order.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from broker_tools import Domain, Receiver, bodies, demand_counts, message, resident_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.lane import Lane
from pillarbox.broker.ledger import GIVEN_BACK, Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import NO_EXPIRATION, Message, MessagesFact

ARGUMENTS = {"x-max-priority": 3}
PRIORITIES = st.sampled_from([0, 0, 1, 1, 2, 3, 4, 255])
TTLS = st.sampled_from([NO_EXPIRATION] * 4 + [5, 0])


@dataclass(frozen=True)
class Kept:
    """One message of the model, known by the number that is its body's."""

    level: int
    number: int
    body: bytes
    durable: bool
    due_ms: int | None
    redelivered: bool = False
    out: bool = False


@dataclass(frozen=True)
class Lasting:
    """What a restart after some group must bring back."""

    messages: dict[int, Kept]
    delivered: dict[int, int]


class PriorityMachine(RuleBasedStateMachine):
    """One durable queue of a core without consumers; ticks happen only when a rule says so."""

    @initialize(budget=st.sampled_from([0, 600, 1 << 30]), checkpoints=st.booleans())
    def begin(self, budget: int, checkpoints: bool) -> None:
        self.domain = Domain(memory_budget=budget)
        self.domain.vhost.declare_queue(None, "q", durable=True, arguments=ARGUMENTS)
        self.domain.tick()
        self.domain.journal.sync()
        self.checkpoints = checkpoints
        self.ledger = Ledger()
        self.messages: dict[int, Kept] = {}
        self.tags: dict[int, int] = {}
        """Delivery tag → number."""
        self.delivered: dict[int, int] = {}
        """Priority → the last stored message of it that was delivered."""
        self.count = 0
        self.history = [self._lasting()] * len(self.domain.journal.groups)

    @property
    def queue(self) -> Queue:
        return self.domain.queue("q")

    def _lasting(self) -> Lasting:
        kept = {number: replace(one, out=False) for number, one in self.messages.items() if one.durable}
        return Lasting(kept, dict(self.delivered))

    def _note_groups(self) -> None:
        """Every group that was appended since shows the model as it is now."""
        self.history += [self._lasting()] * (len(self.domain.journal.groups) - len(self.history))

    def _waiting(self) -> list[Kept]:
        """What is ready, in the order in which it has to come."""
        waiting = [one for one in self.messages.values() if not one.out]
        return sorted(waiting, key=lambda one: (-one.level, one.number))

    def _present(self) -> dict[tuple[int, int], Lane]:
        """(uid of the lane, sequence) of all that is ready."""
        return {
            (run.lane.uid, sequence): run.lane
            for run in self.queue.ready_runs()
            for sequence in run.sequences
        }

    # --- in ----------------------------------------------------------------------------------------------

    @rule(
        batch=st.lists(st.tuples(PRIORITIES, TTLS), min_size=1, max_size=6),
        size=st.integers(0, 200),
        persistent=st.booleans(),
    )
    def publish(self, batch: list[tuple[int, int]], size: int, persistent: bool) -> None:
        messages = []
        for priority, ttl_ms in batch:
            self.count += 1
            body = str(self.count).encode().ljust(size, b".")
            now_ms = self.domain.now_ms
            messages.append(
                message(body, priority=priority, ttl_ms=ttl_ms, persistent=persistent, now_ms=now_ms)
            )
            due_ms = None if ttl_ms == NO_EXPIRATION else now_ms + ttl_ms
            self.messages[self.count] = Kept(min(priority, 3), self.count, body, persistent, due_ms)
        assert self.domain.publish([self.queue], messages, persistent=persistent) is persistent

    @rule()
    def tick(self) -> None:
        self.domain.tick()
        self._expire()
        self._note_groups()

    @rule(duration_ms=st.sampled_from([1, 6]))
    def advance(self, duration_ms: int) -> None:
        """And let timers do their work: afterwards the head is not over its time, if it is here."""
        self.domain.advance(duration_ms)
        self.tick()
        waiting = self._waiting()
        if waiting and self._is_hot_at_head():
            assert not self._is_over(waiting[0], strictly=True), "the head is over its time"

    # --- out ---------------------------------------------------------------------------------------------

    def _is_over(self, one: Kept, *, strictly: bool = False) -> bool:
        return one.due_ms is not None and one.due_ms <= self.domain.now_ms - strictly

    def _is_hot_at_head(self) -> bool:
        run = next(self.queue.ready_runs(), None)
        return run is not None and run.messages is not None

    def _expire(self, *, taken: int = 0) -> None:
        """Whatever is missing now stood at the head of all, one behind the other, and its time was over."""
        waiting = self._waiting()
        gone = waiting[: len(waiting) - self.queue.ready_count - taken]
        assert all(self._is_over(one) for one in gone), "a message was lost"
        for one in gone:
            del self.messages[one.number]

    @rule(count=st.integers(1, 7), answers=st.booleans(), stripes=st.integers(1, 3))
    def take(self, count: int, answers: bool, stripes: int = 1) -> None:
        """What is handed out is the beginning of what waits, in order, with one flag."""
        queue = self.queue
        run = queue.take(count)
        self._expire(taken=0 if run is None else len(run))
        waiting = self._waiting()
        if run is None:
            assert not waiting or not self._is_hot_at_head(), "there was something to take"
            return
        taken = waiting[: len(run)]
        assert bodies(run) == [one.body for one in taken], "not the oldest of the highest priority"
        assert {run.redelivered} == {one.redelivered for one in taken}
        assert {run.lane.priority} == {one.level for one in taken}
        queue.wake()  # As `Session.get` does; dispatch looks at the queue anyway.
        if not answers:
            run.lane.settle_unanswered(run)
            for one in taken:
                del self.messages[one.number]
            return
        for start in range(min(stripes, len(taken))):
            part = run.cut(slice(start, None, stripes))
            tag = self.ledger.add(None, part)
            part.lane.delivered(part)
            self.tags.update(enumerate([one.number for one in taken[start::stripes]], tag))
        for one in taken:
            self.messages[one.number] = replace(one, out=True)
            if one.durable:
                self.delivered[one.level] = max(self.delivered.get(one.level, 0), one.number)

    @precondition(lambda self: self.tags)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)), most=st.integers(1, 6))
    def settle(self, data: st.DataObject, outcome: Outcome, most: int) -> None:
        for _ in range(min(most, len(self.tags))):
            tag = data.draw(st.sampled_from(sorted(self.tags)))
            self.ledger.settle(tag, False, outcome)
            self._settled(tag, outcome)

    @rule(outcome=st.sampled_from(list(Outcome)))
    def settle_all(self, outcome: Outcome) -> None:
        self.ledger.settle_all(outcome)
        for tag in list(self.tags):
            self._settled(tag, outcome)

    def _settled(self, tag: int, outcome: Outcome) -> None:
        number = self.tags.pop(tag)
        if outcome in GIVEN_BACK:
            self.messages[number] = replace(self.messages[number], out=False, redelivered=True)
        else:
            del self.messages[number]

    # --- memory, disk, ends ------------------------------------------------------------------------------

    @rule(budget=st.sampled_from([0, 300, 600]))
    def unload(self, budget: int) -> None:
        self.tick()
        self.queue.unload(budget)

    @rule()
    def answer_load(self) -> None:
        self.domain.journal.answer_load()

    @rule()
    def sync(self) -> None:
        self.domain.journal.sync()

    @precondition(lambda self: self.checkpoints)
    @rule()
    def checkpoint(self) -> None:
        journal = self.domain.journal
        if not journal.step_checkpoint():
            journal.checkpoint(CoreSnapshot(self.domain.core))
        self._note_groups()

    @rule(rarely=st.integers(0, 7), data=st.data())
    def empty_or_restart(self, rarely: int, data: st.DataObject) -> None:
        """What leaves little behind comes seldom, so that other rules meet a queue with something in it."""
        if rarely == 4:
            waiting = self._waiting()
            assert self.queue.purge() == len(waiting)
            for one in waiting:
                del self.messages[one.number]
        elif rarely == 5:
            self.delete_and_declare()
        elif rarely == 6:
            self.restart(data.draw(st.integers(self.domain.journal.synced_count, len(self.history))))
        elif rarely == 7:
            self.domain.core.flush()
            self._note_groups()
            self.restart(len(self.domain.journal.groups))

    def delete_and_declare(self) -> None:
        """The new queue has nothing of the old one; what is out of that means nothing any more."""
        assert self.domain.vhost.delete_queue(None, "q") == len(self._waiting())
        assert [key for key in self.domain.core.definitions if key[0] in ("queue", "lane")] == []
        self.ledger.settle_all(Outcome.RELEASED)
        self.tags.clear()
        self.messages.clear()
        self.delivered.clear()
        self.domain.vhost.declare_queue(None, "q", durable=True, arguments=ARGUMENTS)
        self.domain.tick()
        self._note_groups()

    def restart(self, count: int) -> None:
        """After a crash that kept any number of groups, but at least those that were synced."""
        self.domain.restart(count)
        del self.history[count:]
        lasting = self.history[-1]
        self.ledger, self.tags = Ledger(), {}
        self.delivered = dict(lasting.delivered)
        self.messages = {
            number: replace(one, redelivered=number <= self.delivered.get(one.level, 0))
            for number, one in lasting.messages.items()
        }

    # --- always ------------------------------------------------------------------------------------------

    @invariant()
    def everything_is_where_it_should_be(self) -> None:
        if not hasattr(self, "domain"):
            return
        queue = self.queue
        demand_counts(queue)
        waiting = self._waiting()
        assert queue.ready_count == len(waiting) == len(self._present())
        out = [one for one in self.messages.values() if one.out]
        assert queue.unacked_count == len(out)
        assert queue.unacked_bytes == sum(len(one.body) for one in out)
        assert self.domain.core.changes.resident_bytes == resident_bytes([queue])
        levels = [lane.priority for lane in queue.lanes]
        assert levels == sorted(set(levels), reverse=True)
        assert (levels[-1], queue.lanes[-1].uid) == (0, queue.uid)
        defined = {int(key) for kind, key in self.domain.core.definitions if kind in ("queue", "lane")}
        assert defined == {lane.uid for lane in queue.lanes}
        kept = [
            (lane.priority, len(run.sequences))
            for lane in queue.lanes
            for state in lane.states()
            if state.uid == lane.uid
            for run in state.runs
        ]
        durable = [one for one in self.messages.values() if one.durable]
        for level in range(4):
            assert sum(count for at, count in kept if at == level) == sum(
                one.level == level for one in durable
            )

    def teardown(self) -> None:
        """Whatever happened: everything that is here can be had, in order."""
        if not hasattr(self, "domain"):
            return
        for _ in range(1000):
            waiting = self._waiting()
            self.take(1000, False)
            self.tick()
            if not self.domain.journal.answer_load() and waiting == self._waiting():
                break
        assert self._waiting() == []


TestPriorities = PriorityMachine.TestCase
TestPriorities.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestPriorities = pytest.mark.row("R50", "R44", "R66")(TestPriorities)


# --- examples ---------------------------------------------------------------------------------------------


def declare(domain: Domain, name: str = "q", highest: int = 5, *, durable: bool = True) -> Queue:
    queue: Queue = domain.vhost.declare_queue(
        None, name, durable=durable, arguments={"x-max-priority": highest}
    )
    return queue


def rated(*priorities: int) -> list[Message]:
    """Messages whose bodies tell their priority and place."""
    return [message(f"{priority}-{at}", priority=priority) for at, priority in enumerate(priorities)]


def facts(domain: Domain) -> Iterator[MessagesFact]:
    for group in domain.journal.groups:
        yield from group.messages


def drained(domain: Domain, name: str) -> list[str]:
    receiver = Receiver()
    domain.consume(domain.session(), name, receiver, no_ack=True)
    domain.run()
    return [body.decode() for body in receiver.bodies]


@pytest.mark.row("R50")
@given(
    batches=st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=8), max_size=4),
    maxima=st.lists(st.sampled_from([0, 1, 3, 9, 255]), min_size=1, max_size=3),
    persistent=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_queue_of_a_fan_out_has_its_own_order(
    batches: list[list[int]], maxima: list[int], persistent: bool
) -> None:
    """A queue without priorities keeps the order of arrival; the payload is stored once for all."""
    domain = Domain()
    queues = [declare(domain, f"q{at}", highest) for at, highest in enumerate(maxima)]
    arrived: list[tuple[int, str]] = []
    for batch in batches:
        messages = [
            message(f"{len(arrived) + at}", priority=priority, persistent=persistent)
            for at, priority in enumerate(batch)
        ]
        arrived += [(one.priority, one.body.decode()) for one in messages]
        domain.publish(queues, messages, persistent=persistent)
    domain.tick()
    stored = [one.body.decode() for fact in facts(domain) for one in fact.messages]
    assert sorted(stored) == (sorted(body for _, body in arrived) if persistent else [])
    for at, highest in enumerate(maxima):
        levels = sorted({min(priority, highest) for priority, _ in arrived}, reverse=True)
        expected = [body for level in levels for priority, body in arrived if min(priority, highest) == level]
        assert drained(domain, f"q{at}") == expected


@pytest.mark.row("R50")
def test_batch_for_one_queue_becomes_one_run_for_each_priority() -> None:
    """However its priorities alternate: what is delivered together stands together."""
    domain = Domain()
    queue = declare(domain, highest=2)
    domain.publish([queue], rated(0, 1, 2, 0, 1, 9, 0))
    assert [len(run) for run in queue.ready_runs()] == [2, 2, 3]
    domain.tick()
    assert len(list(facts(domain))) == 3


@pytest.mark.row("R50")
def test_queue_without_priorities_has_one_lane_whatever_is_published() -> None:
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.publish([queue], rated(3, 0, 255))
    assert len(queue.lanes) == 1
    assert drained(domain, "q") == ["3-0", "0-1", "255-2"]


@pytest.mark.row("R50", "R66")
@pytest.mark.parametrize("stops", [False, True], ids=["crash", "checkpoint"])
def test_restart_brings_back_every_priority_with_its_flags(stops: bool) -> None:
    """Delivered is a property of each priority's own order, not of the queue's."""
    domain = Domain()
    domain.publish([declare(domain)], rated(0, 0, 1, 1, 5, 5))
    session, ledger = domain.session(), Ledger()
    for _ in range(3):
        session.get("q", ledger, no_ack=False)
    ledger.settle(2, False, Outcome.ACCEPTED)
    domain.tick()
    if stops:
        domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
    domain.restart()
    domain.publish([domain.queue("q")], rated(5, 1))
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver)
    domain.run()
    found = [(body.decode(), redelivered) for _, _, _, body, redelivered in receiver.deliveries]
    delivered = {"5-4", "1-2"}
    expected = ["5-4", "5-0", "1-2", "1-3", "1-1", "0-0", "0-1"]
    assert found == [(body, body in delivered) for body in expected]
    demand_counts(domain.queue("q"))


@pytest.mark.row("R50")
def test_lane_that_was_first_used_after_a_checkpoint_began_is_not_lost() -> None:
    """The checkpoint knows nothing of it; the journal after it does."""
    domain = Domain()
    queue = declare(domain)
    domain.publish([queue], rated(0))
    domain.tick()
    domain.journal.checkpoint(CoreSnapshot(domain.core))
    domain.journal.step_checkpoint()
    domain.publish([queue], rated(4, 2))
    domain.tick()
    while domain.journal.step_checkpoint():
        pass
    domain.restart()
    assert drained(domain, "q") == ["4-0", "2-1", "0-0"]


@pytest.mark.row("R50")
def test_uid_of_a_lane_is_never_used_again() -> None:
    """Also not by a queue that is declared after a restart."""
    domain = Domain()
    queue = declare(domain)
    domain.publish([queue], rated(0, 1, 2))
    domain.tick()
    used = {lane.uid for lane in queue.lanes}
    assert len(used) == 3
    domain.restart()
    assert {lane.uid for lane in domain.queue("q").lanes} == used
    assert declare(domain, "other").uid > max(used)


@pytest.mark.row("R50")
def test_folder_of_before_priorities_keeps_its_order_and_new_messages_overtake() -> None:
    """A queue whose messages were stored without lanes has them all at priority 0."""
    domain = Domain()
    queue = declare(domain)
    domain.core._append((queue,), rated(0, 5, 1), 9, True, False, MESSAGE_BYTES)
    domain.tick()
    domain.restart()
    domain.publish([domain.queue("q")], rated(1))
    assert drained(domain, "q") == ["1-0", "0-0", "5-1", "1-2"]


@pytest.mark.row("R50")
@pytest.mark.parametrize("durable", [True, False])
def test_transient_messages_are_spilled_by_priority_and_forgotten_by_a_restart(durable: bool) -> None:
    domain = Domain(memory_budget=10_000)
    queue = declare(domain, durable=durable)
    for number in range(60):
        one = message(f"{number % 4}-{number}".ljust(1000), priority=number % 4, persistent=False)
        domain.publish([queue], [one], persistent=False)
        domain.tick()
    assert domain.core.changes.resident_bytes < 20_000
    found = [body.strip() for body in drained(domain, "q")]
    assert found == sorted(found, key=lambda body: (-int(body[0]), int(body[2:])))
    assert len(found) == 60
    domain.restart()
    assert not durable or domain.queue("q").ready_count == 0


@pytest.mark.row("R50")
def test_low_priorities_are_unloaded_before_high_ones() -> None:
    """What will be delivered last can rest on disk."""
    domain = Domain()
    queue = declare(domain, highest=1)
    for number in range(40):
        domain.publish([queue], [message("x" * 1000, priority=number % 2)])
        domain.tick()
    queue.unload(30_000)
    high, low = queue.lanes
    assert sum(run.messages is None for run in low.ready) > 10
    assert all(run.messages is not None for run in high.ready)


@pytest.mark.row("R50")
def test_deleted_queue_with_priorities_leaves_no_cycle_behind() -> None:
    """Queue, lanes and deliveries that are still out go with their last user, not with the collector."""
    domain = Domain()
    seen = weakref.ref(declare(domain))
    domain.publish([domain.queue("q")], rated(0, 3))
    ledger = Ledger()
    domain.session().get("q", ledger, no_ack=False)
    domain.run()
    gc.disable()
    try:
        domain.vhost.delete_queue(None, "q")
        domain.run()
        ledger.settle_all(Outcome.ACCEPTED)
        assert seen() is None
    finally:
        gc.enable()
    assert domain.core.changes.resident_bytes == 0
