"""AlterReplicaLogDirs, key 34, versions 0 to 2: requests decoded, responses encoded.

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
    read_compact_count,
    read_compact_string,
    read_count,
    read_numbers,
    read_string,
    skip_tags,
    string,
)


class AlterReplicaLogDirTopic(msgspec.Struct, gc=False):
    name: str = ""
    partitions: list[int] = []


class AlterReplicaLogDir(msgspec.Struct, gc=False):
    path: str = ""
    topics: list[AlterReplicaLogDirTopic] = []


class AlterReplicaLogDirsRequest(msgspec.Struct, gc=False):
    dirs: list[AlterReplicaLogDir] = []


class AlterReplicaLogDirPartitionResult(msgspec.Struct, gc=False):
    partition_index: int = 0
    error_code: int = 0


class AlterReplicaLogDirTopicResult(msgspec.Struct, gc=False):
    topic_name: str = ""
    partitions: list[AlterReplicaLogDirPartitionResult] = []


class AlterReplicaLogDirsResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    results: list[AlterReplicaLogDirTopicResult] = []


FIXED_1 = Struct(">i")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">ihx")


def decode_0(data: bytes, at: int) -> tuple[AlterReplicaLogDirsRequest, int]:
    count, at = read_count(data, at, 6)
    dirs: list[AlterReplicaLogDir] = []
    for _ in range(count):
        path, at = read_string(data, at)
        count, at = read_count(data, at, 6)
        topics: list[AlterReplicaLogDirTopic] = []
        for _ in range(count):
            name, at = read_string(data, at)
            count, at = read_count(data, at, 4)
            partitions, at = read_numbers(data, at, count, "i")
            topics.append(AlterReplicaLogDirTopic(name=name, partitions=partitions))
        dirs.append(AlterReplicaLogDir(path=path, topics=topics))
    return AlterReplicaLogDirsRequest(dirs=dirs), at


def decode_2(data: bytes, at: int) -> tuple[AlterReplicaLogDirsRequest, int]:
    count, at = read_compact_count(data, at, 3)
    dirs: list[AlterReplicaLogDir] = []
    for _ in range(count):
        path, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 3)
        topics: list[AlterReplicaLogDirTopic] = []
        for _ in range(count):
            name, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 4)
            partitions, at = read_numbers(data, at, count, "i")
            at = skip_tags(data, at) if data[at] else at + 1
            topics.append(AlterReplicaLogDirTopic(name=name, partitions=partitions))
        at = skip_tags(data, at) if data[at] else at + 1
        dirs.append(AlterReplicaLogDir(path=path, topics=topics))
    at = skip_tags(data, at) if data[at] else at + 1
    return AlterReplicaLogDirsRequest(dirs=dirs), at


def encode_0(message: AlterReplicaLogDirsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(count(message.results))
    for result in message.results:
        add(string(result.topic_name))
        add(count(result.partitions))
        for partition in result.partitions:
            add(FIXED_2.pack(partition.partition_index, partition.error_code))


def encode_2(message: AlterReplicaLogDirsResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_1.pack(message.throttle_time_ms))
    add(compact_count(message.results))
    for result in message.results:
        add(compact_string(result.topic_name))
        add(compact_count(result.partitions))
        for partition in result.partitions:
            add(FIXED_3.pack(partition.partition_index, partition.error_code))
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[AlterReplicaLogDirsRequest, int]]]] = {
    0: decode_0,
    1: decode_0,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[AlterReplicaLogDirsResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_0,
    2: encode_2,
}
