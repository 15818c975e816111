"""DescribeAcls, key 29, versions 0 to 3: requests decoded, responses encoded.

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
    compact_string,
    count,
    nullable_compact_string,
    nullable_string,
    read_nullable_compact_string,
    read_nullable_string,
    skip_tags,
    string,
)


class DescribeAclsRequest(msgspec.Struct, gc=False):
    resource_type_filter: int = 0
    resource_name_filter: str | None = ""
    pattern_type_filter: int = 3  # 1+
    principal_filter: str | None = ""
    host_filter: str | None = ""
    operation: int = 0
    permission_type: int = 0


class AclDescription(msgspec.Struct, gc=False):
    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


class DescribeAclsResource(msgspec.Struct, gc=False):
    resource_type: int = 0
    resource_name: str = ""
    pattern_type: int = 3  # 1+
    acls: list[AclDescription] = []


class DescribeAclsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""
    resources: list[DescribeAclsResource] = []


FIXED_1 = Struct(">b")
FIXED_2 = Struct(">bb")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">bbx")


def decode_0(data: bytes, at: int) -> tuple[DescribeAclsRequest, int]:
    (resource_type_filter,) = FIXED_1.unpack_from(data, at)
    at += 1
    resource_name_filter, at = read_nullable_string(data, at)
    principal_filter, at = read_nullable_string(data, at)
    host_filter, at = read_nullable_string(data, at)
    operation, permission_type = FIXED_2.unpack_from(data, at)
    at += 2
    return DescribeAclsRequest(
        resource_type_filter=resource_type_filter,
        resource_name_filter=resource_name_filter,
        principal_filter=principal_filter,
        host_filter=host_filter,
        operation=operation,
        permission_type=permission_type,
    ), at


def decode_1(data: bytes, at: int) -> tuple[DescribeAclsRequest, int]:
    (resource_type_filter,) = FIXED_1.unpack_from(data, at)
    at += 1
    resource_name_filter, at = read_nullable_string(data, at)
    (pattern_type_filter,) = FIXED_1.unpack_from(data, at)
    at += 1
    principal_filter, at = read_nullable_string(data, at)
    host_filter, at = read_nullable_string(data, at)
    operation, permission_type = FIXED_2.unpack_from(data, at)
    at += 2
    return DescribeAclsRequest(
        resource_type_filter=resource_type_filter,
        resource_name_filter=resource_name_filter,
        pattern_type_filter=pattern_type_filter,
        principal_filter=principal_filter,
        host_filter=host_filter,
        operation=operation,
        permission_type=permission_type,
    ), at


def decode_2(data: bytes, at: int) -> tuple[DescribeAclsRequest, int]:
    (resource_type_filter,) = FIXED_1.unpack_from(data, at)
    at += 1
    resource_name_filter, at = read_nullable_compact_string(data, at)
    (pattern_type_filter,) = FIXED_1.unpack_from(data, at)
    at += 1
    principal_filter, at = read_nullable_compact_string(data, at)
    host_filter, at = read_nullable_compact_string(data, at)
    operation, permission_type = FIXED_2.unpack_from(data, at)
    at += 2
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeAclsRequest(
        resource_type_filter=resource_type_filter,
        resource_name_filter=resource_name_filter,
        pattern_type_filter=pattern_type_filter,
        principal_filter=principal_filter,
        host_filter=host_filter,
        operation=operation,
        permission_type=permission_type,
    ), at


def encode_0(message: DescribeAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_string(message.error_message))
    add(count(message.resources))
    for resource in message.resources:
        add(FIXED_1.pack(resource.resource_type))
        add(string(resource.resource_name))
        add(count(resource.acls))
        for acl in resource.acls:
            add(string(acl.principal))
            add(string(acl.host))
            add(FIXED_2.pack(acl.operation, acl.permission_type))


def encode_1(message: DescribeAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_string(message.error_message))
    add(count(message.resources))
    for resource in message.resources:
        add(FIXED_1.pack(resource.resource_type))
        add(string(resource.resource_name))
        add(FIXED_1.pack(resource.pattern_type))
        add(count(resource.acls))
        for acl in resource.acls:
            add(string(acl.principal))
            add(string(acl.host))
            add(FIXED_2.pack(acl.operation, acl.permission_type))


def encode_2(message: DescribeAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.resources))
    for resource in message.resources:
        add(FIXED_1.pack(resource.resource_type))
        add(compact_string(resource.resource_name))
        add(FIXED_1.pack(resource.pattern_type))
        add(compact_count(resource.acls))
        for acl in resource.acls:
            add(compact_string(acl.principal))
            add(compact_string(acl.host))
            add(FIXED_4.pack(acl.operation, acl.permission_type))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeAclsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
    3: decode_2,
}
ENCODERS: Final[dict[int, Callable[[DescribeAclsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
    3: encode_2,
}
