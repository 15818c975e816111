"""GetTelemetrySubscriptions, key 71, version 0: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import NO_TAGS, NO_UUID, compact_count, compact_string, numbers, skip_tags


class GetTelemetrySubscriptionsRequest(msgspec.Struct, gc=False):
    client_instance_id: bytes = NO_UUID


class GetTelemetrySubscriptionsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    client_instance_id: bytes = NO_UUID
    subscription_id: int = 0
    accepted_compression_types: list[int] = []
    push_interval_ms: int = 0
    telemetry_max_bytes: int = 0
    delta_temporality: bool = False
    requested_metrics: list[str] = []


FIXED_1 = Struct(">16s")
FIXED_2 = Struct(">ih16si")
FIXED_3 = Struct(">ii?")


def decode_0(data: bytes, at: int) -> tuple[GetTelemetrySubscriptionsRequest, int]:
    (client_instance_id,) = FIXED_1.unpack_from(data, at)
    at += 16
    at = skip_tags(data, at) if data[at] else at + 1
    return GetTelemetrySubscriptionsRequest(client_instance_id=client_instance_id), at


def encode_0(message: GetTelemetrySubscriptionsResponse, add: Callable[[bytes], None]) -> None:
    add(
        FIXED_2.pack(
            message.throttle_time_ms, message.error_code, message.client_instance_id, message.subscription_id
        )
    )
    add(compact_count(message.accepted_compression_types))
    add(numbers(message.accepted_compression_types, "b"))
    add(FIXED_3.pack(message.push_interval_ms, message.telemetry_max_bytes, message.delta_temporality))
    add(compact_count(message.requested_metrics))
    for requested_metric in message.requested_metrics:
        add(compact_string(requested_metric))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[GetTelemetrySubscriptionsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[GetTelemetrySubscriptionsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
