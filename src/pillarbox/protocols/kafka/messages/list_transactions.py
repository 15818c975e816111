"""ListTransactions, key 66, versions 0 to 2: requests decoded, responses encoded.

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
    read_compact_count,
    read_compact_string,
    read_items,
    read_nullable_compact_string,
    read_numbers,
    skip_tags,
)


class ListTransactionsRequest(msgspec.Struct, gc=False):
    state_filters: list[str] = []
    producer_id_filters: list[int] = []
    duration_filter: int = -1  # 1+
    transactional_id_pattern: str | None = None  # 2+


class TransactionState(msgspec.Struct, gc=False):
    transactional_id: str = ""
    producer_id: int = 0
    transaction_state: str = ""


class ListTransactionsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    unknown_state_filters: list[str] = []
    transaction_states: list[TransactionState] = []


FIXED_1 = Struct(">ih")
FIXED_2 = Struct(">q")


def decode_0(data: bytes, at: int) -> tuple[ListTransactionsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    state_filters, at = read_items(data, at, count, read_compact_string)
    count, at = read_compact_count(data, at, 8)
    producer_id_filters, at = read_numbers(data, at, count, "q")
    at = skip_tags(data, at) if data[at] else at + 1
    return ListTransactionsRequest(state_filters=state_filters, producer_id_filters=producer_id_filters), at


def decode_1(data: bytes, at: int) -> tuple[ListTransactionsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    state_filters, at = read_items(data, at, count, read_compact_string)
    count, at = read_compact_count(data, at, 8)
    producer_id_filters, at = read_numbers(data, at, count, "q")
    (duration_filter,) = FIXED_2.unpack_from(data, at)
    at += 8
    at = skip_tags(data, at) if data[at] else at + 1
    return ListTransactionsRequest(
        state_filters=state_filters, producer_id_filters=producer_id_filters, duration_filter=duration_filter
    ), at


def decode_2(data: bytes, at: int) -> tuple[ListTransactionsRequest, int]:
    count, at = read_compact_count(data, at, 1)
    state_filters, at = read_items(data, at, count, read_compact_string)
    count, at = read_compact_count(data, at, 8)
    producer_id_filters, at = read_numbers(data, at, count, "q")
    (duration_filter,) = FIXED_2.unpack_from(data, at)
    at += 8
    transactional_id_pattern, at = read_nullable_compact_string(data, at)
    at = skip_tags(data, at) if data[at] else at + 1
    return ListTransactionsRequest(
        state_filters=state_filters,
        producer_id_filters=producer_id_filters,
        duration_filter=duration_filter,
        transactional_id_pattern=transactional_id_pattern,
    ), at


def encode_0(message: ListTransactionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms, message.error_code))
    add(compact_count(message.unknown_state_filters))
    for unknown_state_filter in message.unknown_state_filters:
        add(compact_string(unknown_state_filter))
    add(compact_count(message.transaction_states))
    for transaction_state in message.transaction_states:
        add(compact_string(transaction_state.transactional_id))
        add(FIXED_2.pack(transaction_state.producer_id))
        add(compact_string(transaction_state.transaction_state))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ListTransactionsRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[ListTransactionsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_0,
}
