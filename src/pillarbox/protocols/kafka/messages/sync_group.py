"""SyncGroup, key 14, versions 0 to 5: requests decoded, responses encoded.

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
    count,
    nullable_compact_string,
    read_bytes,
    read_compact_bytes,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_string,
    read_nullable_string,
    read_string,
    skip_tags,
)


class SyncGroupRequestAssignment(msgspec.Struct, gc=False):
    member_id: str = ""
    assignment: bytes = b""


class SyncGroupRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    generation_id: int = 0
    member_id: str = ""
    group_instance_id: str | None = None  # 3+
    protocol_type: str | None = None  # 5+
    protocol_name: str | None = None  # 5+
    assignments: list[SyncGroupRequestAssignment] = []


class SyncGroupResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    error_code: int = 0
    protocol_type: str | None = None  # 5+
    protocol_name: str | None = None  # 5+
    assignment: bytes = b""


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">ih")


def decode_0(data: bytes, at: int) -> tuple[SyncGroupRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    assignments: list[SyncGroupRequestAssignment] = []
    for _ in range(count):
        assignment_member_id, at = read_string(data, at)
        assignment, at = read_bytes(data, at)
        assignments.append(SyncGroupRequestAssignment(member_id=assignment_member_id, assignment=assignment))
    return SyncGroupRequest(
        group_id=group_id, generation_id=generation_id, member_id=member_id, assignments=assignments
    ), at


def decode_3(data: bytes, at: int) -> tuple[SyncGroupRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    group_instance_id, at = read_nullable_string(data, at)
    count, at = read_count(data, at, 6)
    assignments: list[SyncGroupRequestAssignment] = []
    for _ in range(count):
        assignment_member_id, at = read_string(data, at)
        assignment, at = read_bytes(data, at)
        assignments.append(SyncGroupRequestAssignment(member_id=assignment_member_id, assignment=assignment))
    return SyncGroupRequest(
        group_id=group_id,
        generation_id=generation_id,
        member_id=member_id,
        group_instance_id=group_instance_id,
        assignments=assignments,
    ), at


def decode_4(data: bytes, at: int) -> tuple[SyncGroupRequest, int]:
    group_id, at = read_compact_string(data, at)
    (generation_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    assignments: list[SyncGroupRequestAssignment] = []
    for _ in range(count):
        assignment_member_id, at = read_compact_string(data, at)
        assignment, at = read_compact_bytes(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        assignments.append(SyncGroupRequestAssignment(member_id=assignment_member_id, assignment=assignment))
    at = skip_tags(data, at) if data[at] else at + 1
    return SyncGroupRequest(
        group_id=group_id,
        generation_id=generation_id,
        member_id=member_id,
        group_instance_id=group_instance_id,
        assignments=assignments,
    ), at


def decode_5(data: bytes, at: int) -> tuple[SyncGroupRequest, int]:
    group_id, at = read_compact_string(data, at)
    (generation_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    protocol_type, at = read_nullable_compact_string(data, at)
    protocol_name, at = read_nullable_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    assignments: list[SyncGroupRequestAssignment] = []
    for _ in range(count):
        assignment_member_id, at = read_compact_string(data, at)
        assignment, at = read_compact_bytes(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        assignments.append(SyncGroupRequestAssignment(member_id=assignment_member_id, assignment=assignment))
    at = skip_tags(data, at) if data[at] else at + 1
    return SyncGroupRequest(
        group_id=group_id,
        generation_id=generation_id,
        member_id=member_id,
        group_instance_id=group_instance_id,
        protocol_type=protocol_type,
        protocol_name=protocol_name,
        assignments=assignments,
    ), at


def encode_0(message: SyncGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))
    add(count(message.assignment))
    add(message.assignment)


def encode_1(message: SyncGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(count(message.assignment))
    add(message.assignment)


def encode_4(message: SyncGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.assignment))
    add(message.assignment)
    add(NO_TAGS)


def encode_5(message: SyncGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.protocol_type))
    add(nullable_compact_string(message.protocol_name))
    add(compact_count(message.assignment))
    add(message.assignment)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[SyncGroupRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_4,
    5: decode_5,
}
ENCODERS: Final[dict[int, Callable[[SyncGroupResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_1,
    4: encode_4,
    5: encode_5,
}
