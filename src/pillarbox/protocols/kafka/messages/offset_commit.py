"""OffsetCommit, key 8, versions 0 to 10: requests decoded, responses encoded.

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
    NO_UUID,
    compact_count,
    compact_string,
    count,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_string,
    read_nullable_string,
    read_string,
    skip_tags,
    string,
)


class OffsetCommitRequestPartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1  # 6+
    commit_timestamp: int = -1  # 1 to 1
    committed_metadata: str | None = ""


class OffsetCommitRequestTopic(msgspec.Struct, gc=False):
    name: str = ""  # up to 9
    topic_id: bytes = NO_UUID  # 10+
    partitions: list[OffsetCommitRequestPartition] = []


class OffsetCommitRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    generation_id_or_member_epoch: int = -1  # 1+
    member_id: str = ""  # 1+
    group_instance_id: str | None = None  # 7+
    retention_time_ms: int = -1  # 2 to 4
    topics: list[OffsetCommitRequestTopic] = []


class OffsetCommitResponsePartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0


class OffsetCommitResponseTopic(msgspec.Struct, gc=False):
    name: str = ""  # up to 9
    topic_id: bytes = NO_UUID  # 10+
    partitions: list[OffsetCommitResponsePartition] = []


class OffsetCommitResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 3+
    topics: list[OffsetCommitResponseTopic] = []


FIXED_1 = Struct(">iq")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">iqq")
FIXED_5 = Struct(">q")
FIXED_6 = Struct(">iqi")
FIXED_7 = Struct(">ihx")
FIXED_8 = Struct(">16s")


def decode_0(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 14)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset = FIXED_1.unpack_from(data, at)
            at += 12
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(OffsetCommitRequestTopic(name=name, partitions=partitions))
    return OffsetCommitRequest(group_id=group_id, topics=topics), at


def decode_1(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id_or_member_epoch,) = FIXED_3.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 22)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset, commit_timestamp = FIXED_4.unpack_from(data, at)
            at += 20
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    commit_timestamp=commit_timestamp,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(OffsetCommitRequestTopic(name=name, partitions=partitions))
    return OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=generation_id_or_member_epoch,
        member_id=member_id,
        topics=topics,
    ), at


def decode_2(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id_or_member_epoch,) = FIXED_3.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    (retention_time_ms,) = FIXED_5.unpack_from(data, at)
    at += 8
    count, at = read_count(data, at, 6)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 14)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset = FIXED_1.unpack_from(data, at)
            at += 12
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(OffsetCommitRequestTopic(name=name, partitions=partitions))
    return OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=generation_id_or_member_epoch,
        member_id=member_id,
        retention_time_ms=retention_time_ms,
        topics=topics,
    ), at


def decode_5(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id_or_member_epoch,) = FIXED_3.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 14)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset = FIXED_1.unpack_from(data, at)
            at += 12
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(OffsetCommitRequestTopic(name=name, partitions=partitions))
    return OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=generation_id_or_member_epoch,
        member_id=member_id,
        topics=topics,
    ), at


def decode_6(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id_or_member_epoch,) = FIXED_3.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 18)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset, committed_leader_epoch = FIXED_6.unpack_from(data, at)
            at += 16
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_leader_epoch=committed_leader_epoch,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(OffsetCommitRequestTopic(name=name, partitions=partitions))
    return OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=generation_id_or_member_epoch,
        member_id=member_id,
        topics=topics,
    ), at


def decode_7(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id_or_member_epoch,) = FIXED_3.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    group_instance_id, at = read_nullable_string(data, at)
    count, at = read_count(data, at, 6)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 18)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset, committed_leader_epoch = FIXED_6.unpack_from(data, at)
            at += 16
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_leader_epoch=committed_leader_epoch,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(OffsetCommitRequestTopic(name=name, partitions=partitions))
    return OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=generation_id_or_member_epoch,
        member_id=member_id,
        group_instance_id=group_instance_id,
        topics=topics,
    ), at


def decode_8(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_compact_string(data, at)
    (generation_id_or_member_epoch,) = FIXED_3.unpack_from(data, at)
    at += 4
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 18)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset, committed_leader_epoch = FIXED_6.unpack_from(data, at)
            at += 16
            committed_metadata, at = read_nullable_compact_string(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_leader_epoch=committed_leader_epoch,
                    committed_metadata=committed_metadata,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(OffsetCommitRequestTopic(name=name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=generation_id_or_member_epoch,
        member_id=member_id,
        group_instance_id=group_instance_id,
        topics=topics,
    ), at


def decode_10(data: bytes, at: int) -> tuple[OffsetCommitRequest, int]:
    group_id, at = read_compact_string(data, at)
    (generation_id_or_member_epoch,) = FIXED_3.unpack_from(data, at)
    at += 4
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    count, at = read_compact_count(data, at, 18)
    topics: list[OffsetCommitRequestTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_8.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 18)
        partitions: list[OffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset, committed_leader_epoch = FIXED_6.unpack_from(data, at)
            at += 16
            committed_metadata, at = read_nullable_compact_string(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_leader_epoch=committed_leader_epoch,
                    committed_metadata=committed_metadata,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(OffsetCommitRequestTopic(topic_id=topic_id, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetCommitRequest(
        group_id=group_id,
        generation_id_or_member_epoch=generation_id_or_member_epoch,
        member_id=member_id,
        group_instance_id=group_instance_id,
        topics=topics,
    ), at


def encode_0(message: OffsetCommitResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_2.pack(partition.partition_index, partition.error_code))


def encode_3(message: OffsetCommitResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_2.pack(partition.partition_index, partition.error_code))


def encode_8(message: OffsetCommitResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_7.pack(partition.partition_index, partition.error_code))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_10(message: OffsetCommitResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(FIXED_8.pack(topic.topic_id))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_7.pack(partition.partition_index, partition.error_code))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[OffsetCommitRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
    3: decode_2,
    4: decode_2,
    5: decode_5,
    6: decode_6,
    7: decode_7,
    8: decode_8,
    9: decode_8,
    10: decode_10,
}
ENCODERS: Final[dict[int, Callable[[OffsetCommitResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_0,
    3: encode_3,
    4: encode_3,
    5: encode_3,
    6: encode_3,
    7: encode_3,
    8: encode_8,
    9: encode_8,
    10: encode_10,
}
