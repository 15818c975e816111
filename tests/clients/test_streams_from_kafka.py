"""Streams that Kafka's clients write and pika reads: one object, whatever the codec of the batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker

confluent_kafka = pytest.importorskip("confluent_kafka")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(kafka_port=0) as broker:
        yield broker


def read(broker: Broker, queue: str, count: int) -> list[tuple[int, bytes]]:
    """(offset, body) of the first so many messages."""
    found: list[tuple[int, bytes]] = []
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=100)
        consume: Any = channel.consume(queue, arguments={"x-stream-offset": "first"}, inactivity_timeout=10)
        for method, properties, body in consume:
            assert method is not None, f"{len(found)} of {count} messages came"
            channel.basic_ack(method.delivery_tag)
            found.append((properties.headers["x-stream-offset"], body))
            if len(found) == count:
                return found
    return found


@pytest.mark.row("R80", "K4")
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_pika_reads_what_confluent_kafka_compresses(broker: Broker, codec: str) -> None:
    name = f"from-kafka-{codec}"
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.kafka_bootstrap, "compression.type": codec, "linger.ms": 50}
    )
    bodies = [b"order %d " % n * 20 for n in range(300)]
    for body in bodies:
        producer.produce(name, body)
    assert producer.flush(20) == 0
    assert read(broker, name, 300) == list(enumerate(bodies))


@pytest.mark.row("K7")
def test_an_idempotent_producer_is_served_in_order(broker: Broker) -> None:
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.kafka_bootstrap, "enable.idempotence": True, "linger.ms": 0}
    )
    failures: list[object] = []

    def delivered(error: object, _: object) -> None:
        if error:
            failures.append(error)

    for n in range(500):
        producer.produce("idempotent", b"%d" % n, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(20) == 0
    assert failures == []
    assert read(broker, "idempotent", 500) == [(n, b"%d" % n) for n in range(500)]


@pytest.mark.row("R80", "K4")
def test_keys_and_headers_that_amqp_has_no_room_for_do_no_harm(broker: Broker) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.kafka_bootstrap})
    said = [("n" * 256, b"left out"), ("amqp.priority", b"999"), ("amqp.types", b'{"x":"I"}'), ("x", b"one")]
    for key in (b"k" * 300, "é".encode() * 200, b"\xff" * 100, b"short"):
        producer.produce("odd", b"body", key=key, headers=said)
    assert producer.flush(20) == 0
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)
        keys = []
        consume: Any = channel.consume("odd", arguments={"x-stream-offset": "first"}, inactivity_timeout=10)
        for method, properties, body in consume:
            assert method is not None, f"{len(keys)} messages came"
            assert body == b"body"
            assert properties.priority is None
            assert {name: value for name, value in properties.headers.items() if name[:2] != "x-"} == {
                "x": "one"
            }
            keys.append(method.routing_key)
            if len(keys) == 4:
                break
        channel.cancel()
    assert keys == ["k" * 255, "é" * 127, "\ufffd" * 85, "short"]
    assert broker.call(lambda server: server.core.failure) is None
