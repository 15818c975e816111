"""Policies as clients feel them, set while they are at work (R95, R96)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker, ManualClock
from pillarbox.errors import BrokerError


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(clock=ManualClock()) as running:
        yield running


@pytest.fixture
def channel(broker: Broker) -> Iterator[Any]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


def publish(channel: Any, queue: str, count: int) -> None:
    for number in range(count):
        channel.basic_publish("", queue, b"%d" % number)


def bodies(channel: Any, queue: str) -> list[bytes]:
    found = []
    while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
        found.append(body)
    return found


@pytest.mark.row("R95")
def test_lower_limit_drops_the_oldest_at_once(broker: Broker, channel: Any) -> None:
    channel.queue_declare("orders")
    publish(channel, "orders", 5)
    broker.set_policy("short", "^orders", {"max-length": 2}, apply_to="queues")
    assert bodies(channel, "orders") == [b"3", b"4"]


@pytest.mark.row("R95", "R47")
def test_publisher_feels_the_overflow_that_a_policy_sets(broker: Broker, channel: Any) -> None:
    broker.set_policy("full", "^orders", {"max-length": 1, "overflow": "reject-publish"})
    channel.queue_declare("orders")
    publish(channel, "orders", 1)
    with pytest.raises(pika.exceptions.NackError):
        publish(channel, "orders", 1)
    assert broker.clear_policy("full")
    publish(channel, "orders", 1)
    assert channel.queue_declare("orders", passive=True).method.message_count == 2


@pytest.mark.row("R95", "R44", "R48")
def test_expired_messages_go_where_the_policy_says(broker: Broker, channel: Any) -> None:
    channel.queue_declare("orders")
    channel.queue_declare("late")
    definition = {"message-ttl": 1000, "dead-letter-exchange": "", "dead-letter-routing-key": "late"}
    broker.set_policy("late", "^orders$", definition)
    publish(channel, "orders", 1)
    broker.advance(1001)
    method, properties, body = channel.basic_get("late", auto_ack=True)
    assert (method.routing_key, body) == ("late", b"0")
    assert properties.headers["x-first-death-reason"] == "expired"


@pytest.mark.row("R95", "R44")
def test_time_to_live_of_a_policy_is_not_for_what_waits_already(tmp_path: Any) -> None:
    """R95: neither when it comes nor after a restart; and what came under it keeps it when it goes."""
    clock = ManualClock()
    with (
        Broker(str(tmp_path), clock=clock) as broker,
        pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection,
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        for name in ("old", "new"):
            channel.queue_declare(name, durable=True)
        channel.basic_publish("", "old", b"stays", pika.BasicProperties(delivery_mode=2))
        broker.set_policy("short", "", {"message-ttl": 1000})
        channel.basic_publish("", "new", b"goes", pika.BasicProperties(delivery_mode=2))
        broker.clear_policy("short")
        channel.basic_publish("", "new", b"stays", pika.BasicProperties(delivery_mode=2))
        broker.set_policy("short", "", {"message-ttl": 1000})
    with Broker(str(tmp_path), clock=clock) as broker:
        broker.advance(1001)
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            channel = connection.channel()
            assert bodies(channel, "old") == bodies(channel, "new") == [b"stays"]


@pytest.mark.row("R96")
def test_operator_policy_bounds_what_arguments_and_policies_ask_for(broker: Broker, channel: Any) -> None:
    broker.set_policy("cap", "", {"max-length": 3}, operator=True)
    broker.set_policy("wish", "", {"max-length": 9})
    channel.queue_declare("a", arguments={"x-max-length": 7})
    channel.queue_declare("b", arguments={"x-max-length": 2})
    for name, count in (("a", 3), ("b", 2)):
        publish(channel, name, 5)
        assert len(bodies(channel, name)) == count


@pytest.mark.row("R95", "R25")
def test_unroutable_messages_take_the_alternate_of_the_policy(broker: Broker, channel: Any) -> None:
    channel.exchange_declare("events", "direct")
    channel.queue_declare("rest")
    channel.queue_bind("rest", "amq.fanout")
    broker.set_policy("rest", "^events$", {"alternate-exchange": "amq.fanout"}, apply_to="exchanges")
    channel.basic_publish("events", "nowhere", b"lost", mandatory=True)
    assert bodies(channel, "rest") == [b"lost"]


@pytest.mark.row("R95")
def test_policies_survive_a_restart(tmp_path: Any) -> None:
    with Broker(str(tmp_path)) as broker:
        broker.set_policy("short", "", {"max-length": 1})
    with Broker(str(tmp_path)) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q")
        publish(channel, "q", 3)
        assert bodies(channel, "q") == [b"2"]
        connection.close()


@pytest.mark.row("R95", "R96")
def test_invalid_policy_is_refused_and_changes_nothing(broker: Broker, channel: Any) -> None:
    with pytest.raises(BrokerError, match="0 is not a valid queue expiry"):
        broker.set_policy("p", "", {"expires": 0})
    with pytest.raises(BrokerError, match="are not recognised policy settings"):
        broker.set_policy("p", "", {"dead-letter-exchange": "x"}, operator=True)
    assert not broker.clear_policy("p")
