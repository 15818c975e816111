"""DeleteAcls, key 31, versions 0 to 3: requests decoded, responses encoded.

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
    read_compact_count,
    read_count,
    read_nullable_compact_string,
    read_nullable_string,
    skip_tags,
    string,
)


class DeleteAclsFilter(msgspec.Struct, gc=False):
    resource_type_filter: int = 0
    resource_name_filter: str | None = ""
    pattern_type_filter: int = 3  # 1+
    principal_filter: str | None = ""
    host_filter: str | None = ""
    operation: int = 0
    permission_type: int = 0


class DeleteAclsRequest(msgspec.Struct, gc=False):
    filters: list[DeleteAclsFilter] = []


class DeleteAclsMatchingAcl(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""
    resource_type: int = 0
    resource_name: str = ""
    pattern_type: int = 3  # 1+
    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


class DeleteAclsFilterResult(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""
    matching_acls: list[DeleteAclsMatchingAcl] = []


class DeleteAclsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    filter_results: list[DeleteAclsFilterResult] = []


FIXED_1 = Struct(">b")
FIXED_2 = Struct(">bb")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">h")
FIXED_5 = Struct(">bbx")


def decode_0(data: bytes, at: int) -> tuple[DeleteAclsRequest, int]:
    count, at = read_count(data, at, 9)
    filters: list[DeleteAclsFilter] = []
    for _ in range(count):
        (resource_type_filter,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name_filter, at = read_nullable_string(data, at)
        principal_filter, at = read_nullable_string(data, at)
        host_filter, at = read_nullable_string(data, at)
        operation, permission_type = FIXED_2.unpack_from(data, at)
        at += 2
        filters.append(
            DeleteAclsFilter(
                resource_type_filter=resource_type_filter,
                resource_name_filter=resource_name_filter,
                principal_filter=principal_filter,
                host_filter=host_filter,
                operation=operation,
                permission_type=permission_type,
            )
        )
    return DeleteAclsRequest(filters=filters), at


def decode_1(data: bytes, at: int) -> tuple[DeleteAclsRequest, int]:
    count, at = read_count(data, at, 10)
    filters: list[DeleteAclsFilter] = []
    for _ in range(count):
        (resource_type_filter,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name_filter, at = read_nullable_string(data, at)
        (pattern_type_filter,) = FIXED_1.unpack_from(data, at)
        at += 1
        principal_filter, at = read_nullable_string(data, at)
        host_filter, at = read_nullable_string(data, at)
        operation, permission_type = FIXED_2.unpack_from(data, at)
        at += 2
        filters.append(
            DeleteAclsFilter(
                resource_type_filter=resource_type_filter,
                resource_name_filter=resource_name_filter,
                pattern_type_filter=pattern_type_filter,
                principal_filter=principal_filter,
                host_filter=host_filter,
                operation=operation,
                permission_type=permission_type,
            )
        )
    return DeleteAclsRequest(filters=filters), at


def decode_2(data: bytes, at: int) -> tuple[DeleteAclsRequest, int]:
    count, at = read_compact_count(data, at, 8)
    filters: list[DeleteAclsFilter] = []
    for _ in range(count):
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
        filters.append(
            DeleteAclsFilter(
                resource_type_filter=resource_type_filter,
                resource_name_filter=resource_name_filter,
                pattern_type_filter=pattern_type_filter,
                principal_filter=principal_filter,
                host_filter=host_filter,
                operation=operation,
                permission_type=permission_type,
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return DeleteAclsRequest(filters=filters), at


def encode_0(message: DeleteAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.filter_results))
    for filter_result in message.filter_results:
        add(FIXED_4.pack(filter_result.error_code))
        add(nullable_string(filter_result.error_message))
        add(count(filter_result.matching_acls))
        for matching_acl in filter_result.matching_acls:
            add(FIXED_4.pack(matching_acl.error_code))
            add(nullable_string(matching_acl.error_message))
            add(FIXED_1.pack(matching_acl.resource_type))
            add(string(matching_acl.resource_name))
            add(string(matching_acl.principal))
            add(string(matching_acl.host))
            add(FIXED_2.pack(matching_acl.operation, matching_acl.permission_type))


def encode_1(message: DeleteAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.filter_results))
    for filter_result in message.filter_results:
        add(FIXED_4.pack(filter_result.error_code))
        add(nullable_string(filter_result.error_message))
        add(count(filter_result.matching_acls))
        for matching_acl in filter_result.matching_acls:
            add(FIXED_4.pack(matching_acl.error_code))
            add(nullable_string(matching_acl.error_message))
            add(FIXED_1.pack(matching_acl.resource_type))
            add(string(matching_acl.resource_name))
            add(FIXED_1.pack(matching_acl.pattern_type))
            add(string(matching_acl.principal))
            add(string(matching_acl.host))
            add(FIXED_2.pack(matching_acl.operation, matching_acl.permission_type))


def encode_2(message: DeleteAclsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.filter_results))
    for filter_result in message.filter_results:
        add(FIXED_4.pack(filter_result.error_code))
        add(nullable_compact_string(filter_result.error_message))
        add(compact_count(filter_result.matching_acls))
        for matching_acl in filter_result.matching_acls:
            add(FIXED_4.pack(matching_acl.error_code))
            add(nullable_compact_string(matching_acl.error_message))
            add(FIXED_1.pack(matching_acl.resource_type))
            add(compact_string(matching_acl.resource_name))
            add(FIXED_1.pack(matching_acl.pattern_type))
            add(compact_string(matching_acl.principal))
            add(compact_string(matching_acl.host))
            add(FIXED_5.pack(matching_acl.operation, matching_acl.permission_type))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DeleteAclsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
    3: decode_2,
}
ENCODERS: Final[dict[int, Callable[[DeleteAclsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
    3: encode_2,
}
