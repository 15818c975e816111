"""DescribeClientQuotas, key 48, versions 0 to 1: requests decoded, responses encoded.

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
    nullable_compact_count,
    nullable_compact_string,
    nullable_count,
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


class ComponentData(msgspec.Struct, gc=False):
    entity_type: str = ""
    match_type: int = 0
    match: str | None = ""


class DescribeClientQuotasRequest(msgspec.Struct, gc=False):
    components: list[ComponentData] = []
    strict: bool = False


class EntityData(msgspec.Struct, gc=False):
    entity_type: str = ""
    entity_name: str | None = ""


class ValueData(msgspec.Struct, gc=False):
    key: str = ""
    value: float = 0.0


class EntryData(msgspec.Struct, gc=False):
    entity: list[EntityData] = []
    values: list[ValueData] = []


class DescribeClientQuotasResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""
    entries: list[EntryData] | None = []


FIXED_1 = Struct(">b")
FIXED_2 = Struct(">?")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">d")
FIXED_5 = Struct(">dx")


def decode_0(data: bytes, at: int) -> tuple[DescribeClientQuotasRequest, int]:
    count, at = read_count(data, at, 5)
    components: list[ComponentData] = []
    for _ in range(count):
        entity_type, at = read_string(data, at)
        (match_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        match, at = read_nullable_string(data, at)
        components.append(ComponentData(entity_type=entity_type, match_type=match_type, match=match))
    (strict,) = FIXED_2.unpack_from(data, at)
    at += 1
    return DescribeClientQuotasRequest(components=components, strict=strict), at


def decode_1(data: bytes, at: int) -> tuple[DescribeClientQuotasRequest, int]:
    count, at = read_compact_count(data, at, 4)
    components: list[ComponentData] = []
    for _ in range(count):
        entity_type, at = read_compact_string(data, at)
        (match_type,) = FIXED_1.unpack_from(data, at)
        at += 1
        match, at = read_nullable_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        components.append(ComponentData(entity_type=entity_type, match_type=match_type, match=match))
    (strict,) = FIXED_2.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeClientQuotasRequest(components=components, strict=strict), at


def encode_0(message: DescribeClientQuotasResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_string(message.error_message))
    add(nullable_count(message.entries))
    for entry in message.entries or ():
        add(count(entry.entity))
        for entity_item in entry.entity:
            add(string(entity_item.entity_type))
            add(nullable_string(entity_item.entity_name))
        add(count(entry.values))
        for value in entry.values:
            add(string(value.key))
            add(FIXED_4.pack(value.value))


def encode_1(message: DescribeClientQuotasResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(nullable_compact_count(message.entries))
    for entry in message.entries or ():
        add(compact_count(entry.entity))
        for entity_item in entry.entity:
            add(compact_string(entity_item.entity_type))
            add(nullable_compact_string(entity_item.entity_name))
            add(NO_TAGS)
        add(compact_count(entry.values))
        for value in entry.values:
            add(compact_string(value.key))
            add(FIXED_5.pack(value.value))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeClientQuotasRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[DescribeClientQuotasResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
}
