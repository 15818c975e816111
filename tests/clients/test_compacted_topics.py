"""Compacted topics through confluent-kafka: what a consumer finds after a pass, and after a restart."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker

confluent_kafka = pytest.importorskip("confluent_kafka")
admin = pytest.importorskip("confluent_kafka.admin")

CONFIG = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "20000",
    "min.cleanable.dirty.ratio": "0.0",
    "compression.type": "producer",
}


def produce(broker: Broker, topic: str, pairs: list[tuple[bytes, bytes | None]], codec: str) -> None:
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.kafka_bootstrap, "compression.type": codec, "batch.size": 4000}
    )
    for key, value in pairs:
        producer.produce(topic, value, key)
    assert producer.flush(20) == 0


def consume(broker: Broker, topic: str) -> list[tuple[int, bytes, bytes | None]]:
    """(offset, key, value) of all that a consumer finds from the beginning on."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.kafka_bootstrap, "group.id": "readers", "enable.partition.eof": True}
    )
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
        found = []
        while True:
            message: Any = consumer.poll(10)
            assert message is not None, f"no end after {len(found)} records"
            if message.error():
                assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF
                return found
            found.append((message.offset(), message.key(), message.value()))
    finally:
        consumer.close()


@pytest.mark.row("K34", "K17")
@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_a_consumer_finds_the_last_record_of_each_key(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Clients wait by the real clock, so it is the broker that looks more often whether a pass is due.
    monkeypatch.setattr("pillarbox.broker.streams.HOUSEKEEPING_MS", 50)
    pairs: list[tuple[bytes, bytes | None]] = [
        (b"key %d" % (n % 7), b"value %d" % n * 20) for n in range(2000)
    ]
    pairs += [(b"key 0", None), (b"filler", random.Random(1).randbytes(30_000))]
    last = {key: (offset, key, value) for offset, (key, value) in enumerate(pairs)}
    with Broker(tmp_path, kafka_port=0) as broker:
        topics = admin.AdminClient({"bootstrap.servers": broker.kafka_bootstrap})
        topics.create_topics([admin.NewTopic("prices", 1, 1, config=CONFIG)])["prices"].result(10)
        produce(broker, "prices", pairs, codec)
        deadline = time.monotonic() + 30
        while len(found := consume(broker, "prices")) > 200:
            assert time.monotonic() < deadline, f"{len(found)} records are left"
        assert {key: (offset, key, value) for offset, key, value in found} == last
        assert found == sorted(found)
    with Broker(tmp_path, kafka_port=0) as broker:
        assert {key: (offset, key, value) for offset, key, value in consume(broker, "prices")} == last
