"""Dead letters (R48), what full queues refuse (R47), and what comes back too often (R52): single rules."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, Receiver, demand_counts, message
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.confirm import Confirms, Publisher
from pillarbox.broker.core import FORWARD_MESSAGES
from pillarbox.broker.deadletter import Death, Deaths, closes_cycle
from pillarbox.broker.fence import Fence
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.deaths import COUNT_MAX, dead_letter, with_headers
from pillarbox.protocols.amqp091.publishing import ORIGIN

LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
QUORUM = {"x-queue-type": "quorum"}


def declare(domain: Domain, name: str, **arguments: Any) -> Queue:
    named = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    queue: Queue = domain.vhost.declare_queue(None, name, durable=True, arguments=named)
    return queue


def pair(**arguments: Any) -> tuple[Domain, Queue, Queue]:
    """A queue whose dead letters go to a second one."""
    domain = Domain()
    named = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead", **arguments}
    return domain, declare(domain, "q", **named), declare(domain, "dead")


def die(domain: Domain, queue: Queue, count: int) -> None:
    """Reject so many messages at once."""
    ledger = Ledger()
    while (run := queue.take(count)) is not None:
        ledger.add(None, run)
        count -= len(run)
        if not count:
            break
    ledger.settle_all(Outcome.REJECTED)


# --- forwarding ------------------------------------------------------------------------------------------


@pytest.mark.row("R48")
def test_many_dead_letters_are_forwarded_over_several_ticks() -> None:
    """No turn takes long; what waits is unsettled, counts as memory, and is in no count of its queue."""
    domain, queue, dead = pair()
    count = FORWARD_MESSAGES * 3
    domain.publish([queue], [message(number) for number in range(count)])
    die(domain, queue, count)
    assert (queue.ready_count, queue.unacked_count, len(queue.lanes[0].dying)) == (0, 0, 1)
    ticks = 0
    while domain.core.changes.dying:
        woken = domain.woken
        domain.tick()
        ticks += 1
        assert dead.ready_count == min(count, ticks * FORWARD_MESSAGES)
        assert domain.woken > woken or not domain.core.changes.dying
    assert ticks == 3
    assert not queue.lanes[0].dying
    demand_counts(queue)


@pytest.mark.row("R48", "R56")
def test_deleted_queue_forwards_first_what_has_died() -> None:
    domain, queue, dead = pair()
    domain.publish([queue], [message(number) for number in range(FORWARD_MESSAGES * 2)])
    die(domain, queue, FORWARD_MESSAGES * 2 - 1)
    domain.vhost.delete_queue(None, "q")
    assert dead.ready_count == FORWARD_MESSAGES * 2 - 1
    domain.run()
    dead.purge()
    assert domain.core.changes.resident_bytes == 0


@pytest.mark.row("R48")
def test_dead_letters_stay_in_their_queue_when_storage_has_failed() -> None:
    """They cannot be stored elsewhere, so they are not settled either; a restart finds them."""
    domain, queue, dead = pair()
    domain.publish([queue], [message(1)])
    domain.run()
    domain.journal.fail("no disk")
    die(domain, queue, 1)
    domain.run()
    assert dead.ready_count == 0
    domain.restart(1)
    assert domain.queue("q").ready_count == 1


@pytest.mark.row("R48")
def test_chain_of_limits_is_followed_without_recursion() -> None:
    """Each queue takes nothing and hands on; the chain is longer than Python's stack."""
    domain = Domain()
    length = 1500
    for number in range(length):
        declare(
            domain,
            f"q{number}",
            max_length=0,
            dead_letter_exchange="",
            dead_letter_routing_key=f"q{number + 1}",
        )
    last = declare(domain, f"q{length}")
    domain.publish([domain.queue("q0")], [message(1)])
    domain.run()
    assert last.ready_count == 1


