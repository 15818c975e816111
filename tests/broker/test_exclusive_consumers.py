"""Consumers that want a queue for themselves, against an obvious twin (row A29)."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Outlet, Receiver, message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.ledger import Ledger, Outcome


class ExclusiveMachine(RuleBasedStateMachine):
    """The twin: everybody who is there, in the order of coming. Of those that want the queue for themselves
    the one of the highest priority has it, and has it until it goes or one of a higher priority comes."""

    @initialize()
    def begin(self) -> None:
        self.domain = Domain()
        self.domain.vhost.declare_queue(None, "q", durable=True)
        self.session = self.domain.session(Outlet())
        self.there: list[tuple[Consumer, Receiver, Ledger]] = []
        self.has_it: Consumer | None = None
        self.number = 0

    @rule(sole=st.booleans(), priority=st.integers(0, 2), prefetch=st.sampled_from([0, 1]))
    def come(self, sole: bool, priority: int, prefetch: int) -> None:
        receiver, ledger = Receiver(), Ledger()
        consumer = self.session.consume(
            "q",
            receiver,
            ledger,
            tag=f"c{len(self.there)}",
            no_ack=False,
            exclusive=False,
            prefetch=prefetch,
            pool=Pool(),
            priority=priority,
            arguments={"x-single-active-consumer": True} if sole else {},
        )
        self.there.append((consumer, receiver, ledger))
        if sole and (self.has_it is None or priority > self.has_it.priority):
            self.has_it = consumer
        self._deliver()

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        consumer, _, ledger = data.draw(st.sampled_from(self.there))
        self.there = [one for one in self.there if one[0] is not consumer]
        ledger.settle_all(Outcome.ACCEPTED)
        self.session.cancel(consumer)
        if consumer is self.has_it:
            soles = [one for one, _, _ in self.there if one.sole]
            self.has_it = max(soles, key=lambda one: one.priority, default=None)
        self._deliver()

    @precondition(lambda self: self.there)
    @rule()
    def answer(self) -> None:
        for _, _, ledger in self.there:
            ledger.settle_all(Outcome.ACCEPTED)
        self._deliver()

    def _deliver(self) -> None:
        """Whoever may have a message and has credit gets it, and nobody else."""
        queue = self.domain.queue("q")
        self.domain.run()
        for _, receiver, _ in self.there:
            receiver.deliveries.clear()
        self.number += 1
        self.domain.publish([queue], [message(self.number)])
        self.domain.run()
        served = [consumer for consumer, receiver, _ in self.there if receiver.deliveries]
        able = [one for one, _, _ in self.there if self.has_it in (None, one)]
        assert all(consumer in able for consumer in served)
        assert served or all(consumer.credit == 0 for consumer in able)


TestExclusive = ExclusiveMachine.TestCase
TestExclusive.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestExclusive = pytest.mark.row("A29")(TestExclusive)


@pytest.mark.row("A29")
def test_who_had_to_step_aside_comes_before_those_that_waited() -> None:
    """It wanted the queue first of all that are left."""
    machine = ExclusiveMachine()
    machine.begin()
    for priority in (0, 0, 1):
        machine.come(sole=True, priority=priority, prefetch=0)
    former, _, latest = [consumer for consumer, _, _ in machine.there]
    assert machine.domain.queue("q").consumers == [latest]
    machine.session.cancel(latest)
    assert machine.domain.queue("q").consumers == [former]
