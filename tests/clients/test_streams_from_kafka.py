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