@pytest.mark.row("R48")
@pytest.mark.parametrize(
    ("reason", "deaths", "closes"),
    [
        ("expired", [("b", "expired"), ("a", "expired")], True),
        ("expired", [("a", "expired"), ("b", "rejected")], True),
        ("expired", [("b", "expired"), ("c", "rejected"), ("a", "expired")], False),
        ("expired", [("a", "rejected")], False),
        ("rejected", [("a", "expired")], False),
        ("maxlen", [("b", "maxlen")], False),
    ],
)
def test_cycle_is_one_without_a_rejection(reason: str, deaths: list[tuple[str, str]], closes: bool) -> None:
    assert closes_cycle("a", reason, deaths) is closes


@pytest.mark.row("R48")
def test_message_of_an_unknown_origin_is_forwarded_as_it_is() -> None:
    domain, queue, dead = pair()
    domain.core.dead_letters.writers.clear()
    domain.publish([queue], [message(1)])
    die(domain, queue, 1)
    domain.run()
    (run,) = dead.ready_runs()
    assert run.messages is not None
    assert run.messages[0].properties == message(1).properties
    assert run.messages[0].address.routing_key == "dead"


# --- headers ---------------------------------------------------------------------------------------------

HEADERS = st.dictionaries(
    st.sampled_from(["x-death", "CC", "x-first-death-queue", "x-last-death-reason", "mine"]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["queue", "reason", "count", "time"]), inner, max_size=4)
        ),
        max_leaves=8,
    ),
)


@pytest.mark.row("R48")
@given(headers=HEADERS, key=st.none() | st.just("other"))
def test_whatever_headers_a_client_has_written_its_message_can_die(
    headers: dict[str, Any], key: str | None
) -> None:
    """RabbitMQ's queue crashes of some of them, and loses what it holds."""
    properties = wire.encode_properties(wire.Properties(headers=headers, expiration="5"))
    one = Message(Address(ORIGIN, "x", "k"), properties, b"", 0)
    for _ in range(2):
        letter = dead_letter(one, Death("q", "expired", 12_345, key))
        found = wire.decode_properties(letter.properties)
        assert found.expiration is None
        assert found.headers is not None
        death = found.headers["x-death"][0]
        assert (death["queue"], death["reason"]) == ("q", "expired")
        assert letter.deaths[0] == ("q", "expired")
        assert found.headers["x-last-death-queue"] == "q"
        assert list(found.headers) == sorted(found.headers)
        one = Message(Address(ORIGIN, "dlx", letter.keys[0]), letter.properties, b"", 0)


@pytest.mark.row("R48")
def test_first_and_last_death_are_told_apart() -> None:
    """As RabbitMQ 3.13 has it: x-first-death-* never change, x-last-death-* always do."""
    one = Message(Address(ORIGIN, "x", "k"), b"\0\0", b"", 0)
    letter = dead_letter(one, Death("a", "rejected", 5000, None))
    again = Message(Address(ORIGIN, "dlx", "k"), letter.properties, b"", 0)
    headers = wire.decode_properties(dead_letter(again, Death("b", "maxlen", 7000, None)).properties).headers
    assert headers is not None
    assert [headers[f"x-first-death-{name}"] for name in ("queue", "reason", "exchange")] == [
        "a",
        "rejected",
        "x",
    ]
    assert [headers[f"x-last-death-{name}"] for name in ("queue", "reason", "exchange")] == [
        "b",
        "maxlen",
        "dlx",
    ]
    assert [(death["queue"], death["count"], death["time"]) for death in headers["x-death"]] == [
        ("b", 1, 7),
        ("a", 1, 5),
    ]
    assert [type(headers["x-death"][0][name]) for name in ("count", "time")] == [wire.Long, wire.Timestamp]


