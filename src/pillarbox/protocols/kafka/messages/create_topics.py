"""CreateTopics, key 19, versions 0 to 7: requests decoded, responses encoded.

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
    nullable_compact_count,
    nullable_compact_string,
    nullable_string,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_string,
    read_nullable_string,
    read_numbers,
    read_string,
    skip_tags,
    string,
    tags,
)


class CreatableReplicaAssignment(msgspec.Struct, gc=False):
    partition_index: int = 0
    broker_ids: list[int] = []


class CreatableTopicConfig(msgspec.Struct, gc=False):
    name: str = ""
    value: str | None = ""


class CreatableTopic(msgspec.Struct, gc=False):
    name: str = ""
    num_partitions: int = 0
    replication_factor: int = 0
    assignments: list[CreatableReplicaAssignment] = []
    configs: list[CreatableTopicConfig] = []


class CreateTopicsRequest(msgspec.Struct, gc=False):
    topics: list[CreatableTopic] = []
    timeout_ms: int = 60000
    validate_only: bool = False  # 1+


class CreatableTopicConfigs(msgspec.Struct, gc=False):
    name: str = ""  # 5+
    value: str | None = ""  # 5+
    read_only: bool = False  # 5+
    config_source: int = -1  # 5+
    is_sensitive: bool = False  # 5+


class CreatableTopicResult(msgspec.Struct, gc=False):
    name: str = ""
    topic_id: bytes = NO_UUID  # 7+
    error_code: int = 0
    error_message: str | None = ""  # 1+
    topic_config_error_code: int = 0  # 5+
    num_partitions: int = -1  # 5+
    replication_factor: int = -1  # 5+
    configs: list[CreatableTopicConfigs] | None = []  # 5+


class CreateTopicsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0  # 2+
    topics: list[CreatableTopicResult] = []


FIXED_1 = Struct(">ih")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">h")
FIXED_4 = Struct(">i?")
FIXED_5 = Struct(">?b?x")
FIXED_6 = Struct(">16sh")


def decode_0(data: bytes, at: int) -> tuple[CreateTopicsRequest, int]:
    count, at = read_count(data, at, 16)
    topics: list[CreatableTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        num_partitions, replication_factor = FIXED_1.unpack_from(data, at)
        at += 6
        count, at = read_count(data, at, 8)
        assignments: list[CreatableReplicaAssignment] = []
        for _ in range(count):
            (partition_index,) = FIXED_2.unpack_from(data, at)
            at += 4
            count, at = read_count(data, at, 4)
            broker_ids, at = read_numbers(data, at, count, "i")
            assignments.append(
                CreatableReplicaAssignment(partition_index=partition_index, broker_ids=broker_ids)
            )
        count, at = read_count(data, at, 4)
        configs: list[CreatableTopicConfig] = []
        for _ in range(count):
            config_name, at = read_string(data, at)
            value, at = read_nullable_string(data, at)
            configs.append(CreatableTopicConfig(name=config_name, value=value))
        topics.append(
            CreatableTopic(
                name=name,
                num_partitions=num_partitions,
                replication_factor=replication_factor,
                assignments=assignments,
                configs=configs,
            )
        )
    (timeout_ms,) = FIXED_2.unpack_from(data, at)
    at += 4
    return CreateTopicsRequest(topics=topics, timeout_ms=timeout_ms), at


def decode_1(data: bytes, at: int) -> tuple[CreateTopicsRequest, int]:
    count, at = read_count(data, at, 16)
    topics: list[CreatableTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        num_partitions, replication_factor = FIXED_1.unpack_from(data, at)
        at += 6
        count, at = read_count(data, at, 8)
        assignments: list[CreatableReplicaAssignment] = []
        for _ in range(count):
            (partition_index,) = FIXED_2.unpack_from(data, at)
            at += 4
            count, at = read_count(data, at, 4)
            broker_ids, at = read_numbers(data, at, count, "i")
            assignments.append(
                CreatableReplicaAssignment(partition_index=partition_index, broker_ids=broker_ids)
            )
        count, at = read_count(data, at, 4)
        configs: list[CreatableTopicConfig] = []
        for _ in range(count):
            config_name, at = read_string(data, at)
            value, at = read_nullable_string(data, at)
            configs.append(CreatableTopicConfig(name=config_name, value=value))
        topics.append(
            CreatableTopic(
                name=name,
                num_partitions=num_partitions,
                replication_factor=replication_factor,
                assignments=assignments,
                configs=configs,
            )
        )
    timeout_ms, validate_only = FIXED_4.unpack_from(data, at)
    at += 5
    return CreateTopicsRequest(topics=topics, timeout_ms=timeout_ms, validate_only=validate_only), at


def decode_5(data: bytes, at: int) -> tuple[CreateTopicsRequest, int]:
    count, at = read_compact_count(data, at, 10)
    topics: list[CreatableTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        num_partitions, replication_factor = FIXED_1.unpack_from(data, at)
        at += 6
        count, at = read_compact_count(data, at, 6)
        assignments: list[CreatableReplicaAssignment] = []
        for _ in range(count):
            (partition_index,) = FIXED_2.unpack_from(data, at)
            at += 4
            count, at = read_compact_count(data, at, 4)
            broker_ids, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            assignments.append(
                CreatableReplicaAssignment(partition_index=partition_index, broker_ids=broker_ids)
            )
        count, at = read_compact_count(data, at, 3)
        configs: list[CreatableTopicConfig] = []
        for _ in range(count):
            config_name, at = read_compact_string(data, at)
            value, at = read_nullable_compact_string(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            configs.append(CreatableTopicConfig(name=config_name, value=value))
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(
            CreatableTopic(
                name=name,
                num_partitions=num_partitions,
                replication_factor=replication_factor,
                assignments=assignments,
                configs=configs,
            )
        )
    timeout_ms, validate_only = FIXED_4.unpack_from(data, at)
    at += 5
    at = skip_tags(data, at) if data[at] else at + 1
    return CreateTopicsRequest(topics=topics, timeout_ms=timeout_ms, validate_only=validate_only), at


def encode_0(message: CreateTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(FIXED_3.pack(topic.error_code))


def encode_1(message: CreateTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(FIXED_3.pack(topic.error_code))
        add(nullable_string(topic.error_message))


def encode_2(message: CreateTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.topics))
    for topic in message.topics:
        add(string(topic.name))
        add(FIXED_3.pack(topic.error_code))
        add(nullable_string(topic.error_message))


def encode_5(message: CreateTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(FIXED_3.pack(topic.error_code))
        add(nullable_compact_string(topic.error_message))
        add(FIXED_1.pack(topic.num_partitions, topic.replication_factor))
        add(nullable_compact_count(topic.configs))
        for config in topic.configs or ():
            add(compact_string(config.name))
            add(nullable_compact_string(config.value))
            add(FIXED_5.pack(config.read_only, config.config_source, config.is_sensitive))
        topic_tags: list[tuple[int, list[bytes]]] = []
        if topic.topic_config_error_code:
            topic_config_error_code_bytes: list[bytes] = []
            topic_config_error_code_bytes.append(FIXED_3.pack(topic.topic_config_error_code))
            topic_tags.append((0, topic_config_error_code_bytes))
        add(tags(topic_tags) if topic_tags else NO_TAGS)
    add(NO_TAGS)


def encode_7(message: CreateTopicsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.topics))
    for topic in message.topics:
        add(compact_string(topic.name))
        add(FIXED_6.pack(topic.topic_id, topic.error_code))
        add(nullable_compact_string(topic.error_message))
        add(FIXED_1.pack(topic.num_partitions, topic.replication_factor))
        add(nullable_compact_count(topic.configs))
        for config in topic.configs or ():
            add(compact_string(config.name))
            add(nullable_compact_string(config.value))
            add(FIXED_5.pack(config.read_only, config.config_source, config.is_sensitive))
        topic_tags: list[tuple[int, list[bytes]]] = []
        if topic.topic_config_error_code:
            topic_config_error_code_bytes: list[bytes] = []
            topic_config_error_code_bytes.append(FIXED_3.pack(topic.topic_config_error_code))
            topic_tags.append((0, topic_config_error_code_bytes))
        add(tags(topic_tags) if topic_tags else NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[CreateTopicsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_1,
    3: decode_1,
    4: decode_1,
    5: decode_5,
    6: decode_5,
    7: decode_5,
}
ENCODERS: Final[dict[int, Callable[[CreateTopicsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
    3: encode_2,
    4: encode_2,
    5: encode_5,
    6: encode_5,
    7: encode_7,
}
