"""Kafka's side in metrics (K76): the names of kafka_exporter that its dashboard reads, and Kafka's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from pillarbox import Broker
from tests.prometheus.test_metrics import fetch, metrics, one

pytestmark = pytest.mark.row("K76")
TIMEOUT_S = 20

EXPORTER = {
    "kafka_brokers": set(),
    "kafka_broker_info": {"id", "address"},
    "kafka_topic_partitions": {"topic"},
    "kafka_topic_partition_current_offset": {"topic", "partition"},
    "kafka_topic_partition_oldest_offset": {"topic", "partition"},
    "kafka_topic_partition_in_sync_replica": {"topic", "partition"},
    "kafka_topic_partition_leader": {"topic", "partition"},
    "kafka_topic_partition_leader_is_preferred": {"topic", "partition"},
    "kafka_topic_partition_replicas": {"topic", "partition"},
    "kafka_topic_partition_under_replicated_partition": {"topic", "partition"},
    "kafka_consumergroup_current_offset": {"consumergroup", "topic", "partition"},
    "kafka_consumergroup_current_offset_sum": {"consumergroup", "topic"},
    "kafka_consumergroup_lag": {"consumergroup", "topic", "partition"},
    "kafka_consumergroup_lag_sum": {"consumergroup", "topic"},
    "kafka_consumergroup_members": {"consumergroup"},
}
"""Metric → labels, from the table in kafka_exporter's README."""


@pytest.fixture
def broker() -> Iterator[Broker]:
    """Ten records in one of two partitions, of which a group has read four."""
    with Broker(prometheus_port=0, kafka_port=0) as broker:
        connect = {"bootstrap.servers": broker.kafka_bootstrap, "log_level": 0}
        admin = AdminClient(connect)
        admin.create_topics([NewTopic("orders", 2)])["orders"].result(TIMEOUT_S)
        producer = Producer(connect)
        for _ in range(10):
            producer.produce("orders", b"x" * 100, partition=0)
        producer.flush(TIMEOUT_S)
        settings = {"group.id": "billing", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = Consumer({**connect, **settings})
        consumer.subscribe(["orders"])
        for _ in range(4):
            message = consumer.poll(TIMEOUT_S)
        assert message is not None
        consumer.commit(message, asynchronous=False)
        yield broker
        consumer.close()


@pytest.mark.parametrize("path", ["/metrics/kafka", "/metrics/per-object"])
def test_names_labels_and_values_are_those_of_kafka_exporter(broker: Broker, path: str) -> None:
    found = metrics(broker, path)
    for name, labels in EXPORTER.items():
        assert {frozenset(has) for has, _ in found[name]} == {frozenset(labels)}, name
    first, second = ({"topic": "orders", "partition": number} for number in "01")
    group = {"consumergroup": "billing"}
    assert one(found, "kafka_brokers") == 1
    assert one(found, "kafka_topic_partitions", topic="orders") == 2
    assert one(found, "kafka_topic_partition_current_offset", **first) == 10
    assert one(found, "kafka_topic_partition_current_offset", **second) == 0
    assert one(found, "kafka_topic_partition_under_replicated_partition", **first) == 0
    assert one(found, "kafka_consumergroup_members", **group) == 1
    assert one(found, "kafka_consumergroup_current_offset", **group, **first) == 4
    assert one(found, "kafka_consumergroup_lag", **group, **first) == 6
    assert one(found, "kafka_consumergroup_lag", **group, **second) == -1, "not known"
    assert one(found, "kafka_consumergroup_lag_sum", **group, topic="orders") == 6
    assert one(found, "kafka_consumergroup_current_offset_sum", **group, topic="orders") == 4


def test_what_brokers_count_has_a_topic_or_stands_for_all(broker: Broker) -> None:
    found = metrics(broker, "/metrics/kafka")
    server = "kafka_server_brokertopicmetrics_"
    for labels in ({}, {"topic": "orders"}):
        assert one(found, f"{server}messagesin_total", **labels) == 10
        assert one(found, f"{server}bytesin_total", **labels) > 1_000
        assert one(found, f"{server}bytesout_total", **labels) > 0
        assert one(found, f"{server}totalproducerequests_total", **labels) >= 1
        assert one(found, f"{server}totalfetchrequests_total", **labels) >= 1


def test_totals_name_no_topic_and_no_group(broker: Broker) -> None:
    found = metrics(broker)
    assert one(found, "kafka_brokers") == 1
    assert one(found, "kafka_server_brokertopicmetrics_messagesin_total") == 10
    assert not {"kafka_topic_partitions", "kafka_consumergroup_lag"} & set(found)


def test_where_kafka_is_off_there_is_none_of_it() -> None:
    with Broker(prometheus_port=0) as broker:
        assert fetch(broker, "/metrics/kafka")[0] == 404
        assert not [name for name in metrics(broker, "/metrics/per-object") if name.startswith("kafka_")]


def test_totals_load_nothing_that_nobody_uses() -> None:
    with Broker(prometheus_port=0, kafka_port=0) as broker:
        assert "kafka_brokers" not in metrics(broker)
        assert not broker.call(lambda server: server.spoken["kafka"].is_loaded)
