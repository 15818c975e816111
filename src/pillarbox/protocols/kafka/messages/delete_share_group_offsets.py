"""DeleteShareGroupOffsets, key 92, version 0: requests decoded, responses encoded.

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
    compact_string,
    nullable_compact_string,
    read_compact_count,
    read_compact_string,
    skip_tags,
)


class DeleteShareGroupOffsetsRequestTopic(msgspec.Struct, gc=False):
    topic_name: str = ""


class DeleteShareGroupOffsetsRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    topics: list[DeleteShareGroupOffsetsRequestTopic] = []


class DeleteShareGroupOffsetsResponseTopic(msgspec.Struct, gc=False):
    topic_name: str = ""
    topic_id: bytes = NO_UUID
    error_code: int = 0
    error_message: str | None = None


class DeleteShareGroupOffsetsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    responses: list[DeleteShareGroupOffsetsResponseTopic] = []


FIXED_1 = Struct(">ih")
FIXED_2 = Struct(">16sh")


def decode_0(data: bytes, at: int) -> tuple[DeleteShareGroupOffsetsRequest, int]:
    group_id, at = read_compact_string(data, at)
    count, at = read_compact_count(data, at, 2)
    topics: list[DeleteShareGroupOffsetsRequestTopic] = []
    for _ in range(count):
        topic_name, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        topics.append(DeleteShareGroupOffsetsRequestTopic(topic_name=topic_name))
    at = skip_tags(data, at) if data[at] else at + 1
    return DeleteShareGroupOffsetsRequest(group_id=group_id, topics=topics), at


def encode_0(message: DeleteShareGroupOffsetsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_count(message.responses))
    for response in message.responses:
        add(compact_string(response.topic_name))
        add(FIXED_2.pack(response.topic_id, response.error_code))
        add(nullable_compact_string(response.error_message))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DeleteShareGroupOffsetsRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[DeleteShareGroupOffsetsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
