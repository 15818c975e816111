"""Queues that keep the last value, and queues that show what they have, as Artemis has them (A27).

The twin of `test_choice` knows of last values only that an older message is gone when a newer one has come.
"""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, Outlet, Receiver, demand_counts, resident_bytes
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from pillarbox.broker.choosing_lane import ChoosingLane
from pillarbox.broker.last_values import SPARE
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.policy import Policy
from pillarbox.errors import BrokerError, Reason
from tests.broker.test_choice import ChoiceMachine, choosing_domain, consume, said

LAST = {"x-last-value-key": "n"}
SHOWS = {"x-non-destructive": True}


class ValuesMachine(ChoiceMachine):
    """The same with a header of which the last value counts."""

    @initialize(budget=st.sampled_from([0, 2000, 1 << 30]))
    def begin(self, budget: int) -> None:  # type: ignore[override]
        self.domain = choosing_domain(memory_budget=budget)
        self.domain.vhost.declare_queue(None, "q", durable=True, arguments=LAST)
        self.priorities, self.groups = 0, False
        self.messages, self.ranks, self.readers, self.owners = {}, {}, [], {}
        self.count = self.names = 0
        self.newest: dict[int, int] = {}
        self.unknown: set[int] = set()
        """Older ones that are back from the disk alone, after a restart or because they were given up while
        they were out: they go when they are read."""
        self.domain.run()

    def _supersede(self) -> None:
        for number in sorted(self.messages):
            one = self.messages[number]
            if one.number >= self.newest.get(one.n, 0):
                self.newest[one.n] = number
        for number, one in list(self.messages.items()):
            if one.owner is None and number < self.newest[one.n]:
                del self.messages[number]

    @invariant()
    def comes_to_rest(self) -> None:
        if not hasattr(self, "domain"):
            return
        self._supersede()
        self.domain.run()
        queue = self.queue
        present = {int(body) for body in self._waiting()}
        self.unknown = (self.unknown | (self._cold() - set(self.messages))) & present
        for number, one in list(self.messages.items()):
            if one.owner is None and number not in present:
                assert not self._alive(one) or one.due_ms == self.domain.now_ms, f"{one} was lost"
                del self.messages[number]
        waiting = {one.number for one in self.messages.values() if one.owner is None}
        assert present - self.unknown == waiting
        demand_counts(queue)
        assert self.domain.core.changes.resident_bytes == resident_bytes([queue])
        for reader in self.readers:
            for one in self.messages.values():
                wanted = one.owner is None and self._lasting(one) and self._may_have(reader, one)
                assert not (reader.able and wanted), f"{reader.tag} could have {one}"

    def _cold(self) -> set[int]:
        """What waits and is on disk alone."""
        runs = [run for run in self.queue.ready_runs() if run.messages is None]
        return {int(body) for run in runs for body in self._on_disk(run)}

    @rule()
    def restart(self) -> None:
        super().restart()
        self.newest.clear()
        before = set(self.messages)
        self._supersede()
        self.unknown = before - set(self.messages)

    @rule()
    def purge(self) -> None:
        super().purge()
        self.unknown.clear()

    @precondition(lambda self: not self.unknown)
    @rule()
    def get(self) -> None:
        super().get()


TestValues = ValuesMachine.TestCase
TestValues.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestValues = pytest.mark.row("A27")(TestValues)


def made(arguments: dict[str, Any], **options: object) -> Domain:
    domain = choosing_domain(**options)
    domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
    return domain


def publish(domain: Domain, *pairs: tuple[object, str], **more: Any) -> None:
    for n, body in pairs:
        headers = {} if n is None else {"n": n}
        domain.publish([domain.queue("q")], [said(headers, body, now_ms=domain.now_ms, **more)])
    domain.run()


def waiting(domain: Domain) -> list[bytes]:
    runs = list(domain.queue("q").ready_runs())
    return [one.body for run in runs for one in run.messages or ()]


@pytest.mark.row("A27")
def test_newest_of_each_value_waits_in_its_own_turn() -> None:
    domain = made(LAST)
    publish(domain, (1, "a"), ("1", "b"), (None, "c"), (2, "d"), (None, "e"), (1.5, "f"), (2, "g"))
    assert waiting(domain) == [b"b", b"c", b"e", b"f", b"g"]
    assert domain.queue("q").ready_count == 5


