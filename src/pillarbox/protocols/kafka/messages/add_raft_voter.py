"""AddRaftVoter, key 80, versions 0 to 1: requests decoded, responses encoded.

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
    read_compact_count,
    read_compact_string,
    read_nullable_compact_string,
    skip_tags,
)


class Listener(msgspec.Struct, gc=False):
    name: str = ""
    host: str = ""
    port: int = 0


class AddRaftVoterRequest(msgspec.Struct, gc=False):
    cluster_id: str | None = ""
    timeout_ms: int = 0
    voter_id: int = 0
    voter_directory_id: bytes = NO_UUID
    listeners: list[Listener] = []
    ack_when_committed: bool = True  # 1+


class AddRaftVoterResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = ""


FIXED_1 = Struct(">ii16s")
FIXED_2 = Struct(">H")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">?")


def decode_0(data: bytes, at: int) -> tuple[AddRaftVoterRequest, int]:
    cluster_id, at = read_nullable_compact_string(data, at)
    timeout_ms, voter_id, voter_directory_id = FIXED_1.unpack_from(data, at)
    at += 24
    count, at = read_compact_count(data, at, 5)
    listeners: list[Listener] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        host, at = read_compact_string(data, at)
        (port,) = FIXED_2.unpack_from(data, at)
        at += 2
        at = skip_tags(data, at) if data[at] else at + 1
        listeners.append(Listener(name=name, host=host, port=port))
    at = skip_tags(data, at) if data[at] else at + 1
    return AddRaftVoterRequest(
        cluster_id=cluster_id,
        timeout_ms=timeout_ms,
        voter_id=voter_id,
        voter_directory_id=voter_directory_id,
        listeners=listeners,
    ), at


def decode_1(data: bytes, at: int) -> tuple[AddRaftVoterRequest, int]:
    cluster_id, at = read_nullable_compact_string(data, at)
    timeout_ms, voter_id, voter_directory_id = FIXED_1.unpack_from(data, at)
    at += 24
    count, at = read_compact_count(data, at, 5)
    listeners: list[Listener] = []
    for _ in range(count):
        name, at = read_compact_string(data, at)
        host, at = read_compact_string(data, at)
        (port,) = FIXED_2.unpack_from(data, at)
        at += 2
        at = skip_tags(data, at) if data[at] else at + 1
        listeners.append(Listener(name=name, host=host, port=port))
    (ack_when_committed,) = FIXED_4.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return AddRaftVoterRequest(
        cluster_id=cluster_id,
        timeout_ms=timeout_ms,
        voter_id=voter_id,
        voter_directory_id=voter_directory_id,
        listeners=listeners,
        ack_when_committed=ack_when_committed,
    ), at


def encode_0(message: AddRaftVoterResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AddRaftVoterRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[AddRaftVoterResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
}
