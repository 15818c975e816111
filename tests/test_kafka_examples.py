"""examples/kafka/: every program runs as a process of its own against the broker, unchanged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox import Broker
from tests.registry.needs import CLIENTS, REGISTRY

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "kafka"
WAIT_S = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(kafka_port=0) as running:
        yield running


def started(broker: Broker, name: str, *arguments: str) -> subprocess.Popen[str]:
    addresses = {"KAFKA_BOOTSTRAP": broker.kafka_bootstrap}
    if "schema-registry" in broker.server.operator_addresses:
        addresses["SCHEMA_REGISTRY_URL"] = broker.schema_registry_url
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | addresses,
    )


def ran(broker: Broker, name: str, *arguments: str) -> list[str]:
    """What a program prints that ends by itself, and well, but for what librdkafka logs."""
    process = started(broker, name, *arguments)
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, output
    return [line for line in output.splitlines() if not line.startswith("%")]


def test_orders_are_produced_shipped_by_a_group_and_invoiced_once(broker: Broker) -> None:
    assert ran(broker, "produce.py", "3") == [f"order {n} is number {n} of partition 0" for n in range(3)]
    consumer = started(broker, "consume.py")
    assert consumer.stdout is not None
    lines = [consumer.stdout.readline().rstrip("\n") for _ in range(4)]
    assert lines == ["waiting for orders", *(f"shipping order {number}" for number in range(3))]
    consumer.send_signal(signal.SIGINT)
    output, _ = consumer.communicate(timeout=WAIT_S)
    assert (output, consumer.returncode) == ("stopped\n", 0)
    assert ran(broker, "transfer.py") == ["3 invoices written", "no more orders"]
    assert ran(broker, "transfer.py") == ["no more orders"]


def test_a_topic_is_made_once_and_shown(broker: Broker) -> None:
    shown = "3 partitions, retention.ms=86400000"
    assert ran(broker, "topics.py", "payments") == ["made payments", shown]
    assert ran(broker, "topics.py", "payments") == ["payments is there already", shown]


@REGISTRY
@CLIENTS
@pytest.mark.row("K79")
def test_orders_in_avro_are_read_by_the_schema_they_were_written_with() -> None:
    with Broker(kafka_port=0, schema_registry_port=0) as broker:
        found = ran(broker, "avro.py", "2")
    assert found == ["order 0: tea", "order 1: tea", "schema 1 of avro-orders-value"]
