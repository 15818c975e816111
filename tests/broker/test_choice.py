"""Queues whose consumers choose, against an obvious twin: a list of messages, each with what is known of it.

Rows A23, A28. The twin knows nothing of shelves, cursors or cold messages: whatever the queue does with
these, nobody gets what it does not want, nobody waits for what it could have, and everybody gets it in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from broker_tools import Domain, Outlet, Receiver, demand_counts, message, resident_bytes
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker.choice import EFFORT, READ, begin_choice
from pillarbox.broker.choosing_lane import ChoosingLane
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.dispatch import dispatch
from pillarbox.broker.lane import Lane
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import Run
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.amqp091.dialect import AmqpDialect

DIALECT = AmqpDialect()
SELECTORS = {
    "": lambda n: True,
    "n < 2": lambda n: n < 2,
    "n = 1": lambda n: n == 1,
    "n > 5": lambda n: n > 5,
}


def said(headers: dict[str, object], body: int | str, **more: object) -> Message:
    """A message with these headers."""
    plain = message(body, **more)  # type: ignore[arg-type]
    return msgspec.structs.replace(plain, properties=DIALECT.write(Neutral(headers=headers), plain))


def choosing_domain(**options: object) -> Domain:
    domain = Domain(**options)  # type: ignore[arg-type]
    domain.core.dialects.find = lambda origin: DIALECT
    return domain


def consume(
    domain: Domain,
    receiver: object,
    tag: str,
    selector: str = "",
    *,
    prefetch: int = 0,
    priority: int = 0,
    ledger: Ledger | None = None,
    no_ack: bool = False,
) -> Consumer:
    session = domain.session(Outlet())
    return session.consume(
        "q",
        receiver,  # type: ignore[arg-type]
        ledger if ledger is not None else Ledger(),
        tag=tag,
        no_ack=no_ack,
        exclusive=False,
        prefetch=prefetch,
        pool=Pool(),
        priority=priority,
        arguments={"x-selector": selector} if selector else {},
    )


@dataclass
class Kept:
    """One message of the twin."""

    number: int
    n: int
    group: str | None
    group_number: int
    durable: bool
    due_ms: int | None
    owner: str | None = None
    """The consumer that has it."""


@dataclass
class Reader:
    """One consumer of the twin, and its receiver."""

    machine: ChoiceMachine
    tag: str
    selector: str
    prefetch: int
    consumer: Consumer | None = None
    ledger: Ledger = field(default_factory=Ledger)
    out: dict[int, int] = field(default_factory=dict)
    """Delivery tag → number."""

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        assert run.messages is not None
        for at, one in enumerate(run.messages):
            self.machine.delivered(self, tag_first + at, int(one.body), one)

    def time_answers(self, queue: Queue) -> None:
        pass

    @property
    def able(self) -> bool:
        return not self.prefetch or len(self.out) < self.prefetch


class ChoiceMachine(RuleBasedStateMachine):
    """One durable queue; consumers come and go; after each rule the broker comes to rest."""

    @initialize(
        budget=st.sampled_from([0, 2000, 1 << 30]), groups=st.booleans(), priorities=st.sampled_from([0, 2])
    )
    def begin(self, budget: int, groups: bool, priorities: int) -> None:
        self.domain = choosing_domain(memory_budget=budget)
        arguments = {"x-max-priority": priorities} if priorities else {}
        self.domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
        self.priorities = priorities
        self.groups = groups
        self._choose()
        self.messages: dict[int, Kept] = {}
        self.ranks: dict[int, int] = {}
        self.readers: list[Reader] = []
        self.owners: dict[str, str] = {}
        self.count = 0
        self.names = 0
        self.domain.run()

    def _choose(self) -> None:
        if self.groups:
            begin_choice(self.queue, self.domain.core.dialects).keeps_groups = True

    @property
    def queue(self) -> Queue:
        return self.domain.queue("q")

    # --- what the twin says ------------------------------------------------------------------------------

    def _may_have(self, reader: Reader, one: Kept) -> bool:
        if not SELECTORS[reader.selector](one.n):
            return False
        if not self.groups or one.group is None or one.group_number == 1:
            return True
        return self.owners.get(one.group, reader.tag) == reader.tag

    def _order(self, one: Kept) -> tuple[int, int]:
        return (-self.ranks.get(one.number, 0), one.number)

    def _alive(self, one: Kept) -> bool:
        return one.due_ms is None or one.due_ms >= self.domain.now_ms

    def _lasting(self, one: Kept) -> bool:
        """Within the very millisecond either may be: what waits had its chance (R44)."""
        return one.due_ms is None or one.due_ms > self.domain.now_ms

    def delivered(self, reader: Reader, tag: int, number: int, message: Message) -> None:
        one = self.messages[number]
        assert one.owner is None, "it is out already"
        assert self._alive(one), "its time was over"
        assert self._may_have(reader, one), "it is not for this one"
        earlier = [
            other
            for other in self.messages.values()
            if other.owner is None
            and self._lasting(other)
            and self._order(other) < self._order(one)
            and self._may_have(reader, other)
        ]
        # A plain queue deals out in stripes (see `test_dispatch`).
        assert not earlier or self.queue.choice is None, f"{earlier[0]} should have come first"
        first = DIALECT.read(message).headers.get("JMSXGroupFirstForConsumer") is True
        if self.groups and one.group is not None:
            if one.group_number == 1 or one.group not in self.owners:
                self.owners[one.group] = reader.tag
                assert first
            elif one.group_number < 0:
                del self.owners[one.group]
        one.owner = reader.tag
        reader.out[tag] = number

    @invariant()
    def comes_to_rest(self) -> None:
        if not hasattr(self, "domain"):
            return
        self.domain.run()
        queue = self.queue
        present = {int(body) for body in self._waiting()}
        for number, one in list(self.messages.items()):
            if one.owner is None and number not in present:
                assert not self._alive(one) or one.due_ms == self.domain.now_ms, f"{one} was lost"
                del self.messages[number]
        assert present == {one.number for one in self.messages.values() if one.owner is None}
        demand_counts(queue)
        assert self.domain.core.changes.resident_bytes == resident_bytes([queue])
        for reader in self.readers:
            if reader.able:
                for one in self.messages.values():
                    wanted = one.owner is None and self._lasting(one) and self._may_have(reader, one)
                    assert not wanted, f"{reader.tag} could have {one}"
        stored = sorted(
            sequence
            for state in CoreSnapshot(self.domain.core).queues()
            for run in state.runs
            for sequence in run.sequences
            if not state.uid >> 62
        )
        assert len(stored) == sum(one.durable for one in self.messages.values())

    def _waiting(self) -> list[bytes]:
        """The bodies of all that is ready, wherever it rests."""
        found = []
        for run in self.queue.ready_runs():
            if run.messages is not None:
                found += [one.body for one in run.messages]
            else:
                found += self._on_disk(run)
        return found

    def _on_disk(self, run: Run) -> list[bytes]:
        assert run.location is not None
        record = self.domain.journal.records[run.location.position]
        uid = run.lane.uid if run.stored else run.lane.uid | 1 << 62
        first = dict(record.targets)[uid]
        return [record.messages[sequence - first].body for sequence in run.sequences]

    # --- rules -------------------------------------------------------------------------------------------

    @rule(
        kinds=st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from([None, "a", "b", "c"]),
                st.sampled_from([0, 0, 0, 1, -1]),
                st.sampled_from([NO_EXPIRATION, NO_EXPIRATION, 5]),
            ),
            min_size=1,
            max_size=8,
        ),
        persistent=st.booleans(),
        priority=st.integers(0, 2),
        size=st.integers(0, 40),
    )
    def publish(
        self, kinds: list[tuple[int, str | None, int, int]], persistent: bool, priority: int, size: int
    ) -> None:
        messages = []
        for n, group, group_number, ttl_ms in kinds:
            self.count += 1
            headers: dict[str, object] = {"n": n}
            if group is not None:
                headers |= {"JMSXGroupID": group, "JMSXGroupSeq": group_number}
            body = str(self.count).rjust(size, "0")
            one = said(
                headers,
                body,
                ttl_ms=ttl_ms,
                persistent=persistent,
                now_ms=self.domain.now_ms,
                priority=priority,
            )
            messages.append(one)
            due_ms = None if ttl_ms == NO_EXPIRATION else self.domain.now_ms + ttl_ms
            self.messages[self.count] = Kept(self.count, n, group, group_number, persistent, due_ms)
            if self.priorities:
                self.ranks[self.count] = priority
        self.domain.publish([self.queue], messages, persistent=persistent)

    @precondition(lambda self: len(self.readers) < 4)
    @rule(
        selector=st.sampled_from(sorted(SELECTORS)),
        prefetch=st.sampled_from([0, 1, 3]),
        priority=st.sampled_from([0, 0, 1]),
    )
    def subscribe(self, selector: str, prefetch: int, priority: int) -> None:
        self.names += 1
        reader = Reader(self, f"r{self.names}", selector, prefetch)
        self.readers.append(reader)
        reader.consumer = consume(
            self.domain,
            reader,
            reader.tag,
            selector,
            prefetch=prefetch,
            priority=priority,
            ledger=reader.ledger,
        )

    @precondition(lambda self: any(reader.out for reader in self.readers))
    @rule(data=st.data(), outcome=st.sampled_from([Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.RELEASED]))
    def answer(self, data: st.DataObject, outcome: Outcome) -> None:
        reader = data.draw(st.sampled_from([one for one in self.readers if one.out]))
        tag = data.draw(st.sampled_from(sorted(reader.out)))
        number = reader.out.pop(tag)
        if outcome is Outcome.ACCEPTED:
            del self.messages[number]
        else:
            self.messages[number].owner = None
        reader.ledger.settle(tag, False, outcome)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.readers.remove(reader)
        for number in reader.out.values():
            self.messages[number].owner = None
        self.owners = {group: tag for group, tag in self.owners.items() if tag != reader.tag}
        assert reader.consumer is not None
        session = self.domain.session(Outlet())
        self.queue.hold()
        session.cancel(reader.consumer)
        reader.ledger.settle_all(Outcome.MODIFIED)
        self.queue.go_on()

    @rule()
    def get(self) -> None:
        run = self.queue.take(1)
        if run is None:
            return
        number = int(run.messages[0].body) if run.messages else 0
        one = self.messages[number]
        waiting = [each for each in self.messages.values() if each.owner is None and self._lasting(each)]
        assert self._order(one) <= min([self._order(each) for each in waiting], default=self._order(one))
        run.lane.settle_unanswered(run)
        del self.messages[number]

    @rule()
    def purge(self) -> None:
        self.queue.purge()
        self.messages = {number: one for number, one in self.messages.items() if one.owner is not None}

    @rule(duration_ms=st.sampled_from([1, 4, 10]))
    def time_passes(self, duration_ms: int) -> None:
        self.domain.advance(duration_ms)
        self.queue.wake()

    @rule()
    def let_go(self) -> None:
        self.domain.core.relieve(0)

    @rule()
    def restart(self) -> None:
        self.domain.run()
        self.domain.restart()
        self.domain.core.dialects.find = lambda origin: DIALECT
        self._choose()
        self.readers.clear()
        self.owners.clear()
        self.messages = {number: one for number, one in self.messages.items() if one.durable}
        for one in self.messages.values():
            one.owner = None


TestChoice = ChoiceMachine.TestCase
TestChoice.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestChoice = pytest.mark.row("A23")(pytest.mark.row("A28")(TestChoice))


# --- what it costs, and when it ends ------------------------------------------------------------------


class Counting:
    """A dialect that counts how often it is asked what a message says."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, message: Message) -> Neutral:
        self.reads += 1
        return DIALECT.read(message)

    def write(self, said: Neutral, message: Message) -> bytes:
        return DIALECT.write(said, message)


