"""Who gets which message: turns, credit, pools, priorities, outlets. Rows R65, R66, R69, R71.

Model-checked: whatever happens, credit is never exceeded, nothing waits for a consumer that could take it,
and equal consumers take turns message by message.
"""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, Outlet, Receiver, message
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker import core as core_module
from pillarbox.broker import dispatch as dispatch_module
from pillarbox.broker.consumer import UNLIMITED, Consumer, Pool
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue


def declared(domain: Domain, name: str = "q") -> Queue:
    return domain.vhost.declare_queue(None, name)


def publish(domain: Domain, queue: Queue, count: int, start: int = 0) -> None:
    domain.publish([queue], [message(number) for number in range(start, start + count)], persistent=False)


# --- turns ------------------------------------------------------------------------------------------------


@pytest.mark.row("R71")
@given(
    st.integers(1, 7),
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None)
def test_equal_consumers_take_turns_message_by_message(
    count: int, batches: list[int], no_ack: bool, one_channel: bool
) -> None:
    """However the messages arrive, the i-th goes to consumer i modulo their number."""
    domain = Domain()
    session, queue, receiver = domain.session(), declared(domain), Receiver()
    shared = Ledger()
    for number in range(count):
        ledger = shared if one_channel else Ledger()
        domain.consume(session, "q", receiver, ledger=ledger, tag=str(number), no_ack=no_ack)
    sent = 0
    for batch in batches:
        publish(domain, queue, batch, sent)
        sent += batch
        domain.run()
    receivers = {int(body): int(tag) for tag, _, _, body, _ in receiver.deliveries}
    assert receivers == {number: number % count for number in range(sent)}


@pytest.mark.row("R71")
def test_messages_of_one_queue_reach_a_channel_in_order() -> None:
    """Also when several consumers of the channel share them."""
    domain = Domain()
    session, queue, receiver, ledger = domain.session(), declared(domain), Receiver(), Ledger()
    for tag in "abc":
        domain.consume(session, "q", receiver, ledger=ledger, tag=tag)
    publish(domain, queue, 50)
    domain.run()
    assert receiver.bodies == [b"%d" % number for number in range(50)]
    assert [delivery[1] for delivery in receiver.deliveries] == list(range(1, 51))


@pytest.mark.row("R71")
@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.data())
@settings(deadline=None)
def test_consumers_that_acknowledge_at_once_get_equal_shares(
    prefetches: list[int], data: st.DataObject
) -> None:
    """Each answers everything before the next tick, so all have credit whenever it matters."""
    domain = Domain()
    session, queue = domain.session(), declared(domain)
    receivers, ledgers = [Receiver() for _ in prefetches], [Ledger() for _ in prefetches]
    for number, prefetch in enumerate(prefetches):
        domain.consume(
            session, "q", receivers[number], ledger=ledgers[number], tag=str(number), prefetch=prefetch
        )
    sent = 0
    for _ in range(20):
        batch = data.draw(st.integers(1, len(prefetches)))
        publish(domain, queue, batch, sent)
        sent += batch
        domain.run()
        for ledger in ledgers:
            ledger.settle_all(Outcome.ACCEPTED)
    shares = [len(receiver.deliveries) for receiver in receivers]
    assert sum(shares) == sent
    assert max(shares) - min(shares) <= 1


def test_new_consumer_gets_its_share_of_a_busy_queue() -> None:
    domain = Domain()
    session, queue, receiver = domain.session(), declared(domain), Receiver()
    domain.consume(session, "q", receiver, tag="old", no_ack=True)
    publish(domain, queue, 10)
    domain.run()
    domain.consume(session, "q", receiver, tag="new", no_ack=True)
    receiver.deliveries.clear()
    publish(domain, queue, 10)
    domain.run()
    tags = [delivery[0] for delivery in receiver.deliveries]
    assert (tags.count("old"), tags.count("new")) == (5, 5)


# --- many queues ------------------------------------------------------------------------------------------


