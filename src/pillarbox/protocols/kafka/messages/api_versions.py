"""ApiVersions, key 18, versions 0 to 4: requests decoded, responses encoded.

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
    count,
    read_compact_string,
    skip_tags,
    tags,
)


class ApiVersionsRequest(msgspec.Struct, gc=False):
    client_software_name: str = ""  # 3+
    client_software_version: str = ""  # 3+


class ApiVersion(msgspec.Struct, gc=False):
    api_key: int = 0
    min_version: int = 0
    max_version: int = 0


class SupportedFeatureKey(msgspec.Struct, gc=False):
    name: str = ""  # 3+
    min_version: int = 0  # 3+
    max_version: int = 0  # 3+


class FinalizedFeatureKey(msgspec.Struct, gc=False):
    name: str = ""  # 3+
    max_version_level: int = 0  # 3+
    min_version_level: int = 0  # 3+


class ApiVersionsResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    api_keys: list[ApiVersion] = []
    throttle_time_ms: int = 0  # 1+
    supported_features: list[SupportedFeatureKey] = []  # 3+
    finalized_features_epoch: int = -1  # 3+
    finalized_features: list[FinalizedFeatureKey] = []  # 3+
    zk_migration_ready: bool = False  # 3+


FIXED_1 = Struct(">h")
FIXED_2 = Struct(">hhh")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">hhhx")
FIXED_5 = Struct(">hhx")
FIXED_6 = Struct(">q")
FIXED_7 = Struct(">?")


def decode_0(data: bytes, at: int) -> tuple[ApiVersionsRequest, int]:
    return ApiVersionsRequest(), at


def decode_3(data: bytes, at: int) -> tuple[ApiVersionsRequest, int]:
    client_software_name, at = read_compact_string(data, at)
    client_software_version, at = read_compact_string(data, at)
    at = skip_tags(data, at) if data[at] else at + 1
    return ApiVersionsRequest(
        client_software_name=client_software_name, client_software_version=client_software_version
    ), at


def encode_0(message: ApiVersionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(count(message.api_keys))
    for api_key in message.api_keys:
        add(FIXED_2.pack(api_key.api_key, api_key.min_version, api_key.max_version))


def encode_1(message: ApiVersionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(count(message.api_keys))
    for api_key in message.api_keys:
        add(FIXED_2.pack(api_key.api_key, api_key.min_version, api_key.max_version))
    add(FIXED_3.pack(message.throttle_time_ms))


def encode_3(message: ApiVersionsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(compact_count(message.api_keys))
    for api_key in message.api_keys:
        add(FIXED_4.pack(api_key.api_key, api_key.min_version, api_key.max_version))
    add(FIXED_3.pack(message.throttle_time_ms))
    message_tags: list[tuple[int, list[bytes]]] = []
    if message.supported_features:
        supported_features_bytes: list[bytes] = []
        supported_features_bytes.append(compact_count(message.supported_features))
        for supported_feature in message.supported_features:
            supported_features_bytes.append(compact_string(supported_feature.name))
            supported_features_bytes.append(
                FIXED_5.pack(supported_feature.min_version, supported_feature.max_version)
            )
        message_tags.append((0, supported_features_bytes))
    if message.finalized_features_epoch != -1:
        finalized_features_epoch_bytes: list[bytes] = []
        finalized_features_epoch_bytes.append(FIXED_6.pack(message.finalized_features_epoch))
        message_tags.append((1, finalized_features_epoch_bytes))
    if message.finalized_features:
        finalized_features_bytes: list[bytes] = []
        finalized_features_bytes.append(compact_count(message.finalized_features))
        for finalized_feature in message.finalized_features:
            finalized_features_bytes.append(compact_string(finalized_feature.name))
            finalized_features_bytes.append(
                FIXED_5.pack(finalized_feature.max_version_level, finalized_feature.min_version_level)
            )
        message_tags.append((2, finalized_features_bytes))
    if message.zk_migration_ready:
        zk_migration_ready_bytes: list[bytes] = []
        zk_migration_ready_bytes.append(FIXED_7.pack(message.zk_migration_ready))
        message_tags.append((3, zk_migration_ready_bytes))
    add(tags(message_tags) if message_tags else NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ApiVersionsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_0,
    3: decode_3,
    4: decode_3,
}
ENCODERS: Final[dict[int, Callable[[ApiVersionsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_1,
    3: encode_3,
    4: encode_3,
}
