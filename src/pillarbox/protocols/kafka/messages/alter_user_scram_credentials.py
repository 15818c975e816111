"""AlterUserScramCredentials, key 51, version 0: requests decoded, responses encoded.

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
    read_compact_bytes,
    read_compact_count,
    read_compact_string,
    skip_tags,
)


class ScramCredentialDeletion(msgspec.Struct, gc=False):
    name: str = ""
    mechanism: int = 0


class ScramCredentialUpsertion(msgspec.Struct, gc=False):
    name: str = ""
    mechanism: int = 0
    iterations: int = 0
    salt: bytes = b""
    salted_password: bytes = b""


class AlterUserScramCredentialsRequest(msgspec.Struct, gc=False):
    deletions: list[ScramCredentialDeletion] = []
    upsertions: list[ScramCredentialUpsertion] = []


class AlterUserScramCredentialsResult(msgspec.Struct, gc=False):
    user: str = ""
    error_code: int = 0
    error_message: str | None = ""


class AlterUserScramCredentialsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    results: list[AlterUserScramCredentialsResult] = []


FIXED_1 = Struct(">b")
FIXED_2 = Struct(">bi")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">h")


def decode_0(data: bytes, at: int) -> tuple[AlterUserScramCredentialsRequest, int]:
    count, at = read_compact_count(data, at, 3)
    deletions: list[ScramCredentialDeletion] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        (mechanism,) = FIXED_1.unpack_from(data, at)
        at += 1
        at = skip_tags(data, at) if data[at] else at + 1
        deletions.append(ScramCredentialDeletion(name=name, mechanism=mechanism))
    count, at = read_compact_count(data, at, 9)
    upsertions: list[ScramCredentialUpsertion] = []
    for _ in range(count):
        upsertion_name, at = read_compact_string(data, at)
        upsertion_mechanism, iterations = FIXED_2.unpack_from(data, at)
        at += 5
        salt, at = read_compact_bytes(data, at)
        salted_password, at = read_compact_bytes(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        upsertions.append(
            ScramCredentialUpsertion(
                name=upsertion_name,
                mechanism=upsertion_mechanism,
                iterations=iterations,
                salt=salt,
                salted_password=salted_password,
            )
        )
    at = skip_tags(data, at) if data[at] else at + 1
    return AlterUserScramCredentialsRequest(deletions=deletions, upsertions=upsertions), at


def encode_0(message: AlterUserScramCredentialsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms))
    add(compact_count(message.results))
    for result in message.results:
        add(compact_string(result.user))
        add(FIXED_4.pack(result.error_code))
        add(nullable_compact_string(result.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AlterUserScramCredentialsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[AlterUserScramCredentialsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