@pytest.fixture
def domain() -> Domain:
    made = choosing_domain()
    made.vhost.declare_queue(None, "q", durable=True, arguments={})
    return made


@pytest.mark.row("A23")
def test_what_was_passed_over_is_not_looked_at_for_each_new_message(domain: Domain) -> None:
    counting = Counting()
    domain.core.dialects.find = lambda origin: counting
    queue = domain.queue("q")
    receiver = Receiver()
    consume(domain, receiver, "c", "n = 1")
    domain.publish([queue], [said({"n": 0, "id": number}, number) for number in range(5000)])
    domain.run()
    assert counting.reads == 5000
    for number in range(20):
        domain.publish([queue], [said({"n": 1, "id": -number}, number)])
        domain.run()
    assert receiver.bodies == [b"%d" % number for number in range(20)]
    assert counting.reads == 5020
    other = Receiver()
    consume(domain, other, "late", "n = 0", prefetch=10)
    domain.run()
    assert other.bodies == [b"%d" % number for number in range(10)]
    assert counting.reads < 6100  # What was read ahead of the tenth, and no more.


@pytest.mark.row("A23")
def test_a_tick_looks_at_a_bounded_number_of_messages(domain: Domain) -> None:
    counting = Counting()
    domain.core.dialects.find = lambda origin: counting
    queue = domain.queue("q")
    domain.publish([queue], [said({"n": 0, "id": number}, number) for number in range(5000)])
    consume(domain, Receiver(), "c", "n = 1")
    domain.tick()
    assert 0 < counting.reads <= EFFORT // READ + 1
    assert domain.woken, "it goes on in the next tick"


