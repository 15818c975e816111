"""The core as a whole: groups, memory, loads, failures, alarms, restarts. Rows R11, R40, R61, R66."""

from __future__ import annotations

import gc
import weakref

import pytest
from broker_tools import Domain, Outlet, Receiver, bodies, demand_counts, message, resident_bytes

from pillarbox.broker.alarms import DISK, MEMORY
from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.session import Deferred
from pillarbox.errors import BrokerError, Reason

KIB, MIB = 1 << 10, 1 << 20


def durable(domain: Domain, name: str = "q") -> Queue:
    return domain.vhost.declare_queue(None, name, durable=True)


def waiting(queue: Queue) -> list[int]:
    return [sequence for run in queue.ready_runs() for sequence in run.sequences]


# --- groups -----------------------------------------------------------------------------------------------


def test_fan_out_is_one_fact_with_the_payload_once() -> None:
    domain = Domain()
    queues = [durable(domain, name) for name in "abc"]
    queues.append(domain.vhost.declare_queue(None, "passing"))
    domain.tick()
    domain.publish(queues, [message(1), message(2)])
    domain.tick()
    group = domain.journal.groups[-1]
    assert [fact.targets for fact in group.messages] == [[(queue.uid, 0) for queue in queues[:3]]]
    assert len(group.messages[0].messages) == 2


def test_tick_without_changes_appends_nothing() -> None:
    domain = Domain()
    domain.tick()
    count = len(domain.journal.groups)
    for _ in range(3):
        domain.tick()
    assert len(domain.journal.groups) == count


def test_message_that_is_consumed_in_its_own_tick_is_settled_in_its_own_group() -> None:
    """A settlement is never durable before the append that it refers to."""
    domain = Domain()
    session = domain.session()
    queue = session.declare_queue("q", durable=True)
    domain.consume(session, "q", Receiver(), no_ack=True)
    domain.publish([queue], [message(number) for number in range(3)])
    domain.tick()
    group = domain.journal.groups[-1]
    assert [fact.sequences for fact in group.settled] == [[range(3)]]
    assert len(group.messages) == 1


def test_transient_broker_collects_no_fact() -> None:
    domain = Domain(journaled=False)
    queue = durable(domain)
    ledger = Ledger()
    session = domain.session()
    assert not domain.publish([queue], [message(1), message(2)])
    session.get("q", ledger, no_ack=False)
    ledger.settle_all(Outcome.ACCEPTED)
    domain.vhost.delete_queue(None, "q")
    domain.tick()
    assert domain.journal.groups == []


def test_uid_is_never_used_again() -> None:
    """Also not after a restart that has forgotten the queue."""
    domain = Domain()
    uids = []
    for _ in range(3):
        uids.append(durable(domain).uid)
        domain.vhost.delete_queue(None, "q")
        domain.tick()
        domain.advance(1)
        domain.restart()
    assert len(set(uids)) == 3
    assert uids == sorted(uids)


# --- restarts ---------------------------------------------------------------------------------------------


@pytest.mark.row("R40", "R66")
def test_restart_brings_back_the_unsettled_in_order_and_flags_the_delivered() -> None:
    domain = Domain()
    session, queue, ledger = domain.session(), durable(domain), Ledger()
    domain.publish([queue], [message(number) for number in range(10)])
    for _ in range(6):
        session.get("q", ledger, no_ack=False)
    ledger.settle(2, False, Outcome.ACCEPTED)
    ledger.settle(5, False, Outcome.REJECTED)
    ledger.settle(6, False, Outcome.RELEASED)
    domain.publish([queue], [message("transient")], persistent=False)
    domain.tick()
    domain.restart()
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver)
    domain.run()
    flags = {int(body): redelivered for _, _, _, body, redelivered in receiver.deliveries}
    assert list(flags) == [0, 2, 3, 5, 6, 7, 8, 9]
    assert [number for number, redelivered in flags.items() if redelivered] == [0, 2, 3, 5]


def test_cold_messages_are_fetched_when_a_consumer_wants_them() -> None:
    """In order, and read ahead so that it need not wait for each."""
    domain = Domain()
    queue = durable(domain)
    for number in range(20):
        domain.publish([queue], [message(number)])
        domain.tick()
    domain.restart()
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver)
    domain.tick()
    assert receiver.deliveries == []
    assert len(domain.journal.loads) == 1, "all that is near the head is asked for at once"
    domain.run()
    assert receiver.bodies == [b"%d" % number for number in range(20)]
    demand_counts(domain.queue("q"))


