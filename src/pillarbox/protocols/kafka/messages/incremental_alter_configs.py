"""IncrementalAlterConfigs, key 44, versions 0 to 1: requests decoded, responses encoded.

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


class AlterableConfig(msgspec.Struct, gc=False):
    name: str = ""
    config_operation: int = 0
    value: str | None = ""


class AlterConfigsResource(msgspec.Struct, gc=False):
    resource_type: int = 0
    resource_name: str = ""
    configs: list[AlterableConfig] = []


class IncrementalAlterConfigsRequest(msgspec.Struct, gc=False):
    resources: list[AlterConfigsResource] = []
    validate_only: bool = False


class AlterConfigsResourceResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""
    resource_type: int = 0
    resource_name: str = ""


class IncrementalAlterConfigsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    responses: list[AlterConfigsResourceResponse] = []


FIXED_1 = Struct(">b")
FIXED_2 = Struct(">?")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">h")


def decode_0(data: bytes, at: int) -> tuple[IncrementalAlterConfigsRequest, int]:
    count, at = read_count(data, at, 7)
    resources: list[AlterConfigsResource] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_string(data, at)
        count, at = read_count(data, at, 5)
        configs: list[AlterableConfig] = []
        for _ in range(count):
            name, at = read_string(data, at)
            (config_operation,) = FIXED_1.unpack_from(data, at)
            at += 1
            value, at = read_nullable_string(data, at)
            configs.append(AlterableConfig(name=name, config_operation=config_operation, value=value))
        resources.append(
            AlterConfigsResource(resource_type=resource_type, resource_name=resource_name, configs=configs)
        )
    (validate_only,) = FIXED_2.unpack_from(data, at)
    at += 1
    return IncrementalAlterConfigsRequest(resources=resources, validate_only=validate_only), at


def decode_1(data: bytes, at: int) -> tuple[IncrementalAlterConfigsRequest, int]:
    count, at = read_compact_count(data, at, 4)
    resources: list[AlterConfigsResource] = []
    for _ in range(count):
        (resource_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        resource_name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        configs: list[AlterableConfig] = []
        for _ in range(count):
            name, at = read_compact_string(data, at)
            (config_operation,) = FIXED_1.unpack_from(data, at)
            at += 1
            value, at = read_nullable_compact_string(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            configs.append(AlterableConfig(name=name, config_operation=config_operation, value=value))
        at = skip_tags(data, at) if data[at] else at + 1
        resources.append(
            AlterConfigsResource(resource_type=resource_type, resource_name=resource_name, configs=configs)
        )
    (validate_only,) = FIXED_2.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return IncrementalAlterConfigsRequest(resources=resources, validate_only=validate_only), at


def encode_0(message: IncrementalAlterConfigsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.responses))
    for response in message.responses:
        add(FIXED_4.pack(response.error_code))
        add(nullable_string(response.error_message))
        add(FIXED_1.pack(response.resource_type))
        add(string(response.resource_name))


def encode_1(message: IncrementalAlterConfigsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.responses))
    for response in message.responses:
        add(FIXED_4.pack(response.error_code))
        add(nullable_compact_string(response.error_message))
        add(FIXED_1.pack(response.resource_type))
        add(compact_string(response.resource_name))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[IncrementalAlterConfigsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[IncrementalAlterConfigsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
}
