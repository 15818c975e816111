"""UnregisterBroker, key 64, version 0: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import NO_TAGS, nullable_compact_string, skip_tags


class UnregisterBrokerRequest(msgspec.Struct, gc=False):
    broker_id: int = 0


class UnregisterBrokerResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ih")


def decode_0(data: bytes, at: int) -> tuple[UnregisterBrokerRequest, int]:
    (broker_id,) = FIXED_1.unpack_from(data, at)
    at += 4
    at = skip_tags(data, at) if data[at] else at + 1
    return UnregisterBrokerRequest(broker_id=broker_id), at


def encode_0(message: UnregisterBrokerResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[UnregisterBrokerRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[UnregisterBrokerResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
