"""confluent-kafka's share consumer (librdkafka), one for each of its ways to answer (KIP-932)."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import AcknowledgeType, KafkaException, ShareConsumer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import (
    COMMON,
    WAIT_S,
    admin,
    answer,
    error_name,
    producer,
    send,
    topic,
    values,
)
from tests.transcripts.registry import scenario

QUIET_S = 1.0
EXPLICIT = "explicit"


def filled(case: Case, *texts: str) -> str:
    """A topic with these records, each a batch of its own."""
    name = topic(case, "t")
    sender = producer(case)
    for text in texts:
        send(sender, name, values(text))
    return name


def earliest(case: Case, **settings: str) -> str:
    """A name for a group that reads from the beginning."""
    name = case.name("group")
    configs = {"share.auto.offset.reset": "earliest"}
    configs |= {key.replace("_", "."): value for key, value in settings.items()}
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in configs.items()
    ]
    resource = ConfigResource(ConfigResource.Type.GROUP, name, incremental_configs=entries)
    done = answer(admin(case).incremental_alter_configs([resource]))
    assert done is None, done
    return name


def sharer(case: Case, group: str, name: str, mode: str = "implicit", **settings: Any) -> ShareConsumer:
    config = {
        "bootstrap.servers": case.bootstrap,
        **COMMON,
        "group.id": group,
        "share.acknowledgement.mode": mode,
        **{key.replace("_", "."): value for key, value in settings.items()},
    }
    client = ShareConsumer(config)
    client.subscribe([name])
    return client


def drain(client: ShareConsumer, count: int) -> list[Any]:
    """Poll until so many have come."""
    found: list[Any] = []
    deadline = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < deadline:
        found += client.poll(0.2)
    return found


def seen(messages: list[Any]) -> list[Any]:
    """Offset, delivery count and value of each; an error by its name."""
    return [
        error_name(error) if (error := each.error()) else [each.offset(), each.delivery_count(), each.value()]
        for each in messages
    ]


def committed(client: ShareConsumer) -> list[Any]:
    """What a commit says of each partition."""
    return [
        [place.partition, None if error is None else error_name(error)]
        for place, error in sorted(client.commit_sync(WAIT_S).items(), key=lambda item: item[0].partition)
    ]


@scenario("K56")
def implicit(case: Case) -> None:
    """What was polled is accepted by the next poll, or by a commit."""
    name, group = filled(case, *"abc"), earliest(case)
    client = sharer(case, group, name)
    case.saw("read", seen(drain(client, 3)))
    case.saw("commit", committed(client))
    case.saw("again", seen(list(client.poll(QUIET_S))))
    client.close()
    other = sharer(case, group, name)
    case.saw("other", seen(list(other.poll(QUIET_S))))
    other.close()


@scenario("K56")
def explicit(case: Case) -> None:
    """Accepted, rejected, released; and what the client says of answers to nothing."""
    name, group = filled(case, *"abc"), earliest(case)
    client = sharer(case, group, name, EXPLICIT)
    messages = drain(client, 3)
    case.saw("read", seen(messages))
    client.acknowledge(messages[0])
    client.acknowledge(messages[1], AcknowledgeType.REJECT)
    client.acknowledge_offset(name, 0, 2, AcknowledgeType.RELEASE)
    case.saw("commit", committed(client))
    messages = drain(client, 1)
    case.saw("again", seen(messages))
    client.acknowledge(messages[0])
    case.saw("commit", committed(client))
    case.saw("nothing more", seen(list(client.poll(QUIET_S))))
    client.close()


@scenario("K56")
def locks(case: Case) -> None:
    """What is not answered in time goes to another one; the late answer is refused."""
    name, group = filled(case, *"ab"), earliest(case, share_record_lock_duration_ms="1500")
    slow, fast = (sharer(case, group, name, EXPLICIT) for _ in range(2))
    messages = drain(slow, 2)
    case.saw("slow", seen(messages))
    others = drain(fast, 2)
    case.saw("fast", seen(others))
    for each in messages:
        slow.acknowledge(each)
    case.saw("late", committed(slow))
    for each in others:
        fast.acknowledge(each)
    case.saw("commit", committed(fast))
    for client in (slow, fast):
        client.close()


@scenario("K56")
def callbacks(case: Case) -> None:
    """The client is told which offsets were acknowledged."""
    name, group = filled(case, *"ab"), earliest(case)
    client = sharer(case, group, name)
    told: list[Any] = []

    def note(offsets: dict[TopicPartition, set[int]], error: KafkaException | None) -> None:
        told.extend([place.partition, sorted(each)] for place, each in offsets.items())
        if error is not None:
            told.append(error_name(error))

    client.set_acknowledgement_commit_callback(note)
    case.saw("read", seen(drain(client, 2)))
    client.commit_async()
    deadline = time.monotonic() + WAIT_S
    while not told and time.monotonic() < deadline:
        client.poll(0.1)
    case.saw("told", told)
    client.close()
