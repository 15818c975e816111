"""OffsetDelete, key 47, version 0: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import count, read_count, read_string, string


class OffsetDeleteRequestPartition(msgspec.Struct, gc=False):
    partition_index: int = 0


class OffsetDeleteRequestTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[OffsetDeleteRequestPartition] = []


class OffsetDeleteRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    topics: list[OffsetDeleteRequestTopic] = []


class OffsetDeleteResponsePartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0


class OffsetDeleteResponseTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[OffsetDeleteResponsePartition] = []


class OffsetDeleteResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    throttle_time_ms: int = 0
    topics: list[OffsetDeleteResponseTopic] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">hi")
FIXED_3 = Struct(">ih")


def decode_0(data: bytes, at: int) -> tuple[OffsetDeleteRequest, int]:
    group_id, at = read_string(data, at)
    count, at = read_count(data, at, 6)
    topics: list[OffsetDeleteRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        partitions: list[OffsetDeleteRequestPartition] = []
        for _ in range(count):
            (partition_index,) = FIXED_1.unpack_from(data, at)
            at += 4
            partitions.append(OffsetDeleteRequestPartition(partition_index=partition_index))
        topics.append(OffsetDeleteRequestTopic(name=name, partitions=partitions))
    return OffsetDeleteRequest(group_id=group_id, topics=topics), at


def encode_0(message: OffsetDeleteResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code, message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.partition_index, partition.error_code))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[OffsetDeleteRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[OffsetDeleteResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
