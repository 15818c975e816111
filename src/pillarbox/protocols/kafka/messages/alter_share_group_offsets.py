"""AlterShareGroupOffsets, key 91, version 0: requests decoded, responses encoded.

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
    NO_UUID,
    compact_count,
    compact_string,
    nullable_compact_string,
    read_compact_count,
    read_compact_string,
    skip_tags,
)


class AlterShareGroupOffsetsRequestPartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    start_offset: int = 0


class AlterShareGroupOffsetsRequestTopic(msgspec.Struct, gc=False):
    topic_name: str = ""
    partitions: list[AlterShareGroupOffsetsRequestPartition] = []


class AlterShareGroupOffsetsRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    topics: list[AlterShareGroupOffsetsRequestTopic] = []


class AlterShareGroupOffsetsResponsePartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None


class AlterShareGroupOffsetsResponseTopic(msgspec.Struct, gc=False):
    topic_name: str = ""
    topic_id: bytes = NO_UUID
    partitions: list[AlterShareGroupOffsetsResponsePartition] = []


class AlterShareGroupOffsetsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    responses: list[AlterShareGroupOffsetsResponseTopic] = []


FIXED_1 = Struct(">iq")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">16s")


def decode_0(data: bytes, at: int) -> tuple[AlterShareGroupOffsetsRequest, int]:
    group_id, at = read_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    topics: list[AlterShareGroupOffsetsRequestTopic] = []
    for _ in range(count):
        topic_name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 13)
        partitions: list[AlterShareGroupOffsetsRequestPartition] = []
        for _ in range(count):
            partition_index, start_offset = FIXED_1.unpack_from(data, at)
            at += 12
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                AlterShareGroupOffsetsRequestPartition(
                    partition_index=partition_index, start_offset=start_offset
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(AlterShareGroupOffsetsRequestTopic(topic_name=topic_name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return AlterShareGroupOffsetsRequest(group_id=group_id, topics=topics), at


def encode_0(message: AlterShareGroupOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.topic_name))
        add(FIXED_3.pack(response.topic_id))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(FIXED_2.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AlterShareGroupOffsetsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[AlterShareGroupOffsetsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
