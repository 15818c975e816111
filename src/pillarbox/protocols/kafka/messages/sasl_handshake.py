"""SaslHandshake, key 17, versions 0 to 1: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import count, read_string, string


class SaslHandshakeRequest(msgspec.Struct, gc=False):
    mechanism: str = ""


class SaslHandshakeResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    mechanisms: list[str] = []


FIXED_1 = Struct(">h")


def decode_0(data: bytes, at: int) -> tuple[SaslHandshakeRequest, int]:
    mechanism, at = read_string(data, at)
    return SaslHandshakeRequest(mechanism=mechanism), at


def encode_0(message: SaslHandshakeResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(count(message.mechanisms))
    for mechanism in message.mechanisms:
        add(string(mechanism))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[SaslHandshakeRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
}
ENCODERS: Final[dict[int, Callable[[SaslHandshakeResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
}
