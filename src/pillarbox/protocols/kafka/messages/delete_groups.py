"""DeleteGroups, key 42, versions 0 to 2: requests decoded, responses encoded.

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
    read_compact_count,
    read_compact_string,
    read_count,
    read_items,
    read_string,
    skip_tags,
    string,
)


class DeleteGroupsRequest(msgspec.Struct, gc=False):
    groups_names: list[str] = []


class DeletableGroupResult(msgspec.Struct, gc=False):
    group_id: str = ""
    error_code: int = 0


class DeleteGroupsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    results: list[DeletableGroupResult] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">hx")


def decode_0(data: bytes, at: int) -> tuple[DeleteGroupsRequest, int]:
    count, at = read_count(data, at, 2)
    groups_names, at = read_items(data, at, count, read_string)
    return DeleteGroupsRequest(groups_names=groups_names), at


def decode_2(data: bytes, at: int) -> tuple[DeleteGroupsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    groups_names, at = read_items(data, at, count, read_compact_string)
    at = skip_tags(data, at) if data[at] else at + 1
    return DeleteGroupsRequest(groups_names=groups_names), at


def encode_0(message: DeleteGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(string(result.group_id))
        add(FIXED_2.pack(result.error_code))


def encode_2(message: DeleteGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.results))
    for result in message.results:
        add(compact_string(result.group_id))
        add(FIXED_3.pack(result.error_code))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DeleteGroupsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[DeleteGroupsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
}