@pytest.mark.row("A27")
def test_what_somebody_has_goes_when_it_comes_back_unless_it_is_the_newest() -> None:
    domain = made(LAST)
    receiver, ledger = Receiver(), Ledger()
    consumer = consume(domain, receiver, "r", ledger=ledger, prefetch=2)
    for n, body in ((1, "old"), (2, "only"), (1, "new")):
        publish(domain, (n, body))
    assert receiver.bodies == [b"old", b"only"]
    domain.session(Outlet()).cancel(consumer)
    ledger.settle_all(Outcome.RELEASED)
    domain.run()
    assert waiting(domain) == [b"only", b"new"]
    domain.restart()
    domain.core.dialects.find = choosing_domain().core.dialects.find
    consume(domain, again := Receiver(), "r")
    domain.run()
    assert again.bodies == [b"only", b"new"]


@pytest.mark.row("A27")
def test_values_of_which_nothing_waits_are_forgotten() -> None:
    domain = made(LAST)
    consume(domain, Receiver(), "r", no_ack=True)
    for number in range(3 * SPARE):
        publish(domain, (number, "x"))
    choice = domain.queue("q").choice
    assert choice is not None
    assert choice.values is not None
    assert len(choice.values._newest) <= SPARE + 1


@pytest.mark.row("A27")
def test_consumers_are_shown_what_there_is_and_what_comes_and_take_nothing() -> None:
    domain = made(SHOWS | LAST)
    publish(domain, (1, "a"), (2, "b"))
    first, second = Receiver(), Receiver()
    consume(domain, first, "1", no_ack=True)
    domain.run()
    publish(domain, (1, "c"))
    consume(domain, second, "2", "n = 1", no_ack=True)
    domain.run()
    publish(domain, (1, "d"), (2, "e"))
    assert first.bodies == [b"a", b"b", b"c", b"d", b"e"]
    assert second.bodies == [b"c", b"d"]
    assert waiting(domain) == [b"d", b"e"]
    demand_counts(domain.queue("q"))


@pytest.mark.row("A27")
def test_what_is_shown_lasts_as_long_as_its_time_and_over_a_restart() -> None:
    domain = made(SHOWS, memory_budget=0)
    publish(domain, (1, "short"), ttl_ms=5)
    publish(domain, *((number, f"long {number}") for number in range(3)))
    domain.restart()
    domain.core.dialects.find = choosing_domain().core.dialects.find
    for _ in range(2):
        consume(domain, receiver := Receiver(), "r", no_ack=True)
        domain.run()
        assert receiver.bodies == [b"short", b"long 0", b"long 1", b"long 2"]
    domain.advance(10)
    consume(domain, receiver := Receiver(), "r", no_ack=True)
    domain.run()
    assert receiver.bodies == [b"long 0", b"long 1", b"long 2"]
    assert domain.queue("q").ready_count == 3


@pytest.mark.row("A27")
def test_a_tick_shows_a_bounded_number_of_messages() -> None:
    domain = made(SHOWS)
    domain.publish([domain.queue("q")], [said({}, number) for number in range(5000)])
    consume(domain, receiver := Receiver(), "r", no_ack=True)
    domain.tick()
    assert 0 < len(receiver.bodies) < 1000
    domain.run()
    assert len(receiver.bodies) == 5000


@pytest.mark.row("A27")
def test_who_wants_to_acknowledge_what_is_shown_is_refused() -> None:
    domain = made(SHOWS)
    with pytest.raises(BrokerError) as caught:
        consume(domain, Receiver(), "r")
    assert caught.value.reason is Reason.PRECONDITION_FAILED
    assert domain.queue("q").consumer_count == 0


@pytest.mark.row("A27", "R95")
def test_policy_says_what_a_queue_keeps_and_ends() -> None:
    domain = made({})
    domain.vhost.put_policy(Policy("/", "p", "", {"last-value-key": "n", "non-destructive": True}))
    publish(domain, (1, "a"), (1, "b"))
    consume(domain, receiver := Receiver(), "r", no_ack=True)
    domain.run()
    assert (receiver.bodies, waiting(domain)) == ([b"b"], [b"b"])
    domain.vhost.remove_policy("p")
    domain.run()
    for body in "cd":
        publish(domain, (1, body))
    assert (receiver.bodies, waiting(domain)) == ([b"b", b"b", b"c", b"d"], [])
    domain.tick()
    assert not isinstance(domain.queue("q").lanes[0], ChoosingLane)
