"""AddPartitionsToTxn, key 24, versions 0 to 5: requests decoded, responses encoded.

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
    read_numbers,
    read_string,
    skip_tags,
    string,
)


class AddPartitionsToTxnTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[int] = []


class AddPartitionsToTxnTransaction(msgspec.Struct, gc=False):
    transactional_id: str = ""  # 4+
    producer_id: int = 0  # 4+
    producer_epoch: int = 0  # 4+
    verify_only: bool = False  # 4+
    topics: list[AddPartitionsToTxnTopic] = []  # 4+


class AddPartitionsToTxnRequest(msgspec.Struct, gc=False):
    transactions: list[AddPartitionsToTxnTransaction] = []  # 4+
    v3_and_below_transactional_id: str = ""  # up to 3
    v3_and_below_producer_id: int = 0  # up to 3
    v3_and_below_producer_epoch: int = 0  # up to 3
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = []  # up to 3


class AddPartitionsToTxnPartitionResult(msgspec.Struct, gc=False):
    partition_index: int = 0
    partition_error_code: int = 0


class AddPartitionsToTxnTopicResult(msgspec.Struct, gc=False):
    name: str = ""
    results_by_partition: list[AddPartitionsToTxnPartitionResult] = []


class AddPartitionsToTxnResult(msgspec.Struct, gc=False):
    transactional_id: str = ""  # 4+
    topic_results: list[AddPartitionsToTxnTopicResult] = []  # 4+


class AddPartitionsToTxnResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0  # 4+
    results_by_transaction: list[AddPartitionsToTxnResult] = []  # 4+
    results_by_topic_v3_and_below: list[AddPartitionsToTxnTopicResult] = []  # up to 3


FIXED_1 = Struct(">qh")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">ihx")
FIXED_5 = Struct(">qh?")


def decode_0(data: bytes, at: int) -> tuple[AddPartitionsToTxnRequest, int]:
    v3_and_below_transactional_id, at = read_string(data, at)
    v3_and_below_producer_id, v3_and_below_producer_epoch = FIXED_1.unpack_from(data, at)
    at += 10
    count, at = read_count(data, at, 6)
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = []
    for _ in range(count):
        name, at = read_string(data, at)
        count, at = read_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        v3_and_below_topics.append(AddPartitionsToTxnTopic(name=name, partitions=partitions))
    return AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=v3_and_below_transactional_id,
        v3_and_below_producer_id=v3_and_below_producer_id,
        v3_and_below_producer_epoch=v3_and_below_producer_epoch,
        v3_and_below_topics=v3_and_below_topics,
    ), at


def decode_3(data: bytes, at: int) -> tuple[AddPartitionsToTxnRequest, int]:
    v3_and_below_transactional_id, at = read_compact_string(data, at)
    v3_and_below_producer_id, v3_and_below_producer_epoch = FIXED_1.unpack_from(data, at)
    at += 10
    count, at = read_compact_count(data, at, 3)
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        v3_and_below_topics.append(AddPartitionsToTxnTopic(name=name, partitions=partitions))
    at = skip_tags(data, at) if data[at] else at + 1
    return AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=v3_and_below_transactional_id,
        v3_and_below_producer_id=v3_and_below_producer_id,
        v3_and_below_producer_epoch=v3_and_below_producer_epoch,
        v3_and_below_topics=v3_and_below_topics,
    ), at


def decode_4(data: bytes, at: int) -> tuple[AddPartitionsToTxnRequest, int]:
    count, at = read_compact_count(data, at, 14)
    transactions: list[AddPartitionsToTxnTransaction] = []
    for _ in range(count):
        transactional_id, at = read_compact_string(data, at)
        producer_id, producer_epoch, verify_only = FIXED_5.unpack_from(data, at)
        at += 11
        count, at = read_compact_count(data, at, 3)
        topics: list[AddPartitionsToTxnTopic] = []
        for _ in range(count):
            name, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 4)
            partitions, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(AddPartitionsToTxnTopic(name=name, partitions=partitions))
        at = skip_tags(data, at) if data[at] else at + 1
        transactions.append(
            AddPartitionsToTxnTransaction(
                transactional_id=transactional_id,
                producer_id=producer_id,
                producer_epoch=producer_epoch,
                verify_only=verify_only,
                topics=topics,
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return AddPartitionsToTxnRequest(transactions=transactions), at


def encode_0(message: AddPartitionsToTxnResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(count(message.results_by_topic_v3_and_below))
    for results_by_topic_v3_and_below_item in message.results_by_topic_v3_and_below:
        add(string(results_by_topic_v3_and_below_item.name))
        add(count(results_by_topic_v3_and_below_item.results_by_partition))
        for results_by_partition_item in results_by_topic_v3_and_below_item.results_by_partition:
            add(
                FIXED_3.pack(
                    results_by_partition_item.partition_index, results_by_partition_item.partition_error_code
                )
            )


def encode_3(message: AddPartitionsToTxnResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.results_by_topic_v3_and_below))
    for results_by_topic_v3_and_below_item in message.results_by_topic_v3_and_below:
        add(compact_string(results_by_topic_v3_and_below_item.name))
        add(compact_count(results_by_topic_v3_and_below_item.results_by_partition))
        for results_by_partition_item in results_by_topic_v3_and_below_item.results_by_partition:
            add(
                FIXED_4.pack(
                    results_by_partition_item.partition_index, results_by_partition_item.partition_error_code
                )
            )
        add(NO_TAGS)
    add(NO_TAGS)


def encode_4(message: AddPartitionsToTxnResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.results_by_transaction))
    for results_by_transaction_item in message.results_by_transaction:
        add(compact_string(results_by_transaction_item.transactional_id))
        add(compact_count(results_by_transaction_item.topic_results))
        for topic_result in results_by_transaction_item.topic_results:
            add(compact_string(topic_result.name))
            add(compact_count(topic_result.results_by_partition))
            for results_by_partition_item in topic_result.results_by_partition:
                add(
                    FIXED_4.pack(
                        results_by_partition_item.partition_index,
                        results_by_partition_item.partition_error_code,
                    )
                )
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AddPartitionsToTxnRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_4,
    5: decode_4,
}
ENCODERS: Final[dict[int, Callable[[AddPartitionsToTxnResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_0,
    3: encode_3,
    4: encode_4,
    5: encode_4,
}
