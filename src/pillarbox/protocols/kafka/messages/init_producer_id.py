"""InitProducerId, key 22, versions 0 to 5: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import read_nullable_compact_string, read_nullable_string, skip_tags


class InitProducerIdRequest(msgspec.Struct, gc=False):
    transactional_id: str | None = ""
    transaction_timeout_ms: int = 0
    producer_id: int = -1  # 3+
    producer_epoch: int = -1  # 3+
    enable2_pc: bool = False  # 6+
    keep_prepared_txn: bool = False  # 6+


class InitProducerIdResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    producer_id: int = -1
    producer_epoch: int = 0
    ongoing_txn_producer_id: int = -1  # 6+
    ongoing_txn_producer_epoch: int = -1  # 6+


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ihqh")
FIXED_3 = Struct(">ihqhx")
FIXED_4 = Struct(">iqh")


def decode_0(data: bytes, at: int) -> tuple[InitProducerIdRequest, int]:
    transactional_id, at = read_nullable_string(data, at)
    (transaction_timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    return InitProducerIdRequest(
        transactional_id=transactional_id, transaction_timeout_ms=transaction_timeout_ms
    ), at


def decode_2(data: bytes, at: int) -> tuple[InitProducerIdRequest, int]:
    transactional_id, at = read_nullable_compact_string(data, at)
    (transaction_timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    at = skip_tags(data, at) if data[at] else at + 1
    return InitProducerIdRequest(
        transactional_id=transactional_id, transaction_timeout_ms=transaction_timeout_ms
    ), at


def decode_3(data: bytes, at: int) -> tuple[InitProducerIdRequest, int]:
    transactional_id, at = read_nullable_compact_string(data, at)
    transaction_timeout_ms, producer_id, producer_epoch = FIXED_4.unpack_from(data, at)
    at += 14
    at = skip_tags(data, at) if data[at] else at + 1
    return InitProducerIdRequest(
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
    ), at


def encode_0(message: InitProducerIdResponse, add: Callable[[bytes], None]) -> None:
    add(
        FIXED_2.pack(
            message.throttle_time_ms, message.error_code, message.producer_id, message.producer_epoch
        )
    )


def encode_2(message: InitProducerIdResponse, add: Callable[[bytes], None]) -> None:
    add(
        FIXED_3.pack(
            message.throttle_time_ms, message.error_code, message.producer_id, message.producer_epoch
        )
    )


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[InitProducerIdRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_3,
    4: decode_3,
    5: decode_3,
}
ENCODERS: Final[dict[int, Callable[[InitProducerIdResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_2,
    4: encode_2,
    5: encode_2,
}