@pytest.mark.row("A23")
def test_somebody_who_looks_through_old_messages_holds_up_nobody(domain: Domain) -> None:
    queue = domain.queue("q")
    eager, new = Receiver(), Receiver()
    consume(domain, eager, "first", "n = 1")
    domain.publish([queue], [said({"n": 0, "id": number}, number) for number in range(3000)])
    domain.run()
    consume(domain, new, "second", "n > 5")
    domain.tick()
    domain.publish([queue], [said({"n": 1}, "now")])
    domain.tick()
    assert eager.bodies == [b"now"]


@pytest.mark.row("A23")
def test_queue_is_a_plain_one_again_when_nobody_chooses(domain: Domain) -> None:
    queue = domain.queue("q")
    session = domain.session(Outlet())
    chooser = consume(domain, Receiver(), "c", "n = 1")
    domain.publish([queue], [said({"n": 0}, number) for number in range(3)])
    domain.run()
    assert isinstance(queue.lanes[0], ChoosingLane)
    session.cancel(chooser)
    receiver = Receiver()
    consume(domain, receiver, "plain")
    domain.run()
    assert receiver.bodies == [b"0", b"1", b"2"]
    assert queue.choice is None
    assert type(queue.lanes[0]) is Lane
    assert queue.dispatcher is dispatch


