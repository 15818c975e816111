"""ListPartitionReassignments, key 46, version 0: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import (
    NO_TAGS,
    compact_count,
    compact_string,
    nullable_compact_string,
    numbers,
    read_compact_count,
    read_compact_string,
    read_nullable_compact_count,
    read_numbers,
    skip_tags,
)


class ListPartitionReassignmentsTopics(msgspec.Struct, gc=False):
    name: str = ""
    partition_indexes: list[int] = []


class ListPartitionReassignmentsRequest(msgspec.Struct, gc=False):
    timeout_ms: int = 60000
    topics: list[ListPartitionReassignmentsTopics] | None = None


class OngoingPartitionReassignment(msgspec.Struct, gc=False):
    partition_index: int = 0
    replicas: list[int] = []
    adding_replicas: list[int] = []
    removing_replicas: list[int] = []


class OngoingTopicReassignment(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[OngoingPartitionReassignment] = []


class ListPartitionReassignmentsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""
    topics: list[OngoingTopicReassignment] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ih")


def decode_0(data: bytes, at: int) -> tuple[ListPartitionReassignmentsRequest, int]:
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    topics_count, at = read_nullable_compact_count(data, at, 3)
    topics: list[ListPartitionReassignmentsTopics] = []
    for _ in range(topics_count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        partition_indexes, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(ListPartitionReassignmentsTopics(name=name, partition_indexes=partition_indexes))
    at = skip_tags(data, at) if data[at] else at + 1
    return ListPartitionReassignmentsRequest(
        timeout_ms=timeout_ms, topics=None if topics_count < 0 else topics
    ), at


def encode_0(message: ListPartitionReassignmentsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_1.pack(partition.partition_index))
            add(compact_count(partition.replicas))
            add(numbers(partition.replicas, "i"))
            add(compact_count(partition.adding_replicas))
            add(numbers(partition.adding_replicas, "i"))
            add(compact_count(partition.removing_replicas))
            add(numbers(partition.removing_replicas, "i"))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ListPartitionReassignmentsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[ListPartitionReassignmentsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
