"""SaslAuthenticate, key 36, versions 0 to 2: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import (
    compact_count,
    count,
    nullable_compact_string,
    nullable_string,
    read_bytes,
    read_compact_bytes,
    skip_tags,
)


class SaslAuthenticateRequest(msgspec.Struct, gc=False):
    auth_bytes: bytes = b""


class SaslAuthenticateResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = ""
    auth_bytes: bytes = b""
    session_lifetime_ms: int = 0  # 1+


FIXED_1 = Struct(">h")
FIXED_2 = Struct(">q")
FIXED_3 = Struct(">qx")


def decode_0(data: bytes, at: int) -> tuple[SaslAuthenticateRequest, int]:
    auth_bytes, at = read_bytes(data, at)
    return SaslAuthenticateRequest(auth_bytes=auth_bytes), at


def decode_2(data: bytes, at: int) -> tuple[SaslAuthenticateRequest, int]:
    auth_bytes, at = read_compact_bytes(data, at)
    at = skip_tags(data, at) if data[at] else at + 1
    return SaslAuthenticateRequest(auth_bytes=auth_bytes), at


def encode_0(message: SaslAuthenticateResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(nullable_string(message.error_message))
    add(count(message.auth_bytes))
    add(message.auth_bytes)


def encode_1(message: SaslAuthenticateResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(nullable_string(message.error_message))
    add(count(message.auth_bytes))
    add(message.auth_bytes)
    add(FIXED_2.pack(message.session_lifetime_ms))


def encode_2(message: SaslAuthenticateResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.auth_bytes))
    add(message.auth_bytes)
    add(FIXED_3.pack(message.session_lifetime_ms))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[SaslAuthenticateRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[SaslAuthenticateResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
}
