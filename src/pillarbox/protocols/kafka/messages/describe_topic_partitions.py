"""DescribeTopicPartitions, key 75, version 0: requests decoded, responses encoded.

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
    NO_UUID,
    compact_count,
    compact_string,
    nullable_compact_count,
    nullable_compact_string,
    numbers,
    read_compact_count,
    read_compact_string,
    skip_tags,
)


class TopicRequest(msgspec.Struct, gc=False):
    name: str = ""


class RequestCursor(msgspec.Struct, gc=False):
    topic_name: str = ""
    partition_index: int = 0


class DescribeTopicPartitionsRequest(msgspec.Struct, gc=False):
    topics: list[TopicRequest] = []
    response_partition_limit: int = 2000
    cursor: RequestCursor | None = None


class DescribeTopicPartitionsResponsePartition(msgspec.Struct, gc=False):
    error_code: int = 0
    partition_index: int = 0
    leader_id: int = 0
    leader_epoch: int = -1
    replica_nodes: list[int] = []
    isr_nodes: list[int] = []
    eligible_leader_replicas: list[int] | None = None
    last_known_elr: list[int] | None = None
    offline_replicas: list[int] = []


class DescribeTopicPartitionsResponseTopic(msgspec.Struct, gc=False):
    error_code: int = 0
    name: str | None = ""
    topic_id: bytes = NO_UUID
    is_internal: bool = False
    partitions: list[DescribeTopicPartitionsResponsePartition] = []
    topic_authorized_operations: int = -2147483648


class ResponseCursor(msgspec.Struct, gc=False):
    topic_name: str = ""
    partition_index: int = 0


class DescribeTopicPartitionsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    topics: list[DescribeTopicPartitionsResponseTopic] = []
    next_cursor: ResponseCursor | None = None


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">16s?")
FIXED_4 = Struct(">hiii")
FIXED_5 = Struct(">ix")


def decode_0(data: bytes, at: int) -> tuple[DescribeTopicPartitionsRequest, int]:
    count, at = read_compact_count(data, at, 2)
    topics: list[TopicRequest] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(TopicRequest(name=name))
    (response_partition_limit,) = FIXED_1.unpack_from(data, at)
    at += 4
    cursor: RequestCursor | None = None
    at += 1
    if data[at - 1] < 0x80:
        topic_name, at = read_compact_string(data, at)
        (partition_index,) = FIXED_1.unpack_from(data, at)
        at += 4
        at = skip_tags(data, at) if data[at] else at + 1
        cursor = RequestCursor(topic_name=topic_name, partition_index=partition_index)
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeTopicPartitionsRequest(
        topics=topics, response_partition_limit=response_partition_limit, cursor=cursor
    ), at


def encode_0(message: DescribeTopicPartitionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(nullable_compact_string(topic.name))
        add(FIXED_3.pack(topic.topic_id, topic.is_internal))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_4.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(compact_count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(compact_count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(nullable_compact_count(partition.eligible_leader_replicas))
            add(numbers(partition.eligible_leader_replicas or (), "i"))
            add(nullable_compact_count(partition.last_known_elr))
            add(numbers(partition.last_known_elr or (), "i"))
            add(compact_count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))
            add(NO_TAGS)
        add(FIXED_5.pack(topic.topic_authorized_operations))
    next_cursor = message.next_cursor
    add(b"\xff" if next_cursor is None else b"\x01")
    if next_cursor is not None:
        add(compact_string(next_cursor.topic_name))
        add(FIXED_5.pack(next_cursor.partition_index))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeTopicPartitionsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[DescribeTopicPartitionsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
