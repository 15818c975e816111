"""Transactions: whole or not at all, in memory and on disk. Source: AMQP 0-9-1 class tx (90); row R62."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from broker_tools import NOW_MS, Domain, Receiver, bodies, demand_counts, message, resident_bytes
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.broker import transaction as module
from pillarbox.broker.confirm import Publisher
from pillarbox.broker.counters import ExchangeCounters
from pillarbox.broker.ledger import GIVEN_BACK, Ledger, Outcome, UnknownDelivery
from pillarbox.broker.queue import Queue
from pillarbox.broker.transaction import Transaction
from pillarbox.engine.base import Message
from pillarbox.errors import BrokerError, Reason

OUTCOMES = st.sampled_from(list(Outcome))
NAMES = ("kept", "passing")
TO_DEFAULT = ExchangeCounters()
"""A durable queue and one that is not."""


class Published(NamedTuple):
    """What the model knows of a publish: to which queues, its numbers, whether they are persistent."""

    names: tuple[str, ...]
    numbers: list[int]
    persistent: bool


class TransactionMachine(RuleBasedStateMachine):
    """One ledger and one transaction beside others who publish; the model is lists of numbers.

    Every group's state is written down, and at the end the broker starts on each prefix of the journal.
    """

    @initialize()
    def begin(self) -> None:
        self.domain = Domain()
        self.session = self.domain.session()
        for name in NAMES:
            self.session.declare_queue(name, durable=name == "kept")
        self.domain.run()
        self.ledger = Ledger()
        self.transaction = Transaction(self.domain.core, self.domain.vhost)
        self.number = 0
        self.persistent: set[int] = set()
        self.order: dict[str, list[int]] = {name: [] for name in NAMES}
        """Everything that ever came to the queue, in order."""
        self.ready: dict[str, set[int]] = {name: set() for name in NAMES}
        self.out: dict[int, tuple[str, int]] = {}
        """Tag → queue and number."""
        self.published: list[Published] = []
        self.answered: list[tuple[int, Outcome]] = []
        self.given: dict[int, tuple[str, int]] = {}
        """Of every tag ever handed out, queue and number."""
        self.tag_next = 1
        self.states: dict[int, list[int]] = {}
        self._note()

    def _messages(self, count: int, persistent: bool) -> tuple[list[int], list[Message]]:
        numbers = list(range(self.number, self.number + count))
        self.number += count
        if persistent:
            self.persistent.update(numbers)
        return numbers, [message(number, persistent=persistent) for number in numbers]

    def _queues(self, names: tuple[str, ...]) -> tuple[Queue, ...]:
        return tuple([self.domain.queue(name) for name in names])

    def _arrive(self, published: Published) -> None:
        for name in published.names:
            self.order[name] += published.numbers
            self.ready[name].update(published.numbers)

    def _note(self) -> None:
        """End the turn, and write down what the journal holds of the durable queue by now."""
        self.domain.run()
        held = self.ready["kept"] | {
            self.given[tag][1]
            for tag in [*self.out, *[tag for tag, _ in self.answered]]
            if self.given[tag][0] == "kept"
        }
        kept = [number for number in self.order["kept"] if number in held & self.persistent]
        self.states[len(self.domain.journal.groups)] = kept

    @rule(
        names=st.sampled_from([("kept",), ("passing",), NAMES, ()]),
        count=st.integers(1, 3),
        persistent=st.booleans(),
        inside=st.booleans(),
    )
    def publish(self, names: tuple[str, ...], count: int, persistent: bool, inside: bool) -> None:
        numbers, messages = self._messages(count, persistent)
        size = sum(len(one.body) for one in messages)
        kind: dict[str, Any] = {"persistent": persistent, "expiring": False, "prioritized": False}
        published = Published(names, numbers, persistent)
        if inside:
            self.transaction.publish(TO_DEFAULT, self._queues(names), messages, size, **kind)
            self.published.append(published)
        else:
            self.domain.core.publish(self._queues(names), messages, size, **kind)
            self._arrive(published)
        self._note()

    @rule(name=st.sampled_from(NAMES))
    def get(self, name: str) -> None:
        got = self.session.get(name, self.ledger, no_ack=False)
        if got is None:
            assert not self.ready[name]
            return
        _, run, tag = got
        first = next(number for number in self.order[name] if number in self.ready[name])
        assert bodies(run) == [str(first).encode()]
        assert tag == self.tag_next
        self.tag_next += 1
        self.ready[name].discard(first)
        self.out[tag] = self.given[tag] = name, first
        self._note()

    @rule(data=st.data(), outcome=OUTCOMES)
    def answer(self, data: st.DataObject, outcome: Outcome) -> None:
        """One tag, or all up to it; what is answered already is unknown."""
        tag = data.draw(st.integers(0, self.tag_next))
        multiple = data.draw(st.booleans())
        if tag not in self.out and not (multiple and tag == 0):
            with pytest.raises(UnknownDelivery):
                self.transaction.settle(self.ledger, tag, multiple, outcome)
            return
        self.transaction.settle(self.ledger, tag, multiple, outcome)
        tags = [one for one in self.out if tag == 0 or one <= tag] if multiple else [tag]
        self._answered(tags, outcome)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=OUTCOMES)
    def answer_range(self, data: st.DataObject, outcome: Outcome) -> None:
        first = data.draw(st.sampled_from(sorted(self.out)))
        last = first
        while last + 1 in self.out and data.draw(st.booleans()):
            last += 1
        self.transaction.settle_range(self.ledger, first, last, outcome)
        self._answered(list(range(first, last + 1)), outcome)

    def _answered(self, tags: list[int], outcome: Outcome) -> None:
        for tag in tags:
            del self.out[tag]
            self.answered.append((tag, outcome))
        self._note()

    @rule()
    def commit(self) -> None:
        answers = [(*self.given[tag], outcome) for tag, outcome in self.answered]
        groups = len(self.domain.journal.groups)
        committed = self.transaction.commit()
        for published in self.published:
            self._arrive(published)
        for name, number, outcome in answers:
            if outcome in GIVEN_BACK:
                self.ready[name].add(number)
        assert committed.routed == any(published.names for published in self.published)
        gone = [number for name, number, outcome in answers if outcome not in GIVEN_BACK and name == "kept"]
        stored = any(one.persistent and "kept" in one.names for one in self.published)
        assert committed.stored == (stored or any(number in self.persistent for number in gone))
        self.published, self.answered = [], []
        self._note()
        if committed.stored:
            assert len(self.domain.journal.groups) == groups + 1, "a commit is one group"

    @rule()
    def roll_back(self) -> None:
        self.transaction.rollback()
        self.out.update({tag: self.given[tag] for tag, _ in self.answered})
        self.out = dict(sorted(self.out.items()))
        self.published, self.answered = [], []
        self._note()

    @invariant()
    def queues_hold_what_they_should(self) -> None:
        for name in NAMES:
            queue = self.domain.queue(name)
            demand_counts(queue)
            waiting = [body for run in queue.ready_runs() for body in bodies(run)]
            expected = [number for number in self.order[name] if number in self.ready[name]]
            assert waiting == [str(number).encode() for number in expected]
            held = [
                tag for tag in [*self.out, *[tag for tag, _ in self.answered]] if self.given[tag][0] == name
            ]
            assert queue.unacked_count == len(held)
        assert self.ledger.count == len(self.out)
        assert self.transaction.message_count == sum(len(one.numbers) for one in self.published)
        assert self.transaction.answer_count == len(self.answered)

    def teardown(self) -> None:
        """Whatever part of the journal there is: a transaction is there whole, or not at all."""
        if not hasattr(self, "states"):
            return
        journal = self.domain.journal
        journal.synced_count = 0  # As if no sync had come to its end.
        for count, expected in self.states.items():
            self.domain.journal, recovery = journal.reopened(count)
            self.domain.core = self.domain._make_core()
            self.domain.core.restore(recovery)
            receiver = Receiver()
            self.domain.consume(self.domain.session(), "kept", receiver, no_ack=True)
            self.domain.run()
            assert receiver.bodies == [str(number).encode() for number in expected]


TestTransactionMachine = pytest.mark.row("R62")(TransactionMachine.TestCase)
TestTransactionMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def publish(transaction: Transaction, queue: Queue, *messages: Message, persistent: bool = True) -> None:
    """Publish in a transaction, as a head does."""
    size = sum(len(one.body) for one in messages)
    expiring = any(one.expiration_ms >= 0 for one in messages)
    prioritized = any(one.priority for one in messages)
    transaction.publish(
        TO_DEFAULT,
        (queue,),
        [*messages],
        size,
        persistent=persistent,
        expiring=expiring,
        prioritized=prioritized,
    )


@pytest.fixture
def domain() -> Domain:
    domain = Domain()
    domain.session().declare_queue("q", durable=True)
    domain.run()
    return domain


@pytest.mark.row("R62")
def test_commit_is_confirmed_when_its_group_is_durable(domain: Domain) -> None:
    """commit-ok only after the disk when something is stored."""
    receiver = Receiver()
    publisher = Publisher(receiver)
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, domain.queue("q"), message("a"))
    domain.core.confirms.accept(publisher, 1, transaction.commit().stored)
    domain.tick()
    assert receiver.confirms == []
    domain.journal.sync()
    assert receiver.confirms == [(1, 1)]


@pytest.mark.row("R62")
def test_commit_of_transient_messages_is_not_stored(domain: Domain) -> None:
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, domain.queue("q"), message("a", persistent=False), persistent=False)
    assert transaction.commit() == (False, True, False, [])


@pytest.mark.row("R62")
def test_commit_after_storage_has_failed_changes_nothing(domain: Domain) -> None:
    """541, and the transaction is as it was: it can still be rolled back."""
    queue, ledger = domain.queue("q"), Ledger()
    domain.publish([queue], [message("a")])
    domain.run()
    session = domain.session()
    assert session.get("q", ledger, no_ack=False) is not None
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, queue, message("b"))
    transaction.settle(ledger, 1, False, Outcome.ACCEPTED)
    domain.core.failed("disk full")
    with pytest.raises(BrokerError) as caught:
        transaction.commit()
    assert caught.value.reason is Reason.INTERNAL_ERROR
    assert (queue.ready_count, queue.unacked_count, ledger.count) == (0, 1, 0)
    transaction.rollback()
    assert (queue.ready_count, queue.unacked_count, ledger.count) == (0, 1, 1)


@pytest.mark.row("R62")
def test_transaction_is_bounded_in_size(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that would make it too large is refused; a single one may be larger than the bound."""
    monkeypatch.setattr(module, "TRANSACTION_BYTES_MAX", 1000)
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, domain.queue("q"), message("x" * 2000))
    with pytest.raises(BrokerError) as caught:
        publish(transaction, domain.queue("q"), message("x"))
    assert (caught.value.reason, caught.value.text) == (
        Reason.PRECONDITION_FAILED,
        "transaction is larger than 1000 bytes",
    )
    assert transaction.message_count == 1


