"""DescribeConfigs, key 32, versions 0 to 4: requests decoded, responses encoded.

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
    read_compact_string,
    read_count,
    read_items,
    read_nullable_compact_count,
    read_nullable_count,
    read_string,
    skip_tags,
    string,
)


class DescribeConfigsResource(msgspec.Struct, gc=False):
    resource_type: int = 0
    resource_name: str = ""
    configuration_keys: list[str] | None = []


class DescribeConfigsRequest(msgspec.Struct, gc=False):
    resources: list[DescribeConfigsResource] = []
    include_synonyms: bool = False  # 1+
    include_documentation: bool = False  # 3+


class DescribeConfigsSynonym(msgspec.Struct, gc=False):
    name: str = ""  # 1+
    value: str | None = ""  # 1+
    source: int = 0  # 1+


class DescribeConfigsResourceResult(msgspec.Struct, gc=False):
    name: str = ""
    value: str | None = ""
    read_only: bool = False
    is_default: bool = False  # up to 0
    config_source: int = -1  # 1+
    is_sensitive: bool = False
    synonyms: list[DescribeConfigsSynonym] = []  # 1+
    config_type: int = 0  # 3+
    documentation: str | None = ""  # 3+


class DescribeConfigsResult(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""
    resource_type: int = 0
    resource_name: str = ""
    configs: list[DescribeConfigsResourceResult] = []


class DescribeConfigsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    results: list[DescribeConfigsResult] = []


FIXED_1 = Struct(">b")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">h")
FIXED_4 = Struct(">???")
FIXED_5 = Struct(">?")
FIXED_6 = Struct(">?b?")
FIXED_7 = Struct(">??")
FIXED_8 = Struct(">bx")


def decode_0(data: bytes, at: int) -> tuple[DescribeConfigsRequest, int]:
    count, at = read_count(data, at, 7)
    resources: list[DescribeConfigsResource] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_string(data, at)
        configuration_keys_count, at = read_nullable_count(data, at, 2)
        configuration_keys, at = read_items(data, at, configuration_keys_count, read_string)
        resources.append(
            DescribeConfigsResource(
                resource_type=resource_type,
                resource_name=resource_name,
                configuration_keys=None if configuration_keys_count < 0 else configuration_keys,
            )
        )
    return DescribeConfigsRequest(resources=resources), at


def decode_1(data: bytes, at: int) -> tuple[DescribeConfigsRequest, int]:
    count, at = read_count(data, at, 7)
    resources: list[DescribeConfigsResource] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_string(data, at)
        configuration_keys_count, at = read_nullable_count(data, at, 2)
        configuration_keys, at = read_items(data, at, configuration_keys_count, read_string)
        resources.append(
            DescribeConfigsResource(
                resource_type=resource_type,
                resource_name=resource_name,
                configuration_keys=None if configuration_keys_count < 0 else configuration_keys,
            )
        )
    (include_synonyms,) = FIXED_5.unpack_from(data, at)
    at += 1
    return DescribeConfigsRequest(resources=resources, include_synonyms=include_synonyms), at


def decode_3(data: bytes, at: int) -> tuple[DescribeConfigsRequest, int]:
    count, at = read_count(data, at, 7)
    resources: list[DescribeConfigsResource] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_string(data, at)
        configuration_keys_count, at = read_nullable_count(data, at, 2)
        configuration_keys, at = read_items(data, at, configuration_keys_count, read_string)
        resources.append(
            DescribeConfigsResource(
                resource_type=resource_type,
                resource_name=resource_name,
                configuration_keys=None if configuration_keys_count < 0 else configuration_keys,
            )
        )
    include_synonyms, include_documentation = FIXED_7.unpack_from(data, at)
    at += 2
    return DescribeConfigsRequest(
        resources=resources, include_synonyms=include_synonyms, include_documentation=include_documentation
    ), at


def decode_4(data: bytes, at: int) -> tuple[DescribeConfigsRequest, int]:
    count, at = read_compact_count(data, at, 4)
    resources: list[DescribeConfigsResource] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_compact_string(data, at)
        configuration_keys_count, at = read_nullable_compact_count(data, at, 1)
        configuration_keys, at = read_items(data, at, configuration_keys_count, read_compact_string)
        at = skip_tags(data, at) if data[at] else at + 1
        resources.append(
            DescribeConfigsResource(
                resource_type=resource_type,
                resource_name=resource_name,
                configuration_keys=None if configuration_keys_count < 0 else configuration_keys,
            )
        )
    include_synonyms, include_documentation = FIXED_7.unpack_from(data, at)
    at += 2
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeConfigsRequest(
        resources=resources, include_synonyms=include_synonyms, include_documentation=include_documentation
    ), at


def encode_0(message: DescribeConfigsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(FIXED_3.pack(result.error_code))
        add(nullable_string(result.error_message))
        add(FIXED_1.pack(result.resource_type))
        add(string(result.resource_name))
        add(count(result.configs))
        for config in result.configs:
            add(string(config.name))
            add(nullable_string(config.value))
            add(FIXED_4.pack(config.read_only, config.is_default, config.is_sensitive))


def encode_1(message: DescribeConfigsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(FIXED_3.pack(result.error_code))
        add(nullable_string(result.error_message))
        add(FIXED_1.pack(result.resource_type))
        add(string(result.resource_name))
        add(count(result.configs))
        for config in result.configs:
            add(string(config.name))
            add(nullable_string(config.value))
            add(FIXED_6.pack(config.read_only, config.config_source, config.is_sensitive))
            add(count(config.synonyms))
            for synonym in config.synonyms:
                add(string(synonym.name))
                add(nullable_string(synonym.value))
                add(FIXED_1.pack(synonym.source))


def encode_3(message: DescribeConfigsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(FIXED_3.pack(result.error_code))
        add(nullable_string(result.error_message))
        add(FIXED_1.pack(result.resource_type))
        add(string(result.resource_name))
        add(count(result.configs))
        for config in result.configs:
            add(string(config.name))
            add(nullable_string(config.value))
            add(FIXED_6.pack(config.read_only, config.config_source, config.is_sensitive))
            add(count(config.synonyms))
            for synonym in config.synonyms:
                add(string(synonym.name))
                add(nullable_string(synonym.value))
                add(FIXED_1.pack(synonym.source))
            add(FIXED_1.pack(config.config_type))
            add(nullable_string(config.documentation))


def encode_4(message: DescribeConfigsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.results))
    for result in message.results:
        add(FIXED_3.pack(result.error_code))
        add(nullable_compact_string(result.error_message))
        add(FIXED_1.pack(result.resource_type))
        add(compact_string(result.resource_name))
        add(compact_count(result.configs))
        for config in result.configs:
            add(compact_string(config.name))
            add(nullable_compact_string(config.value))
            add(FIXED_6.pack(config.read_only, config.config_source, config.is_sensitive))
            add(compact_count(config.synonyms))
            for synonym in config.synonyms:
                add(compact_string(synonym.name))
                add(nullable_compact_string(synonym.value))
                add(FIXED_8.pack(synonym.source))
            add(FIXED_1.pack(config.config_type))
            add(nullable_compact_string(config.documentation))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeConfigsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_1,
    3: decode_3,
    4: decode_4,
}
ENCODERS: Final[dict[int, Callable[[DescribeConfigsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_3,
    4: encode_4,
}
