"""WriteTxnMarkers, key 27, versions 0 to 2: requests decoded, responses encoded.

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
    read_numbers,
    read_string,
    skip_tags,
    string,
)


class WritableTxnMarkerTopic(msgspec.Struct, gc=False):
    name: str = ""
    partition_indexes: list[int] = []


class WritableTxnMarker(msgspec.Struct, gc=False):
    producer_id: int = 0
    producer_epoch: int = 0
    transaction_result: bool = False
    topics: list[WritableTxnMarkerTopic] = []
    coordinator_epoch: int = 0
    transaction_version: int = 0  # 2+


class WriteTxnMarkersRequest(msgspec.Struct, gc=False):
    markers: list[WritableTxnMarker] = []


class WritableTxnMarkerPartitionResult(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0


class WritableTxnMarkerTopicResult(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[WritableTxnMarkerPartitionResult] = []


class WritableTxnMarkerResult(msgspec.Struct, gc=False):
    producer_id: int = 0
    topics: list[WritableTxnMarkerTopicResult] = []


class WriteTxnMarkersResponse(msgspec.Struct, gc=False):
    markers: list[WritableTxnMarkerResult] = []


FIXED_1 = Struct(">qh?")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">q")
FIXED_4 = Struct(">ih")
FIXED_5 = Struct(">ihx")
FIXED_6 = Struct(">ib")


def decode_0(data: bytes, at: int) -> tuple[WriteTxnMarkersRequest, int]:
    count, at = read_count(data, at, 19)
    markers: list[WritableTxnMarker] = []
    for _ in range(count):
        producer_id, producer_epoch, transaction_result = FIXED_1.unpack_from(data, at)
        at += 11
        count, at = read_count(data, at, 6)
        topics: list[WritableTxnMarkerTopic] = []
        for _ in range(count):
            name, at = read_string(data, at)
            count, at = read_count(data, at, 4)
            partition_indexes, at = read_numbers(data, at, count, "i")
            topics.append(WritableTxnMarkerTopic(name=name, partition_indexes=partition_indexes))
        (coordinator_epoch,) = FIXED_2.unpack_from(data, at)
        at += 4
        markers.append(
            WritableTxnMarker(
                producer_id=producer_id,
                producer_epoch=producer_epoch,
                transaction_result=transaction_result,
                topics=topics,
                coordinator_epoch=coordinator_epoch,
            )
        )
    return WriteTxnMarkersRequest(markers=markers), at


def decode_1(data: bytes, at: int) -> tuple[WriteTxnMarkersRequest, int]:
    count, at = read_compact_count(data, at, 17)
    markers: list[WritableTxnMarker] = []
    for _ in range(count):
        producer_id, producer_epoch, transaction_result = FIXED_1.unpack_from(data, at)
        at += 11
        count, at = read_compact_count(data, at, 3)
        topics: list[WritableTxnMarkerTopic] = []
        for _ in range(count):
            name, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 4)
            partition_indexes, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(WritableTxnMarkerTopic(name=name, partition_indexes=partition_indexes))
        (coordinator_epoch,) = FIXED_2.unpack_from(data, at)
        at += 4
        at = skip_tags(data, at) if data[at] else at + 1
        markers.append(
            WritableTxnMarker(
                producer_id=producer_id,
                producer_epoch=producer_epoch,
                transaction_result=transaction_result,
                topics=topics,
                coordinator_epoch=coordinator_epoch,
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return WriteTxnMarkersRequest(markers=markers), at


def decode_2(data: bytes, at: int) -> tuple[WriteTxnMarkersRequest, int]:
    count, at = read_compact_count(data, at, 18)
    markers: list[WritableTxnMarker] = []
    for _ in range(count):
        producer_id, producer_epoch, transaction_result = FIXED_1.unpack_from(data, at)
        at += 11
        count, at = read_compact_count(data, at, 3)
        topics: list[WritableTxnMarkerTopic] = []
        for _ in range(count):
            name, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 4)
            partition_indexes, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(WritableTxnMarkerTopic(name=name, partition_indexes=partition_indexes))
        coordinator_epoch, transaction_version = FIXED_6.unpack_from(data, at)
        at += 5
        at = skip_tags(data, at) if data[at] else at + 1
        markers.append(
            WritableTxnMarker(
                producer_id=producer_id,
                producer_epoch=producer_epoch,
                transaction_result=transaction_result,
                topics=topics,
                coordinator_epoch=coordinator_epoch,
                transaction_version=transaction_version,
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return WriteTxnMarkersRequest(markers=markers), at


def encode_0(message: WriteTxnMarkersResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.markers))
    for marker in message.markers:
        add(FIXED_3.pack(marker.producer_id))
        add(count(marker.topics))
        for topic in marker.topics:
            add(string(topic.name))
            add(count(topic.partitions))
            for partition in topic.partitions:
                add(FIXED_4.pack(partition.partition_index, partition.error_code))


def encode_1(message: WriteTxnMarkersResponse, add: Callable[[bytes], None]) -> None:
    add(compact_count(message.markers))
    for marker in message.markers:
        add(FIXED_3.pack(marker.producer_id))
        add(compact_count(marker.topics))
        for topic in marker.topics:
            add(compact_string(topic.name))
            add(compact_count(topic.partitions))
            for partition in topic.partitions:
                add(FIXED_5.pack(partition.partition_index, partition.error_code))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[WriteTxnMarkersRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[WriteTxnMarkersResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
}
