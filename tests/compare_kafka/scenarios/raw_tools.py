"""Requests made by hand, for what no client does by itself: see `tests.protocols.kafka.asking`."""

from __future__ import annotations

import time
from typing import Any

from pillarbox.store.batch import Record, encode_records
from tests.protocols.kafka.asking import Asking

ALL = -1
MEBIBYTE = 1 << 20
TRIES = 100
PAUSE_S = 0.1


def batch(*values: bytes | None, **header: Any) -> bytes:
    """A record batch of now."""
    now_ms = int(time.time() * 1000)
    records = [Record(number, now_ms, None, value, []) for number, value in enumerate(values)]
    return b"".join(encode_records(records, **header).chunks)


def topic(client: Asking, name: str, partitions: int = 1, **configs: str) -> str:
    """Make a topic, and wait until it can be written to."""
    wanted = {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": 1,
        "configs": [{"name": key, "value": value} for key, value in configs.items()],
    }
    answer = client.ask("CreateTopics", 7, topics=[wanted], timeout=5000)
    assert answer.topics[0].error_code == 0, answer
    for _ in range(TRIES):
        (found,) = client.ask("Metadata", 12, topics=[{"name": name}]).topics
        if found.error_code == 0 and fetched(client, name) == 0:
            return name
        time.sleep(PAUSE_S)
    raise AssertionError(f"topic {name} does not come up")


def fetched(client: Asking, name: str, *, offset: int = 0, index: int = 0, epoch: int = -1) -> Any:
    """The error of a fetch of one partition."""
    place = {"partition": index, "fetch_offset": offset, "partition_max_bytes": MEBIBYTE}
    partitions = [{**place, "current_leader_epoch": epoch, "last_fetched_epoch": -1}]
    topics = [{"topic": name, "partitions": partitions}]
    limits = {"max_bytes": MEBIBYTE, "min_bytes": 0, "max_wait": 0, "session_epoch": -1}
    return client.ask("Fetch", 12, topics=topics, **limits).responses[0].partitions[0].error_code


def topic_id(client: Asking, name: str) -> bytes:
    (found,) = client.ask("Metadata", 12, topics=[{"name": name}]).topics
    return bytes(found.topic_id.bytes)


def produce(client: Asking, name: str, records: bytes, index: int = 0, **more: Any) -> Any:
    """What the one partition answers."""
    topics = [{"name": name, "partition_data": [{"index": index, "records": records}]}]
    given = {"acks": ALL, "timeout": 5000, **more}
    return client.ask("Produce", 9, topic_data=topics, **given).responses[0].partition_responses[0]


def named(error: Any) -> str:
    """An error as the transcript shows it."""
    return f"{error.value} {error.name}"