@pytest.mark.row("R48")
def test_count_of_a_client_does_not_overflow() -> None:
    table = {"queue": "q", "reason": "rejected", "count": 2**63 - 1}
    properties = wire.encode_properties(wire.Properties(headers={"x-death": [table]}))
    one = Message(Address(ORIGIN, "", "q"), properties, b"", 0)
    headers = wire.decode_properties(dead_letter(one, Death("q", "rejected", 0, None)).properties).headers
    assert headers is not None
    assert headers["x-death"][0]["count"] == COUNT_MAX + 1


# --- refused publishes -----------------------------------------------------------------------------------


@pytest.mark.row("R47", "R61")
@given(
    batches=st.lists(
        st.tuples(st.lists(st.booleans(), min_size=1, max_size=6), st.booleans()), min_size=1, max_size=8
    ),
    data=st.data(),
)
def test_every_publish_is_confirmed_or_refused_once_and_in_order(
    batches: list[tuple[list[bool], bool]], data: st.DataObject
) -> None:
    """Batches of (refused or not), stored or not; seals and syncs in between."""
    confirms, receiver = Confirms(Fence()), Receiver()
    answers: list[tuple[int, bool]] = []
    receiver.confirm = lambda first, last: answers.extend((n, False) for n in range(first, last + 1))  # type: ignore[method-assign]
    receiver.refuse = lambda first, last: answers.extend((n, True) for n in range(first, last + 1))  # type: ignore[method-assign]
    publisher = Publisher(receiver)
    expected: list[tuple[int, bool]] = []
    ticket = 0
    for flags, stored in batches:
        expected += [(len(expected) + 1 + at, flag) for at, flag in enumerate(flags)]
        confirms.accept(publisher, len(flags), stored, [at for at, flag in enumerate(flags) if flag])
        if data.draw(st.booleans()):
            ticket += 1
            confirms.seal(ticket)
        if data.draw(st.booleans()):
            confirms.synced(ticket)
        assert answers == expected[: len(answers)]
    confirms.seal(ticket + 1)
    confirms.synced(ticket + 1)
    assert answers == expected
    assert not confirms.waiting


@pytest.mark.row("R46")
def test_limit_is_kept_at_once_and_not_at_the_end_of_the_tick() -> None:
    """Whatever is published in one turn: a full queue never holds more than its limit."""
    domain = Domain()
    queue = declare(domain, "q", max_length=3)
    for number in range(10):
        domain.publish([queue], [message(number), message(-number)])
        assert queue.ready_count <= 3
    demand_counts(queue)


# --- delivery limits -------------------------------------------------------------------------------------


def returned(queue: Queue, outcome: Outcome = Outcome.RELEASED) -> list[int] | None:
    """Take everything and give it back; the counts with which it came."""
    ledger, run = Ledger(), queue.take(10)
    assert run is not None
    ledger.add(None, run)
    run.lane.delivered(run)
    ledger.settle_all(outcome)
    return run.counts


@pytest.mark.row("R52")
def test_message_dies_when_it_comes_back_more_often_than_the_limit() -> None:
    domain = Domain()
    queue = declare(domain, "q", queue_type="quorum", delivery_limit=2, dead_letter_exchange="",
                    dead_letter_routing_key="dead")  # fmt: skip
    dead = declare(domain, "dead")
    domain.publish([queue], [message(1), message(2)])
    for _ in range(2):
        returned(queue)
        domain.run()
    assert (queue.ready_count, dead.ready_count) == (2, 0)
    returned(queue)
    domain.run()
    assert (queue.ready_count, dead.ready_count, queue.unacked_count) == (0, 2, 0)
    demand_counts(queue)
    dead.purge()
    assert domain.core.changes.resident_bytes == 0


@pytest.mark.row("R52")
def test_counts_are_kept_message_by_message() -> None:
    """One that came back later dies later, without a dead-letter exchange too."""
    domain = Domain()
    queue = declare(domain, "q", queue_type="quorum", delivery_limit=1)
    domain.publish([queue], [message(1)])
    returned(queue)
    domain.publish([queue], [message(2)])
    ledger = Ledger()
    while (run := queue.take(5)) is not None:
        ledger.add(None, run)
        if not queue.ready_count:
            break
    ledger.settle_all(Outcome.RELEASED)
    (run,) = queue.ready_runs()
    assert run.messages is not None
    assert ([one.body for one in run.messages], run.counts) == ([b"2"], [1])
    demand_counts(queue)


