"""Metrics under ActiveMQ's names (A84): of jmx_exporter's example, of its plain form, and of Artemis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.exchange import ANYCAST
from tests.messaging.scene import deaths, scene
from tests.prometheus.test_metrics import metrics, one

pytestmark = pytest.mark.row("A84")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with scene(prometheus_port=0) as running:
        yield running


def test_names_of_the_exporters_example(broker: Broker) -> None:
    """`example_configs/activemq.yml`: what dashboards of ActiveMQ read."""
    found = metrics(broker, "/metrics/activemq")
    orders, news = {"destination": "orders"}, {"destination": "news.sport"}
    assert one(found, "activemq_queue_queue_size", **orders) == 3
    assert one(found, "activemq_queue_in_flight_count", **orders) == 1
    assert one(found, "activemq_queue_consumer_count", **orders) == 1
    assert one(found, "activemq_queue_enqueue_count", **orders) == 3
    assert one(found, "activemq_queue_dispatch_count", **orders) == 1
    assert one(found, "activemq_topic_enqueue_count", **news) == 2
    assert one(found, "activemq_topic_consumer_count", **news) == 3
    assert one(found, "activemq_connections") == 4
    assert one(found, "activemq_message_total") == 3
    assert 0 <= one(found, "activemq_memory_usage_ratio") <= 1
    shown = {has["destination"] for has, _ in found["activemq_queue_queue_size"]}
    assert shown == {"orders", "ActiveMQ.DLQ"}


def test_names_with_the_kind_of_the_bean(broker: Broker) -> None:
    found = metrics(broker, "/metrics/activemq")
    orders = {"brokerName": "localhost", "destinationName": "orders"}
    assert one(found, "org_apache_activemq_Queue_QueueSize", **orders) == 3
    assert one(found, "org_apache_activemq_Queue_EnqueueCount", **orders) == 3
    topic = {"brokerName": "localhost", "destinationName": "news.sport"}
    assert one(found, "org_apache_activemq_Topic_DequeueCount", **topic) == 4
    assert one(found, "org_apache_activemq_Broker_TotalMessageCount", brokerName="localhost") == 3


def test_what_nobody_knows_is_left_out(broker: Broker) -> None:
    """A session with two filters does not say by which a message came."""
    found = metrics(broker, "/metrics/activemq")
    shown = {has["destination"] for has, _ in found["activemq_topic_enqueue_count"]}
    assert shown == {"news.sport"}
    assert one(found, "activemq_topic_consumer_count", destination="plant.>") == 1


def test_names_of_artemis(broker: Broker) -> None:
    found = metrics(broker, "/metrics/artemis")
    at = {"broker": "0.0.0.0"}
    orders = {**at, "address": "orders", "queue": "orders"}
    billing = {**at, "address": "news.sport", "queue": "billing.all"}
    assert one(found, "artemis_message_count", **orders) == 3
    assert one(found, "artemis_delivering_message_count", **orders) == 1
    assert one(found, "artemis_messages_added", **orders) == 3
    assert one(found, "artemis_messages_acknowledged", **orders) == 0
    assert one(found, "artemis_persistent_size", **orders) == 6
    assert one(found, "artemis_consumer_count", **billing) == 0
    assert one(found, "artemis_message_count", **billing) == 2
    assert one(found, "artemis_routed_message_count", **at, address="news.sport") == 2
    assert one(found, "artemis_connection_count", **at) == 4
    assert one(found, "artemis_address_memory_usage", **at) > 0
    sessions = [has for has, _ in found["artemis_message_count"] if "sensor 1" in has["queue"]]
    assert len(sessions) == 1, "once, whatever it is subscribed to"


def test_what_died_and_what_waits_for_its_time(broker: Broker) -> None:
    """What a sender has scheduled is told of its queue; of topics, at the schedule."""
    deaths(broker)
    found = metrics(broker, "/metrics/activemq")
    assert one(found, "activemq_queue_expired_count", destination="short") == 1
    short = {"brokerName": "localhost", "destinationName": "short"}
    assert one(found, "org_apache_activemq_Queue_ExpiredCount", **short) == 1
    news = {"brokerName": "localhost", "destinationName": "news.sport"}
    assert one(found, "org_apache_activemq_Topic_ExpiredCount", **news) == 0
    scheduler = {"brokerName": "localhost", "service": "JobScheduler", "name": "JMS"}
    assert found["org_apache_activemq_Broker_ScheduledMessageCount"] == [(scheduler, 3)]
    found = metrics(broker, "/metrics/artemis")
    at = {"broker": "0.0.0.0"}
    short, patient = ({**at, "address": name, "queue": name} for name in ("short", "patient"))
    for name, counts in (
        ("artemis_message_count", (0, 1)),
        ("artemis_messages_expired", (1, 0)),
        ("artemis_messages_killed", (1, 0)),
        ("artemis_scheduled_message_count", (0, 2)),
    ):
        assert (one(found, name, **short), one(found, name, **patient)) == counts
    waiting = {has["address"]: value for has, value in found["artemis_scheduled_message_count"]}
    assert (waiting["gone"], waiting["pillarbox.scheduled.topic"]) == (1, 1)
    assert one(found, "artemis_address_size", **at, address="orders") == 6


def test_queues_of_an_address_are_counted_there(broker: Broker) -> None:
    def share(server: Any) -> None:
        vhost = server.core.vhosts["/"]
        exchange = vhost.declare_exchange(ANYCAST, "x-anycast", durable=True)
        for number in (1, 2):
            vhost.bind(exchange, vhost.declare_queue(None, f"orders.{number}"), "orders", {})
            vhost.queues[f"orders.{number}"].counters.publish = number

    broker.call(share)
    found = metrics(broker, "/metrics/artemis")
    at = {"broker": "0.0.0.0", "address": "orders"}
    assert one(found, "artemis_messages_added", **at, queue="orders.2") == 2
    assert one(found, "artemis_routed_message_count", **at) == 6


def test_nothing_is_loaded_until_somebody_asks() -> None:
    with Broker(prometheus_port=0) as broker:
        metrics(broker)
        assert metrics(broker, "/metrics/artemis")["artemis_connection_count"] == [
            ({"broker": "0.0.0.0"}, 0.0)
        ]
