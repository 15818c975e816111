"""ConsumerGroupHeartbeat, key 68, versions 0 to 1: requests decoded, responses encoded.

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
    nullable_compact_string,
    numbers,
    read_compact_count,
    read_compact_string,
    read_items,
    read_nullable_compact_count,
    read_nullable_compact_string,
    read_numbers,
    skip_tags,
)


class RequestTopicPartitions(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[int] = []


class ConsumerGroupHeartbeatRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    member_id: str = ""
    member_epoch: int = 0
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    subscribed_topic_names: list[str] | None = None
    subscribed_topic_regex: str | None = None  # 1+
    server_assignor: str | None = None
    topic_partitions: list[RequestTopicPartitions] | None = None


class ResponseTopicPartitions(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[int] = []


class Assignment(msgspec.Struct, gc=False):
    topic_partitions: list[ResponseTopicPartitions] = []


class ConsumerGroupHeartbeatResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: Assignment | None = None


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">16s")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">ii")


def decode_0(data: bytes, at: int) -> tuple[ConsumerGroupHeartbeatRequest, int]:
    group_id, at = read_compact_string(data, at)
    member_id, at = read_compact_string(data, at)
    (member_epoch,) = FIXED_1.unpack_from(data, at)
    at += 4
    instance_id, at = read_nullable_compact_string(data, at)
    rack_id, at = read_nullable_compact_string(data, at)
    (rebalance_timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    subscribed_topic_names_count, at = read_nullable_compact_count(data, at, 1)
    subscribed_topic_names, at = read_items(data, at, subscribed_topic_names_count, read_compact_string)
    server_assignor, at = read_nullable_compact_string(data, at)
    topic_partitions_count, at = read_nullable_compact_count(data, at, 18)
    topic_partitions: list[RequestTopicPartitions] = []
    for _ in range(topic_partitions_count):
        (topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topic_partitions.append(RequestTopicPartitions(topic_id=topic_id, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return ConsumerGroupHeartbeatRequest(
        group_id=group_id,
        member_id=member_id,
        member_epoch=member_epoch,
        instance_id=instance_id,
        rack_id=rack_id,
        rebalance_timeout_ms=rebalance_timeout_ms,
        subscribed_topic_names=None if subscribed_topic_names_count < 0 else subscribed_topic_names,
        server_assignor=server_assignor,
        topic_partitions=None if topic_partitions_count < 0 else topic_partitions,
    ), at


def decode_1(data: bytes, at: int) -> tuple[ConsumerGroupHeartbeatRequest, int]:
    group_id, at = read_compact_string(data, at)
    member_id, at = read_compact_string(data, at)
    (member_epoch,) = FIXED_1.unpack_from(data, at)
    at += 4
    instance_id, at = read_nullable_compact_string(data, at)
    rack_id, at = read_nullable_compact_string(data, at)
    (rebalance_timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    subscribed_topic_names_count, at = read_nullable_compact_count(data, at, 1)
    subscribed_topic_names, at = read_items(data, at, subscribed_topic_names_count, read_compact_string)
    subscribed_topic_regex, at = read_nullable_compact_string(data, at)
    server_assignor, at = read_nullable_compact_string(data, at)
    topic_partitions_count, at = read_nullable_compact_count(data, at, 18)
    topic_partitions: list[RequestTopicPartitions] = []
    for _ in range(topic_partitions_count):
        (topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topic_partitions.append(RequestTopicPartitions(topic_id=topic_id, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return ConsumerGroupHeartbeatRequest(
        group_id=group_id,
        member_id=member_id,
        member_epoch=member_epoch,
        instance_id=instance_id,
        rack_id=rack_id,
        rebalance_timeout_ms=rebalance_timeout_ms,
        subscribed_topic_names=None if subscribed_topic_names_count < 0 else subscribed_topic_names,
        subscribed_topic_regex=subscribed_topic_regex,
        server_assignor=server_assignor,
        topic_partitions=None if topic_partitions_count < 0 else topic_partitions,
    ), at


def encode_0(message: ConsumerGroupHeartbeatResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(nullable_compact_string(message.member_id))
    add(FIXED_4.pack(message.member_epoch, message.heartbeat_interval_ms))
    assignment = message.assignment
    add(b"\xff" if assignment is None else b"\x01")
    if assignment is not None:
        add(compact_count(assignment.topic_partitions))
        for topic_partition in assignment.topic_partitions:
            add(FIXED_2.pack(topic_partition.topic_id))
            add(compact_count(topic_partition.partitions))
            add(numbers(topic_partition.partitions, "i"))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ConsumerGroupHeartbeatRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[ConsumerGroupHeartbeatResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
}
