"""Moments that random steps meet seldom, with real connections and a disk that answers when told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "broker"))

from broker_tools import Domain, demand_counts, message

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.testing.simulated_client import Client, ClientChannel, Subscription
from pillarbox.testing.simulated_queues import SimulatedQueue

sys.path.pop(0)


class Events(list[tuple[Any, ...]]):
    """A listener that writes everything down."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)

        def note(client: Client, *arguments: Any) -> None:
            shown = [one for one in arguments if not isinstance(one, ClientChannel | Subscription)]
            self.append((client.name, name, *shown))

        return note


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def connect(domain: Domain, events: Events, name: str) -> tuple[Client, ClientChannel]:
    client = Client(domain.core, events, name=name, split=whole, on_output=lambda client: None)
    channel = client.channels[1] = ClientChannel(1)
    client.send_method(1, m.CHANNEL_OPEN, "")
    client.read()
    channel.answers.clear()
    return client, channel


def cold_domain() -> Domain:
    """A broker that has just started: its one message is still on disk."""
    domain = Domain()
    domain.publish([domain.vhost.declare_queue(None, "q", durable=True)], [message("1.")])
    domain.tick()
    domain.restart()
    return domain


@pytest.mark.row("R67")
def test_waiting_get_is_refused_when_its_queue_is_deleted_by_another() -> None:
    """The one that deletes gets its answer; the one that waited is told that there is no such queue."""
    domain, events = cold_domain(), Events()
    waiter, _ = connect(domain, events, "waiter")
    deleter, channel = connect(domain, events, "deleter")
    waiter.send_method(1, m.BASIC_GET, 0, "q", False)
    deleter.send_method(1, m.QUEUE_DELETE, 0, "q", False, False, False)
    for client in (waiter, deleter):
        client.read()
    assert events == [("waiter", "on_channel_close", 404, "NOT_FOUND - no queue 'q' in vhost '/'")]
    assert channel.take_answer(m.QUEUE_DELETE_OK) == (1,)
    domain.run()
    assert domain.core.changes.resident_bytes == 0


@pytest.mark.row("R67")
def test_waiting_get_is_empty_when_the_queue_is_purged_meanwhile() -> None:
    domain, events = cold_domain(), Events()
    waiter, _ = connect(domain, events, "waiter")
    other, channel = connect(domain, events, "other")
    waiter.send_method(1, m.BASIC_GET, 0, "q", False)
    domain.tick()
    other.send_method(1, m.QUEUE_PURGE, 0, "q", False)
    other.read()
    assert channel.take_answer(m.QUEUE_PURGE_OK) == (1,)
    domain.run()
    waiter.read()
    assert events == [("waiter", "on_get_empty")]
    demand_counts(domain.queue("q"))


@pytest.mark.row("R67")
def test_what_follows_a_waiting_get_keeps_its_order() -> None:
    """Frames behind it are not acted on before it is answered."""
    domain, events = cold_domain(), Events()
    client, channel = connect(domain, events, "client")
    client.send_method(1, m.BASIC_GET, 0, "q", False)
    client.send_method(1, m.BASIC_ACK, 1, False)
    client.send_method(1, m.BASIC_GET, 0, "q", False)
    client.send_method(1, m.QUEUE_DECLARE, 0, "q", True, False, False, False, False, {})
    client.read()
    assert events == []
    domain.run()
    client.read()
    assert [event[1] for event in events] == ["on_get_ok", "on_get_empty"]
    assert channel.take_answer(m.QUEUE_DECLARE_OK) == ("q", 0, 0)
    assert domain.queue("q").unacked_count == 0


@pytest.mark.row("R64", "R67")
def test_consumer_whose_channel_waits_for_the_deleted_queue_hears_cancel_before_the_close() -> None:
    """After channel.close nothing more is said on a channel."""
    domain, events = cold_domain(), Events()
    waiter, waiting = connect(domain, events, "waiter")
    deleter, _ = connect(domain, events, "deleter")
    waiter.send_method(1, m.BASIC_CONSUME, 0, "q", "tag", False, False, False, False, {})
    queue = SimulatedQueue("q", 0, 0, durable=True)
    waiting.subscriptions["tag"] = Subscription(queue, no_ack=False, prefetch=0)
    waiter.send_method(1, m.BASIC_GET, 0, "q", False)
    deleter.send_method(1, m.QUEUE_DELETE, 0, "q", False, False, False)
    waiter.read()
    assert [event[1] for event in events] == ["on_cancel", "on_channel_close"]


def test_unreadable_message_closes_the_connection_that_asked_for_it() -> None:
    """Loudly, and nobody else's: 541, with the reason."""
    domain, events = cold_domain(), Events()
    waiter, _ = connect(domain, events, "waiter")
    other, channel = connect(domain, events, "other")
    waiter.send_method(1, m.BASIC_GET, 0, "q", False)
    domain.tick()
    domain.journal.answer_load(unreadable=True)
    waiter.read()
    assert events == [
        ("waiter", "on_connection_close", 541, "INTERNAL_ERROR - messages of queue 'q' cannot be read")
    ]
    other.send_method(1, m.QUEUE_DECLARE, 0, "q", True, False, False, False, False, {})
    other.read()
    assert channel.take_answer(m.QUEUE_DECLARE_OK) == ("q", 1, 0)
