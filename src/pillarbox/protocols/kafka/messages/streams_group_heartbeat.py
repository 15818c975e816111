"""StreamsGroupHeartbeat, key 88, version 0: requests decoded, responses encoded.

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
    nullable_compact_count,
    nullable_compact_string,
    numbers,
    read_compact_count,
    read_compact_string,
    read_items,
    read_nullable_compact_count,
    read_nullable_compact_string,
    read_numbers,
    skip_tags,
)


class KeyValue(msgspec.Struct, gc=False):
    key: str = ""
    value: str = ""


class TopicInfo(msgspec.Struct, gc=False):
    name: str = ""
    partitions: int = 0
    replication_factor: int = 0
    topic_configs: list[KeyValue] = []


class CopartitionGroup(msgspec.Struct, gc=False):
    source_topics: list[int] = []
    source_topic_regex: list[int] = []
    repartition_source_topics: list[int] = []


class Subtopology(msgspec.Struct, gc=False):
    subtopology_id: str = ""
    source_topics: list[str] = []
    source_topic_regex: list[str] = []
    state_changelog_topics: list[TopicInfo] = []
    repartition_sink_topics: list[str] = []
    repartition_source_topics: list[TopicInfo] = []
    copartition_groups: list[CopartitionGroup] = []


class Topology(msgspec.Struct, gc=False):
    epoch: int = 0
    subtopologies: list[Subtopology] = []


class RequestTaskIds(msgspec.Struct, gc=False):
    subtopology_id: str = ""
    partitions: list[int] = []


class RequestEndpoint(msgspec.Struct, gc=False):
    host: str = ""
    port: int = 0


class TaskOffset(msgspec.Struct, gc=False):
    subtopology_id: str = ""
    partition: int = 0
    offset: int = 0


class StreamsGroupHeartbeatRequest(msgspec.Struct, gc=False):
    group_id: str = ""
    member_id: str = ""
    member_epoch: int = 0
    endpoint_information_epoch: int = 0
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    topology: Topology | None = None
    active_tasks: list[RequestTaskIds] | None = None
    standby_tasks: list[RequestTaskIds] | None = None
    warmup_tasks: list[RequestTaskIds] | None = None
    process_id: str | None = None
    user_endpoint: RequestEndpoint | None = None
    client_tags: list[KeyValue] | None = None
    task_offsets: list[TaskOffset] | None = None
    task_end_offsets: list[TaskOffset] | None = None
    shutdown_application: bool = False


class Status(msgspec.Struct, gc=False):
    status_code: int = 0
    status_detail: str = ""


class ResponseTaskIds(msgspec.Struct, gc=False):
    subtopology_id: str = ""
    partitions: list[int] = []


class ResponseEndpoint(msgspec.Struct, gc=False):
    host: str = ""
    port: int = 0


class TopicPartition(msgspec.Struct, gc=False):
    topic: str = ""
    partitions: list[int] = []


class EndpointToPartitions(msgspec.Struct, gc=False):
    user_endpoint: ResponseEndpoint = msgspec.field(default_factory=ResponseEndpoint)
    active_partitions: list[TopicPartition] = []
    standby_partitions: list[TopicPartition] = []


class StreamsGroupHeartbeatResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str = ""
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    acceptable_recovery_lag: int = 0
    task_offset_interval_ms: int = 0
    status: list[Status] | None = []
    active_tasks: list[ResponseTaskIds] | None = None
    standby_tasks: list[ResponseTaskIds] | None = None
    warmup_tasks: list[ResponseTaskIds] | None = None
    endpoint_information_epoch: int = 0
    partitions_by_user_endpoint: list[EndpointToPartitions] | None = None


FIXED_1 = Struct(">ii")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">ih")
FIXED_4 = Struct(">H")
FIXED_5 = Struct(">iq")
FIXED_6 = Struct(">?")
FIXED_7 = Struct(">iiii")
FIXED_8 = Struct(">b")
FIXED_9 = Struct(">Hx")


def decode_0(data: bytes, at: int) -> tuple[StreamsGroupHeartbeatRequest, int]:
    group_id, at = read_compact_string(data, at)
    member_id, at = read_compact_string(data, at)
    member_epoch, endpoint_information_epoch = FIXED_1.unpack_from(data, at)
    at += 8
    instance_id, at = read_nullable_compact_string(data, at)
    rack_id, at = read_nullable_compact_string(data, at)
    (rebalance_timeout_ms,) = FIXED_2.unpack_from(data, at)
    at += 4
    topology: Topology | None = None
    at += 1
    if data[at - 1] < 0x80:
        (epoch,) = FIXED_2.unpack_from(data, at)
        at += 4
        count, at = read_compact_count(data, at, 8)
        subtopologies: list[Subtopology] = []
        for _ in range(count):
            subtopology_id, at = read_compact_string(data, at)
            count, at = read_compact_count(data, at, 1)
            source_topics, at = read_items(data, at, count, read_compact_string)
            count, at = read_compact_count(data, at, 1)
            source_topic_regex, at = read_items(data, at, count, read_compact_string)
            count, at = read_compact_count(data, at, 9)
            state_changelog_topics: list[TopicInfo] = []
            for _ in range(count):
                name, at = read_compact_string(data, at)
                partitions, replication_factor = FIXED_3.unpack_from(data, at)
                at += 6
                count, at = read_compact_count(data, at, 3)
                topic_configs: list[KeyValue] = []
                for _ in range(count):
                    key, at = read_compact_string(data, at)
                    value, at = read_compact_string(data, at)
                    at = skip_tags(data, at) if data[at] else at + 1
                    topic_configs.append(KeyValue(key=key, value=value))
                at = skip_tags(data, at) if data[at] else at + 1
                state_changelog_topics.append(
                    TopicInfo(
                        name=name,
                        partitions=partitions,
                        replication_factor=replication_factor,
                        topic_configs=topic_configs,
                    )
                )
            count, at = read_compact_count(data, at, 1)
            repartition_sink_topics, at = read_items(data, at, count, read_compact_string)
            count, at = read_compact_count(data, at, 9)
            repartition_source_topics: list[TopicInfo] = []
            for _ in range(count):
                repartition_source_topic_name, at = read_compact_string(data, at)
                repartition_source_topic_partitions, repartition_source_topic_replication_factor = (
                    FIXED_3.unpack_from(data, at)
                )
                at += 6
                count, at = read_compact_count(data, at, 3)
                repartition_source_topic_topic_configs: list[KeyValue] = []
                for _ in range(count):
                    topic_config_key, at = read_compact_string(data, at)
                    topic_config_value, at = read_compact_string(data, at)
                    at = skip_tags(data, at) if data[at] else at + 1
                    repartition_source_topic_topic_configs.append(
                        KeyValue(key=topic_config_key, value=topic_config_value)
                    )
                at = skip_tags(data, at) if data[at] else at + 1
                repartition_source_topics.append(
                    TopicInfo(
                        name=repartition_source_topic_name,
                        partitions=repartition_source_topic_partitions,
                        replication_factor=repartition_source_topic_replication_factor,
                        topic_configs=repartition_source_topic_topic_configs,
                    )
                )
            count, at = read_compact_count(data, at, 4)
            copartition_groups: list[CopartitionGroup] = []
            for _ in range(count):
                count, at = read_compact_count(data, at, 2)
                copartition_group_source_topics, at = read_numbers(data, at, count, "h")
                count, at = read_compact_count(data, at, 2)
                copartition_group_source_topic_regex, at = read_numbers(data, at, count, "h")
                count, at = read_compact_count(data, at, 2)
                copartition_group_repartition_source_topics, at = read_numbers(data, at, count, "h")
                at = skip_tags(data, at) if data[at] else at + 1
                copartition_groups.append(
                    CopartitionGroup(
                        source_topics=copartition_group_source_topics,
                        source_topic_regex=copartition_group_source_topic_regex,
                        repartition_source_topics=copartition_group_repartition_source_topics,
                    )
                )
            at = skip_tags(data, at) if data[at] else at + 1
            subtopologies.append(
                Subtopology(
                    subtopology_id=subtopology_id,
                    source_topics=source_topics,
                    source_topic_regex=source_topic_regex,
                    state_changelog_topics=state_changelog_topics,
                    repartition_sink_topics=repartition_sink_topics,
                    repartition_source_topics=repartition_source_topics,
                    copartition_groups=copartition_groups,
                )
            )
        at = skip_tags(data, at) if data[at] else at + 1
        topology = Topology(epoch=epoch, subtopologies=subtopologies)
    active_tasks_count, at = read_nullable_compact_count(data, at, 3)
    active_tasks: list[RequestTaskIds] = []
    for _ in range(active_tasks_count):
        active_task_subtopology_id, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        active_task_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        active_tasks.append(
            RequestTaskIds(subtopology_id=active_task_subtopology_id, partitions=active_task_partitions)
        )
    standby_tasks_count, at = read_nullable_compact_count(data, at, 3)
    standby_tasks: list[RequestTaskIds] = []
    for _ in range(standby_tasks_count):
        standby_task_subtopology_id, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        standby_task_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        standby_tasks.append(
            RequestTaskIds(subtopology_id=standby_task_subtopology_id, partitions=standby_task_partitions)
        )
    warmup_tasks_count, at = read_nullable_compact_count(data, at, 3)
    warmup_tasks: list[RequestTaskIds] = []
    for _ in range(warmup_tasks_count):
        warmup_task_subtopology_id, at = read_compact_string(data, at)
        count, at = read_compact_count(data, at, 4)
        warmup_task_partitions, at = read_numbers(data, at, count, "i")
        at = skip_tags(data, at) if data[at] else at + 1
        warmup_tasks.append(
            RequestTaskIds(subtopology_id=warmup_task_subtopology_id, partitions=warmup_task_partitions)
        )
    process_id, at = read_nullable_compact_string(data, at)
    user_endpoint: RequestEndpoint | None = None
    at += 1
    if data[at - 1] < 0x80:
        host, at = read_compact_string(data, at)
        (port,) = FIXED_4.unpack_from(data, at)
        at += 2
        at = skip_tags(data, at) if data[at] else at + 1
        user_endpoint = RequestEndpoint(host=host, port=port)
    client_tags_count, at = read_nullable_compact_count(data, at, 3)
    client_tags: list[KeyValue] = []
    for _ in range(client_tags_count):
        client_tag_key, at = read_compact_string(data, at)
        client_tag_value, at = read_compact_string(data, at)
        at = skip_tags(data, at) if data[at] else at + 1
        client_tags.append(KeyValue(key=client_tag_key, value=client_tag_value))
    task_offsets_count, at = read_nullable_compact_count(data, at, 14)
    task_offsets: list[TaskOffset] = []
    for _ in range(task_offsets_count):
        task_offset_subtopology_id, at = read_compact_string(data, at)
        partition, offset = FIXED_5.unpack_from(data, at)
        at += 12
        at = skip_tags(data, at) if data[at] else at + 1
        task_offsets.append(
            TaskOffset(subtopology_id=task_offset_subtopology_id, partition=partition, offset=offset)
        )
    task_end_offsets_count, at = read_nullable_compact_count(data, at, 14)
    task_end_offsets: list[TaskOffset] = []
    for _ in range(task_end_offsets_count):
        task_end_offset_subtopology_id, at = read_compact_string(data, at)
        task_end_offset_partition, task_end_offset_offset = FIXED_5.unpack_from(data, at)
        at += 12
        at = skip_tags(data, at) if data[at] else at + 1
        task_end_offsets.append(
            TaskOffset(
                subtopology_id=task_end_offset_subtopology_id,
                partition=task_end_offset_partition,
                offset=task_end_offset_offset,
            )
        )
    (shutdown_application,) = FIXED_6.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return StreamsGroupHeartbeatRequest(
        group_id=group_id,
        member_id=member_id,
        member_epoch=member_epoch,
        endpoint_information_epoch=endpoint_information_epoch,
        instance_id=instance_id,
        rack_id=rack_id,
        rebalance_timeout_ms=rebalance_timeout_ms,
        topology=topology,
        active_tasks=None if active_tasks_count < 0 else active_tasks,
        standby_tasks=None if standby_tasks_count < 0 else standby_tasks,
        warmup_tasks=None if warmup_tasks_count < 0 else warmup_tasks,
        process_id=process_id,
        user_endpoint=user_endpoint,
        client_tags=None if client_tags_count < 0 else client_tags,
        task_offsets=None if task_offsets_count < 0 else task_offsets,
        task_end_offsets=None if task_end_offsets_count < 0 else task_end_offsets,
        shutdown_application=shutdown_application,
    ), at


def encode_0(message: StreamsGroupHeartbeatResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_3.pack(message.throttle_time_ms, message.error_code))
    add(nullable_compact_string(message.error_message))
    add(compact_string(message.member_id))
    add(
        FIXED_7.pack(
            message.member_epoch,
            message.heartbeat_interval_ms,
            message.acceptable_recovery_lag,
            message.task_offset_interval_ms,
        )
    )
    add(nullable_compact_count(message.status))
    for statu in message.status or ():
        add(FIXED_8.pack(statu.status_code))
        add(compact_string(statu.status_detail))
        add(NO_TAGS)
    add(nullable_compact_count(message.active_tasks))
    for active_task in message.active_tasks or ():
        add(compact_string(active_task.subtopology_id))
        add(compact_count(active_task.partitions))
        add(numbers(active_task.partitions, "i"))
        add(NO_TAGS)
    add(nullable_compact_count(message.standby_tasks))
    for standby_task in message.standby_tasks or ():
        add(compact_string(standby_task.subtopology_id))
        add(compact_count(standby_task.partitions))
        add(numbers(standby_task.partitions, "i"))
        add(NO_TAGS)
    add(nullable_compact_count(message.warmup_tasks))
    for warmup_task in message.warmup_tasks or ():
        add(compact_string(warmup_task.subtopology_id))
        add(compact_count(warmup_task.partitions))
        add(numbers(warmup_task.partitions, "i"))
        add(NO_TAGS)
    add(FIXED_2.pack(message.endpoint_information_epoch))
    add(nullable_compact_count(message.partitions_by_user_endpoint))
    for partitions_by_user_endpoint_item in message.partitions_by_user_endpoint or ():
        user_endpoint = partitions_by_user_endpoint_item.user_endpoint
        add(compact_string(user_endpoint.host))
        add(FIXED_9.pack(user_endpoint.port))
        add(compact_count(partitions_by_user_endpoint_item.active_partitions))
        for active_partition in partitions_by_user_endpoint_item.active_partitions:
            add(compact_string(active_partition.topic))
            add(compact_count(active_partition.partitions))
            add(numbers(active_partition.partitions, "i"))
            add(NO_TAGS)
        add(compact_count(partitions_by_user_endpoint_item.standby_partitions))
        for standby_partition in partitions_by_user_endpoint_item.standby_partitions:
            add(compact_string(standby_partition.topic))
            add(compact_count(standby_partition.partitions))
            add(numbers(standby_partition.partitions, "i"))
            add(NO_TAGS)
        add(NO_TAGS)
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[StreamsGroupHeartbeatRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[StreamsGroupHeartbeatResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