@pytest.mark.row("R52")
def test_message_that_was_out_before_a_restart_came_back_once() -> None:
    """Given back or not: `test_attempts` tells these apart."""
    domain = Domain()
    queue = declare(domain, "q", queue_type="quorum", delivery_limit=5)
    domain.publish([queue], [message(1)])
    returned(queue)
    domain.run()
    domain.restart()
    queue = domain.queue("q")
    assert queue.take(1) is None
    domain.run()
    run = queue.take(1)
    assert run is not None
    assert (run.redelivered, run.counts) == (True, [1])


@pytest.mark.row("R52")
def test_classic_queue_counts_nothing() -> None:
    domain = Domain()
    queue = declare(domain, "q")
    domain.publish([queue], [message(1)])
    assert returned(queue) is None
    assert returned(queue) is None


@pytest.mark.row("R52")
def test_delivery_count_leaves_all_else_as_it_was() -> None:
    properties = wire.encode_properties(wire.Properties(headers={"z": 1, "a": [2]}, priority=3))
    one = with_headers(Message(Address(ORIGIN, "", "q"), properties, b"x", 0), {"x-delivery-count": 2})
    found = wire.decode_properties(one.properties)
    assert found == wire.Properties(headers={"a": [2], "x-delivery-count": 2, "z": 1}, priority=3)
    assert one.body == b"x"


@pytest.mark.row("R48")
def test_deaths_are_counted_by_type_strategy_and_reason() -> None:
    """As RabbitMQ 3.13 labels its counters; who drops what dies counts it too, as disabled."""
    domain = Domain()
    vhost = domain.vhost
    limited = vhost.declare_queue(
        None, "limited", arguments={"x-max-length": 2, "x-dead-letter-exchange": ""}
    )
    vhost.declare_queue(None, "timed", arguments={"x-message-ttl": 0})
    plain = {"x-queue-type": "quorum", "x-delivery-limit": 1}
    vhost.declare_queue(None, "quorum", durable=True, arguments=plain)
    domain.publish([limited], [message(number) for number in range(5)])
    domain.publish([domain.queue("timed")], [message(number) for number in range(4)])
    domain.publish([domain.queue("quorum")], [message(number) for number in range(3)])
    domain.run()
    session, ledger = domain.session(), Ledger()
    for _ in range(2):
        for _ in range(3):
            session.get("quorum", ledger, no_ack=False)
        ledger.settle_all(Outcome.RELEASED)
    session.get("limited", ledger, no_ack=False)
    ledger.settle_all(Outcome.REJECTED)
    domain.run()
    assert domain.core.changes.deaths == {
        ("classic", "at_most_once", "maxlen"): 3,
        ("classic", "disabled", "expired"): 4,
        ("quorum", "disabled", "delivery_limit"): 3,
        ("classic", "at_most_once", "rejected"): 1,
    }


@pytest.mark.row("A33")
def test_one_of_the_copies_that_several_queues_have_is_a_dead_letter() -> None:
    """Two messages that are alike are two, and what dies later in another queue is known."""
    address = Address("amqp091", "amq.topic", "t")
    alike = [Message(address, b"", b"x", 1), Message(address, b"", b"x", 1)]
    other, later = Message(address, b"", b"y", 1), Message(address, b"", b"x", 2)
    deaths = Deaths()
    assert deaths.first("/", 1, [alike[0], other]) == [alike[0], other]
    assert deaths.first("/", 2, [*alike, other, later]) == [alike[1], later]
    assert deaths.first("/", 1, [alike[1]]) == []
    assert deaths.first("elsewhere", 3, [alike[0]]) == [alike[0]]
