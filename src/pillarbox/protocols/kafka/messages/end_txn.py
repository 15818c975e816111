"""EndTxn, key 26, versions 0 to 5: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import read_compact_string, read_string, skip_tags


class EndTxnRequest(msgspec.Struct, gc=False):
    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    committed: bool = False


class EndTxnResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    producer_id: int = -1  # 5+
    producer_epoch: int = -1  # 5+


FIXED_1 = Struct(">qh?")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">ihx")
FIXED_4 = Struct(">ihqhx")


def decode_0(data: bytes, at: int) -> tuple[EndTxnRequest, int]:
    transactional_id, at = read_string(data, at)
    producer_id, producer_epoch, committed = FIXED_1.unpack_from(data, at)
    at += 11
    return EndTxnRequest(
        transactional_id=transactional_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        committed=committed,
    ), at


def decode_3(data: bytes, at: int) -> tuple[EndTxnRequest, int]:
    transactional_id, at = read_compact_string(data, at)
    producer_id, producer_epoch, committed = FIXED_1.unpack_from(data, at)
    at += 11
    at = skip_tags(data, at) if data[at] else at + 1
    return EndTxnRequest(
        transactional_id=transactional_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        committed=committed,
    ), at


def encode_0(message: EndTxnResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))


def encode_3(message: EndTxnResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))


def encode_5(message: EndTxnResponse, add: Callable[[bytes], None]) -> None:
    add(
        FIXED_4.pack(
            message.throttle_time_ms, message.error_code, message.producer_id, message.producer_epoch
        )
    )


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[EndTxnRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_3,
    5: decode_3,
}
ENCODERS: Final[dict[int, Callable[[EndTxnResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_0,
    3: encode_3,
    4: encode_3,
    5: encode_5,
}