@pytest.mark.row("A23")
def test_selector_that_is_none_is_refused_and_changes_nothing(domain: Domain) -> None:
    with pytest.raises(BrokerError) as refused:
        consume(domain, Receiver(), "c", "n = ")
    assert refused.value.reason is Reason.PRECONDITION_FAILED
    assert domain.queue("q").choice is None


@pytest.mark.row("A23")
def test_limits_drop_the_oldest_that_was_passed_over(domain: Domain) -> None:
    domain.vhost.declare_queue(None, "short", durable=True, arguments={"x-max-length": 3})
    queue = domain.queue("short")
    session = domain.session(Outlet())
    receiver = Receiver()
    session.consume(
        "short",
        receiver,
        Ledger(),
        tag="c",
        no_ack=False,
        exclusive=False,
        prefetch=0,
        pool=Pool(),
        priority=0,
        arguments={"x-selector": "n = 1"},
    )
    for number in range(6):
        domain.publish([queue], [said({"n": 0}, number)])
        domain.run()
    assert [one.body for run in queue.ready_runs() for one in run.messages or ()] == [b"3", b"4", b"5"]


@pytest.mark.row("A23")
def test_passed_over_messages_of_a_queue_that_counts_were_never_out(domain: Domain) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1}
    domain.vhost.declare_queue(None, "counts", durable=True, arguments=arguments)
    for _ in range(3):
        session = domain.session(Outlet())
        queue = domain.queue("counts")
        session.consume(
            "counts",
            Receiver(),
            Ledger(),
            tag="c",
            no_ack=True,
            exclusive=False,
            prefetch=0,
            pool=Pool(),
            priority=0,
            arguments={"x-selector": "n = 1"},
        )
        domain.publish([queue], [said({"n": 0}, "old"), said({"n": 1}, "new")])
        domain.run()
        domain.restart()
        domain.core.dialects.find = lambda origin: DIALECT
    assert domain.queue("counts").ready_count == 3


@pytest.mark.row("A28")
def test_groups_count_after_a_restart(domain: Domain) -> None:
    domain.vhost.keep_groups(domain.queue("q"))
    domain.run()
    domain.restart()
    domain.core.dialects.find = lambda origin: DIALECT
    receivers = [Receiver(), Receiver()]
    for number, receiver in enumerate(receivers):
        consume(domain, receiver, f"c{number}")
    messages = [said({"JMSXGroupID": "ab"[number % 2]}, "ab"[number % 2]) for number in range(10)]
    domain.publish([domain.queue("q")], messages)
    domain.run()
    assert [set(receiver.bodies) for receiver in receivers] == [{b"a"}, {b"b"}]


@pytest.mark.row("A28")
def test_what_was_left_of_a_group_goes_to_others_when_its_consumer_goes(domain: Domain) -> None:
    queue = domain.queue("q")
    domain.vhost.keep_groups(queue)
    first, second = Receiver(), Receiver()
    ledger = Ledger()
    owner = consume(domain, first, "first", prefetch=1, ledger=ledger)
    messages = [said({"JMSXGroupID": "g"}, number) for number in range(4)]
    domain.publish([queue], messages[:1])
    domain.run()
    consume(domain, second, "second")
    domain.publish([queue], messages[1:])
    domain.publish([queue], [said({}, "free")])
    domain.run()
    assert (first.bodies, second.bodies) == ([b"0"], [b"free"])
    ledger.settle_all(Outcome.ACCEPTED)
    domain.session(Outlet()).cancel(owner)
    domain.run()
    assert second.bodies == [b"free", b"1", b"2", b"3"]
