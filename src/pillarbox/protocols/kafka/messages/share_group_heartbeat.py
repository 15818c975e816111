"""ShareGroupHeartbeat, key 76, version 1: requests decoded, responses encoded.

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
    compact_count,
    nullable_compact_string,
    numbers,
    read_compact_string,
    read_items,
    read_nullable_compact_count,
    read_nullable_compact_string,
    skip_tags,
)


class ShareGroupHeartbeatRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    member_id: str = ""
    member_epoch: int = 0
    rack_id: str | None = None
    subscribed_topic_names: list[str] | None = None


class TopicPartitions(msgspec.Struct, gc=False):
    topic_id: bytes = NO_UUID
    partitions: list[int] = []


class Assignment(msgspec.Struct, gc=False):
    topic_partitions: list[TopicPartitions] = []


class ShareGroupHeartbeatResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: Assignment | None = None


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">ii")
FIXED_4 = Struct(">16s")


def decode_1(data: bytes, at: int) -> tuple[ShareGroupHeartbeatRequest, int]:
    group_id, at = read_compact_string(data, at)
    member_id, at = read_compact_string(data, at)
    (member_epoch,) = FIXED_1.unpack_from(data, at)
    at += 4
    rack_id, at = read_nullable_compact_string(data, at)
    subscribed_topic_names_count, at = read_nullable_compact_count(data, at, 1)
    subscribed_topic_names, at = read_items(data, at, subscribed_topic_names_count, read_compact_string)
    at = skip_tags(data, at) if data[at] else at + 1
    return ShareGroupHeartbeatRequest(
        group_id=group_id,
        member_id=member_id,
        member_epoch=member_epoch,
        rack_id=rack_id,
        subscribed_topic_names=None if subscribed_topic_names_count < 0 else subscribed_topic_names,
    ), at


def encode_1(message: ShareGroupHeartbeatResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(nullable_compact_string(message.member_id))
    add(FIXED_3.pack(message.member_epoch, message.heartbeat_interval_ms))
    assignment = message.assignment
    add(b"\xff" if assignment is None else b"\x01")
    if assignment is not None:
        add(compact_count(assignment.topic_partitions))
        for topic_partition in assignment.topic_partitions:
            add(FIXED_4.pack(topic_partition.topic_id))
            add(compact_count(topic_partition.partitions))
            add(numbers(topic_partition.partitions, "i"))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[ShareGroupHeartbeatRequest, int]]]] = {
    1: decode_1,
}
ENCODERS: Final[dict[int, Callable[[ShareGroupHeartbeatResponse, Callable[[bytes], None]], None]]] = {
    1: encode_1,
}
