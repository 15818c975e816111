"""ListOffsets, key 2, versions 0 to 11: requests decoded, responses encoded.

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
    numbers,
    read_compact_count,
    read_compact_string,
    read_count,
    read_string,
    skip_tags,
    string,
)


class ListOffsetsPartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    current_leader_epoch: int = -1  # 4+
    timestamp: int = 0
    max_num_offsets: int = 1  # up to 0


class ListOffsetsTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[ListOffsetsPartition] = []


class ListOffsetsRequest(msgspec.Struct, gc=False):
    replica_id: int = 0
    isolation_level: int = 0  # 2+
    topics: list[ListOffsetsTopic] = []
    timeout_ms: int = 0  # 10+


class ListOffsetsPartitionResponse(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    old_style_offsets: list[int] = []  # up to 0
    timestamp: int = -1  # 1+
    offset: int = -1  # 1+
    leader_epoch: int = -1  # 4+


class ListOffsetsTopicResponse(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[ListOffsetsPartitionResponse] = []


class ListOffsetsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 2+
    topics: list[ListOffsetsTopicResponse] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">iqi")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">iq")
FIXED_5 = Struct(">ihqq")
FIXED_6 = Struct(">ib")
FIXED_7 = Struct(">iiq")
FIXED_8 = Struct(">ihqqi")
FIXED_9 = Struct(">ihqqix")


def decode_0(data: bytes, at: int) -> tuple[ListOffsetsRequest, int]:
    (replica_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    count, at = read_count(data, at, 6)
    topics: list[ListOffsetsTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 16)
        partitions: list[ListOffsetsPartition] = []
        for _ in range(count):
            partition_index, timestamp, max_num_offsets = FIXED_2.unpack_from(data, at)
            at += 16
            partitions.append(
                ListOffsetsPartition(
                    partition_index=partition_index, timestamp=timestamp, max_num_offsets=max_num_offsets
                )
            )
        topics.append(ListOffsetsTopic(name=name, partitions=partitions))
    return ListOffsetsRequest(replica_id=replica_id, topics=topics), at


def decode_1(data: bytes, at: int) -> tuple[ListOffsetsRequest, int]:
    (replica_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    count, at = read_count(data, at, 6)
    topics: list[ListOffsetsTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 12)
        partitions: list[ListOffsetsPartition] = []
        for _ in range(count):
            partition_index, timestamp = FIXED_4.unpack_from(data, at)
            at += 12
            partitions.append(ListOffsetsPartition(partition_index=partition_index, timestamp=timestamp))
        topics.append(ListOffsetsTopic(name=name, partitions=partitions))
    return ListOffsetsRequest(replica_id=replica_id, topics=topics), at


def decode_2(data: bytes, at: int) -> tuple[ListOffsetsRequest, int]:
    replica_id, isolation_level = FIXED_6.unpack_from(data, at)
    at += 5
    count, at = read_count(data, at, 6)
    topics: list[ListOffsetsTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 12)
        partitions: list[ListOffsetsPartition] = []
        for _ in range(count):
            partition_index, timestamp = FIXED_4.unpack_from(data, at)
            at += 12
            partitions.append(ListOffsetsPartition(partition_index=partition_index, timestamp=timestamp))
        topics.append(ListOffsetsTopic(name=name, partitions=partitions))
    return ListOffsetsRequest(replica_id=replica_id, isolation_level=isolation_level, topics=topics), at


def decode_4(data: bytes, at: int) -> tuple[ListOffsetsRequest, int]:
    replica_id, isolation_level = FIXED_6.unpack_from(data, at)
    at += 5
    count, at = read_count(data, at, 6)
    topics: list[ListOffsetsTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 16)
        partitions: list[ListOffsetsPartition] = []
        for _ in range(count):
            partition_index, current_leader_epoch, timestamp = FIXED_7.unpack_from(data, at)
            at += 16
            partitions.append(
                ListOffsetsPartition(
                    partition_index=partition_index,
                    current_leader_epoch=current_leader_epoch,
                    timestamp=timestamp,
                )
            )
        topics.append(ListOffsetsTopic(name=name, partitions=partitions))
    return ListOffsetsRequest(replica_id=replica_id, isolation_level=isolation_level, topics=topics), at


def decode_6(data: bytes, at: int) -> tuple[ListOffsetsRequest, int]:
    replica_id, isolation_level = FIXED_6.unpack_from(data, at)
    at += 5
    count, at = read_compact_count(data, at, 3)
    topics: list[ListOffsetsTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 17)
        partitions: list[ListOffsetsPartition] = []
        for _ in range(count):
            partition_index, current_leader_epoch, timestamp = FIXED_7.unpack_from(data, at)
            at += 16
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                ListOffsetsPartition(
                    partition_index=partition_index,
                    current_leader_epoch=current_leader_epoch,
                    timestamp=timestamp,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(ListOffsetsTopic(name=name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return ListOffsetsRequest(replica_id=replica_id, isolation_level=isolation_level, topics=topics), at


def decode_10(data: bytes, at: int) -> tuple[ListOffsetsRequest, int]:
    replica_id, isolation_level = FIXED_6.unpack_from(data, at)
    at += 5
    count, at = read_compact_count(data, at, 3)
    topics: list[ListOffsetsTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 17)
        partitions: list[ListOffsetsPartition] = []
        for _ in range(count):
            partition_index, current_leader_epoch, timestamp = FIXED_7.unpack_from(data, at)
            at += 16
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                ListOffsetsPartition(
                    partition_index=partition_index,
                    current_leader_epoch=current_leader_epoch,
                    timestamp=timestamp,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(ListOffsetsTopic(name=name, partitions=partitions))
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    at = skip_tags(data, at) if data[at] else at + 1
    return ListOffsetsRequest(
        replica_id=replica_id, isolation_level=isolation_level, topics=topics, timeout_ms=timeout_ms
    ), at


def encode_0(message: ListOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.partition_index, partition.error_code))
            add(count(partition.old_style_offsets))
            add(numbers(partition.old_style_offsets, "q"))


def encode_1(message: ListOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.partition_index, partition.error_code, partition.timestamp, partition.offset
                )
            )


def encode_2(message: ListOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.partition_index, partition.error_code, partition.timestamp, partition.offset
                )
            )


def encode_4(message: ListOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_8.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.timestamp,
                    partition.offset,
                    partition.leader_epoch,
                )
            )


def encode_6(message: ListOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_9.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.timestamp,
                    partition.offset,
                    partition.leader_epoch,
                )
            )
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ListOffsetsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
    3: decode_2,
    4: decode_4,
    5: decode_4,
    6: decode_6,
    7: decode_6,
    8: decode_6,
    9: decode_6,
    10: decode_10,
    11: decode_10,
}
ENCODERS: Final[dict[int, Callable[[ListOffsetsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
    3: encode_2,
    4: encode_4,
    5: encode_4,
    6: encode_6,
    7: encode_6,
    8: encode_6,
    9: encode_6,
    10: encode_6,
    11: encode_6,
}
