"""DescribeDelegationToken, key 41, versions 0 to 3: requests decoded, responses encoded.

Written by `make kafka-codec` from the message definitions of Kafka 4.2.1 and 3.9.1:
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
    read_nullable_compact_count,
    read_nullable_count,
    read_string,
    skip_tags,
    string,
)


class DescribeDelegationTokenOwner(msgspec.Struct, gc=False):
    principal_type: str = ""
    principal_name: str = ""


class DescribeDelegationTokenRequest(msgspec.Struct, gc=False):
    owners: list[DescribeDelegationTokenOwner] | None = []


class DescribedDelegationTokenRenewer(msgspec.Struct, gc=False):
    principal_type: str = ""
    principal_name: str = ""


class DescribedDelegationToken(msgspec.Struct, gc=False):
    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: str = ""  # 3+
    token_requester_principal_name: str = ""  # 3+
    issue_timestamp: int = 0
    expiry_timestamp: int = 0
    max_timestamp: int = 0
    token_id: str = ""
    hmac: bytes = b""
    renewers: list[DescribedDelegationTokenRenewer] = []


class DescribeDelegationTokenResponse(msgspec.Struct, gc=False):
    error_code: int = 0
    tokens: list[DescribedDelegationToken] = []
    throttle_time_ms: int = 0


FIXED_1 = Struct(">h")
FIXED_2 = Struct(">qqq")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">ix")


def decode_0(data: bytes, at: int) -> tuple[DescribeDelegationTokenRequest, int]:
    owners_count, at = read_nullable_count(data, at, 4)
    owners: list[DescribeDelegationTokenOwner] = []
    for _ in range(owners_count):
        principal_type, at = read_string(data, at)
        principal_name, at = read_string(data, at)
        owners.append(
            DescribeDelegationTokenOwner(principal_type=principal_type, principal_name=principal_name)
        )
    return DescribeDelegationTokenRequest(owners=None if owners_count < 0 else owners), at


def decode_2(data: bytes, at: int) -> tuple[DescribeDelegationTokenRequest, int]:
    owners_count, at = read_nullable_compact_count(data, at, 3)
    owners: list[DescribeDelegationTokenOwner] = []
    for _ in range(owners_count):
        principal_type, at = read_compact_string(data, at)
        principal_name, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        owners.append(
            DescribeDelegationTokenOwner(principal_type=principal_type, principal_name=principal_name)
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeDelegationTokenRequest(owners=None if owners_count < 0 else owners), at


def encode_0(message: DescribeDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(count(message.tokens))
    for token in message.tokens:
        add(string(token.principal_type))
        add(string(token.principal_name))
        add(FIXED_2.pack(token.issue_timestamp, token.expiry_timestamp, token.max_timestamp))
        add(string(token.token_id))
        add(count(token.hmac))
        add(token.hmac)
        add(count(token.renewers))
        for renewer in token.renewers:
            add(string(renewer.principal_type))
            add(string(renewer.principal_name))
    add(FIXED_3.pack(message.throttle_time_ms))


def encode_2(message: DescribeDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(compact_count(message.tokens))
    for token in message.tokens:
        add(compact_string(token.principal_type))
        add(compact_string(token.principal_name))
        add(FIXED_2.pack(token.issue_timestamp, token.expiry_timestamp, token.max_timestamp))
        add(compact_string(token.token_id))
        add(compact_count(token.hmac))
        add(token.hmac)
        add(compact_count(token.renewers))
        for renewer in token.renewers:
            add(compact_string(renewer.principal_type))
            add(compact_string(renewer.principal_name))
            add(NO_TAGS)
        add(NO_TAGS)
    add(FIXED_4.pack(message.throttle_time_ms))


def encode_3(message: DescribeDelegationTokenResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.error_code))
    add(compact_count(message.tokens))
    for token in message.tokens:
        add(compact_string(token.principal_type))
        add(compact_string(token.principal_name))
        add(compact_string(token.token_requester_principal_type))
        add(compact_string(token.token_requester_principal_name))
        add(FIXED_2.pack(token.issue_timestamp, token.expiry_timestamp, token.max_timestamp))
        add(compact_string(token.token_id))
        add(compact_count(token.hmac))
        add(token.hmac)
        add(compact_count(token.renewers))
        for renewer in token.renewers:
            add(compact_string(renewer.principal_type))
            add(compact_string(renewer.principal_name))
            add(NO_TAGS)
        add(NO_TAGS)
    add(FIXED_4.pack(message.throttle_time_ms))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeDelegationTokenRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
    3: decode_2,
}
ENCODERS: Final[dict[int, Callable[[DescribeDelegationTokenResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
    3: encode_3,
}
