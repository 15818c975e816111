"""UpdateFeatures, key 57, versions 0 to 2: requests decoded, responses encoded.

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
    nullable_compact_string,
    read_compact_count,
    read_compact_string,
    skip_tags,
)


class FeatureUpdateKey(msgspec.Struct, gc=False):
    feature: str = ""
    max_version_level: int = 0
    allow_downgrade: bool = False  # up to 0
    upgrade_type: int = 1  # 1+


class UpdateFeaturesRequest(msgspec.Struct, gc=False):
    timeout_ms: int = 60000
    feature_updates: list[FeatureUpdateKey] = []
    validate_only: bool = False  # 1+


class UpdatableFeatureResult(msgspec.Struct, gc=False):
    feature: str = ""
    error_code: int = 0
    error_message: str | None = ""


class UpdateFeaturesResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""
    results: list[UpdatableFeatureResult] = []  # up to 1


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">h?")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">h")
FIXED_5 = Struct(">hb")
FIXED_6 = Struct(">?")


def decode_0(data: bytes, at: int) -> tuple[UpdateFeaturesRequest, int]:
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    count, at = read_compact_count(data, at, 5)
    feature_updates: list[FeatureUpdateKey] = []
    for _ in range(count):
        feature, at = read_compact_string(data, at)
        max_version_level, allow_downgrade = FIXED_2.unpack_from(data, at)
        at += 3
        at = skip_tags(data, at) if data[at] else at + 1
        feature_updates.append(
            FeatureUpdateKey(
                feature=feature, max_version_level=max_version_level, allow_downgrade=allow_downgrade
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return UpdateFeaturesRequest(timeout_ms=timeout_ms, feature_updates=feature_updates), at


def decode_1(data: bytes, at: int) -> tuple[UpdateFeaturesRequest, int]:
    (timeout_ms,) = FIXED_1.unpack_from(data, at)
    at += 4
    count, at = read_compact_count(data, at, 5)
    feature_updates: list[FeatureUpdateKey] = []
    for _ in range(count):
        feature, at = read_compact_string(data, at)
        max_version_level, upgrade_type = FIXED_5.unpack_from(data, at)
        at += 3
        at = skip_tags(data, at) if data[at] else at + 1
        feature_updates.append(
            FeatureUpdateKey(feature=feature, max_version_level=max_version_level, upgrade_type=upgrade_type)
        )
    (validate_only,) = FIXED_6.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return UpdateFeaturesRequest(
        timeout_ms=timeout_ms, feature_updates=feature_updates, validate_only=validate_only
    ), at


def encode_0(message: UpdateFeaturesResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.results))
    for result in message.results:
        add(compact_string(result.feature))
        add(FIXED_4.pack(result.error_code))
        add(nullable_compact_string(result.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


def encode_2(message: UpdateFeaturesResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[UpdateFeaturesRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_1,
}
ENCODERS: Final[dict[int, Callable[[UpdateFeaturesResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
}