def test_busy_queues_do_not_starve_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick ends after so many messages; whoever had no turn in it comes first in the next."""
    monkeypatch.setattr(dispatch_module, "ROUND_MESSAGES", 10)
    monkeypatch.setattr(core_module, "ROUND_MESSAGES", 10)
    monkeypatch.setattr(core_module, "TICK_MESSAGES", 20)
    monkeypatch.setattr(core_module, "QUEUE_EFFORT", 0)
    domain = Domain()
    session, receiver = domain.session(), Receiver()
    queues = [declared(domain, f"q{number}") for number in range(5)]
    for queue in queues:
        domain.consume(session, queue.name, receiver, tag=queue.name, no_ack=True)
        publish(domain, queue, 1000)
    ticks = 20
    for _ in range(ticks):
        domain.tick()
    tags = [delivery[0] for delivery in receiver.deliveries]
    shares = [tags.count(queue.name) for queue in queues]
    assert sum(shares) == 20 * ticks
    assert max(shares) - min(shares) <= 20


def test_many_queues_with_little_are_more_than_a_tick() -> None:
    """A message to each of very many clients is work for many ticks: each client is written to."""
    domain = Domain()
    session, receiver = domain.session(), Receiver()
    queues = [declared(domain, f"q{number}") for number in range(1000)]
    for queue in queues:
        domain.consume(session, queue.name, receiver, tag=queue.name, no_ack=True)
        publish(domain, queue, 1)
    domain.tick()
    first = len(receiver.deliveries)
    assert 50 < first < 200
    while len(receiver.deliveries) < 1000:
        domain.tick()
        assert len(receiver.deliveries) - first < 200
        first = len(receiver.deliveries)
    assert [delivery[0] for delivery in receiver.deliveries] == [queue.name for queue in queues]


def test_queue_with_more_than_a_round_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_module, "ROUND_MESSAGES", 10)
    monkeypatch.setattr(core_module, "ROUND_MESSAGES", 10)
    domain = Domain()
    receiver, queue = Receiver(), declared(domain)
    domain.consume(domain.session(), "q", receiver, no_ack=True)
    publish(domain, queue, 95)
    domain.run()
    assert len(receiver.deliveries) == 95


@pytest.mark.row("R65")
def test_credit_of_a_shared_pool_serves_every_queue_of_the_channel() -> None:
    """basic.qos with global: an acknowledgement for one queue lets another one deliver."""
    domain = Domain()
    session, receiver, ledger, pool = domain.session(), Receiver(), Ledger(), Pool(1)
    queues = [declared(domain, name) for name in "ab"]
    for queue in queues:
        domain.consume(session, queue.name, receiver, ledger=ledger, tag=queue.name, pool=pool)
        publish(domain, queue, 1)
    domain.run()
    assert [delivery[0] for delivery in receiver.deliveries] == ["a"]
    ledger.settle(1, False, Outcome.ACCEPTED)
    domain.run()
    assert [delivery[0] for delivery in receiver.deliveries] == ["a", "b"]


@pytest.mark.row("R65")
def test_credit_that_a_gone_consumer_gives_back_serves_the_others_of_its_pool() -> None:
    """A cancelled consumer's deliveries stay out; their answers free the channel's credit."""
    domain = Domain()
    session, receiver, ledger, pool = domain.session(), Receiver(), Ledger(), Pool(1)
    first, second = declared(domain, "a"), declared(domain, "b")
    gone = domain.consume(session, "a", receiver, ledger=ledger, tag="a", pool=pool)
    domain.consume(session, "b", receiver, ledger=ledger, tag="b", pool=pool)
    publish(domain, first, 1)
    domain.run()
    publish(domain, second, 1)
    domain.run()
    session.cancel(gone)
    session.delete_queue("a", if_unused=False, if_empty=False)
    ledger.settle(1, False, Outcome.ACCEPTED)
    domain.run()
    assert [delivery[0] for delivery in receiver.deliveries] == ["a", "b"]


# --- priorities -------------------------------------------------------------------------------------------


@pytest.mark.row("R69")
def test_lower_priority_gets_only_what_higher_cannot_take() -> None:
    domain = Domain()
    session, queue, receiver = domain.session(), declared(domain), Receiver()
    high = Ledger()
    domain.consume(session, "q", receiver, tag="low", priority=-1)
    domain.consume(session, "q", receiver, ledger=high, tag="high", priority=5, prefetch=3)
    domain.consume(session, "q", receiver, tag="middle", prefetch=2)
    publish(domain, queue, 8)
    domain.run()
    tags = [delivery[0] for delivery in receiver.deliveries]
    assert tags == ["high"] * 3 + ["middle"] * 2 + ["low"] * 3
    high.settle(2, True, Outcome.ACCEPTED)
    publish(domain, queue, 3)
    domain.run()
    assert [delivery[0] for delivery in receiver.deliveries][8:] == ["high"] * 2 + ["low"]


# --- everything at once -----------------------------------------------------------------------------------


class DispatchMachine(RuleBasedStateMachine):
    """Two queues, channels with a pool each, consumers of any priority and prefetch, outlets that pause."""

    @initialize(limits=st.lists(st.sampled_from([1, 0, 3]), min_size=1, max_size=2))
    def begin(self, limits: list[int]) -> None:
        self.domain = Domain()
        self.queues = [declared(self.domain, name) for name in "ab"]
        self.sent = dict.fromkeys(self.queues, 0)
        self.channels: list[dict[str, Any]] = []
        for limit in limits:
            outlet = Outlet()
            self.channels.append(
                {
                    "outlet": outlet,
                    "session": self.domain.session(outlet),
                    "ledger": Ledger(),
                    "pool": Pool(limit or UNLIMITED),
                    "limit": limit,
                    "receiver": Receiver(),
                    "seen": 0,
                }
            )
        self.consumers: list[tuple[Consumer, dict[str, Any]]] = []
        self.count = 0
        for channel in self.channels:
            for queue in self.queues:
                self._consume(channel, queue, 0, 0, False)

    @rule(
        data=st.data(),
        prefetch=st.sampled_from([0, 1, 2, 5]),
        priority=st.integers(0, 1),
        no_ack=st.booleans(),
    )
    def consume(self, data: st.DataObject, prefetch: int, priority: int, no_ack: bool) -> None:
        channel = data.draw(st.sampled_from(self.channels))
        self._consume(channel, data.draw(st.sampled_from(self.queues)), prefetch, priority, no_ack)

    def _consume(
        self, channel: dict[str, Any], queue: Queue, prefetch: int, priority: int, no_ack: bool
    ) -> None:
        self.count += 1
        consumer = self.domain.consume(
            channel["session"],
            queue.name,
            channel["receiver"],
            ledger=channel["ledger"],
            tag=str(self.count),
            prefetch=prefetch,
            pool=channel["pool"],
            priority=priority,
            no_ack=no_ack,
        )
        self.consumers.append((consumer, channel))

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.consumers) - 1))
        consumer, channel = self.consumers.pop(at)
        channel["session"].cancel(consumer)

    @rule(counts=st.tuples(st.integers(0, 12), st.integers(0, 12)), runs=st.booleans())
    def publish(self, counts: tuple[int, int], runs: bool) -> None:
        for queue, count in zip(self.queues, counts, strict=True):
            if count:
                publish(self.domain, queue, count, self.sent[queue])
                self.sent[queue] += count
        if runs:
            self.run()

    @rule(
        data=st.data(),
        outcome=st.sampled_from(list(Outcome)),
        everything=st.booleans(),
        runs=st.booleans(),
    )
    def settle(self, data: st.DataObject, outcome: Outcome, everything: bool, runs: bool) -> None:
        for channel in self.channels:
            ledger: Ledger = channel["ledger"]
            tags = [entry.base + at for entry in ledger.entries() for at in range(entry.start, entry.stop)]
            if everything or not tags:
                ledger.settle_all(outcome)
            else:
                ledger.settle(data.draw(st.sampled_from(tags)), False, outcome)
        if runs:
            self.run()

    @rule(data=st.data())
    def pause_or_resume(self, data: st.DataObject) -> None:
        """What the driver does: resuming has the queues of the connection's consumers looked at."""
        channel = data.draw(st.sampled_from(self.channels))
        outlet: Outlet = channel["outlet"]
        outlet.writable = not outlet.writable
        if outlet.writable:
            for consumer, owner in self.consumers:
                if owner is channel:
                    consumer.queue.wake()

    @rule()
    def run(self) -> None:
        """Everything that can be delivered is, to somebody who may have it."""
        paused = {id(channel) for channel in self.channels if not channel["outlet"].writable}
        before = {id(channel): len(channel["receiver"].deliveries) for channel in self.channels}
        self.domain.run()
        for channel in self.channels:
            deliveries = channel["receiver"].deliveries[before[id(channel)] :]
            assert not (deliveries and id(channel) in paused), "delivered to an outlet that is not writable"
            for queue in self.queues:
                tags = {consumer.tag for consumer, _ in self.consumers if consumer.queue is queue}
                numbers = [delivery[2] for delivery in deliveries if delivery[0] in tags]
                assert numbers == sorted(numbers), "out of order on one channel"
        for queue in self.queues:
            if queue.ready_count:
                able = [
                    consumer
                    for consumer in queue.consumers
                    if consumer.credit > 0 and consumer.pool.credit > 0 and consumer.outlet.writable
                ]
                assert not able, "messages wait although somebody could take them"

    @invariant()
    def nobody_has_more_than_its_credit(self) -> None:
        if not hasattr(self, "domain"):
            return
        for channel in self.channels:
            out = [(entry.consumer, entry.stop - entry.start) for entry in channel["ledger"].entries()]
            assert channel["pool"].credit == (channel["limit"] or UNLIMITED) - sum(count for _, count in out)
            assert channel["pool"].credit >= 0
        for consumer, channel in self.consumers:
            assert consumer.credit >= 0
            if consumer.prefetch and not consumer.no_ack:
                out = sum(
                    entry.stop - entry.start
                    for entry in channel["ledger"].entries()
                    if entry.consumer is consumer
                )
                assert consumer.credit == consumer.prefetch - out
        for queue in self.queues:
            levels = [{consumer.priority for consumer in level} for level in queue.turns]
            assert all(len(priorities) == 1 for priorities in levels)
            priorities = [priority for level in levels for priority in level]
            assert priorities == sorted(set(priorities), reverse=True)
            turns = [consumer for level in queue.turns for consumer in level]
            assert set(turns) == {consumer for consumer in queue.consumers if not consumer.blocked}
            assert len(turns) == len(set(turns))
            mine = {consumer for consumer, _ in self.consumers if consumer.queue is queue}
            assert set(queue.consumers) == mine
            assert len(queue.consumers) == len(mine)


