"""ExpireDelegationToken, key 40, versions 0 to 2: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1 and 3.9.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import read_bytes, read_compact_bytes, skip_tags


class ExpireDelegationTokenRequest(msgspec.Struct, gc=False):
    hmac: bytes = b""
    expiry_time_period_ms: int = 0


class ExpireDelegationTokenResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    expiry_timestamp_ms: int = 0
    throttle_time_ms: int = 0


FIXED_1 = Struct(">q")
FIXED_2 = Struct(">hqi")
FIXED_3 = Struct(">hqix")


def decode_0(data: bytes, at: int) -> tuple[ExpireDelegationTokenRequest, int]:
    hmac, at = read_bytes(data, at)
    (expiry_time_period_ms,) = FIXED_1.unpack_from(data, at)
    at += 8
    return ExpireDelegationTokenRequest(hmac=hmac, expiry_time_period_ms=expiry_time_period_ms), at


def decode_2(data: bytes, at: int) -> tuple[ExpireDelegationTokenRequest, int]:
    hmac, at = read_compact_bytes(data, at)
    (expiry_time_period_ms,) = FIXED_1.unpack_from(data, at)
    at += 8
    at = skip_tags(data, at) if data[at] else at + 1
    return ExpireDelegationTokenRequest(hmac=hmac, expiry_time_period_ms=expiry_time_period_ms), at


def encode_0(message: ExpireDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code, message.expiry_timestamp_ms, message.throttle_time_ms))


def encode_2(message: ExpireDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.error_code, message.expiry_timestamp_ms, message.throttle_time_ms))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ExpireDelegationTokenRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[ExpireDelegationTokenResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
}
