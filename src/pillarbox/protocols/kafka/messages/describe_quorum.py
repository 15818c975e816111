"""DescribeQuorum, key 55, versions 0 to 2: requests decoded, responses encoded.

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


class RequestPartitionData(msgspec.Struct, gc=False):
    partition_index: int = 0


class RequestTopicData(msgspec.Struct, gc=False):
    topic_name: str = ""
    partitions: list[RequestPartitionData] = []


class DescribeQuorumRequest(msgspec.Struct, gc=False):
    topics: list[RequestTopicData] = []


class ReplicaState(msgspec.Struct, gc=False):
    replica_id: int = 0
    replica_directory_id: bytes = NO_UUID  # 2+
    log_end_offset: int = 0
    last_fetch_timestamp: int = -1  # 1+
    last_caught_up_timestamp: int = -1  # 1+


class ResponsePartitionData(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = ""  # 2+
    leader_id: int = 0
    leader_epoch: int = 0
    high_watermark: int = 0
    current_voters: list[ReplicaState] = []
    observers: list[ReplicaState] = []


class ResponseTopicData(msgspec.Struct, gc=False):
    topic_name: str = ""
    partitions: list[ResponsePartitionData] = []


class Listener(msgspec.Struct, gc=False):
    name: str = ""  # 2+
    host: str = ""  # 2+
    port: int = 0  # 2+


class Node(msgspec.Struct, gc=False):
    node_id: int = 0  # 2+
    listeners: list[Listener] = []  # 2+


class DescribeQuorumResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""  # 2+
    topics: list[ResponseTopicData] = []
    nodes: list[Node] = []  # 2+


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">ihiiq")
FIXED_4 = Struct(">iqx")
FIXED_5 = Struct(">iqqqx")
FIXED_6 = Struct(">ih")
FIXED_7 = Struct(">iiq")
FIXED_8 = Struct(">i16sqqqx")
FIXED_9 = Struct(">Hx")


def decode_0(data: bytes, at: int) -> tuple[DescribeQuorumRequest, int]:
    count, at = read_compact_count(data, at, 3)
    topics: list[RequestTopicData] = []
    for _ in range(count):
        topic_name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 5)
        partitions: list[RequestPartitionData] = []
        for _ in range(count):
            (partition_index,) = FIXED_1.unpack_from(data, at)
            at += 4
            at = skip_tags(data, at) if data[at] else at + 1
            partitions.append(RequestPartitionData(partition_index=partition_index))
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(RequestTopicData(topic_name=topic_name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeQuorumRequest(topics=topics), at


def encode_0(message: DescribeQuorumResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.topic_name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_3.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.leader_id,
                    partition.leader_epoch,
                    partition.high_watermark,
                )
            )
            add(compact_count(partition.current_voters))
            for current_voter in partition.current_voters:
                add(FIXED_4.pack(current_voter.replica_id, current_voter.log_end_offset))
            add(compact_count(partition.observers))
            for observer in partition.observers:
                add(FIXED_4.pack(observer.replica_id, observer.log_end_offset))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_1(message: DescribeQuorumResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.topic_name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_3.pack(
                    partition.partition_index,
                    partition.error_code,
                    partition.leader_id,
                    partition.leader_epoch,
                    partition.high_watermark,
                )
            )
            add(compact_count(partition.current_voters))
            for current_voter in partition.current_voters:
                add(
                    FIXED_5.pack(
                        current_voter.replica_id,
                        current_voter.log_end_offset,
                        current_voter.last_fetch_timestamp,
                        current_voter.last_caught_up_timestamp,
                    )
                )
            add(compact_count(partition.observers))
            for observer in partition.observers:
                add(
                    FIXED_5.pack(
                        observer.replica_id,
                        observer.log_end_offset,
                        observer.last_fetch_timestamp,
                        observer.last_caught_up_timestamp,
                    )
                )
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


def encode_2(message: DescribeQuorumResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.topic_name))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_6.pack(partition.partition_index, partition.error_code))
            add(nullable_compact_string(partition.error_message))
            add(FIXED_7.pack(partition.leader_id, partition.leader_epoch, partition.high_watermark))
            add(compact_count(partition.current_voters))
            for current_voter in partition.current_voters:
                add(
                    FIXED_8.pack(
                        current_voter.replica_id,
                        current_voter.replica_directory_id,
                        current_voter.log_end_offset,
                        current_voter.last_fetch_timestamp,
                        current_voter.last_caught_up_timestamp,
                    )
                )
            add(compact_count(partition.observers))
            for observer in partition.observers:
                add(
                    FIXED_8.pack(
                        observer.replica_id,
                        observer.replica_directory_id,
                        observer.log_end_offset,
                        observer.last_fetch_timestamp,
                        observer.last_caught_up_timestamp,
                    )
                )
            add(NO_TAGS)
        add(NO_TAGS)
    add(compact_count(message.nodes))
    for node in message.nodes:
        add(FIXED_1.pack(node.node_id))
        add(compact_count(node.listeners))
        for listener in node.listeners:
            add(compact_string(listener.name))
            add(compact_string(listener.host))
            add(FIXED_9.pack(listener.port))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeQuorumRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
}
ENCODERS: Final[dict[int, Callable[[DescribeQuorumResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
}
