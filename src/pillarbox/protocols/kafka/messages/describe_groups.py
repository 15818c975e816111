"""DescribeGroups, key 15, versions 0 to 6: requests decoded, responses encoded.

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
    read_items,
    read_string,
    skip_tags,
    string,
)


class DescribeGroupsRequest(msgspec.Struct, gc=False):
    groups: list[str] = []
    include_authorized_operations: bool = False  # 3+


class DescribedGroupMember(msgspec.Struct, gc=False):
    member_id: str = ""
    group_instance_id: str | None = None  # 4+
    client_id: str = ""
    client_host: str = ""
    member_metadata: bytes = b""
    member_assignment: bytes = b""


class DescribedGroup(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = None  # 6+
    group_id: str = ""
    group_state: str = ""
    protocol_type: str = ""
    protocol_data: str = ""
    members: list[DescribedGroupMember] = []
    authorized_operations: int = -2147483648  # 3+


class DescribeGroupsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    groups: list[DescribedGroup] = []


FIXED_1 = Struct(">h")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">?")
FIXED_4 = Struct(">ix")


def decode_0(data: bytes, at: int) -> tuple[DescribeGroupsRequest, int]:
    count, at = read_count(data, at, 2)
    groups, at = read_items(data, at, count, read_string)
    return DescribeGroupsRequest(groups=groups), at


def decode_3(data: bytes, at: int) -> tuple[DescribeGroupsRequest, int]:
    count, at = read_count(data, at, 2)
    groups, at = read_items(data, at, count, read_string)
    (include_authorized_operations,) = FIXED_3.unpack_from(data, at)
    at += 1
    return DescribeGroupsRequest(
        groups=groups, include_authorized_operations=include_authorized_operations
    ), at


def decode_5(data: bytes, at: int) -> tuple[DescribeGroupsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    groups, at = read_items(data, at, count, read_compact_string)
    (include_authorized_operations,) = FIXED_3.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeGroupsRequest(
        groups=groups, include_authorized_operations=include_authorized_operations
    ), at


def encode_0(message: DescribeGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.groups))
    for group in message.groups:
        add(FIXED_1.pack(group.error_code))
        add(string(group.group_id))
        add(string(group.group_state))
        add(string(group.protocol_type))
        add(string(group.protocol_data))
        add(count(group.members))
        for member in group.members:
            add(string(member.member_id))
            add(string(member.client_id))
            add(string(member.client_host))
            add(count(member.member_metadata))
            add(member.member_metadata)
            add(count(member.member_assignment))
            add(member.member_assignment)


def encode_1(message: DescribeGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.groups))
    for group in message.groups:
        add(FIXED_1.pack(group.error_code))
        add(string(group.group_id))
        add(string(group.group_state))
        add(string(group.protocol_type))
        add(string(group.protocol_data))
        add(count(group.members))
        for member in group.members:
            add(string(member.member_id))
            add(string(member.client_id))
            add(string(member.client_host))
            add(count(member.member_metadata))
            add(member.member_metadata)
            add(count(member.member_assignment))
            add(member.member_assignment)


def encode_3(message: DescribeGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.groups))
    for group in message.groups:
        add(FIXED_1.pack(group.error_code))
        add(string(group.group_id))
        add(string(group.group_state))
        add(string(group.protocol_type))
        add(string(group.protocol_data))
        add(count(group.members))
        for member in group.members:
            add(string(member.member_id))
            add(string(member.client_id))
            add(string(member.client_host))
            add(count(member.member_metadata))
            add(member.member_metadata)
            add(count(member.member_assignment))
            add(member.member_assignment)
        add(FIXED_2.pack(group.authorized_operations))


def encode_4(message: DescribeGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.groups))
    for group in message.groups:
        add(FIXED_1.pack(group.error_code))
        add(string(group.group_id))
        add(string(group.group_state))
        add(string(group.protocol_type))
        add(string(group.protocol_data))
        add(count(group.members))
        for member in group.members:
            add(string(member.member_id))
            add(nullable_string(member.group_instance_id))
            add(string(member.client_id))
            add(string(member.client_host))
            add(count(member.member_metadata))
            add(member.member_metadata)
            add(count(member.member_assignment))
            add(member.member_assignment)
        add(FIXED_2.pack(group.authorized_operations))


def encode_5(message: DescribeGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(FIXED_1.pack(group.error_code))
        add(compact_string(group.group_id))
        add(compact_string(group.group_state))
        add(compact_string(group.protocol_type))
        add(compact_string(group.protocol_data))
        add(compact_count(group.members))
        for member in group.members:
            add(compact_string(member.member_id))
            add(nullable_compact_string(member.group_instance_id))
            add(compact_string(member.client_id))
            add(compact_string(member.client_host))
            add(compact_count(member.member_metadata))
            add(member.member_metadata)
            add(compact_count(member.member_assignment))
            add(member.member_assignment)
            add(NO_TAGS)
        add(FIXED_4.pack(group.authorized_operations))
    add(NO_TAGS)


def encode_6(message: DescribeGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(FIXED_1.pack(group.error_code))
        add(nullable_compact_string(group.error_message))
        add(compact_string(group.group_id))
        add(compact_string(group.group_state))
        add(compact_string(group.protocol_type))
        add(compact_string(group.protocol_data))
        add(compact_count(group.members))
        for member in group.members:
            add(compact_string(member.member_id))
            add(nullable_compact_string(member.group_instance_id))
            add(compact_string(member.client_id))
            add(compact_string(member.client_host))
            add(compact_count(member.member_metadata))
            add(member.member_metadata)
            add(compact_count(member.member_assignment))
            add(member.member_assignment)
            add(NO_TAGS)
        add(FIXED_4.pack(group.authorized_operations))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeGroupsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_3,
    5: decode_5,
    6: decode_5,
}
ENCODERS: Final[dict[int, Callable[[DescribeGroupsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_3,
    4: encode_4,
    5: encode_5,
    6: encode_6,
}