@pytest.mark.row("R62")
def test_messages_of_a_transaction_count_as_memory(domain: Domain) -> None:
    """The budget for bodies includes those that wait for a commit, and each only once."""
    queue, changes = domain.queue("q"), domain.core.changes
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, queue, message("a" * 100))
    held = changes.resident_bytes
    assert held > 100
    transaction.rollback()
    assert changes.resident_bytes == 0
    publish(transaction, queue, message("a" * 100))
    transaction.commit()
    assert changes.resident_bytes == held == resident_bytes([queue])


@pytest.mark.row("R62")
@pytest.mark.parametrize("again", [False, True])
def test_messages_go_to_the_queue_that_has_the_name_at_the_commit(domain: Domain, again: bool) -> None:
    """What was out of a queue that is deleted goes with it; a message goes to another one of its name."""
    session, ledger = domain.session(), Ledger()
    domain.publish([domain.queue("q")], [message("a")])
    assert session.get("q", ledger, no_ack=False) is not None
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, domain.queue("q"), message("b"))
    transaction.settle(ledger, 1, False, Outcome.RELEASED)
    session.delete_queue("q", if_unused=False, if_empty=False)
    if again:
        session.declare_queue("q", durable=True)
    assert transaction.commit() == (again, again, False, [])
    domain.run()
    if again:
        assert [bodies(run) for run in domain.queue("q").ready_runs()] == [[b"b"]]
        domain.restart()
        assert domain.queue("q").ready_count == 1
    else:
        assert domain.core.changes.resident_bytes == 0


