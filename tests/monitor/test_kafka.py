"""`pillarbox monitor`: topics and groups."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from pillarbox import Broker
from pillarbox.ops.api_client import ApiClient
from pillarbox.ops.monitor.screen import Monitor
from pillarbox.ops.monitor.source import take
from tests.monitor.tools import monitor, on_screen

pytestmark = pytest.mark.row("R122")


@pytest.fixture
def kafka() -> Iterator[Broker]:
    """A topic with ten records in one of two partitions; `billing` has read four, `audit` nothing."""
    with Broker(management_port=0, kafka_port=0) as broker, ApiClient(broker.management_url) as api:
        api.call("PUT", "/kafka/topics/orders", {"partitions": 2})
        producer = Producer({"bootstrap.servers": broker.kafka_bootstrap})
        for _ in range(10):
            producer.produce("orders", b"x" * 100, partition=0)
        producer.flush(20)
        for group, offset in (("billing", 4), ("audit", 0)):
            body = {"topic": "orders", "to": "offset", "offset": offset}
            api.call("PUT", f"/kafka/groups/{group}/offsets", body)
        yield broker


@pytest.mark.row("K57", "K76")
def test_topics_and_groups_with_their_lag(kafka: Broker) -> None:
    url = kafka.management_url
    topics = monitor("--url", url, "--topics", "--once").stdout
    assert "Kafka 4.2" in topics.splitlines()[0]
    assert "2 groups" in topics.splitlines()[0]
    assert re.search(r"^ *orders +2 +10 ", topics, re.MULTILINE), topics
    groups = json.loads(monitor("--url", url, "--groups", "--sort", "lag", "--json", "--once").stdout)
    assert [(one["name"], one["state"], one["lag"]) for one in groups["groups"]] == [
        ("audit", "Empty", 10),
        ("billing", "Empty", 6),
    ]
    assert groups["totals"]["topics"] == 1
    refused = monitor("--url", url, "--groups", "--sort", "ready", "--once")
    assert (refused.returncode, "groups are sorted by name, type" in refused.stderr) == (2, True)


@pytest.mark.row("K57", "K76")
def test_where_kafka_is_off_that_is_said() -> None:
    with Broker(management_port=0) as broker:
        refused = monitor("--url", broker.management_url, "--topics", "--once")
    assert refused.returncode == 1
    assert "Kafka's protocol is off here" in refused.stderr


@pytest.mark.row("K57", "K76")
def test_keys_go_over_to_topics_and_groups_and_back(kafka: Broker) -> None:
    with ApiClient(kafka.management_url) as api:

        async def story(app: Monitor, pilot: Any) -> None:
            for key, first, words in (
                ("3", "audit", "groups"),
                ("2", "orders", "topics"),
                ("1", "/", "queues"),
            ):
                await pilot.press(key)
                await app.workers.wait_for_complete()
                await pilot.pause()
                table: Any = app.query_one("#rows")
                for _ in range(100):
                    # The key may be acted on after the workers were looked at.
                    if str(app.query_one("#status").render()).startswith(words) and table.row_count:
                        break
                    await pilot.pause(0.05)
                assert str(table.get_row_at(0)[0]) == first
                assert str(app.query_one("#status").render()).startswith(words)

        on_screen(lambda subject: take(api, subject), story)
