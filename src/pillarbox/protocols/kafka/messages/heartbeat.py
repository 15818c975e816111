"""Heartbeat, key 12, versions 0 to 4: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import (
    read_compact_string,
    read_nullable_compact_string,
    read_nullable_string,
    read_string,
    skip_tags,
)


class HeartbeatRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    generation_id: int = 0
    member_id: str = ""
    group_instance_id: str | None = None  # 3+


class HeartbeatResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    error_code: int = 0


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">ihx")


def decode_0(data: bytes, at: int) -> tuple[HeartbeatRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    return HeartbeatRequest(group_id=group_id, generation_id=generation_id, member_id=member_id), at


def decode_3(data: bytes, at: int) -> tuple[HeartbeatRequest, int]:
    group_id, at = read_string(data, at)
    (generation_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_string(data, at)
    group_instance_id, at = read_nullable_string(data, at)
    return HeartbeatRequest(
        group_id=group_id,
        generation_id=generation_id,
        member_id=member_id,
        group_instance_id=group_instance_id,
    ), at


def decode_4(data: bytes, at: int) -> tuple[HeartbeatRequest, int]:
    group_id, at = read_compact_string(data, at)
    (generation_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    at = skip_tags(data, at) if data[at] else at + 1
    return HeartbeatRequest(
        group_id=group_id,
        generation_id=generation_id,
        member_id=member_id,
        group_instance_id=group_instance_id,
    ), at


def encode_0(message: HeartbeatResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))


def encode_1(message: HeartbeatResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))


def encode_4(message: HeartbeatResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[HeartbeatRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_4,
}
ENCODERS: Final[dict[int, Callable[[HeartbeatResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_1,
    4: encode_4,
}
