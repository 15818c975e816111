"""ConsumerGroupDescribe, key 69, versions 0 to 1: requests decoded, responses encoded.

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
    numbers,
    read_compact_count,
    read_compact_string,
    read_items,
    skip_tags,
)


class ConsumerGroupDescribeRequest(msgspec.Struct, gc=False):
    group_ids: list[str] = []
    include_authorized_operations: bool = False


class TopicPartitions(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    topic_name: str = ""
    partitions: list[int] = []


class Assignment(msgspec.Struct, gc=False):
    topic_partitions: list[TopicPartitions] = []


class Member(msgspec.Struct, gc=False):
    member_id: str = ""
    instance_id: str | None = None
    rack_id: str | None = None
    member_epoch: int = 0
    client_id: str = ""
    client_host: str = ""
    subscribed_topic_names: list[str] = []
    subscribed_topic_regex: str | None = None
    assignment: Assignment = msgspec.field(default_factory=Assignment)
    target_assignment: Assignment = msgspec.field(default_factory=Assignment)
    member_type: int = -1  # 1+


class DescribedGroup(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    group_epoch: int = 0
    assignment_epoch: int = 0
    assignor_name: str = ""
    members: list[Member] = []
    authorized_operations: int = -2147483648


class ConsumerGroupDescribeResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    groups: list[DescribedGroup] = []


FIXED_1 = Struct(">?")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">h")
FIXED_4 = Struct(">ii")
FIXED_5 = Struct(">16s")
FIXED_6 = Struct(">ix")
FIXED_7 = Struct(">bx")


def decode_0(data: bytes, at: int) -> tuple[ConsumerGroupDescribeRequest, int]:
    count, at = read_compact_count(data, at, 1)
    group_ids, at = read_items(data, at, count, read_compact_string)
    (include_authorized_operations,) = FIXED_1.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return ConsumerGroupDescribeRequest(
        group_ids=group_ids, include_authorized_operations=include_authorized_operations
    ), at


def encode_0(message: ConsumerGroupDescribeResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(FIXED_3.pack(group.error_code))
        add(nullable_compact_string(group.error_message))
        add(compact_string(group.group_id))
        add(compact_string(group.group_state))
        add(FIXED_4.pack(group.group_epoch, group.assignment_epoch))
        add(compact_string(group.assignor_name))
        add(compact_count(group.members))
        for member in group.members:
            add(compact_string(member.member_id))
            add(nullable_compact_string(member.instance_id))
            add(nullable_compact_string(member.rack_id))
            add(FIXED_2.pack(member.member_epoch))
            add(compact_string(member.client_id))
            add(compact_string(member.client_host))
            add(compact_count(member.subscribed_topic_names))
            for subscribed_topic_name in member.subscribed_topic_names:
                add(compact_string(subscribed_topic_name))
            add(nullable_compact_string(member.subscribed_topic_regex))
            assignment = member.assignment
            add(compact_count(assignment.topic_partitions))
            for topic_partition in assignment.topic_partitions:
                add(FIXED_5.pack(topic_partition.topic_id))
                add(compact_string(topic_partition.topic_name))
                add(compact_count(topic_partition.partitions))
                add(numbers(topic_partition.partitions, "i"))
                add(NO_TAGS)
            add(NO_TAGS)
            target_assignment = member.target_assignment
            add(compact_count(target_assignment.topic_partitions))
            for topic_partition_value in target_assignment.topic_partitions:
                add(FIXED_5.pack(topic_partition_value.topic_id))
                add(compact_string(topic_partition_value.topic_name))
                add(compact_count(topic_partition_value.partitions))
                add(numbers(topic_partition_value.partitions, "i"))
                add(NO_TAGS)
            add(NO_TAGS)
            add(NO_TAGS)
        add(FIXED_6.pack(group.authorized_operations))
    add(NO_TAGS)


def encode_1(message: ConsumerGroupDescribeResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(FIXED_3.pack(group.error_code))
        add(nullable_compact_string(group.error_message))
        add(compact_string(group.group_id))
        add(compact_string(group.group_state))
        add(FIXED_4.pack(group.group_epoch, group.assignment_epoch))
        add(compact_string(group.assignor_name))
        add(compact_count(group.members))
        for member in group.members:
            add(compact_string(member.member_id))
            add(nullable_compact_string(member.instance_id))
            add(nullable_compact_string(member.rack_id))
            add(FIXED_2.pack(member.member_epoch))
            add(compact_string(member.client_id))
            add(compact_string(member.client_host))
            add(compact_count(member.subscribed_topic_names))
            for subscribed_topic_name in member.subscribed_topic_names:
                add(compact_string(subscribed_topic_name))
            add(nullable_compact_string(member.subscribed_topic_regex))
            assignment = member.assignment
            add(compact_count(assignment.topic_partitions))
            for topic_partition in assignment.topic_partitions:
                add(FIXED_5.pack(topic_partition.topic_id))
                add(compact_string(topic_partition.topic_name))
                add(compact_count(topic_partition.partitions))
                add(numbers(topic_partition.partitions, "i"))
                add(NO_TAGS)
            add(NO_TAGS)
            target_assignment = member.target_assignment
            add(compact_count(target_assignment.topic_partitions))
            for topic_partition_value in target_assignment.topic_partitions:
                add(FIXED_5.pack(topic_partition_value.topic_id))
                add(compact_string(topic_partition_value.topic_name))
                add(compact_count(topic_partition_value.partitions))
                add(numbers(topic_partition_value.partitions, "i"))
                add(NO_TAGS)
            add(NO_TAGS)
            add(FIXED_7.pack(member.member_type))
        add(FIXED_6.pack(group.authorized_operations))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ConsumerGroupDescribeRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
}
ENCODERS: Final[dict[int, Callable[[ConsumerGroupDescribeResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
}