@pytest.mark.row("R62", "R27")
def test_mandatory_messages_come_back_whose_queues_are_gone_at_the_commit(domain: Domain) -> None:
    """In the order of publishing, with those that never had one; while one of several is there, none does."""
    session = domain.session()
    left = session.declare_queue("left")
    transaction = Transaction(domain.core, domain.vhost)
    kind: dict[str, Any] = {"persistent": True, "expiring": False, "prioritized": False}
    q = domain.queue("q")
    for number, queues, mandatory in (
        (1, (q,), True),
        (2, (q,), False),
        (3, (), True),
        (4, (), False),
        (5, (q, left), True),
        (6, (q,), True),
    ):
        transaction.publish(TO_DEFAULT, queues, [message(number)], 1, mandatory=mandatory, **kind)
    session.delete_queue("q", if_unused=False, if_empty=False)
    committed = transaction.commit()
    assert [one.body for one in committed.unroutable] == [b"1", b"3", b"6"]
    assert (committed.stored, committed.routed, left.ready_count) == (False, True, 1)


@pytest.mark.row("R62", "R65")
def test_answer_gives_its_credit_back_at_the_commit(domain: Domain) -> None:
    queue, receiver, ledger = domain.queue("q"), Receiver(), Ledger()
    domain.consume(domain.session(), "q", receiver, ledger=ledger, prefetch=1)
    domain.publish([queue], [message("a"), message("b")])
    domain.run()
    transaction = Transaction(domain.core, domain.vhost)
    transaction.settle(ledger, 1, False, Outcome.ACCEPTED)
    domain.run()
    assert receiver.bodies == [b"a"]
    transaction.commit()
    domain.run()
    assert receiver.bodies == [b"a", b"b"]


