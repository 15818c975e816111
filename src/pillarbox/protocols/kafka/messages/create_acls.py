"""CreateAcls, key 30, versions 0 to 3: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1 and 3.9.1:
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
    nullable_string,
    read_compact_count,
    read_compact_string,
    read_count,
    read_string,
    skip_tags,
)


class AclCreation(msgspec.Struct, gc=False):
    resource_type: int = 0
    resource_name: str = ""
    resource_pattern_type: int = 3  # 1+
    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


class CreateAclsRequest(msgspec.Struct, gc=False):
    creations: list[AclCreation] = []


class AclCreationResult(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""


class CreateAclsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    results: list[AclCreationResult] = []


FIXED_1 = Struct(">b")
FIXED_2 = Struct(">bb")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">h")


def decode_0(data: bytes, at: int) -> tuple[CreateAclsRequest, int]:
    count, at = read_count(data, at, 9)
    creations: list[AclCreation] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_string(data, at)
        principal, at = read_string(data, at)
        host, at = read_string(data, at)
        operation, permission_type = FIXED_2.unpack_from(data, at)
        at += 2
        creations.append(
            AclCreation(
                resource_type=resource_type,
                resource_name=resource_name,
                principal=principal,
                host=host,
                operation=operation,
                permission_type=permission_type,
            )
        )
    return CreateAclsRequest(creations=creations), at


def decode_1(data: bytes, at: int) -> tuple[CreateAclsRequest, int]:
    count, at = read_count(data, at, 10)
    creations: list[AclCreation] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_string(data, at)
        (resource_pattern_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        principal, at = read_string(data, at)
        host, at = read_string(data, at)
        operation, permission_type = FIXED_2.unpack_from(data, at)
        at += 2
        creations.append(
            AclCreation(
                resource_type=resource_type,
                resource_name=resource_name,
                resource_pattern_type=resource_pattern_type,
                principal=principal,
                host=host,
                operation=operation,
                permission_type=permission_type,
            )
        )
    return CreateAclsRequest(creations=creations), at


def decode_2(data: bytes, at: int) -> tuple[CreateAclsRequest, int]:
    count, at = read_compact_count(data, at, 8)
    creations: list[AclCreation] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_compact_string(data, at)
        (resource_pattern_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        principal, at = read_compact_string(data, at)
        host, at = read_compact_string(data, at)
        operation, permission_type = FIXED_2.unpack_from(data, at)
        at += 2
        at = skip_tags(data, at) if data[at] else at + 1
        creations.append(
            AclCreation(
                resource_type=resource_type,
                resource_name=resource_name,
                resource_pattern_type=resource_pattern_type,
                principal=principal,
                host=host,
                operation=operation,
                permission_type=permission_type,
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return CreateAclsRequest(creations=creations), at


def encode_0(message: CreateAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(FIXED_4.pack(result.error_code))
        add(nullable_string(result.error_message))


def encode_2(message: CreateAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.results))
    for result in message.results:
        add(FIXED_4.pack(result.error_code))
        add(nullable_compact_string(result.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[CreateAclsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
    3: decode_2,
}
ENCODERS: Final[dict[int, Callable[[CreateAclsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_2,
}
