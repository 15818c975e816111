"""DescribeLogDirs, key 35, versions 0 to 4: requests decoded, responses encoded.

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


class DescribableLogDirTopic(msgspec.Struct, gc=False):
    topic: str = ""
    partitions: list[int] = []


class DescribeLogDirsRequest(msgspec.Struct, gc=False):
    topics: list[DescribableLogDirTopic] | None = []


class DescribeLogDirsPartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    partition_size: int = 0
    offset_lag: int = 0
    is_future_key: bool = False


class DescribeLogDirsTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[DescribeLogDirsPartition] = []


class DescribeLogDirsResult(msgspec.Struct, gc=False):
    error_code: int = 0
    log_dir: str = ""
    topics: list[DescribeLogDirsTopic] = []
    total_bytes: int = -1  # 4+
    usable_bytes: int = -1  # 4+


class DescribeLogDirsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0  # 3+
    results: list[DescribeLogDirsResult] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">iqq?")
FIXED_4 = Struct(">iqq?x")
FIXED_5 = Struct(">ih")
FIXED_6 = Struct(">qqx")


def decode_0(data: bytes, at: int) -> tuple[DescribeLogDirsRequest, int]:
    topics_count, at = read_nullable_count(data, at, 6)
    topics: list[DescribableLogDirTopic] = []
    for _ in range(topics_count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        topics.append(DescribableLogDirTopic(topic=topic, partitions=partitions))
    return DescribeLogDirsRequest(topics=None if topics_count < 0 else topics), at


def decode_2(data: bytes, at: int) -> tuple[DescribeLogDirsRequest, int]:
    topics_count, at = read_nullable_compact_count(data, at, 3)
    topics: list[DescribableLogDirTopic] = []
    for _ in range(topics_count):
        topic, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(DescribableLogDirTopic(topic=topic, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeLogDirsRequest(topics=None if topics_count < 0 else topics), at


def encode_0(message: DescribeLogDirsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(FIXED_2.pack(result.error_code))
        add(string(result.log_dir))
        add(count(result.topics))
        for topic in result.topics:
            add(string(topic.name))
            add(count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_3.pack(
                        partition.partition_index,
                        partition.partition_size,
                        partition.offset_lag,
                        partition.is_future_key,
                    )
                )


def encode_2(message: DescribeLogDirsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.results))
    for result in message.results:
        add(FIXED_2.pack(result.error_code))
        add(compact_string(result.log_dir))
        add(compact_count(result.topics))
        for topic in result.topics:
            add(compact_string(topic.name))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_4.pack(
                        partition.partition_index,
                        partition.partition_size,
                        partition.offset_lag,
                        partition.is_future_key,
                    )
                )
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_3(message: DescribeLogDirsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_5.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.results))
    for result in message.results:
        add(FIXED_2.pack(result.error_code))
        add(compact_string(result.log_dir))
        add(compact_count(result.topics))
        for topic in result.topics:
            add(compact_string(topic.name))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_4.pack(
                        partition.partition_index,
                        partition.partition_size,
                        partition.offset_lag,
                        partition.is_future_key,
                    )
                )
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_4(message: DescribeLogDirsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_5.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.results))
    for result in message.results:
        add(FIXED_2.pack(result.error_code))
        add(compact_string(result.log_dir))
        add(compact_count(result.topics))
        for topic in result.topics:
            add(compact_string(topic.name))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(
                    FIXED_4.pack(
                        partition.partition_index,
                        partition.partition_size,
                        partition.offset_lag,
                        partition.is_future_key,
                    )
                )
            add(NO_TAGS)
        add(FIXED_6.pack(result.total_bytes, result.usable_bytes))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeLogDirsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_2,
    4: decode_2,
}
ENCODERS: Final[dict[int, Callable[[DescribeLogDirsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_3,
    4: encode_4,
}