@pytest.mark.row("R62", "R44")
def test_time_to_live_counts_from_the_commit(domain: Domain) -> None:
    queue = domain.queue("q")
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, queue, message("a", ttl_ms=1000, now_ms=NOW_MS))
    domain.advance(5000)
    transaction.commit()
    domain.run()
    assert queue.ready_count == 1
    domain.advance(1001)
    domain.run()
    assert queue.ready_count == 0


@pytest.mark.row("R62", "R47")
def test_full_queue_refuses_at_the_commit_and_the_rest_takes_effect(domain: Domain) -> None:
    """The head is told, and with it the client; a commit without a refusal says so too."""
    session = domain.session()
    full = session.declare_queue("full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    transaction = Transaction(domain.core, domain.vhost)
    publish(transaction, full, message("a"))
    assert not transaction.commit().refused
    publish(transaction, full, message("b"))
    publish(transaction, domain.queue("q"), message("c"))
    committed = transaction.commit()
    assert (committed.refused, committed.routed) == (True, True)
    assert (full.ready_count, domain.queue("q").ready_count) == (1, 1)
    assert domain.core.changes.resident_bytes == resident_bytes([full, domain.queue("q")])


@pytest.mark.row("R62", "R46")
def test_messages_that_a_commit_requeues_are_within_the_limit(domain: Domain) -> None:
    """At once, before a consumer gets any of them: the oldest goes."""
    session, ledger, receiver = domain.session(), Ledger(), Receiver()
    queue = session.declare_queue("limited", arguments={"x-max-length": 2})
    domain.publish([queue], [message("a"), message("b")])
    for _ in range(2):
        session.get("limited", ledger, no_ack=False)
    domain.publish([queue], [message("c"), message("d")])
    transaction = Transaction(domain.core, domain.vhost)
    transaction.settle(ledger, 0, True, Outcome.RELEASED)
    transaction.commit()
    assert queue.ready_count == 2
    domain.consume(session, "limited", receiver)
    domain.run()
    assert receiver.bodies == [b"c", b"d"]


@pytest.mark.row("R62", "R48")
def test_rejections_of_a_transaction_die_at_the_commit() -> None:
    """On every prefix of the journal each message is in one of the two queues, and in neither twice."""
    domain = Domain()
    session, ledger = domain.session(), Ledger()
    session.declare_queue("dead", durable=True)
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue = session.declare_queue("q", durable=True, arguments=letters)
    domain.publish([queue], [message(number) for number in range(3)])
    domain.run()
    for _ in range(3):
        session.get("q", ledger, no_ack=False)
    transaction = Transaction(domain.core, domain.vhost)
    transaction.settle(ledger, 1, False, Outcome.REJECTED)
    transaction.settle(ledger, 3, False, Outcome.REJECTED)
    domain.run()
    assert domain.queue("dead").ready_count == 0
    before = len(domain.journal.groups)
    transaction.commit()
    domain.run()
    assert (domain.queue("dead").ready_count, queue.unacked_count) == (2, 1)
    journal = domain.journal
    journal.synced_count = 0  # As if no sync had come to its end.
    dead: list[bytes] = []
    for count in range(before, len(journal.groups) + 1):
        domain.journal, recovery = journal.reopened(count)
        domain.core = domain._make_core()
        domain.core.restore(recovery)
        found = {name: Receiver() for name in ("q", "dead")}
        for name, receiver in found.items():
            domain.consume(domain.session(), name, receiver, no_ack=True)
        domain.run()
        dead = found["dead"].bodies
        assert sorted(found["q"].bodies + dead) == [b"0", b"1", b"2"]
    assert dead == [b"0", b"2"]


@pytest.mark.row("R52", "T3")
def test_requeues_of_either_kind_are_one_answer_and_count_for_themselves() -> None:
    """basic.reject and basic.nack in one transaction: places are kept, and only the first is a failure."""
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True, arguments={"x-queue-type": "quorum"})
    domain.publish([queue], [message(n) for n in range(3)])
    session, ledger = domain.session(), Ledger()
    tags = [got[2] for _ in range(3) if (got := session.get("q", ledger, no_ack=False)) is not None]
    transaction = Transaction(domain.core, domain.vhost)
    for tag, outcome in zip(tags, (Outcome.RELEASED, Outcome.MODIFIED, Outcome.RELEASED), strict=True):
        transaction.settle(ledger, tag, False, outcome)
    transaction.commit()
    assert [(run.counts, run.failures) for run in queue.ready_runs()] == [
        ([1], None),
        ([1], [1]),
        ([1], None),
    ]
