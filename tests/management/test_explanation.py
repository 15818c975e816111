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


def consume(channel: Any, queue: str, count: int, **arguments: Any) -> list[Any]:
    """Consume until so many have come; return their delivery tags."""
    tags: list[Any] = []
    channel.basic_consume(
        queue, lambda _, method, *__: tags.append(method.delivery_tag), consumer_tag="c", **arguments
    )
    while len(tags) < count:
        channel.connection.process_data_events(0.1)
    return tags


def test_prefetch_of_the_whole_channel_is_used_up(api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=2, global_qos=True)
    for _ in range(3):
        channel.basic_publish("", "q", b"x")
    consume(channel, "q", 2)
    found = findings(api)["channel-prefetch-full"]
    assert found.startswith("consumer c (client 'worker-3' (")
    assert found.endswith("its channel's prefetch of 2 is used up")


def test_held_until_the_retry_is_due(api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    arguments = {"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 60_000}
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.basic_publish("", "q", b"x")
    (tag,) = consume(channel, "q", 1)
    channel.basic_nack(tag)
    channel.queue_declare("q", passive=True)
    assert findings(api)["delayed-retry"] == "came back and held until the retry is due: 1"
    assert api.get("queues/%2F/q/explain")["summary"].startswith("0 ready; 0 unacknowledged; 1 held back")


def test_delayed_messages_wait_in_their_exchange(api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    channel.exchange_declare("later", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    channel.queue_bind("q", "later")
    assert "delayed-messages" not in findings(api)
    channel.confirm_delivery()
    channel.basic_publish("later", "", b"x", pika.BasicProperties(headers={"x-delay": 60_000}))
    text = "exchange 'later', which is bound to it, holds delayed messages: 1"
    assert findings(api)["delayed-messages"] == text


def test_dead_letters_that_no_queue_takes(api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    arguments = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "none",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.basic_publish("", "q", b"x")
    (tag,) = consume(channel, "q", 1)
    channel.basic_reject(tag, requeue=False)
    channel.queue_declare("q", passive=True)
    found = findings(api)
    assert found["undelivered-dead-letters"].startswith("dead letters that no queue takes: 1;")
    assert found["no-dead-letter-exchange"].endswith("does not exist: dead letters are kept")


def test_streams_tell_how_far_readers_are(api: Client, connection: pika.BlockingConnection) -> None:
    """Messages that nobody reads are no problem there, and what was read stays."""
    channel = connection.channel()
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "stream"})
    channel.confirm_delivery()
    for _ in range(5):
        channel.basic_publish("", "q", b"x")
    found = findings(api)
    assert found["no-reader"].startswith("nobody reads it; it was used last 00:00:")
    assert "no-consumer" not in found
    channel.basic_qos(prefetch_count=2)
    tags = consume(channel, "q", 2, arguments={"x-stream-offset": "first"})
    found = findings(api)
    assert found["reader-behind"].startswith("consumer c (client 'worker-3' (")
    assert found["reader-behind"].endswith("is 3 behind the end")
    assert found["prefetch-full"].endswith("has its prefetch of 2 in hand")
    answered = 0
    while len(tags) < 5:
        if tags[-1] > answered:
            answered = tags[-1]
            channel.basic_ack(answered, multiple=True)
        connection.process_data_events(0.1)
    assert "reader-behind" not in findings(api)


def test_missing_queue(api: Client) -> None:
    assert api.request("GET", "queues/%2F/none/explain").status == 404
