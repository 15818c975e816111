"""TxnOffsetCommit, key 28, versions 0 to 5: requests decoded, responses encoded.

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
    read_nullable_compact_string,
    read_nullable_string,
    read_string,
    skip_tags,
    string,
)


class TxnOffsetCommitRequestPartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1  # 2+
    committed_metadata: str | None = ""


class TxnOffsetCommitRequestTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[TxnOffsetCommitRequestPartition] = []


class TxnOffsetCommitRequest(msgspec.Struct, gc=False):
    transactional_id: str = ""
    group_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    generation_id: int = -1  # 3+
    member_id: str = ""  # 3+
    group_instance_id: str | None = None  # 3+
    topics: list[TxnOffsetCommitRequestTopic] = []


class TxnOffsetCommitResponsePartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0


class TxnOffsetCommitResponseTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[TxnOffsetCommitResponsePartition] = []


class TxnOffsetCommitResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    topics: list[TxnOffsetCommitResponseTopic] = []


FIXED_1 = Struct(">qh")
FIXED_2 = Struct(">iq")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">ih")
FIXED_5 = Struct(">iqi")
FIXED_6 = Struct(">qhi")
FIXED_7 = Struct(">ihx")


def decode_0(data: bytes, at: int) -> tuple[TxnOffsetCommitRequest, int]:
    transactional_id, at = read_string(data, at)
    group_id, at = read_string(data, at)
    producer_id, producer_epoch = FIXED_1.unpack_from(data, at)
    at += 10
    count, at = read_count(data, at, 6)
    topics: list[TxnOffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 14)
        partitions: list[TxnOffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset = FIXED_2.unpack_from(data, at)
            at += 12
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                TxnOffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(TxnOffsetCommitRequestTopic(name=name, partitions=partitions))
    return TxnOffsetCommitRequest(
        transactional_id=transactional_id,
        group_id=group_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        topics=topics,
    ), at


def decode_2(data: bytes, at: int) -> tuple[TxnOffsetCommitRequest, int]:
    transactional_id, at = read_string(data, at)
    group_id, at = read_string(data, at)
    producer_id, producer_epoch = FIXED_1.unpack_from(data, at)
    at += 10
    count, at = read_count(data, at, 6)
    topics: list[TxnOffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 18)
        partitions: list[TxnOffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset, committed_leader_epoch = FIXED_5.unpack_from(data, at)
            at += 16
            committed_metadata, at = read_nullable_string(data, at)
            partitions.append(
                TxnOffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_leader_epoch=committed_leader_epoch,
                    committed_metadata=committed_metadata,
                )
            )
        topics.append(TxnOffsetCommitRequestTopic(name=name, partitions=partitions))
    return TxnOffsetCommitRequest(
        transactional_id=transactional_id,
        group_id=group_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        topics=topics,
    ), at


def decode_3(data: bytes, at: int) -> tuple[TxnOffsetCommitRequest, int]:
    transactional_id, at = read_compact_string(data, at)
    group_id, at = read_compact_string(data, at)
    producer_id, producer_epoch, generation_id = FIXED_6.unpack_from(data, at)
    at += 14
    member_id, at = read_compact_string(data, at)
    group_instance_id, at = read_nullable_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    topics: list[TxnOffsetCommitRequestTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 18)
        partitions: list[TxnOffsetCommitRequestPartition] = []
        for _ in range(count):
            partition_index, committed_offset, committed_leader_epoch = FIXED_5.unpack_from(data, at)
            at += 16
            committed_metadata, at = read_nullable_compact_string(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                TxnOffsetCommitRequestPartition(
                    partition_index=partition_index,
                    committed_offset=committed_offset,
                    committed_leader_epoch=committed_leader_epoch,
                    committed_metadata=committed_metadata,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(TxnOffsetCommitRequestTopic(name=name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return TxnOffsetCommitRequest(
        transactional_id=transactional_id,
        group_id=group_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        generation_id=generation_id,
        member_id=member_id,
        group_instance_id=group_instance_id,
        topics=topics,
    ), at


def encode_0(message: TxnOffsetCommitResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_4.pack(partition.partition_index, partition.error_code))


def encode_3(message: TxnOffsetCommitResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_7.pack(partition.partition_index, partition.error_code))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[TxnOffsetCommitRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_3,
    4: decode_3,
    5: decode_3,
}
ENCODERS: Final[dict[int, Callable[[TxnOffsetCommitResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_0,
    3: encode_3,
    4: encode_3,
    5: encode_3,
}
