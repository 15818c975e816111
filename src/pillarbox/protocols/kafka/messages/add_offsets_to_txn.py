"""AddOffsetsToTxn, key 25, versions 0 to 4: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import read_compact_string, read_string, skip_tags


class AddOffsetsToTxnRequest(msgspec.Struct, gc=False):
    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    group_id: str = ""


class AddOffsetsToTxnResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0


FIXED_1 = Struct(">qh")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">ihx")


def decode_0(data: bytes, at: int) -> tuple[AddOffsetsToTxnRequest, int]:
    transactional_id, at = read_string(data, at)
    producer_id, producer_epoch = FIXED_1.unpack_from(data, at)
    at += 10
    group_id, at = read_string(data, at)
    return AddOffsetsToTxnRequest(
        transactional_id=transactional_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        group_id=group_id,
    ), at


def decode_3(data: bytes, at: int) -> tuple[AddOffsetsToTxnRequest, int]:
    transactional_id, at = read_compact_string(data, at)
    producer_id, producer_epoch = FIXED_1.unpack_from(data, at)
    at += 10
    group_id, at = read_compact_string(data, at)
    at = skip_tags(data, at) if data[at] else at + 1
    return AddOffsetsToTxnRequest(
        transactional_id=transactional_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        group_id=group_id,
    ), at


def encode_0(message: AddOffsetsToTxnResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))


def encode_3(message: AddOffsetsToTxnResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AddOffsetsToTxnRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_3,
}
ENCODERS: Final[dict[int, Callable[[AddOffsetsToTxnResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_0,
    3: encode_3,
    4: encode_3,
}
