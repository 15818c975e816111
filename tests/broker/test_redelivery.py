"""Redelivery of what was rejected, with back-off, by a policy of the destination (row A34)."""

from __future__ import annotations

import pytest
from broker_tools import Domain, message

from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.policy import Policy
from pillarbox.broker.queue import Queue
from pillarbox.broker.retry import redelivery_of
from pillarbox.errors import BrokerError

pytestmark = pytest.mark.row("A34")
POLICY = {
    "x-redelivery-max": 3,
    "x-redelivery-delay": 100,
    "x-redelivery-multiplier": 3,
    "x-redelivery-delay-max": 500,
}


def made(arguments: dict[str, object]) -> tuple[Domain, Queue]:
    domain = Domain()
    domain.vhost.declare_queue(None, "dead", durable=True)
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments | letters)
    return domain, domain.queue("q")


def answer(domain: Domain, queue: Queue, outcome: Outcome) -> None:
    ledger = Ledger()
    run = queue.take(1)
    while run is None:
        domain.run()
        run = queue.take(1)
    ledger.add(None, run)
    run.lane.delivered(run)
    ledger.settle_all(outcome)
    domain.run()


@pytest.mark.parametrize("restarts", [False, True])
def test_rejected_message_comes_back_later_each_time_and_dies_in_the_end(restarts: bool) -> None:
    domain, queue = made(POLICY)
    domain.publish([queue], [message("x")])
    for delay_ms in (100, 300, 500):
        answer(domain, queue, Outcome.REJECTED)
        assert (queue.ready_count, queue.delayed_count) == (0, 1)
        if restarts:
            domain.restart()
            queue = domain.queue("q")
            domain.run()
        domain.advance(delay_ms - 1)
        domain.run()
        assert queue.delayed_count == 1
        domain.advance(1)
        domain.run()
        assert (queue.ready_count, queue.delayed_count) == (1, 0)
    answer(domain, queue, Outcome.REJECTED)
    assert (queue.ready_count, queue.delayed_count, domain.queue("dead").ready_count) == (0, 0, 1)


@pytest.mark.parametrize("outcome", [Outcome.RELEASED, Outcome.MODIFIED])
def test_what_is_merely_given_back_is_ready_at_once_however_often(outcome: Outcome) -> None:
    domain, queue = made(POLICY)
    domain.publish([queue], [message("x")])
    for _ in range(10):
        answer(domain, queue, outcome)
    assert (queue.ready_count, queue.delayed_count) == (1, 0)


def test_policy_counts_for_queues_that_are_there() -> None:
    domain, queue = made({})
    definition = {"redelivery-max": 1, "redelivery-delay": 0}
    domain.vhost.put_policy(Policy("/", "again", "^q$", definition, apply_to="queues"))
    domain.publish([queue], [message("x")])
    answer(domain, queue, Outcome.REJECTED)
    domain.advance(1)
    domain.run()
    assert queue.ready_count == 1
    answer(domain, queue, Outcome.REJECTED)
    assert domain.queue("dead").ready_count == 1


def test_without_a_number_it_is_that_of_activemq() -> None:
    found = redelivery_of({"x-redelivery-multiplier": 2})
    assert found is not None
    assert (found[0], [found[1].delay_ms(times) for times in (1, 2, 3)]) == (6, [1000, 2000, 4000])
    assert found[1].delay_ms(10_000) == 86_400_000


@pytest.mark.parametrize("wrong", [0, 0.5, "2", True, 10_000])
def test_multiplier_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(BrokerError):
        made({"x-redelivery-multiplier": wrong})
