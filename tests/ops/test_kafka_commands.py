"""The commands for operators that are about Kafka's side (R128, K57), as processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.peers import Pillarbox
from tests.ops.test_command_line import Operator


@pytest.fixture(scope="module")
def with_kafka() -> Iterator[Operator]:
    """At a shell beside a Pillarbox with a Kafka port, which nobody has used yet."""
    with Pillarbox(options=("--memory", "--kafka-port=0")) as peer:
        yield Operator(peer)


@pytest.mark.row("R128", "K57")
def test_topics_are_created_altered_grown_and_deleted(with_kafka: Operator) -> None:
    does, sees = with_kafka.does, with_kafka.sees
    assert (
        does("topics", "create", "orders", "--partitions", "2", "--config", "retention.ms=60000")
        == "topic orders is there\n"
    )
    does("topics", "configure", "orders", "--config", "cleanup.policy=compact", "--default", "retention.ms")
    assert sees("topics", "show", "orders")["config"] == {"cleanup.policy": "compact"}
    assert does("topics", "grow", "orders", "3") == "topic orders has 3 partitions\n"
    assert [line.split()[:2] for line in does("topics", "list").splitlines()] == [
        ["name", "partitions"],
        ["orders", "3"],
    ]
    assert len(sees("topics", "partitions", "orders")) == 3
    assert sees("topics", "records", "orders", "0", "--count", "5") == []
    assert "nothing to alter" in with_kafka.is_refused("topics", "configure", "orders")
    assert "Unknown topic config" in with_kafka.is_refused("topics", "create", "t", "--config", "colour=red")
    assert does("topics", "delete", "orders") == "topic orders is deleted\n"
    assert sees("topics", "list") == []


@pytest.mark.row("R128", "K57")
def test_groups_are_reset_explained_and_deleted(with_kafka: Operator) -> None:
    does, sees = with_kafka.does, with_kafka.sees
    does("topics", "create", "bills", "--partitions", "2")
    assert does("groups", "reset", "audit", "bills", "latest", "--partitions", "1").splitlines()[
        1
    ].split() == [*("bills", "1", "0", "0", "0")]
    assert [(one["name"], one["lag"]) for one in sees("groups", "list")] == [("audit", 0)]
    assert [one["partition"] for one in sees("groups", "offsets", "audit")] == [1]
    assert sees("groups", "show", "audit")["members"] == 0
    assert does("groups", "explain", "audit").startswith("Empty; no member; 0 behind in 1 partition\n")
    assert "are not numbers" in with_kafka.is_refused(
        "groups", "reset", "audit", "bills", "latest", "--partitions", "all", status=2
    )
    assert does("groups", "delete", "audit") == "group audit is gone\n"
    assert "404" in with_kafka.is_refused("groups", "show", "audit")
