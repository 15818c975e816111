"""DeleteRecords, key 21, versions 0 to 2: requests decoded, responses encoded.

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
    read_string,
    skip_tags,
    string,
)


class DeleteRecordsPartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    offset: int = 0


class DeleteRecordsTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[DeleteRecordsPartition] = []


class DeleteRecordsRequest(msgspec.Struct, gc=False):
    topics: list[DeleteRecordsTopic] = []
    timeout_ms: int = 0


class DeleteRecordsPartitionResult(msgspec.Struct, gc=False):
    partition_index: int = 0
    low_watermark: int = 0
    error_code: int = 0


class DeleteRecordsTopicResult(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[DeleteRecordsPartitionResult] = []


class DeleteRecordsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    topics: list[DeleteRecordsTopicResult] = []


FIXED_1 = Struct(">iq")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">iqh")
FIXED_4 = Struct(">iqhx")


def decode_0(data: bytes, at: int) -> tuple[DeleteRecordsRequest, int]:
    count, at = read_count(data, at, 6)
    topics: list[DeleteRecordsTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 12)
        partitions: list[DeleteRecordsPartition] = []
        for _ in range(count):
            partition_index, offset = FIXED_1.unpack_from(data, at)
            at += 12
            partitions.append(DeleteRecordsPartition(partition_index=partition_index, offset=offset))
        topics.append(DeleteRecordsTopic(name=name, partitions=partitions))
    (timeout_ms,) = FIXED_2.unpack_from(data, at)
    at += 4
    return DeleteRecordsRequest(topics=topics, timeout_ms=timeout_ms), at


def decode_2(data: bytes, at: int) -> tuple[DeleteRecordsRequest, int]:
    count, at = read_compact_count(data, at, 3)
    topics: list[DeleteRecordsTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 13)
        partitions: list[DeleteRecordsPartition] = []
        for _ in range(count):
            partition_index, offset = FIXED_1.unpack_from(data, at)
            at += 12
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(DeleteRecordsPartition(partition_index=partition_index, offset=offset))
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(DeleteRecordsTopic(name=name, partitions=partitions))
    (timeout_ms,) = FIXED_2.unpack_from(data, at)
    at += 4
    at = skip_tags(data, at) if data[at] else at + 1
    return DeleteRecordsRequest(topics=topics, timeout_ms=timeout_ms), at


def encode_0(message: DeleteRecordsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.partition_index, partition.low_watermark, partition.error_code))


def encode_2(message: DeleteRecordsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_4.pack(partition.partition_index, partition.low_watermark, partition.error_code))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DeleteRecordsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[DeleteRecordsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
}
