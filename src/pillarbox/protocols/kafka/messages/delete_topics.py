"""DeleteTopics, key 20, versions 0 to 6: requests decoded, responses encoded.

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
    NO_UUID,
    compact_count,
    compact_string,
    count,
    nullable_compact_string,
    read_compact_count,
    read_compact_string,
    read_count,
    read_items,
    read_nullable_compact_string,
    read_string,
    skip_tags,
    string,
)


class DeleteTopicState(msgspec.Struct, gc=False):
    name: str | None = None  # 6+
    topic_id: bytes = NO_UUID  # 6+


class DeleteTopicsRequest(msgspec.Struct, gc=False):
    topics: list[DeleteTopicState] = []  # 6+
    topic_names: list[str] = []  # up to 5
    timeout_ms: int = 0


class DeletableTopicResult(msgspec.Struct, gc=False):
    name: str | None = ""
    topic_id: bytes = NO_UUID  # 6+
    error_code: int = 0
    error_message: str | None = None  # 5+


class DeleteTopicsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    responses: list[DeletableTopicResult] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">hx")
FIXED_4 = Struct(">16s")
FIXED_5 = Struct(">16sh")


def decode_0(data: bytes, at: int) -> tuple[DeleteTopicsRequest, int]:
    count, at = read_count(data, at, 2)
    topic_names, at = read_items(data, at, count, read_string)
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    return DeleteTopicsRequest(topic_names=topic_names, timeout_ms=timeout_ms), at


def decode_4(data: bytes, at: int) -> tuple[DeleteTopicsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    topic_names, at = read_items(data, at, count, read_compact_string)
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    at = skip_tags(data, at) if data[at] else at + 1
    return DeleteTopicsRequest(topic_names=topic_names, timeout_ms=timeout_ms), at


def decode_6(data: bytes, at: int) -> tuple[DeleteTopicsRequest, int]:
    count, at = read_compact_count(data, at, 18)
    topics: list[DeleteTopicState] = []
    for _ in range(count):
        name, at = read_nullable_compact_string(data, at)
        (topic_id,) = FIXED_4.unpack_from(data, at)
        at += 16
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(DeleteTopicState(name=name, topic_id=topic_id))
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    at = skip_tags(data, at) if data[at] else at + 1
    return DeleteTopicsRequest(topics=topics, timeout_ms=timeout_ms), at


def encode_0(message: DeleteTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.responses))
    for response in message.responses:
        add(string(response.name or ""))
        add(FIXED_2.pack(response.error_code))


def encode_1(message: DeleteTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.responses))
    for response in message.responses:
        add(string(response.name or ""))
        add(FIXED_2.pack(response.error_code))


def encode_4(message: DeleteTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.name or ""))
        add(FIXED_3.pack(response.error_code))
    add(NO_TAGS)


def encode_5(message: DeleteTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.name or ""))
        add(FIXED_2.pack(response.error_code))
        add(nullable_compact_string(response.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_6(message: DeleteTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.responses))
    for response in message.responses:
        add(nullable_compact_string(response.name))
        add(FIXED_5.pack(response.topic_id, response.error_code))
        add(nullable_compact_string(response.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DeleteTopicsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_0,
    4: decode_4,
    5: decode_4,
    6: decode_6,
}
ENCODERS: Final[dict[int, Callable[[DeleteTopicsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_1,
    4: encode_4,
    5: encode_5,
    6: encode_6,
}
