"""CreatePartitions, key 37, versions 0 to 3: requests decoded, responses encoded.

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
    read_nullable_compact_count,
    read_nullable_count,
    read_numbers,
    read_string,
    skip_tags,
    string,
)


class CreatePartitionsAssignment(msgspec.Struct, gc=False):
    broker_ids: list[int] = []


class CreatePartitionsTopic(msgspec.Struct, gc=False):
    name: str = ""
    count: int = 0
    assignments: list[CreatePartitionsAssignment] | None = []


class CreatePartitionsRequest(msgspec.Struct, gc=False):
    topics: list[CreatePartitionsTopic] = []
    timeout_ms: int = 0
    validate_only: bool = False


class CreatePartitionsTopicResult(msgspec.Struct, gc=False):
    name: str = ""
    error_code: int = 0
    error_message: str | None = None


class CreatePartitionsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    results: list[CreatePartitionsTopicResult] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">i?")
FIXED_3 = Struct(">h")


def decode_0(data: bytes, at: int) -> tuple[CreatePartitionsRequest, int]:
    count, at = read_count(data, at, 10)
    topics: list[CreatePartitionsTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        (topic_count,) = FIXED_1.unpack_from(data, at)
        at += 4
        assignments_count, at = read_nullable_count(data, at, 4)
        assignments: list[CreatePartitionsAssignment] = []
        for _ in range(assignments_count):
            count, at = read_count(data, at, 4)
            broker_ids, at = read_numbers(data, at, count, "i")
            assignments.append(CreatePartitionsAssignment(broker_ids=broker_ids))
        topics.append(
            CreatePartitionsTopic(
                name=name, count=topic_count, assignments=None if assignments_count < 0 else assignments
            )
        )
    timeout_ms, validate_only = FIXED_2.unpack_from(data, at)
    at += 5
    return CreatePartitionsRequest(topics=topics, timeout_ms=timeout_ms, validate_only=validate_only), at


def decode_2(data: bytes, at: int) -> tuple[CreatePartitionsRequest, int]:
    count, at = read_compact_count(data, at, 7)
    topics: list[CreatePartitionsTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        (topic_count,) = FIXED_1.unpack_from(data, at)
        at += 4
        assignments_count, at = read_nullable_compact_count(data, at, 2)
        assignments: list[CreatePartitionsAssignment] = []
        for _ in range(assignments_count):
            count, at = read_compact_count(data, at, 4)
            broker_ids, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            assignments.append(CreatePartitionsAssignment(broker_ids=broker_ids))
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(
            CreatePartitionsTopic(
                name=name, count=topic_count, assignments=None if assignments_count < 0 else assignments
            )
        )
    timeout_ms, validate_only = FIXED_2.unpack_from(data, at)
    at += 5
    at = skip_tags(data, at) if data[at] else at + 1
    return CreatePartitionsRequest(topics=topics, timeout_ms=timeout_ms, validate_only=validate_only), at


def encode_0(message: CreatePartitionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(string(result.name))
        add(FIXED_3.pack(result.error_code))
        add(nullable_string(result.error_message))


def encode_2(message: CreatePartitionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.results))
    for result in message.results:
        add(compact_string(result.name))
        add(FIXED_3.pack(result.error_code))
        add(nullable_compact_string(result.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[CreatePartitionsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_2,
}
ENCODERS: Final[dict[int, Callable[[CreatePartitionsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_2,
}
