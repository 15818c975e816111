"""Metadata, key 3, versions 0 to 13: requests decoded, responses encoded.

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
    count,
    nullable_compact_string,
    nullable_string,
    numbers,
    read_compact_string,
    read_count,
    read_nullable_compact_count,
    read_nullable_compact_string,
    read_nullable_count,
    read_string,
    skip_tags,
    string,
)


class MetadataRequestTopic(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID  # 10+
    name: str | None = ""


class MetadataRequest(msgspec.Struct, gc=False):
    topics: list[MetadataRequestTopic] | None = []
    allow_auto_topic_creation: bool = True  # 4+
    include_cluster_authorized_operations: bool = False  # 8 to 10
    include_topic_authorized_operations: bool = False  # 8+


class MetadataResponseBroker(msgspec.Struct, gc=False):
    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None  # 1+


class MetadataResponsePartition(msgspec.Struct, gc=False):
    error_code: int = 0
    partition_index: int = 0
    leader_id: int = 0
    leader_epoch: int = -1  # 7+
    replica_nodes: list[int] = []
    isr_nodes: list[int] = []
    offline_replicas: list[int] = []  # 5+


class MetadataResponseTopic(msgspec.Struct, gc=False):
    error_code: int = 0
    name: str | None = ""
    topic_id: bytes = NO_UUID  # 10+
    is_internal: bool = False  # 1+
    partitions: list[MetadataResponsePartition] = []
    topic_authorized_operations: int = -2147483648  # 8+


class MetadataResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 3+
    brokers: list[MetadataResponseBroker] = []
    cluster_id: str | None = None  # 2+
    controller_id: int = -1  # 1+
    topics: list[MetadataResponseTopic] = []
    cluster_authorized_operations: int = -2147483648  # 8 to 10
    error_code: int = 0  # 13+


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">hii")
FIXED_4 = Struct(">?")
FIXED_5 = Struct(">hiii")
FIXED_6 = Struct(">???")
FIXED_7 = Struct(">ix")
FIXED_8 = Struct(">16s")
FIXED_9 = Struct(">16s?")
FIXED_10 = Struct(">??")
FIXED_11 = Struct(">hx")


def decode_0(data: bytes, at: int) -> tuple[MetadataRequest, int]:
    count, at = read_count(data, at, 2)
    topics: list[MetadataRequestTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        topics.append(MetadataRequestTopic(name=name))
    return MetadataRequest(topics=topics), at


def decode_1(data: bytes, at: int) -> tuple[MetadataRequest, int]:
    topics_count, at = read_nullable_count(data, at, 2)
    topics: list[MetadataRequestTopic] = []
    for _ in range(topics_count):
        name, at = read_string(data, at)
        topics.append(MetadataRequestTopic(name=name))
    return MetadataRequest(topics=None if topics_count < 0 else topics), at


def decode_4(data: bytes, at: int) -> tuple[MetadataRequest, int]:
    topics_count, at = read_nullable_count(data, at, 2)
    topics: list[MetadataRequestTopic] = []
    for _ in range(topics_count):
        name, at = read_string(data, at)
        topics.append(MetadataRequestTopic(name=name))
    (allow_auto_topic_creation,) = FIXED_4.unpack_from(data, at)
    at += 1
    return MetadataRequest(
        topics=None if topics_count < 0 else topics, allow_auto_topic_creation=allow_auto_topic_creation
    ), at


def decode_8(data: bytes, at: int) -> tuple[MetadataRequest, int]:
    topics_count, at = read_nullable_count(data, at, 2)
    topics: list[MetadataRequestTopic] = []
    for _ in range(topics_count):
        name, at = read_string(data, at)
        topics.append(MetadataRequestTopic(name=name))
    allow_auto_topic_creation, include_cluster_authorized_operations, include_topic_authorized_operations = (
        FIXED_6.unpack_from(data, at)
    )
    at += 3
    return MetadataRequest(
        topics=None if topics_count < 0 else topics,
        allow_auto_topic_creation=allow_auto_topic_creation,
        include_cluster_authorized_operations=include_cluster_authorized_operations,
        include_topic_authorized_operations=include_topic_authorized_operations,
    ), at


def decode_9(data: bytes, at: int) -> tuple[MetadataRequest, int]:
    topics_count, at = read_nullable_compact_count(data, at, 2)
    topics: list[MetadataRequestTopic] = []
    for _ in range(topics_count):
        name, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(MetadataRequestTopic(name=name))
    allow_auto_topic_creation, include_cluster_authorized_operations, include_topic_authorized_operations = (
        FIXED_6.unpack_from(data, at)
    )
    at += 3
    at = skip_tags(data, at) if data[at] else at + 1
    return MetadataRequest(
        topics=None if topics_count < 0 else topics,
        allow_auto_topic_creation=allow_auto_topic_creation,
        include_cluster_authorized_operations=include_cluster_authorized_operations,
        include_topic_authorized_operations=include_topic_authorized_operations,
    ), at


def decode_10(data: bytes, at: int) -> tuple[MetadataRequest, int]:
    topics_count, at = read_nullable_compact_count(data, at, 18)
    topics: list[MetadataRequestTopic] = []
    for _ in range(topics_count):
        (topic_id,) = FIXED_8.unpack_from(data, at)
        at += 16
        name, at = read_nullable_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(MetadataRequestTopic(topic_id=topic_id, name=name))
    allow_auto_topic_creation, include_cluster_authorized_operations, include_topic_authorized_operations = (
        FIXED_6.unpack_from(data, at)
    )
    at += 3
    at = skip_tags(data, at) if data[at] else at + 1
    return MetadataRequest(
        topics=None if topics_count < 0 else topics,
        allow_auto_topic_creation=allow_auto_topic_creation,
        include_cluster_authorized_operations=include_cluster_authorized_operations,
        include_topic_authorized_operations=include_topic_authorized_operations,
    ), at


def decode_11(data: bytes, at: int) -> tuple[MetadataRequest, int]:
    topics_count, at = read_nullable_compact_count(data, at, 18)
    topics: list[MetadataRequestTopic] = []
    for _ in range(topics_count):
        (topic_id,) = FIXED_8.unpack_from(data, at)
        at += 16
        name, at = read_nullable_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(MetadataRequestTopic(topic_id=topic_id, name=name))
    allow_auto_topic_creation, include_topic_authorized_operations = FIXED_10.unpack_from(data, at)
    at += 2
    at = skip_tags(data, at) if data[at] else at + 1
    return MetadataRequest(
        topics=None if topics_count < 0 else topics,
        allow_auto_topic_creation=allow_auto_topic_creation,
        include_topic_authorized_operations=include_topic_authorized_operations,
    ), at


def encode_0(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(string(broker.host))
        add(FIXED_1.pack(broker.port))
    add(count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(string(topic.name or ""))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.error_code, partition.partition_index, partition.leader_id))
            add(count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))


def encode_1(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_string(broker.rack))
    add(FIXED_1.pack(message.controller_id))
    add(count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(string(topic.name or ""))
        add(FIXED_4.pack(topic.is_internal))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.error_code, partition.partition_index, partition.leader_id))
            add(count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))


def encode_2(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_string(broker.rack))
    add(nullable_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(string(topic.name or ""))
        add(FIXED_4.pack(topic.is_internal))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.error_code, partition.partition_index, partition.leader_id))
            add(count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))


def encode_3(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_string(broker.rack))
    add(nullable_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(string(topic.name or ""))
        add(FIXED_4.pack(topic.is_internal))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.error_code, partition.partition_index, partition.leader_id))
            add(count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))


def encode_5(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_string(broker.rack))
    add(nullable_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(string(topic.name or ""))
        add(FIXED_4.pack(topic.is_internal))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(FIXED_3.pack(partition.error_code, partition.partition_index, partition.leader_id))
            add(count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))


def encode_7(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_string(broker.rack))
    add(nullable_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(string(topic.name or ""))
        add(FIXED_4.pack(topic.is_internal))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))


def encode_8(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_string(broker.rack))
    add(nullable_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(string(topic.name or ""))
        add(FIXED_4.pack(topic.is_internal))
        add(count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))
        add(FIXED_1.pack(topic.topic_authorized_operations))
    add(FIXED_1.pack(message.cluster_authorized_operations))


def encode_9(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(compact_string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(NO_TAGS)
    add(nullable_compact_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(compact_string(topic.name or ""))
        add(FIXED_4.pack(topic.is_internal))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(compact_count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(compact_count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(compact_count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))
            add(NO_TAGS)
        add(FIXED_7.pack(topic.topic_authorized_operations))
    add(FIXED_7.pack(message.cluster_authorized_operations))


def encode_10(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(compact_string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(NO_TAGS)
    add(nullable_compact_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(compact_string(topic.name or ""))
        add(FIXED_9.pack(topic.topic_id, topic.is_internal))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(compact_count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(compact_count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(compact_count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))
            add(NO_TAGS)
        add(FIXED_7.pack(topic.topic_authorized_operations))
    add(FIXED_7.pack(message.cluster_authorized_operations))


def encode_11(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(compact_string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(NO_TAGS)
    add(nullable_compact_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(compact_string(topic.name or ""))
        add(FIXED_9.pack(topic.topic_id, topic.is_internal))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(compact_count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(compact_count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(compact_count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))
            add(NO_TAGS)
        add(FIXED_7.pack(topic.topic_authorized_operations))
    add(NO_TAGS)


def encode_12(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(compact_string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(NO_TAGS)
    add(nullable_compact_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(nullable_compact_string(topic.name))
        add(FIXED_9.pack(topic.topic_id, topic.is_internal))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(compact_count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(compact_count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(compact_count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))
            add(NO_TAGS)
        add(FIXED_7.pack(topic.topic_authorized_operations))
    add(NO_TAGS)


def encode_13(message: MetadataResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_1.pack(broker.node_id))
        add(compact_string(broker.host))
        add(FIXED_1.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(NO_TAGS)
    add(nullable_compact_string(message.cluster_id))
    add(FIXED_1.pack(message.controller_id))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(FIXED_2.pack(topic.error_code))
        add(nullable_compact_string(topic.name))
        add(FIXED_9.pack(topic.topic_id, topic.is_internal))
        add(compact_count(topic.partitions))
        for partition in topic.partitions:
            add(
                FIXED_5.pack(
                    partition.error_code,
                    partition.partition_index,
                    partition.leader_id,
                    partition.leader_epoch,
                )
            )
            add(compact_count(partition.replica_nodes))
            add(numbers(partition.replica_nodes, "i"))
            add(compact_count(partition.isr_nodes))
            add(numbers(partition.isr_nodes, "i"))
            add(compact_count(partition.offline_replicas))
            add(numbers(partition.offline_replicas, "i"))
            add(NO_TAGS)
        add(FIXED_7.pack(topic.topic_authorized_operations))
    add(FIXED_11.pack(message.error_code))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[MetadataRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_1,
    3: decode_1,
    4: decode_4,
    5: decode_4,
    6: decode_4,
    7: decode_4,
    8: decode_8,
    9: decode_9,
    10: decode_10,
    11: decode_11,
    12: decode_11,
    13: decode_11,
}
ENCODERS: Final[dict[int, Callable[[MetadataResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
    3: encode_3,
    4: encode_3,
    5: encode_5,
    6: encode_5,
    7: encode_7,
    8: encode_8,
    9: encode_9,
    10: encode_10,
    11: encode_11,
    12: encode_12,
    13: encode_13,
}
