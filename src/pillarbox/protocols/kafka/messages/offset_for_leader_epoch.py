"""OffsetForLeaderEpoch, key 23, versions 0 to 4: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1 and 3.9.1:
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
    count,
    read_compact_count,
    read_compact_string,
    read_count,
    read_string,
    skip_tags,
    string,
)


class OffsetForLeaderPartition(msgspec.Struct, gc=False):
    partition: int = 0
    current_leader_epoch: int = -1  # 2+
    leader_epoch: int = 0


class OffsetForLeaderTopic(msgspec.Struct, gc=False):
    topic: str = ""
    partitions: list[OffsetForLeaderPartition] = []


class OffsetForLeaderEpochRequest(msgspec.Struct, gc=False):
    replica_id: int = -2  # 3+
    topics: list[OffsetForLeaderTopic] = []


class EpochEndOffset(msgspec.Struct, gc=False):
    error_code: int = 0
    partition: int = 0
    leader_epoch: int = -1  # 1+
    end_offset: int = -1


class OffsetForLeaderTopicResult(msgspec.Struct, gc=False):
    topic: str = ""
    partitions: list[EpochEndOffset] = []


class OffsetForLeaderEpochResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 2+
    topics: list[OffsetForLeaderTopicResult] = []


FIXED_1 = Struct(">ii")
FIXED_2 = Struct(">hiq")
FIXED_3 = Struct(">hiiq")
FIXED_4 = Struct(">iii")
FIXED_5 = Struct(">i")
FIXED_6 = Struct(">hiiqx")


def decode_0(data: bytes, at: int) -> tuple[OffsetForLeaderEpochRequest, int]:
    count, at = read_count(data, at, 6)
    topics: list[OffsetForLeaderTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 8)
        partitions: list[OffsetForLeaderPartition] = []
        for _ in range(count):
            partition, leader_epoch = FIXED_1.unpack_from(data, at)
            at += 8
            partitions.append(OffsetForLeaderPartition(partition=partition, leader_epoch=leader_epoch))
        topics.append(OffsetForLeaderTopic(topic=topic, partitions=partitions))
    return OffsetForLeaderEpochRequest(topics=topics), at


def decode_2(data: bytes, at: int) -> tuple[OffsetForLeaderEpochRequest, int]:
    count, at = read_count(data, at, 6)
    topics: list[OffsetForLeaderTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 12)
        partitions: list[OffsetForLeaderPartition] = []
        for _ in range(count):
            partition, current_leader_epoch, leader_epoch = FIXED_4.unpack_from(data, at)
            at += 12
            partitions.append(
                OffsetForLeaderPartition(
                    partition=partition, current_leader_epoch=current_leader_epoch, leader_epoch=leader_epoch
                )
            )
        topics.append(OffsetForLeaderTopic(topic=topic, partitions=partitions))
    return OffsetForLeaderEpochRequest(topics=topics), at


def decode_3(data: bytes, at: int) -> tuple[OffsetForLeaderEpochRequest, int]:
    (replica_id,) = FIXED_5.unpack_from(data, at)
    at += 4
    count, at = read_count(data, at, 6)
    topics: list[OffsetForLeaderTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 12)
        partitions: list[OffsetForLeaderPartition] = []
        for _ in range(count):
            partition, current_leader_epoch, leader_epoch = FIXED_4.unpack_from(data, at)
            at += 12
            partitions.append(
                OffsetForLeaderPartition(
                    partition=partition, current_leader_epoch=current_leader_epoch, leader_epoch=leader_epoch
                )
            )
        topics.append(OffsetForLeaderTopic(topic=topic, partitions=partitions))
    return OffsetForLeaderEpochRequest(replica_id=replica_id, topics=topics), at


def decode_4(data: bytes, at: int) -> tuple[OffsetForLeaderEpochRequest, int]:
    (replica_id,) = FIXED_5.unpack_from(data, at)
    at += 4
    count, at = read_compact_count(data, at, 3)
    topics: list[OffsetForLeaderTopic] = []
    for _ in range(count):
        topic, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 13)
        partitions: list[OffsetForLeaderPartition] = []
        for _ in range(count):
            partition, current_leader_epoch, leader_epoch = FIXED_4.unpack_from(data, at)
            at += 12
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                OffsetForLeaderPartition(
                    partition=partition, current_leader_epoch=current_leader_epoch, leader_epoch=leader_epoch
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(OffsetForLeaderTopic(topic=topic, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetForLeaderEpochRequest(replica_id=replica_id, topics=topics), at


def encode_0(message: OffsetForLeaderEpochResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.topic))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_2.pack(partition.error_code, partition.partition, partition.end_offset))


def encode_1(message: OffsetForLeaderEpochResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.topic))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_3.pack(
                    partition.error_code, partition.partition, partition.leader_epoch, partition.end_offset
                )
            )


def encode_2(message: OffsetForLeaderEpochResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_5.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.topic))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_3.pack(
                    partition.error_code, partition.partition, partition.leader_epoch, partition.end_offset
                )
            )


def encode_4(message: OffsetForLeaderEpochResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_5.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.topic))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_6.pack(
                    partition.error_code, partition.partition, partition.leader_epoch, partition.end_offset
                )
            )
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[OffsetForLeaderEpochRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_3,
    4: decode_4,
}
ENCODERS: Final[dict[int, Callable[[OffsetForLeaderEpochResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
    3: encode_2,
    4: encode_4,
}
