"""ElectLeaders, key 43, versions 0 to 2: requests decoded, responses encoded.

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
    count,
    nullable_compact_string,
    nullable_string,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_count,
    read_nullable_count,
    read_numbers,
    read_string,
    skip_tags,
    string,
)


class TopicPartitions(msgspec.Struct, gc=False):
    topic: str = ""
    partitions: list[int] = []


class ElectLeadersRequest(msgspec.Struct, gc=False):
    election_type: int = 0  # 1+
    topic_partitions: list[TopicPartitions] | None = []
    timeout_ms: int = 60000


class PartitionResult(msgspec.Struct, gc=False):
    partition_id: int = 0
    error_code: int = 0
    error_message: str | None = ""


class ReplicaElectionResult(msgspec.Struct, gc=False):
    topic: str = ""
    partition_result: list[PartitionResult] = []


class ElectLeadersResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0  # 1+
    replica_election_results: list[ReplicaElectionResult] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">b")


def decode_0(data: bytes, at: int) -> tuple[ElectLeadersRequest, int]:
    topic_partitions_count, at = read_nullable_count(data, at, 6)
    topic_partitions: list[TopicPartitions] = []
    for _ in range(topic_partitions_count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        topic_partitions.append(TopicPartitions(topic=topic, partitions=partitions))
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    return ElectLeadersRequest(
        topic_partitions=None if topic_partitions_count < 0 else topic_partitions, timeout_ms=timeout_ms
    ), at


def decode_1(data: bytes, at: int) -> tuple[ElectLeadersRequest, int]:
    (election_type,) = FIXED_3.unpack_from(data, at)
    at += 1
    topic_partitions_count, at = read_nullable_count(data, at, 6)
    topic_partitions: list[TopicPartitions] = []
    for _ in range(topic_partitions_count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        topic_partitions.append(TopicPartitions(topic=topic, partitions=partitions))
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    return ElectLeadersRequest(
        election_type=election_type,
        topic_partitions=None if topic_partitions_count < 0 else topic_partitions,
        timeout_ms=timeout_ms,
    ), at


def decode_2(data: bytes, at: int) -> tuple[ElectLeadersRequest, int]:
    (election_type,) = FIXED_3.unpack_from(data, at)
    at += 1
    topic_partitions_count, at = read_nullable_compact_count(data, at, 3)
    topic_partitions: list[TopicPartitions] = []
    for _ in range(topic_partitions_count):
        topic, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topic_partitions.append(TopicPartitions(topic=topic, partitions=partitions))
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    at = skip_tags(data, at) if data[at] else at + 1
    return ElectLeadersRequest(
        election_type=election_type,
        topic_partitions=None if topic_partitions_count < 0 else topic_partitions,
        timeout_ms=timeout_ms,
    ), at


def encode_0(message: ElectLeadersResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.replica_election_results))
    for replica_election_result in message.replica_election_results:
        add(string(replica_election_result.topic))
        add(count(replica_election_result.partition_result))
        for partition_result_item in replica_election_result.partition_result:
            add(FIXED_2.pack(partition_result_item.partition_id, partition_result_item.error_code))
            add(nullable_string(partition_result_item.error_message))


def encode_1(message: ElectLeadersResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(count(message.replica_election_results))
    for replica_election_result in message.replica_election_results:
        add(string(replica_election_result.topic))
        add(count(replica_election_result.partition_result))
        for partition_result_item in replica_election_result.partition_result:
            add(FIXED_2.pack(partition_result_item.partition_id, partition_result_item.error_code))
            add(nullable_string(partition_result_item.error_message))


def encode_2(message: ElectLeadersResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.replica_election_results))
    for replica_election_result in message.replica_election_results:
        add(compact_string(replica_election_result.topic))
        add(compact_count(replica_election_result.partition_result))
        for partition_result_item in replica_election_result.partition_result:
            add(FIXED_2.pack(partition_result_item.partition_id, partition_result_item.error_code))
            add(nullable_compact_string(partition_result_item.error_message))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ElectLeadersRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[ElectLeadersResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
}
