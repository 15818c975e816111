"""How long records stay, what an acknowledgement is worth, and what every answer has in common."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.protocols.kafka.api import SERVED
from pillarbox.protocols.kafka.messages import APIS
from pillarbox.store.batch import Record, encode_records
from tests.protocols.kafka.asking import Asking

EARLIEST, LATEST = -2, -1
SASL_HANDSHAKE, WRITE_TXN_MARKERS, SASL_AUTHENTICATE, DESCRIBE_QUORUM = 17, 27, 36, 55
WITHOUT_THROTTLE = {SASL_HANDSHAKE, WRITE_TXN_MARKERS, SASL_AUTHENTICATE, DESCRIBE_QUORUM}
"""Kafka has no such field there."""


def make(client: Asking, name: str, **configs: str) -> None:
    entries = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    wanted = {"name": name, "num_partitions": 1, "replication_factor": -1, "configs": entries}
    (made,) = client.ask("CreateTopics", 7, topics=[wanted]).topics
    assert made.error_code.value == 0, made.error_message


def fill(client: Asking, name: str, count: int, moment_ms: int, size: int = 10) -> None:
    """Put batches of one record into the topic."""
    for _ in range(count):
        batch = b"".join(encode_records([Record(0, moment_ms, b"k", b"x" * size, [])]).chunks)
        topics = [{"name": name, "partition_data": [{"index": 0, "records": batch}]}]
        answered = client.ask("Produce", 9, acks=-1, timeout=1000, topic_data=topics)
        assert answered.responses[0].partition_responses[0].error_code.value == 0


def span(client: Asking, name: str) -> tuple[int, int]:
    """The first offset and the one after the last."""

    def ask(timestamp: int) -> int:
        partitions = [{"partition_index": 0, "timestamp": timestamp, "current_leader_epoch": -1}]
        topics = [{"name": name, "partitions": partitions}]
        return int(client.ask("ListOffsets", 7, replica_id=-1, topics=topics).topics[0].partitions[0].offset)

    return ask(EARLIEST), ask(LATEST)


@pytest.mark.row("K33")
def test_records_go_when_they_are_too_old_and_not_before() -> None:
    clock = ManualClock()
    with Broker(kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "short", retention_ms="60000")
        make(client, "long")
        for name in ("short", "long"):
            fill(client, name, 3, clock.now_ms())
        broker.advance("50s")
        assert span(client, "short") == (0, 3)
        broker.advance("30s")
        assert span(client, "short") == (3, 3)
        assert span(client, "long") == (0, 3)


@pytest.mark.row("K33")
def test_the_oldest_segments_go_when_there_is_too_much() -> None:
    clock = ManualClock()
    with Broker(kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "small", retention_bytes="25000", internal_segment_bytes="10000")
        fill(client, "small", 50, clock.now_ms(), size=1000)
        broker.advance("15s")
        first, following = span(client, "small")
        assert following == 50
        # Whole segments of some nine records go, as long as what is left is not less than the limit.
        assert 50 - first in range(23, 34)


@pytest.mark.row("T15")
def test_a_topic_of_kafka_is_answered_when_written_and_a_stream_of_amqp_when_synced(tmp_path: Path) -> None:
    def syncs(server: Any, name: str) -> bool:
        (stream,) = server.core.vhosts["/"].topics.get(name).partitions
        return bool(stream.log.options.syncs_each_write)

    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "usual")
        make(client, "careful", flush_messages="1")
        stream = {"x-queue-type": "stream"}
        broker.call(
            lambda server: server.core.vhosts["/"].declare_queue(None, "amqp", durable=True, arguments=stream)
        )
        found = [
            broker.call(lambda server, name=name: syncs(server, name))
            for name in ("usual", "careful", "amqp")
        ]
    assert found == [False, True, True]


@pytest.mark.row("K18")
@pytest.mark.parametrize("key", sorted(SERVED - WITHOUT_THROTTLE))
def test_every_answer_says_that_nobody_is_slowed_down(key: int) -> None:
    module = import_module(f"pillarbox.protocols.kafka.messages.{APIS[key].module}")
    response = getattr(module, f"{APIS[key].name}Response")()
    assert response.throttle_time_ms == 0
