"""OffsetFetch, key 9, versions 0 to 10: requests decoded, responses encoded.

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
    nullable_compact_string,
    nullable_string,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_count,
    read_nullable_compact_string,
    read_nullable_count,
    read_numbers,
    read_string,
    skip_tags,
    string,
)


class OffsetFetchRequestTopic(msgspec.Struct, gc=False):
    name: str = ""  # up to 7
    partition_indexes: list[int] = []  # up to 7


class OffsetFetchRequestTopics(msgspec.Struct, gc=False):
    name: str = ""  # 8 to 9
    topic_id: bytes = NO_UUID  # 10+
    partition_indexes: list[int] = []  # 8+


class OffsetFetchRequestGroup(msgspec.Struct, gc=False):
    group_id: str = ""  # 8+
    member_id: str | None = None  # 9+
    member_epoch: int = -1  # 9+
    topics: list[OffsetFetchRequestTopics] | None = []  # 8+


class OffsetFetchRequest(msgspec.Struct, gc=False):
    group_id: str = ""  # up to 7
    topics: list[OffsetFetchRequestTopic] | None = []  # up to 7
    groups: list[OffsetFetchRequestGroup] = []  # 8+
    require_stable: bool = False  # 7+


class OffsetFetchResponsePartition(msgspec.Struct, gc=False):
    partition_index: int = 0  # up to 7
    committed_offset: int = 0  # up to 7
    committed_leader_epoch: int = -1  # 5 to 7
    metadata: str | None = ""  # up to 7
    error_code: int = 0  # up to 7


class OffsetFetchResponseTopic(msgspec.Struct, gc=False):
    name: str = ""  # up to 7
    partitions: list[OffsetFetchResponsePartition] = []  # up to 7


class OffsetFetchResponsePartitions(msgspec.Struct, gc=False):
    partition_index: int = 0  # 8+
    committed_offset: int = 0  # 8+
    committed_leader_epoch: int = -1  # 8+
    metadata: str | None = ""  # 8+
    error_code: int = 0  # 8+


class OffsetFetchResponseTopics(msgspec.Struct, gc=False):
    name: str = ""  # 8 to 9
    topic_id: bytes = NO_UUID  # 10+
    partitions: list[OffsetFetchResponsePartitions] = []  # 8+


class OffsetFetchResponseGroup(msgspec.Struct, gc=False):
    group_id: str = ""  # 8+
    topics: list[OffsetFetchResponseTopics] = []  # 8+
    error_code: int = 0  # 8+


class OffsetFetchResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 3+
    topics: list[OffsetFetchResponseTopic] = []  # up to 7
    error_code: int = 0  # 2 to 7
    groups: list[OffsetFetchResponseGroup] = []  # 8+


FIXED_1 = Struct(">iq")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">iqi")
FIXED_5 = Struct(">hx")
FIXED_6 = Struct(">?")
FIXED_7 = Struct(">16s")


def decode_0(data: bytes, at: int) -> tuple[OffsetFetchRequest, int]:
    group_id, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    topics: list[OffsetFetchRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        partition_indexes, at = read_numbers(data, at, count, "i")
        topics.append(OffsetFetchRequestTopic(name=name, partition_indexes=partition_indexes))
    return OffsetFetchRequest(group_id=group_id, topics=topics), at


def decode_2(data: bytes, at: int) -> tuple[OffsetFetchRequest, int]:
    group_id, at = read_string(data, at)
    topics_count, at = read_nullable_count(data, at, 6)
    topics: list[OffsetFetchRequestTopic] = []
    for _ in range(topics_count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        partition_indexes, at = read_numbers(data, at, count, "i")
        topics.append(OffsetFetchRequestTopic(name=name, partition_indexes=partition_indexes))
    return OffsetFetchRequest(group_id=group_id, topics=None if topics_count < 0 else topics), at


def decode_6(data: bytes, at: int) -> tuple[OffsetFetchRequest, int]:
    group_id, at = read_compact_string(data, at)
    topics_count, at = read_nullable_compact_count(data, at, 3)
    topics: list[OffsetFetchRequestTopic] = []
    for _ in range(topics_count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        partition_indexes, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(OffsetFetchRequestTopic(name=name, partition_indexes=partition_indexes))
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetFetchRequest(group_id=group_id, topics=None if topics_count < 0 else topics), at


def decode_7(data: bytes, at: int) -> tuple[OffsetFetchRequest, int]:
    group_id, at = read_compact_string(data, at)
    topics_count, at = read_nullable_compact_count(data, at, 3)
    topics: list[OffsetFetchRequestTopic] = []
    for _ in range(topics_count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        partition_indexes, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(OffsetFetchRequestTopic(name=name, partition_indexes=partition_indexes))
    (require_stable,) = FIXED_6.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetFetchRequest(
        group_id=group_id, topics=None if topics_count < 0 else topics, require_stable=require_stable
    ), at


def decode_8(data: bytes, at: int) -> tuple[OffsetFetchRequest, int]:
    count, at = read_compact_count(data, at, 3)
    groups: list[OffsetFetchRequestGroup] = []
    for _ in range(count):
        group_id, at = read_compact_string(data, at)
        topics_count, at = read_nullable_compact_count(data, at, 3)
        topics: list[OffsetFetchRequestTopics] = []
        for _ in range(topics_count):
            name, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 4)
            partition_indexes, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(OffsetFetchRequestTopics(name=name, partition_indexes=partition_indexes))
        at = skip_tags(data, at) if data[at] else at + 1
        groups.append(OffsetFetchRequestGroup(group_id=group_id, topics=None if topics_count < 0 else topics))
    (require_stable,) = FIXED_6.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetFetchRequest(groups=groups, require_stable=require_stable), at


def decode_9(data: bytes, at: int) -> tuple[OffsetFetchRequest, int]:
    count, at = read_compact_count(data, at, 8)
    groups: list[OffsetFetchRequestGroup] = []
    for _ in range(count):
        group_id, at = read_compact_string(data, at)
        member_id, at = read_nullable_compact_string(data, at)
        (member_epoch,) = FIXED_3.unpack_from(data, at)
        at += 4
        topics_count, at = read_nullable_compact_count(data, at, 3)
        topics: list[OffsetFetchRequestTopics] = []
        for _ in range(topics_count):
            name, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 4)
            partition_indexes, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(OffsetFetchRequestTopics(name=name, partition_indexes=partition_indexes))
        at = skip_tags(data, at) if data[at] else at + 1
        groups.append(
            OffsetFetchRequestGroup(
                group_id=group_id,
                member_id=member_id,
                member_epoch=member_epoch,
                topics=None if topics_count < 0 else topics,
            )
        )
    (require_stable,) = FIXED_6.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetFetchRequest(groups=groups, require_stable=require_stable), at


def decode_10(data: bytes, at: int) -> tuple[OffsetFetchRequest, int]:
    count, at = read_compact_count(data, at, 8)
    groups: list[OffsetFetchRequestGroup] = []
    for _ in range(count):
        group_id, at = read_compact_string(data, at)
        member_id, at = read_nullable_compact_string(data, at)
        (member_epoch,) = FIXED_3.unpack_from(data, at)
        at += 4
        topics_count, at = read_nullable_compact_count(data, at, 18)
        topics: list[OffsetFetchRequestTopics] = []
        for _ in range(topics_count):
            (topic_id,) = FIXED_7.unpack_from(data, at)
            at += 16
            count, at = read_compact_count(data, at, 4)
            partition_indexes, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(OffsetFetchRequestTopics(topic_id=topic_id, partition_indexes=partition_indexes))
        at = skip_tags(data, at) if data[at] else at + 1
        groups.append(
            OffsetFetchRequestGroup(
                group_id=group_id,
                member_id=member_id,
                member_epoch=member_epoch,
                topics=None if topics_count < 0 else topics,
            )
        )
    (require_stable,) = FIXED_6.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return OffsetFetchRequest(groups=groups, require_stable=require_stable), at


def encode_0(message: OffsetFetchResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_1.pack(partition.partition_index, partition.committed_offset))
            add(nullable_string(partition.metadata))
            add(FIXED_2.pack(partition.error_code))


def encode_2(message: OffsetFetchResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_1.pack(partition.partition_index, partition.committed_offset))
            add(nullable_string(partition.metadata))
            add(FIXED_2.pack(partition.error_code))
    add(FIXED_2.pack(message.error_code))


def encode_3(message: OffsetFetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_1.pack(partition.partition_index, partition.committed_offset))
            add(nullable_string(partition.metadata))
            add(FIXED_2.pack(partition.error_code))
    add(FIXED_2.pack(message.error_code))


def encode_5(message: OffsetFetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_4.pack(
                    partition.partition_index, partition.committed_offset, partition.committed_leader_epoch
                )
            )
            add(nullable_string(partition.metadata))
            add(FIXED_2.pack(partition.error_code))
    add(FIXED_2.pack(message.error_code))


def encode_6(message: OffsetFetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_4.pack(
                    partition.partition_index, partition.committed_offset, partition.committed_leader_epoch
                )
            )
            add(nullable_compact_string(partition.metadata))
            add(FIXED_5.pack(partition.error_code))
        add(NO_TAGS)
    add(FIXED_5.pack(message.error_code))


def encode_8(message: OffsetFetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(compact_string(group.group_id))
        add(compact_count(group.topics))
        for topic in group.topics:
            add(compact_string(topic.name))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_4.pack(
                        partition.partition_index,
                        partition.committed_offset,
                        partition.committed_leader_epoch,
                    )
                )
                add(nullable_compact_string(partition.metadata))
                add(FIXED_5.pack(partition.error_code))
            add(NO_TAGS)
        add(FIXED_5.pack(group.error_code))
    add(NO_TAGS)


def encode_10(message: OffsetFetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(compact_string(group.group_id))
        add(compact_count(group.topics))
        for topic in group.topics:
            add(FIXED_7.pack(topic.topic_id))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_4.pack(
                        partition.partition_index,
                        partition.committed_offset,
                        partition.committed_leader_epoch,
                    )
                )
                add(nullable_compact_string(partition.metadata))
                add(FIXED_5.pack(partition.error_code))
            add(NO_TAGS)
        add(FIXED_5.pack(group.error_code))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[OffsetFetchRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_2,
    4: decode_2,
    5: decode_2,
    6: decode_6,
    7: decode_7,
    8: decode_8,
    9: decode_9,
    10: decode_10,
}
ENCODERS: Final[dict[int, Callable[[OffsetFetchResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_3,
    4: encode_3,
    5: encode_5,
    6: encode_6,
    7: encode_6,
    8: encode_8,
    9: encode_8,
    10: encode_10,
}