def test_get_of_a_cold_message_is_answered_when_it_is_here() -> None:
    domain = Domain()
    domain.publish([durable(domain)], [message("x")])
    domain.tick()
    domain.restart()
    session, ledger = domain.session(), Ledger()
    with pytest.raises(Deferred) as deferred:
        session.get("q", ledger, no_ack=False)
    answers: list[bytes] = []

    def again() -> None:
        got = session.get("q", ledger, no_ack=False)
        assert got is not None
        answers.extend(bodies(got[1]))

    deferred.value.queue.when_loaded(again)
    domain.run()
    assert answers == [b"x"]


def test_who_waits_for_a_cold_message_is_told_that_the_queue_is_deleted() -> None:
    domain = Domain()
    domain.publish([durable(domain)], [message("x")])
    domain.tick()
    domain.restart()
    session = domain.session()
    with pytest.raises(Deferred) as deferred:
        session.get("q", Ledger(), no_ack=False)
    told: list[bool] = []
    deferred.value.queue.when_loaded(lambda: told.append("q" in domain.vhost.queues))
    domain.vhost.delete_queue(None, "q")
    assert told == [False]
    domain.run()
    assert domain.core.changes.resident_bytes == 0


def test_stripes_of_a_crashed_consumer_group_come_back_in_order() -> None:
    """Three consumers had every third message of one record; after a restart the order is as published."""
    domain = Domain()
    session, queue = domain.session(), durable(domain)
    ledgers = [Ledger() for _ in range(3)]
    for number, ledger in enumerate(ledgers):
        domain.consume(session, "q", Receiver(), ledger=ledger, tag=str(number))
    domain.publish([queue], [message(number) for number in range(30)])
    domain.tick()
    ledgers[1].settle_all(Outcome.ACCEPTED)
    domain.tick()
    domain.journal.checkpoint(CoreSnapshot(domain.core))
    while domain.journal.step_checkpoint():
        pass
    domain.restart()
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver)
    domain.run()
    assert receiver.bodies == [b"%d" % number for number in range(30) if number % 3 != 1]


# --- memory -----------------------------------------------------------------------------------------------


def test_messages_beyond_the_budget_rest_on_disk_and_come_back() -> None:
    domain = Domain(memory_budget=64 * KIB)
    queue = durable(domain)
    for number in range(100):
        domain.publish([queue], [message(str(number).ljust(4 * KIB))])
        domain.tick()
    assert domain.core.changes.resident_bytes <= 64 * KIB + 8 * KIB
    assert domain.core.changes.resident_bytes == resident_bytes([queue])
    receiver, ledger = Receiver(), Ledger()
    domain.consume(domain.session(), "q", receiver, ledger=ledger, prefetch=10)
    for _ in range(10):
        domain.run()
        ledger.settle_all(Outcome.ACCEPTED)
    assert [int(body) for body in receiver.bodies] == list(range(100))
    assert not any(redelivered for *_, redelivered in receiver.deliveries)
    assert domain.core.changes.resident_bytes == 0


def test_transient_messages_beyond_the_budget_are_spilled_and_forgotten_by_a_restart() -> None:
    domain = Domain(memory_budget=64 * KIB)
    queue = durable(domain)
    passing = domain.vhost.declare_queue(None, "passing")
    for number in range(100):
        domain.publish([queue, passing], [message(str(number).ljust(4 * KIB))], persistent=False)
        domain.tick()
    assert domain.core.changes.resident_bytes <= 64 * KIB + 16 * KIB
    assert domain.core.changes.resident_bytes == resident_bytes([queue, passing])
    receiver = Receiver()
    domain.consume(domain.session(), "passing", receiver, no_ack=True)
    domain.run()
    assert [int(body) for body in receiver.bodies] == list(range(100))
    domain.restart()
    assert domain.queue("q").ready_count == 0


# --- failures ---------------------------------------------------------------------------------------------


