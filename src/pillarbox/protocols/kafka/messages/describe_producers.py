"""DescribeProducers, key 61, version 0: requests decoded, responses encoded.

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
    nullable_compact_string,
    read_compact_count,
    read_compact_string,
    read_numbers,
    skip_tags,
)


class TopicRequest(msgspec.Struct, gc=False):
    name: str = ""
    partition_indexes: list[int] = []


class DescribeProducersRequest(msgspec.Struct, gc=False):
    topics: list[TopicRequest] = []


class ProducerState(msgspec.Struct, gc=False):
    producer_id: int = 0
    producer_epoch: int = 0
    last_sequence: int = -1
    last_timestamp: int = -1
    coordinator_epoch: int = 0
    current_txn_start_offset: int = -1


class PartitionResponse(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    active_producers: list[ProducerState] = []


class TopicResponse(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[PartitionResponse] = []


class DescribeProducersResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    topics: list[TopicResponse] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">qiiqiqx")


def decode_0(data: bytes, at: int) -> tuple[DescribeProducersRequest, int]:
    count, at = read_compact_count(data, at, 3)
    topics: list[TopicRequest] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        partition_indexes, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(TopicRequest(name=name, partition_indexes=partition_indexes))
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeProducersRequest(topics=topics), at


def encode_0(message: DescribeProducersResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_2.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            add(compact_count(partition.active_producers))
            for active_producer in partition.active_producers:
                add(
                    FIXED_3.pack(
                        active_producer.producer_id,
                        active_producer.producer_epoch,
                        active_producer.last_sequence,
                        active_producer.last_timestamp,
                        active_producer.coordinator_epoch,
                        active_producer.current_txn_start_offset,
                    )
                )
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeProducersRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[DescribeProducersResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
