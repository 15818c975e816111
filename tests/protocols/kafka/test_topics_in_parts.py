"""Topics of many partitions are made, grown and removed in parts: what others see then, and after a crash."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.chores import in_strides
from pillarbox.protocols.kafka.creation import HALF, PART_PARTITIONS
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from tests.protocols.kafka.asking import Asking

pytestmark = pytest.mark.row("K31")

WIDE = 5 * PART_PARTITIONS


def create(client: Asking, name: str, partitions: int = WIDE) -> int:
    wanted = [{"name": name, "num_partitions": partitions, "replication_factor": 1}]
    (made,) = client.ask("CreateTopics", 7, topics=wanted).topics
    return int(made.error_code.value)


def delete(client: Asking, *names: str) -> list[int]:
    answer = client.ask("DeleteTopics", 6, topics=[{"name": name} for name in names])
    return [each.error_code.value for each in answer.responses]


def grow(client: Asking, **counts: int) -> list[int]:
    topics = [{"name": name, "count": count, "assignments": None} for name, count in counts.items()]
    answer = client.ask("CreatePartitions", 3, topics=topics)
    return [each.error_code.value for each in answer.results]


def listed(client: Asking) -> dict[str, int]:
    answer = client.ask("Metadata", 12, topics=None)
    return {topic.name: len(topic.partitions) for topic in answer.topics}


def error_of(client: Asking, name: str) -> int:
    topics = [{"name": name}]
    (found,) = client.ask("Metadata", 12, topics=topics, allow_auto_topic_creation=True).topics
    return int(found.error_code.value)


def on_topics(broker: Broker, act: Callable[[Any], Any]) -> Any:
    return broker.call(lambda server: act(server.core.vhosts["/"].topics))


def notes(broker: Broker) -> list[str]:
    return broker.call(lambda server: [key for key, _ in server.core.kept(HALF)])


def streams(broker: Broker) -> list[str]:
    return broker.call(lambda server: sorted(server.core.vhosts["/"].queues))


def test_wide_topics_are_made_grown_and_removed_whole(broker: Broker, client: Asking) -> None:
    assert create(client, "wide") == Code.NONE
    assert create(client, "narrow", 1) == Code.NONE
    assert listed(client) == {"wide": WIDE, "narrow": 1}
    assert grow(client, wide=WIDE + 40, narrow=40, gone=2) == [0, 0, Code.UNKNOWN_TOPIC_OR_PARTITION]
    assert listed(client) == {"wide": WIDE + 40, "narrow": 40}
    assert delete(client, "wide", "gone", "narrow") == [0, Code.UNKNOWN_TOPIC_OR_PARTITION, 0]
    assert listed(client) == {}
    assert notes(broker) == streams(broker) == []


def test_nobody_sees_a_part_of_a_topic_that_is_being_made(broker: Broker, client: Asking) -> None:
    steps = on_topics(broker, lambda topics: topics.creating("made", WIDE, {}, {}))
    for _ in range(WIDE):
        broker.call(lambda _: next(steps))
        assert "made" not in listed(client)
    assert error_of(client, "made") == Code.LEADER_NOT_AVAILABLE
    assert create(client, "made") == Code.TOPIC_ALREADY_EXISTS
    assert delete(client, "made") == [Code.UNKNOWN_TOPIC_OR_PARTITION]
    broker.call(lambda _: list(steps))
    assert listed(client)["made"] == WIDE


def test_a_topic_is_gone_when_its_first_partition_goes(broker: Broker, client: Asking) -> None:
    assert create(client, "going") == Code.NONE
    steps = on_topics(broker, lambda topics: topics.deleting(topics.get("going")))
    broker.call(lambda _: next(steps))
    assert "going" not in listed(client)
    assert error_of(client, "going") == Code.LEADER_NOT_AVAILABLE
    assert create(client, "going") == Code.TOPIC_ALREADY_EXISTS
    broker.call(lambda _: list(steps))
    assert create(client, "going", 2) == Code.NONE
    assert listed(client)["going"] == 2


@pytest.mark.parametrize("what", ["made", "removed"])
def test_what_a_crash_leaves_of_a_topic_is_removed_by_the_next_start(tmp_path: Path, what: str) -> None:
    left = tmp_path / "left"
    with Broker(str(tmp_path / "data"), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert create(client, "whole", 3) == Code.NONE
        if what == "removed":
            assert create(client, "half") == Code.NONE
            steps = on_topics(broker, lambda topics: topics.deleting(topics.get("half")))
        else:
            steps = on_topics(broker, lambda topics: topics.creating("half", WIDE, {}, {}))
        broker.call(lambda server: server.core.keep(f'{HALF}["half"]', b""))
        for _ in range(WIDE // 2):
            broker.call(lambda _: next(steps))
        assert create(client, "later", 1) == Code.NONE
        shutil.copytree(tmp_path / "data", left, ignore=shutil.ignore_patterns("*lock*"))
    with Broker(str(left), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert listed(client) == {"whole": 3, "later": 1}
        while notes(broker):
            listed(client)
        assert streams(broker) == ["later", "whole-0", "whole-1", "whole-2"]
        assert create(client, "half") == Code.NONE


def test_strides_are_the_same_steps_with_fewer_stops() -> None:
    seen = []

    def steps() -> Any:
        for number in range(7):
            seen.append(number)
            yield
        return "done"

    strides = in_strides(steps(), 3)
    next(strides)
    assert seen == [0, 1, 2]
    next(strides)
    assert seen == [0, 1, 2, 3, 4, 5]
    with pytest.raises(StopIteration, match="done"):
        next(strides)
