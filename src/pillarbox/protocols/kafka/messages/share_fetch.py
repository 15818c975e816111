"""ShareFetch, key 78, versions 1 to 2: requests decoded, responses encoded.

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
    nullable_compact_count,
    nullable_compact_string,
    read_compact_count,
    read_nullable_compact_string,
    read_numbers,
    skip_tags,
)


class AcknowledgementBatch(msgspec.Struct, gc=False):
    first_offset: int = 0
    last_offset: int = 0
    acknowledge_types: list[int] = []


class FetchPartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    partition_max_bytes: int = 0  # up to 0
    acknowledgement_batches: list[AcknowledgementBatch] = []


class FetchTopic(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[FetchPartition] = []


class ForgottenTopic(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[int] = []


class ShareFetchRequest(msgspec.Struct, gc=False):
    group_id: str | None = None
    member_id: str | None = ""
    share_session_epoch: int = 0
    max_wait_ms: int = 0
    min_bytes: int = 0
    max_bytes: int = 2147483647
    max_records: int = 0
    batch_size: int = 0
    share_acquire_mode: int = 0  # 2+
    is_renew_ack: bool = False  # 2+
    topics: list[FetchTopic] = []
    forgotten_topics_data: list[ForgottenTopic] = []


class LeaderIdAndEpoch(msgspec.Struct, gc=False):
    leader_id: int = 0
    leader_epoch: int = 0


class AcquiredRecords(msgspec.Struct, gc=False):
    first_offset: int = 0
    last_offset: int = 0
    delivery_count: int = 0


class PartitionData(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    acknowledge_error_code: int = 0
    acknowledge_error_message: str | None = None
    current_leader: LeaderIdAndEpoch = msgspec.field(default_factory=LeaderIdAndEpoch)
    records: bytes | None = None
    acquired_records: list[AcquiredRecords] = []


class ShareFetchableTopicResponse(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[PartitionData] = []


class NodeEndpoint(msgspec.Struct, gc=False):
    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


class ShareFetchResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    acquisition_lock_timeout_ms: int = 0
    responses: list[ShareFetchableTopicResponse] = []
    node_endpoints: list[NodeEndpoint] = []


FIXED_1 = Struct(">iiiiii")
FIXED_2 = Struct(">16s")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">qq")
FIXED_5 = Struct(">ih")
FIXED_6 = Struct(">h")
FIXED_7 = Struct(">iix")
FIXED_8 = Struct(">qqhx")
FIXED_9 = Struct(">iiiiiib?")


def decode_1(data: bytes, at: int) -> tuple[ShareFetchRequest, int]:
    group_id, at = read_nullable_compact_string(data, at)
    member_id, at = read_nullable_compact_string(data, at)
    share_session_epoch, max_wait_ms, min_bytes, max_bytes, max_records, batch_size = FIXED_1.unpack_from(
        data, at
    )
    at += 24
    count, at = read_compact_count(data, at, 18)
    topics: list[FetchTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 6)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            (partition_index,) = FIXED_3.unpack_from(data, at)
            at += 4
            count, at = read_compact_count(data, at, 18)
            acknowledgement_batches: list[AcknowledgementBatch] = []
            for _ in range(count):
                first_offset, last_offset = FIXED_4.unpack_from(data, at)
                at += 16
                count, at = read_compact_count(data, at, 1)
                acknowledge_types, at = read_numbers(data, at, count, "b")
                at = skip_tags(data, at) if data[at] else at + 1
                acknowledgement_batches.append(
                    AcknowledgementBatch(
                        first_offset=first_offset,
                        last_offset=last_offset,
                        acknowledge_types=acknowledge_types,
                    )
                )
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                FetchPartition(
                    partition_index=partition_index, acknowledgement_batches=acknowledgement_batches
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(FetchTopic(topic_id=topic_id, partitions=partitions))
    count, at = read_compact_count(data, at, 18)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        (forgotten_topics_data_item_topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        forgotten_topics_data.append(
            ForgottenTopic(
                topic_id=forgotten_topics_data_item_topic_id, partitions=forgotten_topics_data_item_partitions
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return ShareFetchRequest(
        group_id=group_id,
        member_id=member_id,
        share_session_epoch=share_session_epoch,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        max_records=max_records,
        batch_size=batch_size,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
    ), at


def decode_2(data: bytes, at: int) -> tuple[ShareFetchRequest, int]:
    group_id, at = read_nullable_compact_string(data, at)
    member_id, at = read_nullable_compact_string(data, at)
    (
        share_session_epoch,
        max_wait_ms,
        min_bytes,
        max_bytes,
        max_records,
        batch_size,
        share_acquire_mode,
        is_renew_ack,
    ) = FIXED_9.unpack_from(data, at)
    at += 26
    count, at = read_compact_count(data, at, 18)
    topics: list[FetchTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 6)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            (partition_index,) = FIXED_3.unpack_from(data, at)
            at += 4
            count, at = read_compact_count(data, at, 18)
            acknowledgement_batches: list[AcknowledgementBatch] = []
            for _ in range(count):
                first_offset, last_offset = FIXED_4.unpack_from(data, at)
                at += 16
                count, at = read_compact_count(data, at, 1)
                acknowledge_types, at = read_numbers(data, at, count, "b")
                at = skip_tags(data, at) if data[at] else at + 1
                acknowledgement_batches.append(
                    AcknowledgementBatch(
                        first_offset=first_offset,
                        last_offset=last_offset,
                        acknowledge_types=acknowledge_types,
                    )
                )
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                FetchPartition(
                    partition_index=partition_index, acknowledgement_batches=acknowledgement_batches
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(FetchTopic(topic_id=topic_id, partitions=partitions))
    count, at = read_compact_count(data, at, 18)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        (forgotten_topics_data_item_topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        forgotten_topics_data.append(
            ForgottenTopic(
                topic_id=forgotten_topics_data_item_topic_id, partitions=forgotten_topics_data_item_partitions
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return ShareFetchRequest(
        group_id=group_id,
        member_id=member_id,
        share_session_epoch=share_session_epoch,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        max_records=max_records,
        batch_size=batch_size,
        share_acquire_mode=share_acquire_mode,
        is_renew_ack=is_renew_ack,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
    ), at


def encode_1(message: ShareFetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_5.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(FIXED_3.pack(message.acquisition_lock_timeout_ms))
    add(compact_count(message.responses))
    for response in message.responses:
        add(FIXED_2.pack(response.topic_id))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(FIXED_5.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            add(FIXED_6.pack(partition.acknowledge_error_code))
            add(nullable_compact_string(partition.acknowledge_error_message))
            current_leader = partition.current_leader
            add(FIXED_7.pack(current_leader.leader_id, current_leader.leader_epoch))
            add(nullable_compact_count(partition.records))
            if partition.records:
                add(partition.records)
            add(compact_count(partition.acquired_records))
            for acquired_record in partition.acquired_records:
                add(
                    FIXED_8.pack(
                        acquired_record.first_offset,
                        acquired_record.last_offset,
                        acquired_record.delivery_count,
                    )
                )
            add(NO_TAGS)
        add(NO_TAGS)
    add(compact_count(message.node_endpoints))
    for node_endpoint in message.node_endpoints:
        add(FIXED_3.pack(node_endpoint.node_id))
        add(compact_string(node_endpoint.host))
        add(FIXED_3.pack(node_endpoint.port))
        add(nullable_compact_string(node_endpoint.rack))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ShareFetchRequest, int]]]] = {
    1: decode_1,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[ShareFetchResponse, Callable[[bytes], None]], None]]] = {
    1: encode_1,
    2: encode_1,
}
