"""Single active consumers: one has everything, the others wait in order. Row R51."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Receiver, message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker.consumer import Consumer
from pillarbox.broker.session import Session
from pillarbox.errors import BrokerError, Reason


class SingleActiveMachine(RuleBasedStateMachine):
    """The model: the active consumer, and those that wait, by priority and then by coming."""

    @initialize()
    def begin(self) -> None:
        self.domain = Domain()
        self.session: Session = self.domain.session()
        self.session.declare_queue("q", arguments={"x-single-active-consumer": True})
        self.queue = self.domain.queue("q")
        self.receivers: dict[Consumer, Receiver] = {}
        self.active: Consumer | None = None
        self.waiting: list[Consumer] = []
        self.number = 0

    @rule(priority=st.integers(-1, 1))
    def consume(self, priority: int) -> None:
        receiver = Receiver()
        consumer = self.domain.consume(self.session, "q", receiver, no_ack=True, priority=priority)
        self.receivers[consumer] = receiver
        if self.active is None:
            self.active = consumer
        else:
            self.waiting.append(consumer)
            self.waiting.sort(key=lambda one: -one.priority)
        self.domain.run()

    @precondition(lambda self: self.active)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Some of them, at once: the end of a channel."""
        ended = data.draw(st.sets(st.sampled_from([self.active, *self.waiting]), min_size=1))
        self.session.cancel_all(ended)
        self.waiting = [consumer for consumer in self.waiting if consumer not in ended]
        if self.active in ended:
            self.active = self.waiting.pop(0) if self.waiting else None
        self.domain.run()

    @rule(count=st.integers(1, 3))
    def publish(self, count: int) -> None:
        """All of them go to the active one; the others have as many as before."""
        before = {consumer: len(receiver.bodies) for consumer, receiver in self.receivers.items()}
        self.domain.publish([self.queue], [message(n) for n in range(count)], persistent=False)
        waiting = self.queue.ready_count
        self.domain.run()
        for consumer, receiver in self.receivers.items():
            got = len(receiver.bodies) - before[consumer]
            assert got == (waiting if consumer is self.active else 0)

    @invariant()
    def they_stand_in_order(self) -> None:
        assert list(self.queue.consumers) == ([self.active] if self.active else [])
        assert list(self.queue.standby) == self.waiting
        assert self.queue.consumer_count == bool(self.active) + len(self.waiting)


TestSingleActiveMachine = pytest.mark.row("R51")(SingleActiveMachine.TestCase)
TestSingleActiveMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.row("R51")
def test_exclusive_consumer_is_refused() -> None:
    """Also where there is no consumer yet."""
    domain = Domain()
    session = domain.session()
    session.declare_queue("q", arguments={"x-single-active-consumer": True})
    with pytest.raises(BrokerError) as caught:
        domain.consume(session, "q", Receiver(), exclusive=True)
    assert caught.value.reason is Reason.ACCESS_REFUSED
    assert caught.value.text == "queue 'q' in vhost '/' in exclusive use"


@pytest.mark.row("R51")
def test_single_active_consumer_is_remembered_over_a_restart() -> None:
    domain = Domain()
    domain.session().declare_queue("q", durable=True, arguments={"x-single-active-consumer": True})
    domain.run()
    domain.restart()
    assert domain.queue("q").single_active


@pytest.mark.row("R51", "R64")
def test_queue_that_is_deleted_tells_those_who_wait() -> None:
    domain = Domain()
    session = domain.session()
    session.declare_queue("q", arguments={"x-single-active-consumer": True})
    receivers = [Receiver(), Receiver()]
    for receiver in receivers:
        domain.consume(session, "q", receiver)
    session.delete_queue("q", if_unused=False, if_empty=False)
    assert [receiver.cancelled for receiver in receivers] == [["c"], ["c"]]
