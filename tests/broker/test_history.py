"""Recent history exchanges: what is remembered, and how it is handed out again (R30)."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import NOW_MS, Domain, bodies, message

from pillarbox.broker.exchange import Exchange
from pillarbox.broker.index import NO_ENVELOPE, Envelope
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import MessagesFact

KIND = "x-recent-history"


def sent(exchange: Exchange, *numbers: int, envelope: Envelope = NO_ENVELOPE, **options: Any) -> None:
    """Publish as a head does, as far as the exchange is concerned."""
    for number in numbers:
        route = exchange.resolve(("k",), envelope)
        assert route.per_message
        route.remember(("k",), envelope, message(number, **options))


def waiting(queue: Queue) -> list[bytes]:
    """Take everything out of the queue."""
    found = []
    while (run := queue.take(100)) is not None:
        found += bodies(run)
    return found


@pytest.fixture
def domain() -> Domain:
    return Domain()


@pytest.mark.row("R30")
@pytest.mark.parametrize("length", [1, 3, 20, None, (1 << 63) - 1])
def test_no_more_than_the_length_is_remembered(domain: Domain, length: int | None) -> None:
    arguments = {} if length is None else {"x-recent-history-length": length}
    source = domain.vhost.declare_exchange("x", KIND, arguments=arguments)
    sent(source, *range(30))
    queue = domain.vhost.declare_queue(None, "q")
    domain.vhost.bind(source, queue, "", {})
    assert waiting(queue) == [b"%d" % number for number in range(30)][-(length or 20) :]


@pytest.mark.row("R30")
def test_message_that_asks_for_it_is_not_remembered(domain: Domain) -> None:
    source = domain.vhost.declare_exchange("x", KIND)
    for number, value in enumerate((True, False, "true", 1, None)):
        sent(source, number, envelope=Envelope({"x-recent-history-no-store": value}))
    queue = domain.vhost.declare_queue(None, "q")
    domain.vhost.bind(source, queue, "", {})
    assert waiting(queue) == [b"1", b"2", b"3", b"4"]


@pytest.mark.row("R30", "R44")
def test_time_to_live_of_what_is_remembered_begins_anew(domain: Domain) -> None:
    source = domain.vhost.declare_exchange("x", KIND)
    sent(source, 1, ttl_ms=1000)
    domain.now_ms = NOW_MS + 5000
    domain.core.set_time(domain.now_ms)
    queue = domain.vhost.declare_queue(None, "q")
    domain.vhost.bind(source, queue, "", {})
    domain.run()
    assert queue.ready_count == 1
    domain.now_ms += 1001
    domain.run()
    assert queue.ready_count == 0


@pytest.mark.row("R30", "R60")
def test_copies_of_persistent_messages_are_stored_in_durable_queues(domain: Domain) -> None:
    """Only the history itself is in memory."""
    source = domain.vhost.declare_exchange("x", KIND, durable=True)
    sent(source, 1, persistent=True)
    sent(source, 2, persistent=False)
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.vhost.bind(source, queue, "", {})
    facts = domain.core.changes.messages
    assert all(isinstance(fact, MessagesFact) for fact in facts)
    assert [one.body for fact in facts for one in fact.messages] == [b"1"]
    domain.run()
    assert waiting(queue) == [b"1", b"2"]


@pytest.mark.row("R30", "R24")
def test_history_that_leads_back_to_itself_ends(domain: Domain) -> None:
    """Two histories bound in a circle: each message is handed on once for each binding."""
    one, other = (domain.vhost.declare_exchange(name, KIND) for name in ("one", "other"))
    queue = domain.vhost.declare_queue(None, "q")
    domain.vhost.bind(other, queue, "", {})
    domain.vhost.bind(other, one, "", {})
    sent(one, 1, 2)
    domain.vhost.bind(one, other, "", {})
    assert waiting(queue) == [b"2", b"1"]
    assert [past.message.body for past in one.history or ()] == [b"1", b"2", b"2", b"1"]
    assert [past.message.body for past in other.history or ()] == [b"2", b"1"]


@pytest.mark.row("R30")
def test_exchanges_of_other_kinds_remember_nothing(domain: Domain) -> None:
    source = domain.vhost.declare_exchange("x", "fanout", arguments={"x-recent-history-length": 5})
    assert source.history is None
    assert source.resolve(("k",)).histories == ()


def test_what_is_remembered_counts_as_memory_until_it_is_forgotten(domain: Domain) -> None:
    source = domain.vhost.declare_exchange("x", KIND, arguments={"x-recent-history-length": 2})
    changes = domain.core.changes
    sent(source, 1)
    one = changes.resident_bytes
    assert one > MESSAGE_BYTES
    sent(source, 2, 3)
    assert changes.resident_bytes == 2 * one, "the oldest is forgotten"
    domain.vhost.delete_exchange("x")
    assert changes.resident_bytes == 0
