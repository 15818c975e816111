"""FindCoordinator, key 10, versions 0 to 6: requests decoded, responses encoded.

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
    nullable_string,
    read_compact_count,
    read_compact_string,
    read_items,
    read_string,
    skip_tags,
    string,
)


class FindCoordinatorRequest(msgspec.Struct, gc=False):
    key: str = ""  # up to 3
    key_type: int = 0  # 1+
    coordinator_keys: list[str] = []  # 4+


class Coordinator(msgspec.Struct, gc=False):
    key: str = ""  # 4+
    node_id: int = 0  # 4+
    host: str = ""  # 4+
    port: int = 0  # 4+
    error_code: int = 0  # 4+
    error_message: str | None = ""  # 4+


class FindCoordinatorResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    error_code: int = 0  # up to 3
    error_message: str | None = ""  # 1 to 3
    node_id: int = 0  # up to 3
    host: str = ""  # up to 3
    port: int = 0  # up to 3
    coordinators: list[Coordinator] = []  # 4+


FIXED_1 = Struct(">hi")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">b")
FIXED_4 = Struct(">ih")
FIXED_5 = Struct(">ix")


def decode_0(data: bytes, at: int) -> tuple[FindCoordinatorRequest, int]:
    key, at = read_string(data, at)
    return FindCoordinatorRequest(key=key), at


def decode_1(data: bytes, at: int) -> tuple[FindCoordinatorRequest, int]:
    key, at = read_string(data, at)
    (key_type,) = FIXED_3.unpack_from(data, at)
    at += 1
    return FindCoordinatorRequest(key=key, key_type=key_type), at


def decode_3(data: bytes, at: int) -> tuple[FindCoordinatorRequest, int]:
    key, at = read_compact_string(data, at)
    (key_type,) = FIXED_3.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return FindCoordinatorRequest(key=key, key_type=key_type), at


def decode_4(data: bytes, at: int) -> tuple[FindCoordinatorRequest, int]:
    (key_type,) = FIXED_3.unpack_from(data, at)
    at += 1
    count, at = read_compact_count(data, at, 1)
    coordinator_keys, at = read_items(data, at, count, read_compact_string)
    at = skip_tags(data, at) if data[at] else at + 1
    return FindCoordinatorRequest(key_type=key_type, coordinator_keys=coordinator_keys), at


def encode_0(message: FindCoordinatorResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code, message.node_id))
    add(string(message.host))
    add(FIXED_2.pack(message.port))


def encode_1(message: FindCoordinatorResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code))
    add(nullable_string(message.error_message))
    add(FIXED_2.pack(message.node_id))
    add(string(message.host))
    add(FIXED_2.pack(message.port))


def encode_3(message: FindCoordinatorResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(FIXED_2.pack(message.node_id))
    add(compact_string(message.host))
    add(FIXED_5.pack(message.port))


def encode_4(message: FindCoordinatorResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.coordinators))
    for coordinator in message.coordinators:
        add(compact_string(coordinator.key))
        add(FIXED_2.pack(coordinator.node_id))
        add(compact_string(coordinator.host))
        add(FIXED_4.pack(coordinator.port, coordinator.error_code))
        add(nullable_compact_string(coordinator.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[FindCoordinatorRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_1,
    3: decode_3,
    4: decode_4,
    5: decode_4,
    6: decode_4,
}
ENCODERS: Final[dict[int, Callable[[FindCoordinatorResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_3,
    4: encode_4,
    5: encode_4,
    6: encode_4,
}
