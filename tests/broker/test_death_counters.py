"""A queue counts what died in it: what expired, and what nobody could cope with (A84)."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, Receiver, message

from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue

pytestmark = pytest.mark.row("A84")


def queue_of(domain: Domain, **arguments: Any) -> Queue:
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    domain.session().declare_queue("q", durable=True, arguments=named)
    return domain.queue("q")


def deaths(queue: Queue) -> tuple[int, int]:
    return queue.counters.expired, queue.counters.killed


@pytest.mark.parametrize("dead_letters", [{}, {"dead_letter_exchange": "", "dead_letter_routing_key": "dlq"}])
def test_what_expires_counts_whether_it_becomes_a_dead_letter_or_not(dead_letters: dict[str, str]) -> None:
    domain = Domain()
    queue = queue_of(domain, message_ttl=1000, **dead_letters)
    domain.publish([queue], [message(b"1"), message(b"2")])
    domain.run()
    domain.advance(1001)
    domain.run()
    assert (queue.ready_count, deaths(queue)) == (0, (2, 0))


def test_what_is_rejected_counts_as_killed() -> None:
    domain = Domain()
    queue = queue_of(domain)
    domain.publish([queue], [message(b"1"), message(b"2"), message(b"3")])
    receiver, ledger = Receiver(), Ledger()
    domain.consume(domain.session(), "q", receiver, ledger=ledger)
    domain.run()
    ledger.settle(2, True, Outcome.REJECTED)
    ledger.settle(3, False, Outcome.ACCEPTED)
    assert deaths(queue) == (0, 2)


def test_what_came_back_too_often_counts_as_killed() -> None:
    domain = Domain()
    queue = queue_of(domain, queue_type="quorum", delivery_limit=1)
    domain.publish([queue], [message(b"1")])
    receiver, ledger = Receiver(), Ledger()
    domain.consume(domain.session(), "q", receiver, ledger=ledger)
    for tag in (1, 2):
        domain.run()
        assert deaths(queue) == (0, 0)
        ledger.settle(tag, False, Outcome.MODIFIED)
    assert (queue.ready_count, deaths(queue)) == (0, (0, 1))


def test_what_gives_way_to_newer_messages_is_neither() -> None:
    domain = Domain()
    queue = queue_of(domain, max_length=1)
    domain.publish([queue], [message(b"1"), message(b"2")])
    domain.run()
    assert (queue.ready_count, deaths(queue)) == (1, (0, 0))
