"""AlterPartitionReassignments, key 45, versions 0 to 1: requests decoded, responses encoded.

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
    read_compact_count,
    read_compact_string,
    read_nullable_compact_count,
    read_numbers,
    skip_tags,
)


class ReassignablePartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    replicas: list[int] | None = None


class ReassignableTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[ReassignablePartition] = []


class AlterPartitionReassignmentsRequest(msgspec.Struct, gc=False):
    timeout_ms: int = 60000
    allow_replication_factor_change: bool = True  # 1+
    topics: list[ReassignableTopic] = []


class ReassignablePartitionResponse(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = ""


class ReassignableTopicResponse(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[ReassignablePartitionResponse] = []


class AlterPartitionReassignmentsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    allow_replication_factor_change: bool = True  # 1+
    error_code: int = 0
    error_message: str | None = ""
    responses: list[ReassignableTopicResponse] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">i?")
FIXED_4 = Struct(">i?h")


def decode_0(data: bytes, at: int) -> tuple[AlterPartitionReassignmentsRequest, int]:
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    count, at = read_compact_count(data, at, 3)
    topics: list[ReassignableTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 6)
        partitions: list[ReassignablePartition] = []
        for _ in range(count):
            (partition_index,) = FIXED_1.unpack_from(data, at)
            at += 4
            replicas_count, at = read_nullable_compact_count(data, at, 4)
            replicas, at = read_numbers(data, at, replicas_count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                ReassignablePartition(
                    partition_index=partition_index, replicas=None if replicas_count < 0 else replicas
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(ReassignableTopic(name=name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return AlterPartitionReassignmentsRequest(timeout_ms=timeout_ms, topics=topics), at


def decode_1(data: bytes, at: int) -> tuple[AlterPartitionReassignmentsRequest, int]:
    timeout_ms, allow_replication_factor_change = FIXED_3.unpack_from(data, at)
    at += 5
    count, at = read_compact_count(data, at, 3)
    topics: list[ReassignableTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 6)
        partitions: list[ReassignablePartition] = []
        for _ in range(count):
            (partition_index,) = FIXED_1.unpack_from(data, at)
            at += 4
            replicas_count, at = read_nullable_compact_count(data, at, 4)
            replicas, at = read_numbers(data, at, replicas_count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                ReassignablePartition(
                    partition_index=partition_index, replicas=None if replicas_count < 0 else replicas
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(ReassignableTopic(name=name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return AlterPartitionReassignmentsRequest(
        timeout_ms=timeout_ms, allow_replication_factor_change=allow_replication_factor_change, topics=topics
    ), at


def encode_0(message: AlterPartitionReassignmentsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.name))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(FIXED_2.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_1(message: AlterPartitionReassignmentsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.allow_replication_factor_change, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.name))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(FIXED_2.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AlterPartitionReassignmentsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[AlterPartitionReassignmentsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
}
