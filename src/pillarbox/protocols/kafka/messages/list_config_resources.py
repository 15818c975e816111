"""ListConfigResources, key 74, versions 0 to 1: requests decoded, responses encoded.

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
    read_compact_count,
    read_numbers,
    skip_tags,
)


class ListConfigResourcesRequest(msgspec.Struct, gc=False):
    resource_types: list[int] = []  # 1+


class ConfigResource(msgspec.Struct, gc=False):
    resource_name: str = ""
    resource_type: int = 16  # 1+


class ListConfigResourcesResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    config_resources: list[ConfigResource] = []


FIXED_1 = Struct(">ih")
FIXED_2 = Struct(">bx")


def decode_0(data: bytes, at: int) -> tuple[ListConfigResourcesRequest, int]:
    at = skip_tags(data, at) if data[at] else at + 1
    return ListConfigResourcesRequest(), at


def decode_1(data: bytes, at: int) -> tuple[ListConfigResourcesRequest, int]:
    count, at = read_compact_count(data, at, 1)
    resource_types, at = read_numbers(data, at, count, "b")
    at = skip_tags(data, at) if data[at] else at + 1
    return ListConfigResourcesRequest(resource_types=resource_types), at


def encode_0(message: ListConfigResourcesResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.config_resources))
    for config_resource in message.config_resources:
        add(compact_string(config_resource.resource_name))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_1(message: ListConfigResourcesResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.config_resources))
    for config_resource in message.config_resources:
        add(compact_string(config_resource.resource_name))
        add(FIXED_2.pack(config_resource.resource_type))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ListConfigResourcesRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[ListConfigResourcesResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
}
