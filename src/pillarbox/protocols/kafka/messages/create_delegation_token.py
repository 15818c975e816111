"""CreateDelegationToken, key 38, versions 0 to 3: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1 and 3.9.1:
change scripts/kafka_codec, not this file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pillarbox.protocols.kafka.wire import (
    compact_count,
    compact_string,
    count,
    read_compact_count,
    read_compact_string,
    read_count,
    read_nullable_compact_string,
    read_string,
    skip_tags,
    string,
)


class CreatableRenewers(msgspec.Struct, gc=False):
    principal_type: str = ""
    principal_name: str = ""


class CreateDelegationTokenRequest(msgspec.Struct, gc=False):
    owner_principal_type: str | None = ""  # 3+
    owner_principal_name: str | None = ""  # 3+
    renewers: list[CreatableRenewers] = []
    max_lifetime_ms: int = 0


class CreateDelegationTokenResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: str = ""  # 3+
    token_requester_principal_name: str = ""  # 3+
    issue_timestamp_ms: int = 0
    expiry_timestamp_ms: int = 0
    max_timestamp_ms: int = 0
    token_id: str = ""
    hmac: bytes = b""
    throttle_time_ms: int = 0


FIXED_1 = Struct(">q")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">qqq")
FIXED_4 = Struct(">i")
FIXED_5 = Struct(">ix")


def decode_0(data: bytes, at: int) -> tuple[CreateDelegationTokenRequest, int]:
    count, at = read_count(data, at, 4)
    renewers: list[CreatableRenewers] = []
    for _ in range(count):
        principal_type, at = read_string(data, at)
        principal_name, at = read_string(data, at)
        renewers.append(CreatableRenewers(principal_type=principal_type, principal_name=principal_name))
    (max_lifetime_ms,) = FIXED_1.unpack_from(data, at)
    at += 8
    return CreateDelegationTokenRequest(renewers=renewers, max_lifetime_ms=max_lifetime_ms), at


def decode_2(data: bytes, at: int) -> tuple[CreateDelegationTokenRequest, int]:
    count, at = read_compact_count(data, at, 3)
    renewers: list[CreatableRenewers] = []
    for _ in range(count):
        principal_type, at = read_compact_string(data, at)
        principal_name, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        renewers.append(CreatableRenewers(principal_type=principal_type, principal_name=principal_name))
    (max_lifetime_ms,) = FIXED_1.unpack_from(data, at)
    at += 8
    at = skip_tags(data, at) if data[at] else at + 1
    return CreateDelegationTokenRequest(renewers=renewers, max_lifetime_ms=max_lifetime_ms), at


def decode_3(data: bytes, at: int) -> tuple[CreateDelegationTokenRequest, int]:
    owner_principal_type, at = read_nullable_compact_string(data, at)
    owner_principal_name, at = read_nullable_compact_string(data, at)
    count, at = read_compact_count(data, at, 3)
    renewers: list[CreatableRenewers] = []
    for _ in range(count):
        principal_type, at = read_compact_string(data, at)
        principal_name, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        renewers.append(CreatableRenewers(principal_type=principal_type, principal_name=principal_name))
    (max_lifetime_ms,) = FIXED_1.unpack_from(data, at)
    at += 8
    at = skip_tags(data, at) if data[at] else at + 1
    return CreateDelegationTokenRequest(
        owner_principal_type=owner_principal_type,
        owner_principal_name=owner_principal_name,
        renewers=renewers,
        max_lifetime_ms=max_lifetime_ms,
    ), at


def encode_0(message: CreateDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))
    add(string(message.principal_type))
    add(string(message.principal_name))
    add(FIXED_3.pack(message.issue_timestamp_ms, message.expiry_timestamp_ms, message.max_timestamp_ms))
    add(string(message.token_id))
    add(count(message.hmac))
    add(message.hmac)
    add(FIXED_4.pack(message.throttle_time_ms))


def encode_2(message: CreateDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))
    add(compact_string(message.principal_type))
    add(compact_string(message.principal_name))
    add(FIXED_3.pack(message.issue_timestamp_ms, message.expiry_timestamp_ms, message.max_timestamp_ms))
    add(compact_string(message.token_id))
    add(compact_count(message.hmac))
    add(message.hmac)
    add(FIXED_5.pack(message.throttle_time_ms))


def encode_3(message: CreateDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.error_code))
    add(compact_string(message.principal_type))
    add(compact_string(message.principal_name))
    add(compact_string(message.token_requester_principal_type))
    add(compact_string(message.token_requester_principal_name))
    add(FIXED_3.pack(message.issue_timestamp_ms, message.expiry_timestamp_ms, message.max_timestamp_ms))
    add(compact_string(message.token_id))
    add(compact_count(message.hmac))
    add(message.hmac)
    add(FIXED_5.pack(message.throttle_time_ms))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[CreateDelegationTokenRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_3,
}
ENCODERS: Final[dict[int, Callable[[CreateDelegationTokenResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_3,
}
