"""LeaveGroup, key 13, versions 0 to 5: requests decoded, responses encoded.

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
    read_nullable_compact_string,
    read_nullable_string,
    read_string,
    skip_tags,
    string,
)


class MemberIdentity(msgspec.Struct, gc=False):
    member_id: str = ""  # 3+
    group_instance_id: str | None = None  # 3+
    reason: str | None = None  # 5+


class LeaveGroupRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    member_id: str = ""  # up to 2
    members: list[MemberIdentity] = []  # 3+


class MemberResponse(msgspec.Struct, gc=False):
    member_id: str = ""  # 3+
    group_instance_id: str | None = ""  # 3+
    error_code: int = 0  # 3+


class LeaveGroupResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    error_code: int = 0
    members: list[MemberResponse] = []  # 3+


FIXED_1 = Struct(">h")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">hx")


def decode_0(data: bytes, at: int) -> tuple[LeaveGroupRequest, int]:
    group_id, at = read_string(data, at)
    member_id, at = read_string(data, at)
    return LeaveGroupRequest(group_id=group_id, member_id=member_id), at


def decode_3(data: bytes, at: int) -> tuple[LeaveGroupRequest, int]:
    group_id, at = read_string(data, at)
    count, at = read_count(data, at, 4)
    members: list[MemberIdentity] = []
    for _ in range(count):
        member_id, at = read_string(data, at)
        group_instance_id, at = read_nullable_string(data, at)
        members.append(MemberIdentity(member_id=member_id, group_instance_id=group_instance_id))
    return LeaveGroupRequest(group_id=group_id, members=members), at


def decode_4(data: bytes, at: int) -> tuple[LeaveGroupRequest, int]:
    group_id, at = read_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    members: list[MemberIdentity] = []
    for _ in range(count):
        member_id, at = read_compact_string(data, at)
        group_instance_id, at = read_nullable_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        members.append(MemberIdentity(member_id=member_id, group_instance_id=group_instance_id))
    at = skip_tags(data, at) if data[at] else at + 1
    return LeaveGroupRequest(group_id=group_id, members=members), at


def decode_5(data: bytes, at: int) -> tuple[LeaveGroupRequest, int]:
    group_id, at = read_compact_string(data, at)
    count, at = read_compact_count(data, at, 4)
    members: list[MemberIdentity] = []
    for _ in range(count):
        member_id, at = read_compact_string(data, at)
        group_instance_id, at = read_nullable_compact_string(data, at)
        reason, at = read_nullable_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        members.append(
            MemberIdentity(member_id=member_id, group_instance_id=group_instance_id, reason=reason)
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return LeaveGroupRequest(group_id=group_id, members=members), at


def encode_0(message: LeaveGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))


def encode_1(message: LeaveGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))


def encode_3(message: LeaveGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(count(message.members))
    for member in message.members:
        add(string(member.member_id))
        add(nullable_string(member.group_instance_id))
        add(FIXED_1.pack(member.error_code))


def encode_4(message: LeaveGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.members))
    for member in message.members:
        add(compact_string(member.member_id))
        add(nullable_compact_string(member.group_instance_id))
        add(FIXED_3.pack(member.error_code))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[LeaveGroupRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_4,
    5: decode_5,
}
ENCODERS: Final[dict[int, Callable[[LeaveGroupResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_3,
    4: encode_4,
    5: encode_4,
}
