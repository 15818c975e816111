"""JoinGroup, key 11, versions 0 to 9: requests decoded, responses encoded.

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
    read_bytes,
    read_compact_bytes,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_string,
    read_nullable_string,
    read_string,
    skip_tags,
    string,
)


class JoinGroupRequestProtocol(msgspec.Struct, gc=False):
    name: str = ""
    metadata: bytes = b""


class JoinGroupRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    session_timeout_ms: int = 0
    rebalance_timeout_ms: int = -1  # 1+
    member_id: str = ""
    group_instance_id: str | None = None  # 5+
    protocol_type: str = ""
    protocols: list[JoinGroupRequestProtocol] = []
    reason: str | None = None  # 8+


class JoinGroupResponseMember(msgspec.Struct, gc=False):
    member_id: str = ""
    group_instance_id: str | None = None  # 5+
    metadata: bytes = b""


class JoinGroupResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 2+
    error_code: int = 0
    generation_id: int = -1
    protocol_type: str | None = None  # 7+
    protocol_name: str | None = ""
    leader: str = ""
    skip_assignment: bool = False  # 9+
    member_id: str = ""
    members: list[JoinGroupResponseMember] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">hi")
FIXED_3 = Struct(">ii")
FIXED_4 = Struct(">ihi")
FIXED_5 = Struct(">?")


def decode_0(data: bytes, at: int) -> tuple[JoinGroupRequest, int]:
    group_id, at = read_string(data, at)
    (session_timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    protocol_type, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    protocols: list[JoinGroupRequestProtocol] = []
    for _ in range(count):
        name, at = read_string(data, at)
        metadata, at = read_bytes(data, at)
        protocols.append(JoinGroupRequestProtocol(name=name, metadata=metadata))
    return JoinGroupRequest(
        group_id=group_id,
        session_timeout_ms=session_timeout_ms,
        member_id=member_id,
        protocol_type=protocol_type,
        protocols=protocols,
    ), at


def decode_1(data: bytes, at: int) -> tuple[JoinGroupRequest, int]:
    group_id, at = read_string(data, at)
    session_timeout_ms, rebalance_timeout_ms = FIXED_3.unpack_from(data, at)
    at += 8
    member_id, at = read_string(data, at)
    protocol_type, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    protocols: list[JoinGroupRequestProtocol] = []
    for _ in range(count):
        name, at = read_string(data, at)
        metadata, at = read_bytes(data, at)
        protocols.append(JoinGroupRequestProtocol(name=name, metadata=metadata))
    return JoinGroupRequest(
        group_id=group_id,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=rebalance_timeout_ms,
        member_id=member_id,
        protocol_type=protocol_type,
        protocols=protocols,
    ), at


def decode_5(data: bytes, at: int) -> tuple[JoinGroupRequest, int]:
    group_id, at = read_string(data, at)
    session_timeout_ms, rebalance_timeout_ms = FIXED_3.unpack_from(data, at)
    at += 8
    member_id, at = read_string(data, at)
    group_instance_id, at = read_nullable_string(data, at)
    protocol_type, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    protocols: list[JoinGroupRequestProtocol] = []
    for _ in range(count):
        name, at = read_string(data, at)
        metadata, at = read_bytes(data, at)
        protocols.append(JoinGroupRequestProtocol(name=name, metadata=metadata))
    return JoinGroupRequest(
        group_id=group_id,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=rebalance_timeout_ms,
        member_id=member_id,
        group_instance_id=group_instance_id,
        protocol_type=protocol_type,
        protocols=protocols,
    ), at


def decode_6(data: bytes, at: int) -> tuple[JoinGroupRequest, int]:
    group_id, at = read_compact_string(data, at)
    session_timeout_ms, rebalance_timeout_ms = FIXED_3.unpack_from(data, at)
    at += 8
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    protocol_type, at = read_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    protocols: list[JoinGroupRequestProtocol] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        metadata, at = read_compact_bytes(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        protocols.append(JoinGroupRequestProtocol(name=name, metadata=metadata))
    at = skip_tags(data, at) if data[at] else at + 1
    return JoinGroupRequest(
        group_id=group_id,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=rebalance_timeout_ms,
        member_id=member_id,
        group_instance_id=group_instance_id,
        protocol_type=protocol_type,
        protocols=protocols,
    ), at


def decode_8(data: bytes, at: int) -> tuple[JoinGroupRequest, int]:
    group_id, at = read_compact_string(data, at)
    session_timeout_ms, rebalance_timeout_ms = FIXED_3.unpack_from(data, at)
    at += 8
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    protocol_type, at = read_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    protocols: list[JoinGroupRequestProtocol] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        metadata, at = read_compact_bytes(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        protocols.append(JoinGroupRequestProtocol(name=name, metadata=metadata))
    reason, at = read_nullable_compact_string(data, at)
    at = skip_tags(data, at) if data[at] else at + 1
    return JoinGroupRequest(
        group_id=group_id,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=rebalance_timeout_ms,
        member_id=member_id,
        group_instance_id=group_instance_id,
        protocol_type=protocol_type,
        protocols=protocols,
        reason=reason,
    ), at


def encode_0(message: JoinGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code, message.generation_id))
    add(string(message.protocol_name or ""))
    add(string(message.leader))
    add(string(message.member_id))
    add(count(message.members))
    for member in message.members:
        add(string(member.member_id))
        add(count(member.metadata))
        add(member.metadata)


def encode_2(message: JoinGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code, message.generation_id))
    add(string(message.protocol_name or ""))
    add(string(message.leader))
    add(string(message.member_id))
    add(count(message.members))
    for member in message.members:
        add(string(member.member_id))
        add(count(member.metadata))
        add(member.metadata)


def encode_5(message: JoinGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code, message.generation_id))
    add(string(message.protocol_name or ""))
    add(string(message.leader))
    add(string(message.member_id))
    add(count(message.members))
    for member in message.members:
        add(string(member.member_id))
        add(nullable_string(member.group_instance_id))
        add(count(member.metadata))
        add(member.metadata)


def encode_6(message: JoinGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code, message.generation_id))
    add(compact_string(message.protocol_name or ""))
    add(compact_string(message.leader))
    add(compact_string(message.member_id))
    add(compact_count(message.members))
    for member in message.members:
        add(compact_string(member.member_id))
        add(nullable_compact_string(member.group_instance_id))
        add(compact_count(member.metadata))
        add(member.metadata)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_7(message: JoinGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code, message.generation_id))
    add(nullable_compact_string(message.protocol_type))
    add(nullable_compact_string(message.protocol_name))
    add(compact_string(message.leader))
    add(compact_string(message.member_id))
    add(compact_count(message.members))
    for member in message.members:
        add(compact_string(member.member_id))
        add(nullable_compact_string(member.group_instance_id))
        add(compact_count(member.metadata))
        add(member.metadata)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_9(message: JoinGroupResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code, message.generation_id))
    add(nullable_compact_string(message.protocol_type))
    add(nullable_compact_string(message.protocol_name))
    add(compact_string(message.leader))
    add(FIXED_5.pack(message.skip_assignment))
    add(compact_string(message.member_id))
    add(compact_count(message.members))
    for member in message.members:
        add(compact_string(member.member_id))
        add(nullable_compact_string(member.group_instance_id))
        add(compact_count(member.metadata))
        add(member.metadata)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[JoinGroupRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_1,
    3: decode_1,
    4: decode_1,
    5: decode_5,
    6: decode_6,
    7: decode_6,
    8: decode_8,
    9: decode_8,
}
ENCODERS: Final[dict[int, Callable[[JoinGroupResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_2,
    4: encode_2,
    5: encode_5,
    6: encode_6,
    7: encode_7,
    8: encode_7,
    9: encode_9,
}
