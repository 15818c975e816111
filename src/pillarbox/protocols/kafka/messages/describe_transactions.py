"""DescribeTransactions, key 65, version 0: requests decoded, responses encoded.

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
    numbers,
    read_compact_count,
    read_compact_string,
    read_items,
    skip_tags,
)


class DescribeTransactionsRequest(msgspec.Struct, gc=False):
    transactional_ids: list[str] = []


class TopicData(msgspec.Struct, gc=False):
    topic: str = ""
    partitions: list[int] = []


class TransactionState(msgspec.Struct, gc=False):
    error_code: int = 0
    transactional_id: str = ""
    transaction_state: str = ""
    transaction_timeout_ms: int = 0
    transaction_start_time_ms: int = 0
    producer_id: int = 0
    producer_epoch: int = 0
    topics: list[TopicData] = []


class DescribeTransactionsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    transaction_states: list[TransactionState] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">iqqh")


def decode_0(data: bytes, at: int) -> tuple[DescribeTransactionsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    transactional_ids, at = read_items(data, at, count, read_compact_string)
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeTransactionsRequest(transactional_ids=transactional_ids), at


def encode_0(message: DescribeTransactionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.transaction_states))
    for transaction_state in message.transaction_states:
        add(FIXED_2.pack(transaction_state.error_code))
        add(compact_string(transaction_state.transactional_id))
        add(compact_string(transaction_state.transaction_state))
        add(
            FIXED_3.pack(
                transaction_state.transaction_timeout_ms,
                transaction_state.transaction_start_time_ms,
                transaction_state.producer_id,
                transaction_state.producer_epoch,
            )
        )
        add(compact_count(transaction_state.topics))
        for topic in transaction_state.topics:
            add(compact_string(topic.topic))
            add(compact_count(topic.partitions))
            add(numbers(topic.partitions, "i"))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeTransactionsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[DescribeTransactionsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
