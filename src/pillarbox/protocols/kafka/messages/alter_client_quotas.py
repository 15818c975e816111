"""AlterClientQuotas, key 49, versions 0 to 1: requests decoded, responses encoded.

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


class RequestEntityData(msgspec.Struct, gc=False):
    entity_type: str = ""
    entity_name: str | None = ""


class OpData(msgspec.Struct, gc=False):
    key: str = ""
    value: float = 0.0
    remove: bool = False


class RequestEntryData(msgspec.Struct, gc=False):
    entity: list[RequestEntityData] = []
    ops: list[OpData] = []


class AlterClientQuotasRequest(msgspec.Struct, gc=False):
    entries: list[RequestEntryData] = []
    validate_only: bool = False


class ResponseEntityData(msgspec.Struct, gc=False):
    entity_type: str = ""
    entity_name: str | None = ""


class ResponseEntryData(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""
    entity: list[ResponseEntityData] = []


class AlterClientQuotasResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    entries: list[ResponseEntryData] = []


FIXED_1 = Struct(">d?")
FIXED_2 = Struct(">?")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">h")


def decode_0(data: bytes, at: int) -> tuple[AlterClientQuotasRequest, int]:
    count, at = read_count(data, at, 8)
    entries: list[RequestEntryData] = []
    for _ in range(count):
        count, at = read_count(data, at, 4)
        entity: list[RequestEntityData] = []
        for _ in range(count):
            entity_type, at = read_string(data, at)
            entity_name, at = read_nullable_string(data, at)
            entity.append(RequestEntityData(entity_type=entity_type, entity_name=entity_name))
        count, at = read_count(data, at, 11)
        ops: list[OpData] = []
        for _ in range(count):
            key, at = read_string(data, at)
            value, remove = FIXED_1.unpack_from(data, at)
            at += 9
            ops.append(OpData(key=key, value=value, remove=remove))
        entries.append(RequestEntryData(entity=entity, ops=ops))
    (validate_only,) = FIXED_2.unpack_from(data, at)
    at += 1
    return AlterClientQuotasRequest(entries=entries, validate_only=validate_only), at


def decode_1(data: bytes, at: int) -> tuple[AlterClientQuotasRequest, int]:
    count, at = read_compact_count(data, at, 3)
    entries: list[RequestEntryData] = []
    for _ in range(count):
        count, at = read_compact_count(data, at, 3)
        entity: list[RequestEntityData] = []
        for _ in range(count):
            entity_type, at = read_compact_string(data, at)
            entity_name, at = read_nullable_compact_string(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            entity.append(RequestEntityData(entity_type=entity_type, entity_name=entity_name))
        count, at = read_compact_count(data, at, 11)
        ops: list[OpData] = []
        for _ in range(count):
            key, at = read_compact_string(data, at)
            value, remove = FIXED_1.unpack_from(data, at)
            at += 9
            at = skip_tags(data, at) if data[at] else at + 1
            ops.append(OpData(key=key, value=value, remove=remove))
        at = skip_tags(data, at) if data[at] else at + 1
        entries.append(RequestEntryData(entity=entity, ops=ops))
    (validate_only,) = FIXED_2.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return AlterClientQuotasRequest(entries=entries, validate_only=validate_only), at


def encode_0(message: AlterClientQuotasResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.entries))
    for entry in message.entries:
        add(FIXED_4.pack(entry.error_code))
        add(nullable_string(entry.error_message))
        add(count(entry.entity))
        for entity_item in entry.entity:
            add(string(entity_item.entity_type))
            add(nullable_string(entity_item.entity_name))


def encode_1(message: AlterClientQuotasResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.entries))
    for entry in message.entries:
        add(FIXED_4.pack(entry.error_code))
        add(nullable_compact_string(entry.error_message))
        add(compact_count(entry.entity))
        for entity_item in entry.entity:
            add(compact_string(entity_item.entity_type))
            add(nullable_compact_string(entity_item.entity_name))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AlterClientQuotasRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[AlterClientQuotasResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
}