def test_after_a_failure_nothing_is_stored_and_the_rest_goes_on() -> None:
    domain = Domain()
    session, queue, ledger = domain.session(), durable(domain), Ledger()
    domain.publish([queue], [message(1)])
    domain.tick()
    domain.journal.fail("the disk is full")
    with pytest.raises(BrokerError) as caught:
        domain.publish([queue], [message(2)])
    assert (caught.value.reason, caught.value.text) == (Reason.INTERNAL_ERROR, "the disk is full")
    assert queue.ready_count == 1, "refused means not taken"
    assert not domain.publish([queue], [message(3)], persistent=False)
    assert session.get("q", ledger, no_ack=False) is not None
    ledger.settle_all(Outcome.ACCEPTED)
    domain.tick()


def test_message_that_was_never_appended_stays_in_memory() -> None:
    """Published in the tick in which storage failed: there is nowhere to load it from."""
    domain = Domain(memory_budget=0)
    queue = durable(domain)
    domain.tick()
    for number in range(3):
        domain.publish([queue], [message(number)])
    domain.journal.fail("the disk is full")
    domain.tick()
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver)
    domain.run()
    assert receiver.bodies == [b"0", b"1", b"2"]


def test_message_that_cannot_be_read_ends_the_wait_for_it() -> None:
    """The engine says `failed` and leaves it out: whoever waits is refused, and nothing breaks."""
    domain = Domain()
    for name in "ab":
        domain.publish([durable(domain, name)], [message("x")])
    domain.tick()
    domain.restart()
    session = domain.session()
    with pytest.raises(Deferred) as deferred:
        session.get("a", Ledger(), no_ack=False)
    refusals: list[Reason] = []

    def again() -> None:
        with pytest.raises(BrokerError) as caught:
            session.get("a", Ledger(), no_ack=False)
        refusals.append(caught.value.reason)

    deferred.value.queue.when_loaded(again)
    domain.tick()
    domain.journal.answer_load(unreadable=True)
    assert refusals == [Reason.INTERNAL_ERROR]
    demand_counts(domain.queue("a"))
    receiver = Receiver()
    domain.consume(session, "a", receiver)
    domain.run()
    assert receiver.deliveries == []
    assert session.delete_queue("a", if_unused=False, if_empty=False) == 1


@pytest.mark.row("R11")
def test_alarm_is_told_once_and_its_end_too() -> None:
    domain = Domain()
    outlet = Outlet()
    domain.session(outlet)
    assert domain.core.set_alarm(DISK, True)
    assert not domain.core.set_alarm(DISK, True)
    assert domain.core.set_alarm(DISK, False)
    assert not domain.core.set_alarm(DISK, False)
    assert outlet.events == ["blocked: low on disk", "unblocked"]


@pytest.mark.row("R11", "R73")
def test_further_alarm_is_not_told_and_the_end_of_the_last_is() -> None:
    """As RabbitMQ 3.10.8: who is blocked hears nothing of a second alarm; who comes later hears of both."""
    domain = Domain()
    outlet = Outlet()
    domain.session(outlet)
    domain.core.set_alarm(MEMORY, True)
    assert domain.core.alarm == "low on memory"
    domain.core.set_alarm(DISK, True)
    assert domain.core.alarm == "low on disk & memory"
    domain.core.set_alarm(MEMORY, False)
    assert domain.core.alarm == "low on disk"
    assert outlet.events == ["blocked: low on memory"]
    domain.core.set_alarm(DISK, False)
    assert outlet.events == ["blocked: low on memory", "unblocked"]
    assert domain.core.alarm is None


def test_relief_lets_messages_go_that_queues_had_before_memory_was_short() -> None:
    """In steps, while the queues go on; what near consumers need stays, and so does what only memory has."""
    domain = Domain()
    idle, passing, used = durable(domain, "idle"), domain.vhost.declare_queue(None, "p"), durable(domain, "u")
    for number in range(300):
        for queue in (idle, passing, used):
            domain.publish([queue], [message(b"%05d" % number * 200)] * 50)
        domain.tick()
    receiver = Receiver()
    domain.consume(domain.session(), "u", receiver, prefetch=10)
    domain.run()
    held = domain.core.changes.resident_bytes
    in_passing = sum(run.body_bytes for run in passing.ready_runs())
    domain.core.relieve(0)
    for _ in range(3):
        domain.tick()
    assert 0 < domain.core.changes.resident_bytes < held, "it goes step by step"
    assert idle.purge() == 15_000
    domain.publish([idle], [message(b"new")])
    domain.run()
    left = [run for run in used.ready_runs() if run.messages is not None]
    assert 2 * MIB < sum(run.body_bytes for run in left) <= 5 * MIB
    assert all(run.messages is not None for run in passing.ready_runs())
    assert domain.core.changes.resident_bytes == resident_bytes([idle, passing, used])
    assert in_passing < domain.core.changes.resident_bytes < in_passing + 8 * MIB
    for queue in (idle, passing, used):
        demand_counts(queue)
    ledger = Ledger()
    everything = Receiver()
    domain.consume(domain.session(), "u", everything, ledger=ledger, no_ack=True)
    domain.run()
    assert len(everything.deliveries) == 15_000 - 10


