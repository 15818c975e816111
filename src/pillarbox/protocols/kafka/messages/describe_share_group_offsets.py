"""DescribeShareGroupOffsets, key 90, versions 0 to 1: requests decoded, responses encoded.

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
    nullable_compact_string,
    read_compact_count,
    read_compact_string,
    read_nullable_compact_count,
    read_numbers,
    skip_tags,
)


class DescribeShareGroupOffsetsRequestTopic(msgspec.Struct, gc=False):
    topic_name: str = ""
    partitions: list[int] = []


class DescribeShareGroupOffsetsRequestGroup(msgspec.Struct, gc=False):
    group_id: str = ""
    topics: list[DescribeShareGroupOffsetsRequestTopic] | None = []


class DescribeShareGroupOffsetsRequest(msgspec.Struct, gc=False):
    groups: list[DescribeShareGroupOffsetsRequestGroup] = []


class DescribeShareGroupOffsetsResponsePartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    start_offset: int = 0
    leader_epoch: int = 0
    lag: int = -1  # 1+
    error_code: int = 0
    error_message: str | None = None


class DescribeShareGroupOffsetsResponseTopic(msgspec.Struct, gc=False):
    topic_name: str = ""
    topic_id: bytes = NO_UUID
    partitions: list[DescribeShareGroupOffsetsResponsePartition] = []


class DescribeShareGroupOffsetsResponseGroup(msgspec.Struct, gc=False):
    group_id: str = ""
    topics: list[DescribeShareGroupOffsetsResponseTopic] = []
    error_code: int = 0
    error_message: str | None = None


class DescribeShareGroupOffsetsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    groups: list[DescribeShareGroupOffsetsResponseGroup] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">16s")
FIXED_3 = Struct(">iqih")
FIXED_4 = Struct(">h")
FIXED_5 = Struct(">iqiqh")


def decode_0(data: bytes, at: int) -> tuple[DescribeShareGroupOffsetsRequest, int]:
    count, at = read_compact_count(data, at, 3)
    groups: list[DescribeShareGroupOffsetsRequestGroup] = []
    for _ in range(count):
        group_id, at = read_compact_string(data, at)
        topics_count, at = read_nullable_compact_count(data, at, 3)
        topics: list[DescribeShareGroupOffsetsRequestTopic] = []
        for _ in range(topics_count):
            topic_name, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 4)
            partitions, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(DescribeShareGroupOffsetsRequestTopic(topic_name=topic_name, partitions=partitions))
        at = skip_tags(data, at) if data[at] else at + 1
        groups.append(
            DescribeShareGroupOffsetsRequestGroup(
                group_id=group_id, topics=None if topics_count < 0 else topics
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeShareGroupOffsetsRequest(groups=groups), at


def encode_0(message: DescribeShareGroupOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(compact_string(group.group_id))
        add(compact_count(group.topics))
        for topic in group.topics:
            add(compact_string(topic.topic_name))
            add(FIXED_2.pack(topic.topic_id))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_3.pack(
                        partition.partition_index,
                        partition.start_offset,
                        partition.leader_epoch,
                        partition.error_code,
                    )
                )
                add(nullable_compact_string(partition.error_message))
                add(NO_TAGS)
            add(NO_TAGS)
        add(FIXED_4.pack(group.error_code))
        add(nullable_compact_string(group.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_1(message: DescribeShareGroupOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(compact_string(group.group_id))
        add(compact_count(group.topics))
        for topic in group.topics:
            add(compact_string(topic.topic_name))
            add(FIXED_2.pack(topic.topic_id))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_5.pack(
                        partition.partition_index,
                        partition.start_offset,
                        partition.leader_epoch,
                        partition.lag,
                        partition.error_code,
                    )
                )
                add(nullable_compact_string(partition.error_message))
                add(NO_TAGS)
            add(NO_TAGS)
        add(FIXED_4.pack(group.error_code))
        add(nullable_compact_string(group.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeShareGroupOffsetsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
}
ENCODERS: Final[dict[int, Callable[[DescribeShareGroupOffsetsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
}
