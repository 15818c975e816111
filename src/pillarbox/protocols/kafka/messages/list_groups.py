"""ListGroups, key 16, versions 0 to 5: requests decoded, responses encoded.

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
    read_items,
    skip_tags,
    string,
)


class ListGroupsRequest(msgspec.Struct, gc=False):
    states_filter: list[str] = []  # 4+
    types_filter: list[str] = []  # 5+


class ListedGroup(msgspec.Struct, gc=False):
    group_id: str = ""
    protocol_type: str = ""
    group_state: str = ""  # 4+
    group_type: str = ""  # 5+


class ListGroupsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    error_code: int = 0
    groups: list[ListedGroup] = []


FIXED_1 = Struct(">h")
FIXED_2 = Struct(">ih")


def decode_0(data: bytes, at: int) -> tuple[ListGroupsRequest, int]:
    return ListGroupsRequest(), at


def decode_3(data: bytes, at: int) -> tuple[ListGroupsRequest, int]:
    at = skip_tags(data, at) if data[at] else at + 1
    return ListGroupsRequest(), at


def decode_4(data: bytes, at: int) -> tuple[ListGroupsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    states_filter, at = read_items(data, at, count, read_compact_string)
    at = skip_tags(data, at) if data[at] else at + 1
    return ListGroupsRequest(states_filter=states_filter), at


def decode_5(data: bytes, at: int) -> tuple[ListGroupsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    states_filter, at = read_items(data, at, count, read_compact_string)
    count, at = read_compact_count(data, at, 1)
    types_filter, at = read_items(data, at, count, read_compact_string)
    at = skip_tags(data, at) if data[at] else at + 1
    return ListGroupsRequest(states_filter=states_filter, types_filter=types_filter), at


def encode_0(message: ListGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(count(message.groups))
    for group in message.groups:
        add(string(group.group_id))
        add(string(group.protocol_type))


def encode_1(message: ListGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(count(message.groups))
    for group in message.groups:
        add(string(group.group_id))
        add(string(group.protocol_type))


def encode_3(message: ListGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.groups))
    for group in message.groups:
        add(compact_string(group.group_id))
        add(compact_string(group.protocol_type))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_4(message: ListGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.groups))
    for group in message.groups:
        add(compact_string(group.group_id))
        add(compact_string(group.protocol_type))
        add(compact_string(group.group_state))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_5(message: ListGroupsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.groups))
    for group in message.groups:
        add(compact_string(group.group_id))
        add(compact_string(group.protocol_type))
        add(compact_string(group.group_state))
        add(compact_string(group.group_type))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ListGroupsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_4,
    5: decode_5,
}
ENCODERS: Final[dict[int, Callable[[ListGroupsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_3,
    4: encode_4,
    5: encode_5,
}
