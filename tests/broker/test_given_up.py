"""Deliveries that nobody answers leave the memory when the budget is short, and come back whole."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, Receiver, bodies, demand_counts, message, resident_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.broker.ledger import GIVEN_BACK, Ledger, Outcome
from pillarbox.broker.queue import Queue

KIB = 1 << 10
COUNT = 60


def delivered(
    domain: Domain, *, persistent: bool = True, prefetch: int = 0, **arguments: Any
) -> tuple[Queue, Receiver, Ledger]:
    """A consumer that has been given messages of 1 to 60 KiB and has answered none."""
    queue = domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
    receiver, ledger = Receiver(), Ledger()
    domain.consume(domain.session(), "q", receiver, ledger=ledger, prefetch=prefetch)
    for number in range(1, COUNT + 1):
        domain.publish([queue], [message(bytes([number]) * number * KIB, persistent=persistent)])
        domain.run()
    return queue, receiver, ledger


def whole(number: int) -> bytes:
    return bytes([number]) * number * KIB


@pytest.mark.parametrize("persistent", [True, False])
def test_unanswered_deliveries_do_not_fill_the_memory(persistent: bool) -> None:
    """Transient ones too: beyond the budget these are spilled, which lets them go as well."""
    domain = Domain(memory_budget=100 * KIB)
    queue, receiver, _ = delivered(domain, persistent=persistent)
    assert receiver.bodies == [whole(number) for number in range(1, COUNT + 1)]
    assert (queue.unacked_count, queue.ready_count) == (COUNT, 0)
    assert domain.core.changes.resident_bytes <= 170 * KIB
    assert domain.core.changes.resident_bytes == resident_bytes([queue])
    demand_counts(queue)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_answers_settle_what_was_given_up(outcome: Outcome) -> None:
    domain = Domain(memory_budget=0)
    queue, receiver, ledger = delivered(domain, prefetch=COUNT)
    receiver.deliveries.clear()
    ledger.settle(10, True, outcome)
    ledger.settle(30, False, outcome)
    demand_counts(queue)
    domain.run()
    demand_counts(queue)
    returned = [*range(1, 11), 30] if outcome in GIVEN_BACK else []
    assert receiver.bodies == [whole(number) for number in returned]
    ledger.settle_all(Outcome.ACCEPTED)
    domain.run()
    assert (queue.ready_count, queue.unacked_count, queue.unacked_bytes) == (0, 0, 0)
    assert domain.core.changes.resident_bytes == 0


@pytest.mark.row("R48")
def test_what_was_given_up_is_forwarded_whole_when_it_dies() -> None:
    domain = Domain(memory_budget=0)
    dead = domain.vhost.declare_queue(None, "dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue, _, ledger = delivered(domain, **arguments)
    ledger.settle(20, True, Outcome.REJECTED)
    assert dead.ready_count == 0, "it has to come from disk first"
    domain.run()
    found = []
    while len(found) < 20:
        run = dead.take(100)
        if run is not None:
            found += bodies(run)
        domain.run()
    assert found == [whole(number) for number in range(1, 21)]
    assert queue.unacked_count == COUNT - 20
    demand_counts(queue)


@pytest.mark.row("R52")
def test_what_was_given_up_is_counted_when_it_comes_back() -> None:
    domain = Domain(memory_budget=0)
    limit = {"x-queue-type": "quorum", "x-delivery-limit": 2}
    queue, receiver, ledger = delivered(domain, **limit)
    for _ in range(2):
        receiver.deliveries.clear()
        ledger.settle_all(Outcome.RELEASED)
        domain.run()
        assert receiver.bodies == [whole(number) for number in range(1, COUNT + 1)]
    ledger.settle_all(Outcome.RELEASED)
    domain.run()
    assert (queue.ready_count, queue.unacked_count) == (0, 0)
    assert domain.core.changes.resident_bytes == 0


def test_restart_finds_what_was_given_up() -> None:
    domain = Domain(memory_budget=0)
    delivered(domain)
    domain.restart()
    receiver = Receiver()
    domain.consume(domain.session(), "q", receiver, no_ack=True)
    domain.run()
    assert receiver.bodies == [whole(number) for number in range(1, COUNT + 1)]


@given(
    budget=st.sampled_from((0, 20 * KIB, 300 * KIB)),
    limit=st.none() | st.integers(1, 400 * KIB),
    steps=st.lists(
        st.tuples(st.sampled_from(list(Outcome)), st.integers(1, 40), st.booleans()), min_size=1, max_size=12
    ),
)
@settings(max_examples=60, deadline=None)
def test_counts_hold_whatever_is_answered(
    budget: int, limit: int | None, steps: list[tuple[Outcome, int, bool]]
) -> None:
    """Single and cumulative answers of every kind, with a limit of bytes, while parts rest on disk."""
    domain = Domain(memory_budget=budget)
    arguments = {} if limit is None else {"x-max-length-bytes": limit}
    queue = domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
    receiver, ledger = Receiver(), Ledger()
    consumer = domain.consume(domain.session(), "q", receiver, ledger=ledger, prefetch=15)
    for number, (outcome, size, multiple) in enumerate(steps, 1):
        domain.publish([queue], [message(bytes([size]) * size * KIB) for _ in range(1 + number % 3)])
        domain.run()
        entries = list(ledger.entries())
        if entries:
            entry = entries[len(entries) // 2]
            ledger.settle(entry.base + (entry.start + entry.stop) // 2, multiple, outcome)
        demand_counts(queue)
        assert domain.core.changes.resident_bytes == resident_bytes([queue])
        domain.run()
        demand_counts(queue)
        assert domain.core.changes.resident_bytes == resident_bytes([queue])
    for _, _, _, body, _ in receiver.deliveries:
        assert body == body[:1] * len(body), "a body is whole"
        assert len(body) == body[0] * KIB
    assert consumer.credit <= 15
    ledger.settle_all(Outcome.ACCEPTED)
    domain.run()


@pytest.mark.row("R46")
def test_what_is_left_is_handed_out_when_a_limit_drops_what_was_asked_for() -> None:
    """The oldest that came back is asked for and then has to give way: the next one takes its place."""
    domain = Domain(memory_budget=0)
    queue, receiver, ledger = delivered(domain, **{"x-max-length": 5})
    receiver.deliveries.clear()
    domain.publish([queue], [message(b"new")])
    ledger.settle(10, True, Outcome.RELEASED)
    domain.run()
    assert receiver.bodies == [*(whole(number) for number in range(7, 11)), b"new"]
    demand_counts(queue)
