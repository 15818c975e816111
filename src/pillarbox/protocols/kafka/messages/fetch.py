"""Fetch, key 1, versions 0 to 18: requests decoded, responses encoded.

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
    NO_UUID,
    compact_count,
    compact_string,
    count,
    demand_end,
    nullable_compact_count,
    nullable_compact_string,
    nullable_count,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_string,
    read_numbers,
    read_string,
    read_tag,
    read_uvarint,
    skip_tags,
    string,
    tags,
)


class ReplicaState(msgspec.Struct, gc=False):
    replica_id: int = -1  # 15+
    replica_epoch: int = -1  # 15+


class FetchPartition(msgspec.Struct, gc=False):
    partition: int = 0
    current_leader_epoch: int = -1  # 9+
    fetch_offset: int = 0
    last_fetched_epoch: int = -1  # 12+
    log_start_offset: int = -1  # 5+
    partition_max_bytes: int = 0
    replica_directory_id: bytes = NO_UUID  # 17+
    high_watermark: int = 9223372036854775807  # 18+


class FetchTopic(msgspec.Struct, gc=False):
    topic: str = ""  # up to 12
    topic_id: bytes = NO_UUID  # 13+
    partitions: list[FetchPartition] = []


class ForgottenTopic(msgspec.Struct, gc=False):
    topic: str = ""  # 7 to 12
    topic_id: bytes = NO_UUID  # 13+
    partitions: list[int] = []  # 7+


class FetchRequest(msgspec.Struct, gc=False):
    cluster_id: str | None = None  # 12+
    replica_id: int = -1  # up to 14
    replica_state: ReplicaState | None = None  # 15+
    max_wait_ms: int = 0
    min_bytes: int = 0
    max_bytes: int = 2147483647  # 3+
    isolation_level: int = 0  # 4+
    session_id: int = 0  # 7+
    session_epoch: int = -1  # 7+
    topics: list[FetchTopic] = []
    forgotten_topics_data: list[ForgottenTopic] = []  # 7+
    rack_id: str = ""  # 11+


class EpochEndOffset(msgspec.Struct, gc=False):
    epoch: int = -1  # 12+
    end_offset: int = -1  # 12+


class LeaderIdAndEpoch(msgspec.Struct, gc=False):
    leader_id: int = -1  # 12+
    leader_epoch: int = -1  # 12+


class SnapshotId(msgspec.Struct, gc=False):
    end_offset: int = -1
    epoch: int = -1


class AbortedTransaction(msgspec.Struct, gc=False):
    producer_id: int = 0  # 4+
    first_offset: int = 0  # 4+


class PartitionData(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    high_watermark: int = 0
    last_stable_offset: int = -1  # 4+
    log_start_offset: int = -1  # 5+
    diverging_epoch: EpochEndOffset | None = None  # 12+
    current_leader: LeaderIdAndEpoch | None = None  # 12+
    snapshot_id: SnapshotId | None = None  # 12+
    aborted_transactions: list[AbortedTransaction] | None = []  # 4+
    preferred_read_replica: int = -1  # 11+
    records: bytes | None = None


class FetchableTopicResponse(msgspec.Struct, gc=False):
    topic: str = ""  # up to 12
    topic_id: bytes = NO_UUID  # 13+
    partitions: list[PartitionData] = []


class NodeEndpoint(msgspec.Struct, gc=False):
    node_id: int = 0  # 16+
    host: str = ""  # 16+
    port: int = 0  # 16+
    rack: str | None = None  # 16+


class FetchResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 1+
    error_code: int = 0  # 7+
    session_id: int = 0  # 7+
    responses: list[FetchableTopicResponse] = []
    node_endpoints: list[NodeEndpoint] = []  # 16+


FIXED_1 = Struct(">iii")
FIXED_2 = Struct(">iqi")
FIXED_3 = Struct(">ihq")
FIXED_4 = Struct(">i")
FIXED_5 = Struct(">iiii")
FIXED_6 = Struct(">iiiib")
FIXED_7 = Struct(">ihqq")
FIXED_8 = Struct(">qq")
FIXED_9 = Struct(">iqqi")
FIXED_10 = Struct(">ihqqq")
FIXED_11 = Struct(">iiiibii")
FIXED_12 = Struct(">ihi")
FIXED_13 = Struct(">iiqqi")
FIXED_14 = Struct(">iiqiqi")
FIXED_15 = Struct(">qqx")
FIXED_16 = Struct(">iqx")
FIXED_17 = Struct(">iix")
FIXED_18 = Struct(">qix")
FIXED_19 = Struct(">16s")
FIXED_20 = Struct(">iiibii")
FIXED_21 = Struct(">iq")
FIXED_22 = Struct(">q")


def decode_0(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes = FIXED_1.unpack_from(data, at)
    at += 12
    count, at = read_count(data, at, 6)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 16)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            partition, fetch_offset, partition_max_bytes = FIXED_2.unpack_from(data, at)
            at += 16
            partitions.append(
                FetchPartition(
                    partition=partition, fetch_offset=fetch_offset, partition_max_bytes=partition_max_bytes
                )
            )
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    return FetchRequest(
        replica_id=replica_id, max_wait_ms=max_wait_ms, min_bytes=min_bytes, topics=topics
    ), at


def decode_3(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes = FIXED_5.unpack_from(data, at)
    at += 16
    count, at = read_count(data, at, 6)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 16)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            partition, fetch_offset, partition_max_bytes = FIXED_2.unpack_from(data, at)
            at += 16
            partitions.append(
                FetchPartition(
                    partition=partition, fetch_offset=fetch_offset, partition_max_bytes=partition_max_bytes
                )
            )
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    return FetchRequest(
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        topics=topics,
    ), at


def decode_4(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level = FIXED_6.unpack_from(data, at)
    at += 17
    count, at = read_count(data, at, 6)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 16)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            partition, fetch_offset, partition_max_bytes = FIXED_2.unpack_from(data, at)
            at += 16
            partitions.append(
                FetchPartition(
                    partition=partition, fetch_offset=fetch_offset, partition_max_bytes=partition_max_bytes
                )
            )
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    return FetchRequest(
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        topics=topics,
    ), at


def decode_5(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level = FIXED_6.unpack_from(data, at)
    at += 17
    count, at = read_count(data, at, 6)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 24)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            partition, fetch_offset, log_start_offset, partition_max_bytes = FIXED_9.unpack_from(data, at)
            at += 24
            partitions.append(
                FetchPartition(
                    partition=partition,
                    fetch_offset=fetch_offset,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                )
            )
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    return FetchRequest(
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        topics=topics,
    ), at


def decode_7(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = (
        FIXED_11.unpack_from(data, at)
    )
    at += 25
    count, at = read_count(data, at, 6)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 24)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            partition, fetch_offset, log_start_offset, partition_max_bytes = FIXED_9.unpack_from(data, at)
            at += 24
            partitions.append(
                FetchPartition(
                    partition=partition,
                    fetch_offset=fetch_offset,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                )
            )
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    count, at = read_count(data, at, 6)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        forgotten_topics_data_item_topic, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        forgotten_topics_data.append(
            ForgottenTopic(
                topic=forgotten_topics_data_item_topic, partitions=forgotten_topics_data_item_partitions
            )
        )
    return FetchRequest(
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
    ), at


def decode_9(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = (
        FIXED_11.unpack_from(data, at)
    )
    at += 25
    count, at = read_count(data, at, 6)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 28)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            partition, current_leader_epoch, fetch_offset, log_start_offset, partition_max_bytes = (
                FIXED_13.unpack_from(data, at)
            )
            at += 28
            partitions.append(
                FetchPartition(
                    partition=partition,
                    current_leader_epoch=current_leader_epoch,
                    fetch_offset=fetch_offset,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                )
            )
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    count, at = read_count(data, at, 6)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        forgotten_topics_data_item_topic, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        forgotten_topics_data.append(
            ForgottenTopic(
                topic=forgotten_topics_data_item_topic, partitions=forgotten_topics_data_item_partitions
            )
        )
    return FetchRequest(
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
    ), at


def decode_11(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = (
        FIXED_11.unpack_from(data, at)
    )
    at += 25
    count, at = read_count(data, at, 6)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_string(data, at)
        count, at = read_count(data, at, 28)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            partition, current_leader_epoch, fetch_offset, log_start_offset, partition_max_bytes = (
                FIXED_13.unpack_from(data, at)
            )
            at += 28
            partitions.append(
                FetchPartition(
                    partition=partition,
                    current_leader_epoch=current_leader_epoch,
                    fetch_offset=fetch_offset,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                )
            )
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    count, at = read_count(data, at, 6)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        forgotten_topics_data_item_topic, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        forgotten_topics_data.append(
            ForgottenTopic(
                topic=forgotten_topics_data_item_topic, partitions=forgotten_topics_data_item_partitions
            )
        )
    rack_id, at = read_string(data, at)
    return FetchRequest(
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
        rack_id=rack_id,
    ), at


def decode_12(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = (
        FIXED_11.unpack_from(data, at)
    )
    at += 25
    count, at = read_compact_count(data, at, 3)
    topics: list[FetchTopic] = []
    for _ in range(count):
        topic, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 33)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            (
                partition,
                current_leader_epoch,
                fetch_offset,
                last_fetched_epoch,
                log_start_offset,
                partition_max_bytes,
            ) = FIXED_14.unpack_from(data, at)
            at += 32
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                FetchPartition(
                    partition=partition,
                    current_leader_epoch=current_leader_epoch,
                    fetch_offset=fetch_offset,
                    last_fetched_epoch=last_fetched_epoch,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(FetchTopic(topic=topic, partitions=partitions))
    count, at = read_compact_count(data, at, 3)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        forgotten_topics_data_item_topic, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        forgotten_topics_data.append(
            ForgottenTopic(
                topic=forgotten_topics_data_item_topic, partitions=forgotten_topics_data_item_partitions
            )
        )
    rack_id, at = read_compact_string(data, at)
    cluster_id: str | None = None
    count, at = read_uvarint(data, at)
    for _ in range(count):
        tag, at, end = read_tag(data, at)
        if tag == 0:
            cluster_id_field_cluster_id, at = read_nullable_compact_string(data, at)
            cluster_id = cluster_id_field_cluster_id
            demand_end(at, end)
        else:
            at = end
    return FetchRequest(
        cluster_id=cluster_id,
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
        rack_id=rack_id,
    ), at


def decode_13(data: bytes, at: int) -> tuple[FetchRequest, int]:
    replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = (
        FIXED_11.unpack_from(data, at)
    )
    at += 25
    count, at = read_compact_count(data, at, 18)
    topics: list[FetchTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 33)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            (
                partition,
                current_leader_epoch,
                fetch_offset,
                last_fetched_epoch,
                log_start_offset,
                partition_max_bytes,
            ) = FIXED_14.unpack_from(data, at)
            at += 32
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                FetchPartition(
                    partition=partition,
                    current_leader_epoch=current_leader_epoch,
                    fetch_offset=fetch_offset,
                    last_fetched_epoch=last_fetched_epoch,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(FetchTopic(topic_id=topic_id, partitions=partitions))
    count, at = read_compact_count(data, at, 18)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        (forgotten_topics_data_item_topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        forgotten_topics_data.append(
            ForgottenTopic(
                topic_id=forgotten_topics_data_item_topic_id, partitions=forgotten_topics_data_item_partitions
            )
        )
    rack_id, at = read_compact_string(data, at)
    cluster_id: str | None = None
    count, at = read_uvarint(data, at)
    for _ in range(count):
        tag, at, end = read_tag(data, at)
        if tag == 0:
            cluster_id_field_cluster_id, at = read_nullable_compact_string(data, at)
            cluster_id = cluster_id_field_cluster_id
            demand_end(at, end)
        else:
            at = end
    return FetchRequest(
        cluster_id=cluster_id,
        replica_id=replica_id,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
        rack_id=rack_id,
    ), at


def decode_15(data: bytes, at: int) -> tuple[FetchRequest, int]:
    max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = FIXED_20.unpack_from(
        data, at
    )
    at += 21
    count, at = read_compact_count(data, at, 18)
    topics: list[FetchTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 33)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            (
                partition,
                current_leader_epoch,
                fetch_offset,
                last_fetched_epoch,
                log_start_offset,
                partition_max_bytes,
            ) = FIXED_14.unpack_from(data, at)
            at += 32
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(
                FetchPartition(
                    partition=partition,
                    current_leader_epoch=current_leader_epoch,
                    fetch_offset=fetch_offset,
                    last_fetched_epoch=last_fetched_epoch,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(FetchTopic(topic_id=topic_id, partitions=partitions))
    count, at = read_compact_count(data, at, 18)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        (forgotten_topics_data_item_topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        forgotten_topics_data.append(
            ForgottenTopic(
                topic_id=forgotten_topics_data_item_topic_id, partitions=forgotten_topics_data_item_partitions
            )
        )
    rack_id, at = read_compact_string(data, at)
    cluster_id: str | None = None
    replica_state: ReplicaState | None = None
    count, at = read_uvarint(data, at)
    for _ in range(count):
        tag, at, end = read_tag(data, at)
        if tag == 0:
            cluster_id_field_cluster_id, at = read_nullable_compact_string(data, at)
            cluster_id = cluster_id_field_cluster_id
            demand_end(at, end)
        elif tag == 1:
            replica_id, replica_epoch = FIXED_21.unpack_from(data, at)
            at += 12
            at = skip_tags(data, at) if data[at] else at + 1
            replica_state = ReplicaState(replica_id=replica_id, replica_epoch=replica_epoch)
            demand_end(at, end)
        else:
            at = end
    return FetchRequest(
        cluster_id=cluster_id,
        replica_state=replica_state,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
        rack_id=rack_id,
    ), at


def decode_17(data: bytes, at: int) -> tuple[FetchRequest, int]:
    max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = FIXED_20.unpack_from(
        data, at
    )
    at += 21
    count, at = read_compact_count(data, at, 18)
    topics: list[FetchTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 33)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            (
                partition,
                current_leader_epoch,
                fetch_offset,
                last_fetched_epoch,
                log_start_offset,
                partition_max_bytes,
            ) = FIXED_14.unpack_from(data, at)
            at += 32
            replica_directory_id: bytes = NO_UUID
            count, at = read_uvarint(data, at)
            for _ in range(count):
                tag, at, end = read_tag(data, at)
                if tag == 0:
                    (replica_directory_id_field_replica_directory_id,) = FIXED_19.unpack_from(data, at)
                    at += 16
                    replica_directory_id = replica_directory_id_field_replica_directory_id
                    demand_end(at, end)
                else:
                    at = end
            partitions.append(
                FetchPartition(
                    partition=partition,
                    current_leader_epoch=current_leader_epoch,
                    fetch_offset=fetch_offset,
                    last_fetched_epoch=last_fetched_epoch,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                    replica_directory_id=replica_directory_id,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(FetchTopic(topic_id=topic_id, partitions=partitions))
    count, at = read_compact_count(data, at, 18)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        (forgotten_topics_data_item_topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        forgotten_topics_data.append(
            ForgottenTopic(
                topic_id=forgotten_topics_data_item_topic_id, partitions=forgotten_topics_data_item_partitions
            )
        )
    rack_id, at = read_compact_string(data, at)
    cluster_id: str | None = None
    replica_state: ReplicaState | None = None
    count, at = read_uvarint(data, at)
    for _ in range(count):
        tag, at, end = read_tag(data, at)
        if tag == 0:
            cluster_id_field_cluster_id, at = read_nullable_compact_string(data, at)
            cluster_id = cluster_id_field_cluster_id
            demand_end(at, end)
        elif tag == 1:
            replica_id, replica_epoch = FIXED_21.unpack_from(data, at)
            at += 12
            at = skip_tags(data, at) if data[at] else at + 1
            replica_state = ReplicaState(replica_id=replica_id, replica_epoch=replica_epoch)
            demand_end(at, end)
        else:
            at = end
    return FetchRequest(
        cluster_id=cluster_id,
        replica_state=replica_state,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
        rack_id=rack_id,
    ), at


def decode_18(data: bytes, at: int) -> tuple[FetchRequest, int]:
    max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch = FIXED_20.unpack_from(
        data, at
    )
    at += 21
    count, at = read_compact_count(data, at, 18)
    topics: list[FetchTopic] = []
    for _ in range(count):
        (topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 33)
        partitions: list[FetchPartition] = []
        for _ in range(count):
            (
                partition,
                current_leader_epoch,
                fetch_offset,
                last_fetched_epoch,
                log_start_offset,
                partition_max_bytes,
            ) = FIXED_14.unpack_from(data, at)
            at += 32
            replica_directory_id: bytes = NO_UUID
            high_watermark: int = 9223372036854775807
            count, at = read_uvarint(data, at)
            for _ in range(count):
                tag, at, end = read_tag(data, at)
                if tag == 0:
                    (replica_directory_id_field_replica_directory_id,) = FIXED_19.unpack_from(data, at)
                    at += 16
                    replica_directory_id = replica_directory_id_field_replica_directory_id
                    demand_end(at, end)
                elif tag == 1:
                    (high_watermark_field_high_watermark,) = FIXED_22.unpack_from(data, at)
                    at += 8
                    high_watermark = high_watermark_field_high_watermark
                    demand_end(at, end)
                else:
                    at = end
            partitions.append(
                FetchPartition(
                    partition=partition,
                    current_leader_epoch=current_leader_epoch,
                    fetch_offset=fetch_offset,
                    last_fetched_epoch=last_fetched_epoch,
                    log_start_offset=log_start_offset,
                    partition_max_bytes=partition_max_bytes,
                    replica_directory_id=replica_directory_id,
                    high_watermark=high_watermark,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(FetchTopic(topic_id=topic_id, partitions=partitions))
    count, at = read_compact_count(data, at, 18)
    forgotten_topics_data: list[ForgottenTopic] = []
    for _ in range(count):
        (forgotten_topics_data_item_topic_id,) = FIXED_19.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 4)
        forgotten_topics_data_item_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        forgotten_topics_data.append(
            ForgottenTopic(
                topic_id=forgotten_topics_data_item_topic_id, partitions=forgotten_topics_data_item_partitions
            )
        )
    rack_id, at = read_compact_string(data, at)
    cluster_id: str | None = None
    replica_state: ReplicaState | None = None
    count, at = read_uvarint(data, at)
    for _ in range(count):
        tag, at, end = read_tag(data, at)
        if tag == 0:
            cluster_id_field_cluster_id, at = read_nullable_compact_string(data, at)
            cluster_id = cluster_id_field_cluster_id
            demand_end(at, end)
        elif tag == 1:
            replica_id, replica_epoch = FIXED_21.unpack_from(data, at)
            at += 12
            at = skip_tags(data, at) if data[at] else at + 1
            replica_state = ReplicaState(replica_id=replica_id, replica_epoch=replica_epoch)
            demand_end(at, end)
        else:
            at = end
    return FetchRequest(
        cluster_id=cluster_id,
        replica_state=replica_state,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session_id,
        session_epoch=session_epoch,
        topics=topics,
        forgotten_topics_data=forgotten_topics_data,
        rack_id=rack_id,
    ), at


def encode_0(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.responses))
    for response in message.responses:
        add(string(response.topic))
        add(count(response.partitions))
        for partition in response.partitions:
            add(FIXED_3.pack(partition.partition_index, partition.error_code, partition.high_watermark))
            add(nullable_count(partition.records))
            if partition.records:
                add(partition.records)


def encode_1(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms))
    add(count(message.responses))
    for response in message.responses:
        add(string(response.topic))
        add(count(response.partitions))
        for partition in response.partitions:
            add(FIXED_3.pack(partition.partition_index, partition.error_code, partition.high_watermark))
            add(nullable_count(partition.records))
            if partition.records:
                add(partition.records)


def encode_4(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms))
    add(count(message.responses))
    for response in message.responses:
        add(string(response.topic))
        add(count(response.partitions))
        for partition in response.partitions:
            add(
                FIXED_7.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                )
            )
            add(nullable_count(partition.aborted_transactions))
            for aborted_transaction in partition.aborted_transactions or ():
                add(FIXED_8.pack(aborted_transaction.producer_id, aborted_transaction.first_offset))
            add(nullable_count(partition.records))
            if partition.records:
                add(partition.records)


def encode_5(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_4.pack(message.throttle_time_ms))
    add(count(message.responses))
    for response in message.responses:
        add(string(response.topic))
        add(count(response.partitions))
        for partition in response.partitions:
            add(
                FIXED_10.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                )
            )
            add(nullable_count(partition.aborted_transactions))
            for aborted_transaction in partition.aborted_transactions or ():
                add(FIXED_8.pack(aborted_transaction.producer_id, aborted_transaction.first_offset))
            add(nullable_count(partition.records))
            if partition.records:
                add(partition.records)


def encode_7(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_12.pack(message.throttle_time_ms, message.error_code, message.session_id))
    add(count(message.responses))
    for response in message.responses:
        add(string(response.topic))
        add(count(response.partitions))
        for partition in response.partitions:
            add(
                FIXED_10.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                )
            )
            add(nullable_count(partition.aborted_transactions))
            for aborted_transaction in partition.aborted_transactions or ():
                add(FIXED_8.pack(aborted_transaction.producer_id, aborted_transaction.first_offset))
            add(nullable_count(partition.records))
            if partition.records:
                add(partition.records)


def encode_11(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_12.pack(message.throttle_time_ms, message.error_code, message.session_id))
    add(count(message.responses))
    for response in message.responses:
        add(string(response.topic))
        add(count(response.partitions))
        for partition in response.partitions:
            add(
                FIXED_10.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                )
            )
            add(nullable_count(partition.aborted_transactions))
            for aborted_transaction in partition.aborted_transactions or ():
                add(FIXED_8.pack(aborted_transaction.producer_id, aborted_transaction.first_offset))
            add(FIXED_4.pack(partition.preferred_read_replica))
            add(nullable_count(partition.records))
            if partition.records:
                add(partition.records)


def encode_12(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_12.pack(message.throttle_time_ms, message.error_code, message.session_id))
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.topic))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(
                FIXED_10.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                )
            )
            add(nullable_compact_count(partition.aborted_transactions))
            for aborted_transaction in partition.aborted_transactions or ():
                add(FIXED_15.pack(aborted_transaction.producer_id, aborted_transaction.first_offset))
            add(FIXED_4.pack(partition.preferred_read_replica))
            add(nullable_compact_count(partition.records))
            if partition.records:
                add(partition.records)
            partition_tags: list[tuple[int, list[bytes]]] = []
            if partition.diverging_epoch is not None:
                diverging_epoch_bytes: list[bytes] = []
                diverging_epoch = partition.diverging_epoch
                diverging_epoch_bytes.append(FIXED_16.pack(diverging_epoch.epoch, diverging_epoch.end_offset))
                partition_tags.append((0, diverging_epoch_bytes))
            if partition.current_leader is not None:
                current_leader_bytes: list[bytes] = []
                current_leader = partition.current_leader
                current_leader_bytes.append(
                    FIXED_17.pack(current_leader.leader_id, current_leader.leader_epoch)
                )
                partition_tags.append((1, current_leader_bytes))
            if partition.snapshot_id is not None:
                snapshot_id_bytes: list[bytes] = []
                snapshot_id = partition.snapshot_id
                snapshot_id_bytes.append(FIXED_18.pack(snapshot_id.end_offset, snapshot_id.epoch))
                partition_tags.append((2, snapshot_id_bytes))
            add(tags(partition_tags) if partition_tags else NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_13(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_12.pack(message.throttle_time_ms, message.error_code, message.session_id))
    add(compact_count(message.responses))
    for response in message.responses:
        add(FIXED_19.pack(response.topic_id))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(
                FIXED_10.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                )
            )
            add(nullable_compact_count(partition.aborted_transactions))
            for aborted_transaction in partition.aborted_transactions or ():
                add(FIXED_15.pack(aborted_transaction.producer_id, aborted_transaction.first_offset))
            add(FIXED_4.pack(partition.preferred_read_replica))
            add(nullable_compact_count(partition.records))
            if partition.records:
                add(partition.records)
            partition_tags: list[tuple[int, list[bytes]]] = []
            if partition.diverging_epoch is not None:
                diverging_epoch_bytes: list[bytes] = []
                diverging_epoch = partition.diverging_epoch
                diverging_epoch_bytes.append(FIXED_16.pack(diverging_epoch.epoch, diverging_epoch.end_offset))
                partition_tags.append((0, diverging_epoch_bytes))
            if partition.current_leader is not None:
                current_leader_bytes: list[bytes] = []
                current_leader = partition.current_leader
                current_leader_bytes.append(
                    FIXED_17.pack(current_leader.leader_id, current_leader.leader_epoch)
                )
                partition_tags.append((1, current_leader_bytes))
            if partition.snapshot_id is not None:
                snapshot_id_bytes: list[bytes] = []
                snapshot_id = partition.snapshot_id
                snapshot_id_bytes.append(FIXED_18.pack(snapshot_id.end_offset, snapshot_id.epoch))
                partition_tags.append((2, snapshot_id_bytes))
            add(tags(partition_tags) if partition_tags else NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_16(message: FetchResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_12.pack(message.throttle_time_ms, message.error_code, message.session_id))
    add(compact_count(message.responses))
    for response in message.responses:
        add(FIXED_19.pack(response.topic_id))
        add(compact_count(response.partitions))
        for partition in response.partitions:
            add(
                FIXED_10.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                )
            )
            add(nullable_compact_count(partition.aborted_transactions))
            for aborted_transaction in partition.aborted_transactions or ():
                add(FIXED_15.pack(aborted_transaction.producer_id, aborted_transaction.first_offset))
            add(FIXED_4.pack(partition.preferred_read_replica))
            add(nullable_compact_count(partition.records))
            if partition.records:
                add(partition.records)
            partition_tags: list[tuple[int, list[bytes]]] = []
            if partition.diverging_epoch is not None:
                diverging_epoch_bytes: list[bytes] = []
                diverging_epoch = partition.diverging_epoch
                diverging_epoch_bytes.append(FIXED_16.pack(diverging_epoch.epoch, diverging_epoch.end_offset))
                partition_tags.append((0, diverging_epoch_bytes))
            if partition.current_leader is not None:
                current_leader_bytes: list[bytes] = []
                current_leader = partition.current_leader
                current_leader_bytes.append(
                    FIXED_17.pack(current_leader.leader_id, current_leader.leader_epoch)
                )
                partition_tags.append((1, current_leader_bytes))
            if partition.snapshot_id is not None:
                snapshot_id_bytes: list[bytes] = []
                snapshot_id = partition.snapshot_id
                snapshot_id_bytes.append(FIXED_18.pack(snapshot_id.end_offset, snapshot_id.epoch))
                partition_tags.append((2, snapshot_id_bytes))
            add(tags(partition_tags) if partition_tags else NO_TAGS)
        add(NO_TAGS)
    message_tags: list[tuple[int, list[bytes]]] = []
    if message.node_endpoints:
        node_endpoints_bytes: list[bytes] = []
        node_endpoints_bytes.append(compact_count(message.node_endpoints))
        for node_endpoint in message.node_endpoints:
            node_endpoints_bytes.append(FIXED_4.pack(node_endpoint.node_id))
            node_endpoints_bytes.append(compact_string(node_endpoint.host))
            node_endpoints_bytes.append(FIXED_4.pack(node_endpoint.port))
            node_endpoints_bytes.append(nullable_compact_string(node_endpoint.rack))
            node_endpoints_bytes.append(NO_TAGS)
        message_tags.append((0, node_endpoints_bytes))
    add(tags(message_tags) if message_tags else NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[FetchRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_4,
    5: decode_5,
    6: decode_5,
    7: decode_7,
    8: decode_7,
    9: decode_9,
    10: decode_9,
    11: decode_11,
    12: decode_12,
    13: decode_13,
    14: decode_13,
    15: decode_15,
    16: decode_15,
    17: decode_17,
    18: decode_18,
}
ENCODERS: Final[dict[int, Callable[[FetchResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_1,
    4: encode_4,
    5: encode_5,
    6: encode_5,
    7: encode_7,
    8: encode_7,
    9: encode_7,
    10: encode_7,
    11: encode_11,
    12: encode_12,
    13: encode_13,
    14: encode_13,
    15: encode_13,
    16: encode_16,
    17: encode_16,
    18: encode_16,
}