TestDispatch = DispatchMachine.TestCase
TestDispatch.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestDispatch = pytest.mark.row("R65", "R69", "R71")(TestDispatch)


@pytest.mark.row("R65")
def test_credit_that_is_still_used_up_after_an_answer_is_given_out_later() -> None:
    """A pool whose limit was lowered owes credit first; who waits for it must not be forgotten meanwhile."""
    domain = Domain()
    session, receiver, ledger, pool = domain.session(), Receiver(), Ledger(), Pool(2)
    for name, count in (("a", 2), ("b", 1)):
        queue = declared(domain, name)
        domain.consume(session, name, receiver, ledger=ledger, tag=name, pool=pool)
        publish(domain, queue, count)
        domain.run()
    pool.credit -= 1
    ledger.settle(1, False, Outcome.ACCEPTED)
    domain.run()
    assert [delivery[0] for delivery in receiver.deliveries] == ["a", "a"]
    ledger.settle(2, False, Outcome.ACCEPTED)
    domain.run()
    assert [delivery[0] for delivery in receiver.deliveries] == ["a", "a", "b"]


@pytest.mark.row("R64", "R66")
def test_what_a_cancelled_consumer_has_out_can_be_settled() -> None:
    """It waited without credit when it was cancelled, and others stay on the queue."""
    domain = Domain()
    session, receiver, ledger = domain.session(), Receiver(), Ledger()
    queue = declared(domain)
    cancelled = domain.consume(session, "q", receiver, ledger=ledger, tag="x", prefetch=1, priority=1)
    for tag in ("a", "b"):
        domain.consume(session, "q", receiver, ledger=Ledger(), tag=tag)
    publish(domain, queue, 2)
    domain.run()
    session.cancel(cancelled)
    ledger.settle(1, False, Outcome.ACCEPTED)
    publish(domain, queue, 2, start=2)
    domain.run()
    assert [delivery[0] for delivery in receiver.deliveries] == ["x", "a", "b", "a"]
