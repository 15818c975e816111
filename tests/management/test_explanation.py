"""Why is it stuck (I8): each reason is made with a real client and found, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker
from tests.management.http import Client


@pytest.fixture
def connection(broker: Broker) -> Iterator[pika.BlockingConnection]:
    parameters = pika.URLParameters(broker.amqp_url)
    parameters.client_properties = {"connection_name": "worker-3"}
    connection = pika.BlockingConnection(parameters)
    yield connection
    connection.close()


def findings(api: Client, queue: str = "q") -> dict[str, str]:
    """Code → text."""
    return {one["code"]: one["text"] for one in api.get(f"queues/%2F/{queue}/explain")["findings"]}


def test_nobody_consumes(api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    assert findings(api) == {}
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"x")
    assert api.get("queues/%2F/q/explain")["summary"] == "1 ready; 0 unacknowledged; no consumer"
    assert findings(api)["no-consumer"].startswith("nobody consumes; it was used last 00:00:")


def test_prefetch_is_used_up(api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=2)
    got: list[Any] = []
    channel.basic_consume("q", lambda *message: got.append(message), consumer_tag="c")
    for _ in range(5):
        channel.basic_publish("", "q", b"x")
    while len(got) < 2:
        connection.process_data_events(0.1)
    found = findings(api)
    assert found["prefetch-full"].startswith("consumer c (client 'worker-3' (")
    assert found["prefetch-full"].endswith("has its prefetch of 2 in hand")
    assert "oldest unacknowledged: tag 1 of consumer c" in found["oldest-unacknowledged"]
    channel.basic_ack(2, multiple=True)
    while len(got) < 4:
        connection.process_data_events(0.1)
    channel.basic_ack(0, multiple=True)
    while len(got) < 5:
        connection.process_data_events(0.1)
    assert findings(api)["working"].endswith("has 1 of 2 in hand")


def test_full_queue_and_missing_dead_letter_exchange(
    api: Client, connection: pika.BlockingConnection
) -> None:
    channel = connection.channel()
    channel.queue_declare("q", arguments={"x-max-length": 1, "x-dead-letter-exchange": "none"})
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"x")
    found = findings(api)
    assert found["full"] == "it is full: the oldest are dropped"
    assert (
        found["no-dead-letter-exchange"]
        == "its dead-letter exchange 'none' does not exist: dead letters are lost"
    )


def test_single_active_consumer_and_expiry(api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.queue_declare("q", arguments={"x-single-active-consumer": True})
    for tag in ("a", "b", "c"):
        channel.basic_consume("q", lambda *_: None, consumer_tag=tag)
    assert findings(api)["single-active"] == "a single consumer is active; 2 stand by"
    channel.queue_declare("e", arguments={"x-expires": 3_600_000})
    assert findings(api, "e")["expires"].startswith("it will be deleted in 0")


def test_alarm_blocks_publishers(api: Client, broker: Broker) -> None:
    api.request("PUT", "queues/%2F/q", {})
    broker.call(lambda server: server.core.set_alarm("memory", True))
    assert findings(api)["alarm"] == "publishers are blocked: the broker is low on memory"


def test_missing_queue(api: Client) -> None:
    assert api.request("GET", "queues/%2F/none/explain").status == 404
