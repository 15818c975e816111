"""ShareAcknowledge, key 79, versions 1 to 2: requests decoded, responses encoded.

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
    read_nullable_compact_string,
    read_numbers,
    skip_tags,
)


class AcknowledgementBatch(msgspec.Struct, gc=False):
    first_offset: int = 0
    last_offset: int = 0
    acknowledge_types: list[int] = []


class AcknowledgePartition(msgspec.Struct, gc=False):
    partition_index: int = 0
    acknowledgement_batches: list[AcknowledgementBatch] = []


class AcknowledgeTopic(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[AcknowledgePartition] = []


class ShareAcknowledgeRequest(msgspec.Struct, gc=False):
    group_id: str | None = None
    member_id: str | None = ""
    share_session_epoch: int = 0
    is_renew_ack: bool = False  # 2+
    topics: list[AcknowledgeTopic] = []


class LeaderIdAndEpoch(msgspec.Struct, gc=False):
    leader_id: int = 0
    leader_epoch: int = 0


class PartitionData(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    current_leader: LeaderIdAndEpoch = msgspec.field(default_factory=LeaderIdAndEpoch)


class ShareAcknowledgeTopicResponse(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[PartitionData] = []


class NodeEndpoint(msgspec.Struct, gc=False):
    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


class ShareAcknowledgeResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    acquisition_lock_timeout_ms: int = 0  # 2+
    responses: list[ShareAcknowledgeTopicResponse] = []
    node_endpoints: list[NodeEndpoint] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">16s")
FIXED_3 = Struct(">qq")
FIXED_4 = Struct(">ih")
FIXED_5 = Struct(">iix")
FIXED_6 = Struct(">i?")


def decode_1(data: bytes, at: int) -> tuple[ShareAcknowledgeRequest, int]:
    group_id, at = read_nullable_compact_string(data, at)
    member_id, at = read_nullable_compact_string(data, at)
    (share_session_epoch,) = FIXED_1.unpack_from(data, at)
    at += 4
    count, at = read_compact_count(data, at, 18)
    topics: list[AcknowledgeTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 6)
        partitions: list[AcknowledgePartition] = []
        for _ in range(count):
            (partition_index,) = FIXED_1.unpack_from(data, at)
            at += 4
            count, at = read_compact_count(data, at, 18)
            acknowledgement_batches: list[AcknowledgementBatch] = []
            for _ in range(count):
                first_offset, last_offset = FIXED_3.unpack_from(data, at)
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
                AcknowledgePartition(
                    partition_index=partition_index, acknowledgement_batches=acknowledgement_batches
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(AcknowledgeTopic(topic_id=topic_id, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return ShareAcknowledgeRequest(
        group_id=group_id, member_id=member_id, share_session_epoch=share_session_epoch, topics=topics
    ), at


def decode_2(data: bytes, at: int) -> tuple[ShareAcknowledgeRequest, int]:
    group_id, at = read_nullable_compact_string(data, at)
    member_id, at = read_nullable_compact_string(data, at)
    share_session_epoch, is_renew_ack = FIXED_6.unpack_from(data, at)
    at += 5
    count, at = read_compact_count(data, at, 18)
    topics: list[AcknowledgeTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_2.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 6)
        partitions: list[AcknowledgePartition] = []
        for _ in range(count):
            (partition_index,) = FIXED_1.unpack_from(data, at)
            at += 4
            count, at = read_compact_count(data, at, 18)
            acknowledgement_batches: list[AcknowledgementBatch] = []
            for _ in range(count):
                first_offset, last_offset = FIXED_3.unpack_from(data, at)
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
                AcknowledgePartition(
                    partition_index=partition_index, acknowledgement_batches=acknowledgement_batches
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(AcknowledgeTopic(topic_id=topic_id, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return ShareAcknowledgeRequest(
        group_id=group_id,
        member_id=member_id,
        share_session_epoch=share_session_epoch,
        is_renew_ack=is_renew_ack,
        topics=topics,
    ), at


def encode_1(message: ShareAcknowledgeResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.responses))
    for response in message.responses:
        add(FIXED_2.pack(response.topic_id))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(FIXED_4.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            current_leader = partition.current_leader
            add(FIXED_5.pack(current_leader.leader_id, current_leader.leader_epoch))
            add(NO_TAGS)
        add(NO_TAGS)
    add(compact_count(message.node_endpoints))
    for node_endpoint in message.node_endpoints:
        add(FIXED_1.pack(node_endpoint.node_id))
        add(compact_string(node_endpoint.host))
        add(FIXED_1.pack(node_endpoint.port))
        add(nullable_compact_string(node_endpoint.rack))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_2(message: ShareAcknowledgeResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(FIXED_1.pack(message.acquisition_lock_timeout_ms))
    add(compact_count(message.responses))
    for response in message.responses:
        add(FIXED_2.pack(response.topic_id))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(FIXED_4.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            current_leader = partition.current_leader
            add(FIXED_5.pack(current_leader.leader_id, current_leader.leader_epoch))
            add(NO_TAGS)
        add(NO_TAGS)
    add(compact_count(message.node_endpoints))
    for node_endpoint in message.node_endpoints:
        add(FIXED_1.pack(node_endpoint.node_id))
        add(compact_string(node_endpoint.host))
        add(FIXED_1.pack(node_endpoint.port))
        add(nullable_compact_string(node_endpoint.rack))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ShareAcknowledgeRequest, int]]]] = {
    1: decode_1,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[ShareAcknowledgeResponse, Callable[[bytes], None]], None]]] = {
    1: encode_1,
    2: encode_2,
}
