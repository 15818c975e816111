"""DescribeCluster, key 60, versions 0 to 2: requests decoded, responses encoded.

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
    skip_tags,
)


class DescribeClusterRequest(msgspec.Struct, gc=False):
    include_cluster_authorized_operations: bool = False
    endpoint_type: int = 1  # 1+
    include_fenced_brokers: bool = False  # 2+


class DescribeClusterBroker(msgspec.Struct, gc=False):
    broker_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None
    is_fenced: bool = False  # 2+


class DescribeClusterResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    endpoint_type: int = 1  # 1+
    cluster_id: str = ""
    controller_id: int = -1
    brokers: list[DescribeClusterBroker] = []
    cluster_authorized_operations: int = -2147483648


FIXED_1 = Struct(">?")
FIXED_2 = Struct(">ih")
FIXED_3 = Struct(">i")
FIXED_4 = Struct(">ix")
FIXED_5 = Struct(">?b")
FIXED_6 = Struct(">b")
FIXED_7 = Struct(">?b?")
FIXED_8 = Struct(">?x")


def decode_0(data: bytes, at: int) -> tuple[DescribeClusterRequest, int]:
    (include_cluster_authorized_operations,) = FIXED_1.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeClusterRequest(
        include_cluster_authorized_operations=include_cluster_authorized_operations
    ), at


def decode_1(data: bytes, at: int) -> tuple[DescribeClusterRequest, int]:
    include_cluster_authorized_operations, endpoint_type = FIXED_5.unpack_from(data, at)
    at += 2
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeClusterRequest(
        include_cluster_authorized_operations=include_cluster_authorized_operations,
        endpoint_type=endpoint_type,
    ), at


def decode_2(data: bytes, at: int) -> tuple[DescribeClusterRequest, int]:
    include_cluster_authorized_operations, endpoint_type, include_fenced_brokers = FIXED_7.unpack_from(
        data, at
    )
    at += 3
    at = skip_tags(data, at) if data[at] else at + 1
    return DescribeClusterRequest(
        include_cluster_authorized_operations=include_cluster_authorized_operations,
        endpoint_type=endpoint_type,
        include_fenced_brokers=include_fenced_brokers,
    ), at


def encode_0(message: DescribeClusterResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_string(message.cluster_id))
    add(FIXED_3.pack(message.controller_id))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_3.pack(broker.broker_id))
        add(compact_string(broker.host))
        add(FIXED_3.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(NO_TAGS)
    add(FIXED_4.pack(message.cluster_authorized_operations))


def encode_1(message: DescribeClusterResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(FIXED_6.pack(message.endpoint_type))
    add(compact_string(message.cluster_id))
    add(FIXED_3.pack(message.controller_id))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_3.pack(broker.broker_id))
        add(compact_string(broker.host))
        add(FIXED_3.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(NO_TAGS)
    add(FIXED_4.pack(message.cluster_authorized_operations))


def encode_2(message: DescribeClusterResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(FIXED_6.pack(message.endpoint_type))
    add(compact_string(message.cluster_id))
    add(FIXED_3.pack(message.controller_id))
    add(compact_count(message.brokers))
    for broker in message.brokers:
        add(FIXED_3.pack(broker.broker_id))
        add(compact_string(broker.host))
        add(FIXED_3.pack(broker.port))
        add(nullable_compact_string(broker.rack))
        add(FIXED_8.pack(broker.is_fenced))
    add(FIXED_4.pack(message.cluster_authorized_operations))


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[DescribeClusterRequest, int]]]] = {
    0: decode_0,
    1: decode_1,
    2: decode_2,
}
ENCODERS: Final[dict[int, Callable[[DescribeClusterResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
    1: encode_1,
    2: encode_2,
}
