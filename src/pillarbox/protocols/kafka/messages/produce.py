"""Produce, key 0, versions 0 to 13: requests decoded, responses encoded.

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
    nullable_compact_string,
    nullable_string,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_bytes,
    read_nullable_compact_bytes,
    read_nullable_compact_string,
    read_nullable_string,
    read_string,
    skip_tags,
    string,
    tags,
)


class PartitionProduceData(msgspec.Struct, gc=False):
    index: int = 0
    records: bytes | None = None


class TopicProduceData(msgspec.Struct, gc=False):
    name: str = ""  # up to 12
    topic_id: bytes = NO_UUID  # 13+
    partition_data: list[PartitionProduceData] = []


class ProduceRequest(msgspec.Struct, gc=False):
    transactional_id: str | None = None  # 3+
    acks: int = 0
    timeout_ms: int = 0
    topic_data: list[TopicProduceData] = []


class BatchIndexAndErrorMessage(msgspec.Struct, gc=False):
    batch_index: int = 0  # 8+
    batch_index_error_message: str | None = None  # 8+


class LeaderIdAndEpoch(msgspec.Struct, gc=False):
    leader_id: int = -1  # 10+
    leader_epoch: int = -1  # 10+


class PartitionProduceResponse(msgspec.Struct, gc=False):
    index: int = 0
    error_code: int = 0
    base_offset: int = 0
    log_append_time_ms: int = -1  # 2+
    log_start_offset: int = -1  # 5+
    record_errors: list[BatchIndexAndErrorMessage] = []  # 8+
    error_message: str | None = None  # 8+
    current_leader: LeaderIdAndEpoch | None = None  # 10+


class TopicProduceResponse(msgspec.Struct, gc=False):
    name: str = ""  # up to 12
    topic_id: bytes = NO_UUID  # 13+
    partition_responses: list[PartitionProduceResponse] = []


class NodeEndpoint(msgspec.Struct, gc=False):
    node_id: int = 0  # 10+
    host: str = ""  # 10+
    port: int = 0  # 10+
    rack: str | None = None  # 10+


class ProduceResponse(msgspec.Struct, gc=False):
    responses: list[TopicProduceResponse] = []
    throttle_time_ms: int = 0  # 1+
    node_endpoints: list[NodeEndpoint] = []  # 10+


FIXED_1 = Struct(">hi")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">ihq")
FIXED_4 = Struct(">ihqq")
FIXED_5 = Struct(">ihqqq")
FIXED_6 = Struct(">ix")
FIXED_7 = Struct(">iix")
FIXED_8 = Struct(">16s")


def decode_0(data: bytes, at: int) -> tuple[ProduceRequest, int]:
    acks, timeout_ms = FIXED_1.unpack_from(data, at)
    at += 6
    count, at = read_count(data, at, 6)
    topic_data: list[TopicProduceData] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 8)
        partition_data: list[PartitionProduceData] = []
        for _ in range(count):
            (index,) = FIXED_2.unpack_from(data, at)
            at += 4
            records, at = read_nullable_bytes(data, at)
            partition_data.append(PartitionProduceData(index=index, records=records))
        topic_data.append(TopicProduceData(name=name, partition_data=partition_data))
    return ProduceRequest(acks=acks, timeout_ms=timeout_ms, topic_data=topic_data), at


def decode_3(data: bytes, at: int) -> tuple[ProduceRequest, int]:
    transactional_id, at = read_nullable_string(data, at)
    acks, timeout_ms = FIXED_1.unpack_from(data, at)
    at += 6
    count, at = read_count(data, at, 6)
    topic_data: list[TopicProduceData] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 8)
        partition_data: list[PartitionProduceData] = []
        for _ in range(count):
            (index,) = FIXED_2.unpack_from(data, at)
            at += 4
            records, at = read_nullable_bytes(data, at)
            partition_data.append(PartitionProduceData(index=index, records=records))
        topic_data.append(TopicProduceData(name=name, partition_data=partition_data))
    return ProduceRequest(
        transactional_id=transactional_id, acks=acks, timeout_ms=timeout_ms, topic_data=topic_data
    ), at


def decode_9(data: bytes, at: int) -> tuple[ProduceRequest, int]:
    transactional_id, at = read_nullable_compact_string(data, at)
    acks, timeout_ms = FIXED_1.unpack_from(data, at)
    at += 6
    count, at = read_compact_count(data, at, 3)
    topic_data: list[TopicProduceData] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 6)
        partition_data: list[PartitionProduceData] = []
        for _ in range(count):
            (index,) = FIXED_2.unpack_from(data, at)
            at += 4
            records, at = read_nullable_compact_bytes(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            partition_data.append(PartitionProduceData(index=index, records=records))
        at = skip_tags(data, at) if data[at] else at + 1
        topic_data.append(TopicProduceData(name=name, partition_data=partition_data))
    at = skip_tags(data, at) if data[at] else at + 1
    return ProduceRequest(
        transactional_id=transactional_id, acks=acks, timeout_ms=timeout_ms, topic_data=topic_data
    ), at


def decode_13(data: bytes, at: int) -> tuple[ProduceRequest, int]:
    transactional_id, at = read_nullable_compact_string(data, at)
    acks, timeout_ms = FIXED_1.unpack_from(data, at)
    at += 6
    count, at = read_compact_count(data, at, 18)
    topic_data: list[TopicProduceData] = []
    for _ in range(count):
        (topic_id,) = FIXED_8.unpack_from(data, at)
        at += 16
        count, at = read_compact_count(data, at, 6)
        partition_data: list[PartitionProduceData] = []
        for _ in range(count):
            (index,) = FIXED_2.unpack_from(data, at)
            at += 4
            records, at = read_nullable_compact_bytes(data, at)
            at = skip_tags(data, at) if data[at] else at + 1
            partition_data.append(PartitionProduceData(index=index, records=records))
        at = skip_tags(data, at) if data[at] else at + 1
        topic_data.append(TopicProduceData(topic_id=topic_id, partition_data=partition_data))
    at = skip_tags(data, at) if data[at] else at + 1
    return ProduceRequest(
        transactional_id=transactional_id, acks=acks, timeout_ms=timeout_ms, topic_data=topic_data
    ), at


def encode_0(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.responses))
    for response in message.responses:
        add(string(response.name))
        add(count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_3.pack(
                    partition_response.index, partition_response.error_code, partition_response.base_offset
                )
            )


def encode_1(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.responses))
    for response in message.responses:
        add(string(response.name))
        add(count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_3.pack(
                    partition_response.index, partition_response.error_code, partition_response.base_offset
                )
            )
    add(FIXED_2.pack(message.throttle_time_ms))


def encode_2(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.responses))
    for response in message.responses:
        add(string(response.name))
        add(count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_4.pack(
                    partition_response.index,
                    partition_response.error_code,
                    partition_response.base_offset,
                    partition_response.log_append_time_ms,
                )
            )
    add(FIXED_2.pack(message.throttle_time_ms))


def encode_5(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.responses))
    for response in message.responses:
        add(string(response.name))
        add(count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_5.pack(
                    partition_response.index,
                    partition_response.error_code,
                    partition_response.base_offset,
                    partition_response.log_append_time_ms,
                    partition_response.log_start_offset,
                )
            )
    add(FIXED_2.pack(message.throttle_time_ms))


def encode_8(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(count(message.responses))
    for response in message.responses:
        add(string(response.name))
        add(count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_5.pack(
                    partition_response.index,
                    partition_response.error_code,
                    partition_response.base_offset,
                    partition_response.log_append_time_ms,
                    partition_response.log_start_offset,
                )
            )
            add(count(partition_response.record_errors))
            for record_error in partition_response.record_errors:
                add(FIXED_2.pack(record_error.batch_index))
                add(nullable_string(record_error.batch_index_error_message))
            add(nullable_string(partition_response.error_message))
    add(FIXED_2.pack(message.throttle_time_ms))


def encode_9(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.name))
        add(compact_count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_5.pack(
                    partition_response.index,
                    partition_response.error_code,
                    partition_response.base_offset,
                    partition_response.log_append_time_ms,
                    partition_response.log_start_offset,
                )
            )
            add(compact_count(partition_response.record_errors))
            for record_error in partition_response.record_errors:
                add(FIXED_2.pack(record_error.batch_index))
                add(nullable_compact_string(record_error.batch_index_error_message))
                add(NO_TAGS)
            add(nullable_compact_string(partition_response.error_message))
            add(NO_TAGS)
        add(NO_TAGS)
    add(FIXED_6.pack(message.throttle_time_ms))


def encode_10(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.name))
        add(compact_count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_5.pack(
                    partition_response.index,
                    partition_response.error_code,
                    partition_response.base_offset,
                    partition_response.log_append_time_ms,
                    partition_response.log_start_offset,
                )
            )
            add(compact_count(partition_response.record_errors))
            for record_error in partition_response.record_errors:
                add(FIXED_2.pack(record_error.batch_index))
                add(nullable_compact_string(record_error.batch_index_error_message))
                add(NO_TAGS)
            add(nullable_compact_string(partition_response.error_message))
            partition_response_tags: list[tuple[int, list[bytes]]] = []
            if partition_response.current_leader is not None:
                current_leader_bytes: list[bytes] = []
                current_leader = partition_response.current_leader
                current_leader_bytes.append(
                    FIXED_7.pack(current_leader.leader_id, current_leader.leader_epoch)
                )
                partition_response_tags.append((0, current_leader_bytes))
            add(tags(partition_response_tags) if partition_response_tags else NO_TAGS)
        add(NO_TAGS)
    add(FIXED_2.pack(message.throttle_time_ms))
    message_tags: list[tuple[int, list[bytes]]] = []
    if message.node_endpoints:
        node_endpoints_bytes: list[bytes] = []
        node_endpoints_bytes.append(compact_count(message.node_endpoints))
        for node_endpoint in message.node_endpoints:
            node_endpoints_bytes.append(FIXED_2.pack(node_endpoint.node_id))
            node_endpoints_bytes.append(compact_string(node_endpoint.host))
            node_endpoints_bytes.append(FIXED_2.pack(node_endpoint.port))
            node_endpoints_bytes.append(nullable_compact_string(node_endpoint.rack))
            node_endpoints_bytes.append(NO_TAGS)
        message_tags.append((0, node_endpoints_bytes))
    add(tags(message_tags) if message_tags else NO_TAGS)


def encode_13(message: ProduceResponse, add: Callable[[bytes], None]) -> None:
    add(compact_count(message.responses))
    for response in message.responses:
        add(FIXED_8.pack(response.topic_id))
        add(compact_count(response.partition_responses))
        for partition_response in response.partition_responses:
            add(
                FIXED_5.pack(
                    partition_response.index,
                    partition_response.error_code,
                    partition_response.base_offset,
                    partition_response.log_append_time_ms,
                    partition_response.log_start_offset,
                )
            )
            add(compact_count(partition_response.record_errors))
            for record_error in partition_response.record_errors:
                add(FIXED_2.pack(record_error.batch_index))
                add(nullable_compact_string(record_error.batch_index_error_message))
                add(NO_TAGS)
            add(nullable_compact_string(partition_response.error_message))
            partition_response_tags: list[tuple[int, list[bytes]]] = []
            if partition_response.current_leader is not None:
                current_leader_bytes: list[bytes] = []
                current_leader = partition_response.current_leader
                current_leader_bytes.append(
                    FIXED_7.pack(current_leader.leader_id, current_leader.leader_epoch)
                )
                partition_response_tags.append((0, current_leader_bytes))
            add(tags(partition_response_tags) if partition_response_tags else NO_TAGS)
        add(NO_TAGS)
    add(FIXED_2.pack(message.throttle_time_ms))
    message_tags: list[tuple[int, list[bytes]]] = []
    if message.node_endpoints:
        node_endpoints_bytes: list[bytes] = []
        node_endpoints_bytes.append(compact_count(message.node_endpoints))
        for node_endpoint in message.node_endpoints:
            node_endpoints_bytes.append(FIXED_2.pack(node_endpoint.node_id))
            node_endpoints_bytes.append(compact_string(node_endpoint.host))
            node_endpoints_bytes.append(FIXED_2.pack(node_endpoint.port))
            node_endpoints_bytes.append(nullable_compact_string(node_endpoint.rack))
            node_endpoints_bytes.append(NO_TAGS)
        message_tags.append((0, node_endpoints_bytes))
    add(tags(message_tags) if message_tags else NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ProduceRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_3,
    5: decode_3,
    6: decode_3,
    7: decode_3,
    8: decode_3,
    9: decode_9,
    10: decode_9,
    11: decode_9,
    12: decode_9,
    13: decode_13,
}
ENCODERS: Final[dict[int, Callable[[ProduceResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
    3: encode_2,
    4: encode_2,
    5: encode_5,
    6: encode_5,
    7: encode_5,
    8: encode_8,
    9: encode_9,
    10: encode_10,
    11: encode_10,
    12: encode_10,
    13: encode_13,
}