@pytest.mark.row("A42")
def test_unanswered_deliveries_leave_the_memory_for_what_is_read_after_them() -> None:
    """However much a consumer may have out, and though nobody publishes; what comes back is whole."""
    domain = Domain(memory_budget=4 * MIB)
    queue = durable(domain, "q")
    sent = [b"%02d" % number * (MIB // 2) for number in range(20)]
    for body in sent:
        domain.publish([queue], [message(body)])
        domain.tick()
    ledger, receiver = Ledger(), Receiver()
    domain.consume(domain.session(), "q", receiver, ledger=ledger)
    domain.run()
    assert [len(body) for body in receiver.bodies] == [MIB] * 20
    assert domain.core.changes.resident_bytes <= 5 * MIB
    assert domain.core.changes.resident_bytes == resident_bytes([queue])
    ledger.settle_all(Outcome.RELEASED)
    domain.run()
    assert receiver.bodies == sent + sent
    demand_counts(queue)


@pytest.mark.row("A42")
def test_relief_lets_unanswered_deliveries_go_of_queues_in_which_nothing_moves() -> None:
    domain = Domain()
    queues = [durable(domain, f"q{number}") for number in range(5)]
    domain.publish(queues, [message(b"x" * MIB)])
    domain.tick()
    receiver = Receiver()
    for queue in queues:
        domain.consume(domain.session(), queue.name, receiver)
    domain.run()
    assert domain.core.changes.resident_bytes > 5 * MIB
    domain.core.relieve(0)
    domain.run()
    assert domain.core.changes.resident_bytes == 0
    assert len(receiver.deliveries) == 5


# --- nothing is kept for nothing --------------------------------------------------------------------------


def test_deleted_queue_leaves_nothing_behind() -> None:
    """Not its bindings, consumers or messages, and not itself until a timer far away."""
    domain = Domain()
    session = domain.session()
    queue = session.declare_queue("q", durable=True, arguments={"x-expires": 86_400_000})
    session.bind_queue("q", "amq.topic", "a.#", {}, add=True)
    ledger = Ledger()
    consumer = domain.consume(session, "q", Receiver(), ledger=ledger)
    domain.publish([queue], [message(number, ttl_ms=3_600_000) for number in range(5)])
    domain.run()
    session.delete_queue("q", if_unused=False, if_empty=False)
    ledger.settle_all(Outcome.ACCEPTED)
    domain.run()
    assert domain.core.changes.resident_bytes == 0
    assert not domain.vhost.inbound
    seen = weakref.ref(queue)
    del queue, consumer, ledger
    gc.collect()
    assert seen() is None


def test_checkpoint_appends_the_facts_of_the_tick_before_it_shows_a_queue() -> None:
    """Or a power cut could lose a message whose move from one queue to another was half seen."""
    domain = Domain()
    queue = durable(domain)
    domain.tick()
    domain.publish([queue], [message(1)])
    states = CoreSnapshot(domain.core).queues()
    state = next(states)
    assert [run.sequences for run in state.runs] == [range(1)]
    assert len(domain.journal.groups[-1].messages) == 1
    assert state.runs[0].location.segment == 0


def test_queue_shows_its_state() -> None:
    domain = Domain()
    queue = durable(domain)
    domain.publish([queue], [message(1), message(2)])
    domain.session().get("q", Ledger(), no_ack=False)
    assert repr(queue) == "<Queue q ready=1 unacked=1 next=2 consumers=0>"
    assert waiting(queue) == [1]
