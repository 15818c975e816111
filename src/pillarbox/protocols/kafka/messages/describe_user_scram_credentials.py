"""DescribeUserScramCredentials, key 50, version 0: requests decoded, responses encoded.

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
    read_compact_string,
    read_nullable_compact_count,
    skip_tags,
)


class UserName(msgspec.Struct, gc=False):
    name: str = ""


class DescribeUserScramCredentialsRequest(msgspec.Struct, gc=False):
    users: list[UserName] | None = []


class CredentialInfo(msgspec.Struct, gc=False):
    mechanism: int = 0
    iterations: int = 0


class DescribeUserScramCredentialsResult(msgspec.Struct, gc=False):
    user: str = ""
    error_code: int = 0
    error_message: str | None = ""
    credential_infos: list[CredentialInfo] = []


class DescribeUserScramCredentialsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""
    results: list[DescribeUserScramCredentialsResult] = []


FIXED_1 = Struct(">ih")
FIXED_2 = Struct(">h")
FIXED_3 = Struct(">bix")


def decode_0(data: bytes, at: int) -> tuple[DescribeUserScramCredentialsRequest, int]:
    users_count, at = read_nullable_compact_count(data, at, 2)
    users: list[UserName] = []
    for _ in range(users_count):
        name, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        users.append(UserName(name=name))
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeUserScramCredentialsRequest(users=None if users_count < 0 else users), at


def encode_0(message: DescribeUserScramCredentialsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.results))
    for result in message.results:
        add(compact_string(result.user))
        add(FIXED_2.pack(result.error_code))
        add(nullable_compact_string(result.error_message))
        add(compact_count(result.credential_infos))
        for credential_info in result.credential_infos:
            add(FIXED_3.pack(credential_info.mechanism, credential_info.iterations))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeUserScramCredentialsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[
    dict[int, Callable[[DescribeUserScramCredentialsResponse, Callable[[bytes], None]], None]]
] = {
    0: encode_0,
}
