"""A stream and a topic of one name are one thing: AMQP and Kafka clients read what the others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from pillarbox import Broker

TIMEOUT_S = 10
STREAM = {"x-queue-type": "stream"}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(kafka_port=0) as running:
        yield running


@pytest.fixture
def channel(broker: Broker) -> Iterator[Any]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


def fetched(broker: Broker, topic: str, count: int, partition: int = 0) -> list[Message]:
    """The first records of a partition, by a Kafka consumer."""
    consumer = Consumer({"bootstrap.servers": broker.kafka_bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[Message] = consumer.consume(count, TIMEOUT_S)
    consumer.close()
    assert [message.error() for message in found] == [None] * count
    return found


def produced(broker: Broker, topic: str, **record: Any) -> None:
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap})
    producer.produce(topic, **record)
    assert producer.flush(TIMEOUT_S) == 0


def consumed(channel: Any, stream: str, count: int) -> list[tuple[Any, Any, bytes]]:
    """The first messages of a stream, by an AMQP consumer."""
    found = []
    channel.basic_qos(prefetch_count=count)
    for method, properties, body in channel.consume(
        stream, arguments={"x-stream-offset": "first"}, inactivity_timeout=TIMEOUT_S
    ):
        assert method is not None, "nothing came in time"
        channel.basic_ack(method.delivery_tag)
        found.append((method, properties, body))
        if len(found) == count:
            break
    channel.cancel()
    return found


@pytest.mark.row("R80")
def test_kafka_consumers_read_what_amqp_has_published_through_an_exchange(
    broker: Broker, channel: Any
) -> None:
    channel.queue_declare("readings", durable=True, arguments=STREAM)
    channel.queue_bind("readings", "amq.topic", "sensors.#")
    properties = pika.BasicProperties(
        content_type="text/plain", headers={"unit": "°C", "floor": 3, "none": None}
    )
    channel.basic_publish("amq.topic", "sensors.hall", b"21.5", properties)
    (record,) = fetched(broker, "readings", 1)
    assert (record.key(), record.value(), record.offset()) == (b"sensors.hall", b"21.5", 0)
    headers = dict(record.headers())
    assert headers == {
        "amqp.types": b'{"floor":"I"}',
        "unit": "°C".encode(),
        "floor": b"3",
        "none": None,
        "amqp.exchange": b"amq.topic",
        "amqp.content-type": b"text/plain",
    }


@pytest.mark.row("R80")
def test_amqp_consumers_read_what_kafka_has_produced(broker: Broker, channel: Any) -> None:
    produced(
        broker, "orders", key=b"k1", value=b"one", headers={"from": "shop", "raw": b"\xff", "none": None}
    )
    produced(broker, "orders", key=None, value=None)
    (method, properties, body), (second, more, empty) = consumed(channel, "orders", 2)
    assert (method.exchange, method.routing_key, body) == ("", "k1", b"one")
    assert properties.headers == {"from": "shop", "raw": b"\xff", "none": None, "x-stream-offset": 0}
    assert (second.routing_key, more.headers, empty) == ("", {"x-stream-offset": 1}, b"")


@pytest.mark.row("R80")
@pytest.mark.parametrize(
    ("key", "headers", "routing_key", "seen"),
    [
        (b"k" * 300, {}, "k" * 255, {}),
        (b"\xff" * 100, {}, "\ufffd" * 85, {}),
        (b"k", {"n" * 256: "v", "n" * 255: "v"}, "k", {"n" * 255: "v"}),
        (b"k", {"amqp.priority": "256", "amqp.timestamp": "9" * 30}, "k", {}),
        (b"k", {"h": "seven", "amqp.types": '{"h":"I"}'}, "k", {"h": "seven"}),
        (b"k", {"h": "9" * 20, "amqp.types": '{"h":"l"}'}, "k", {"h": "9" * 20}),
        (b"k", {"h": "nan", "amqp.types": '{"h":"d"}'}, "k", {"h": "nan"}),
        (b"k", {"h": b"\0\0", "amqp.types": '{"h":"*"}'}, "k", {"h": "\0\0"}),
    ],
    ids=["long key", "binary key", "long name", "numbers", "no number", "large", "nan", "no table"],
)
def test_amqp_consumers_read_what_amqp_could_not_have_said(
    broker: Broker,
    channel: Any,
    key: bytes,
    headers: dict[str, Any],
    routing_key: str,
    seen: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    """Keys and names that are too long for AMQP, numbers that it has no room for, types that are not true."""
    topic = f"others-{request.node.callspec.id.replace(' ', '-')}"
    produced(broker, topic, key=key, value=b"one", headers=headers)
    ((method, properties, body),) = consumed(channel, topic, 1)
    assert (method.routing_key, body) == (routing_key, b"one")
    assert properties.headers == {**seen, "x-stream-offset": 0}
    assert (properties.priority, properties.timestamp) == (None, None)


@pytest.mark.row("R84")
def test_a_super_stream_is_a_topic_with_its_partitions(broker: Broker, channel: Any) -> None:
    broker.add_super_stream("invoices", 3)
    channel.basic_publish("invoices", "2", b"to the last")
    (record,) = fetched(broker, "invoices", 1, partition=2)
    assert record.value() == b"to the last"
    produced(broker, "invoices", partition=1, value=b"to the middle")
    ((_, properties, body),) = consumed(channel, "invoices-1", 1)
    assert (body, properties.headers) == (b"to the middle", {"x-stream-offset": 0})


def test_what_amqp_types_survives_the_way_through_the_log(broker: Broker, channel: Any) -> None:
    channel.queue_declare("typed", durable=True, arguments=STREAM)
    headers = {"whole": 5, "truth": True, "list": [1, "two"], "table": {"deep": 7}, "amqp.own": "mine"}
    channel.basic_publish("", "typed", b"x", pika.BasicProperties(headers=headers, priority=3))
    ((_, properties, _),) = consumed(channel, "typed", 1)
    assert properties.headers == {**headers, "x-stream-offset": 0}
    assert properties.priority == 3


def test_a_topic_that_is_deleted_by_amqp_is_gone_for_kafka(broker: Broker, channel: Any) -> None:
    produced(broker, "short", value=b"x")
    channel.queue_delete("short")
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap, "allow.auto.create.topics": False})
    assert "short" not in producer.list_topics(timeout=TIMEOUT_S).topics
