"""PushTelemetry, key 72, version 0: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import NO_UUID, read_compact_bytes, skip_tags


class PushTelemetryRequest(msgspec.Struct, gc=False):
    client_instance_id: bytes = NO_UUID
    subscription_id: int = 0
    terminating: bool = False
    compression_type: int = 0
    metrics: bytes = b""


class PushTelemetryResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0


FIXED_1 = Struct(">16si?b")
FIXED_2 = Struct(">ihx")


def decode_0(data: bytes, at: int) -> tuple[PushTelemetryRequest, int]:
    client_instance_id, subscription_id, terminating, compression_type = FIXED_1.unpack_from(data, at)
    at += 22
    metrics, at = read_compact_bytes(data, at)
    at = skip_tags(data, at) if data[at] else at + 1
    return PushTelemetryRequest(
        client_instance_id=client_instance_id,
        subscription_id=subscription_id,
        terminating=terminating,
        compression_type=compression_type,
        metrics=metrics,
    ), at


def encode_0(message: PushTelemetryResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[PushTelemetryRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[PushTelemetryResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
