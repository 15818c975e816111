"""RemoveRaftVoter, key 81, version 0: requests decoded, responses encoded.

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
    NO_UUID,
    nullable_compact_string,
    read_nullable_compact_string,
    skip_tags,
)


class RemoveRaftVoterRequest(msgspec.Struct, gc=False):
    cluster_id: str | None = ""
    voter_id: int = 0
    voter_directory_id: bytes = NO_UUID


class RemoveRaftVoterResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""


FIXED_1 = Struct(">i16s")
FIXED_2 = Struct(">ih")


def decode_0(data: bytes, at: int) -> tuple[RemoveRaftVoterRequest, int]:
    cluster_id, at = read_nullable_compact_string(data, at)
    voter_id, voter_directory_id = FIXED_1.unpack_from(data, at)
    at += 20
    at = skip_tags(data, at) if data[at] else at + 1
    return RemoveRaftVoterRequest(
        cluster_id=cluster_id, voter_id=voter_id, voter_directory_id=voter_directory_id
    ), at


def encode_0(message: RemoveRaftVoterResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[RemoveRaftVoterRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[RemoveRaftVoterResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
