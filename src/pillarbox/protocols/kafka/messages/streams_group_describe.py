"""StreamsGroupDescribe, key 89, version 0: requests decoded, responses encoded.

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
    skip_tags,
)


class StreamsGroupDescribeRequest(msgspec.Struct, gc=False):
    group_ids: list[str] = []
    include_authorized_operations: bool = False


class KeyValue(msgspec.Struct, gc=False):
    key: str = ""
    value: str = ""


class TopicInfo(msgspec.Struct, gc=False):
    name: str = ""
    partitions: int = 0
    replication_factor: int = 0
    topic_configs: list[KeyValue] = []


class Subtopology(msgspec.Struct, gc=False):
    subtopology_id: str = ""
    source_topics: list[str] = []
    repartition_sink_topics: list[str] = []
    state_changelog_topics: list[TopicInfo] = []
    repartition_source_topics: list[TopicInfo] = []


class Topology(msgspec.Struct, gc=False):
    epoch: int = 0
    subtopologies: list[Subtopology] | None = None


class Endpoint(msgspec.Struct, gc=False):
    host: str = ""
    port: int = 0


class TaskOffset(msgspec.Struct, gc=False):
    subtopology_id: str = ""
    partition: int = 0
    offset: int = 0


class TaskIds(msgspec.Struct, gc=False):
    subtopology_id: str = ""
    partitions: list[int] = []


class Assignment(msgspec.Struct, gc=False):
    active_tasks: list[TaskIds] = []
    standby_tasks: list[TaskIds] = []
    warmup_tasks: list[TaskIds] = []


class Member(msgspec.Struct, gc=False):
    member_id: str = ""
    member_epoch: int = 0
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topology_epoch: int = 0
    process_id: str = ""
    user_endpoint: Endpoint | None = None
    client_tags: list[KeyValue] = []
    task_offsets: list[TaskOffset] = []
    task_end_offsets: list[TaskOffset] = []
    assignment: Assignment = msgspec.field(default_factory=Assignment)
    target_assignment: Assignment = msgspec.field(default_factory=Assignment)
    is_classic: bool = False


class DescribedGroup(msgspec.Struct, gc=False):
    error_code: int = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    group_epoch: int = 0
    assignment_epoch: int = 0
    topology: Topology | None = None
    members: list[Member] = []
    authorized_operations: int = -2147483648


class StreamsGroupDescribeResponse(msgspec.Struct, gc=False):
    throttle_time_ms: int = 0
    groups: list[DescribedGroup] = []


FIXED_1 = Struct(">?")
FIXED_2 = Struct(">i")
FIXED_3 = Struct(">h")
FIXED_4 = Struct(">ii")
FIXED_5 = Struct(">ih")
FIXED_6 = Struct(">Hx")
FIXED_7 = Struct(">iqx")
FIXED_8 = Struct(">?x")
FIXED_9 = Struct(">ix")


def decode_0(data: bytes, at: int) -> tuple[StreamsGroupDescribeRequest, int]:
    count, at = read_compact_count(data, at, 1)
    group_ids, at = read_items(data, at, count, read_compact_string)
    (include_authorized_operations,) = FIXED_1.unpack_from(data, at)
    at += 1
    at = skip_tags(data, at) if data[at] else at + 1
    return StreamsGroupDescribeRequest(
        group_ids=group_ids, include_authorized_operations=include_authorized_operations
    ), at


def encode_0(message: StreamsGroupDescribeResponse, add: Callable[[bytes], None]) -> None:
    add(FIXED_2.pack(message.throttle_time_ms))
    add(compact_count(message.groups))
    for group in message.groups:
        add(FIXED_3.pack(group.error_code))
        add(nullable_compact_string(group.error_message))
        add(compact_string(group.group_id))
        add(compact_string(group.group_state))
        add(FIXED_4.pack(group.group_epoch, group.assignment_epoch))
        topology = group.topology
        add(b"\xff" if topology is None else b"\x01")
        if topology is not None:
            add(FIXED_2.pack(topology.epoch))
            add(nullable_compact_count(topology.subtopologies))
            for subtopology in topology.subtopologies or ():
                add(compact_string(subtopology.subtopology_id))
                add(compact_count(subtopology.source_topics))
                for source_topic in subtopology.source_topics:
                    add(compact_string(source_topic))
                add(compact_count(subtopology.repartition_sink_topics))
                for repartition_sink_topic in subtopology.repartition_sink_topics:
                    add(compact_string(repartition_sink_topic))
                add(compact_count(subtopology.state_changelog_topics))
                for state_changelog_topic in subtopology.state_changelog_topics:
                    add(compact_string(state_changelog_topic.name))
                    add(
                        FIXED_5.pack(
                            state_changelog_topic.partitions, state_changelog_topic.replication_factor
                        )
                    )
                    add(compact_count(state_changelog_topic.topic_configs))
                    for topic_config in state_changelog_topic.topic_configs:
                        add(compact_string(topic_config.key))
                        add(compact_string(topic_config.value))
                        add(NO_TAGS)
                    add(NO_TAGS)
                add(compact_count(subtopology.repartition_source_topics))
                for repartition_source_topic in subtopology.repartition_source_topics:
                    add(compact_string(repartition_source_topic.name))
                    add(
                        FIXED_5.pack(
                            repartition_source_topic.partitions, repartition_source_topic.replication_factor
                        )
                    )
                    add(compact_count(repartition_source_topic.topic_configs))
                    for topic_config_value in repartition_source_topic.topic_configs:
                        add(compact_string(topic_config_value.key))
                        add(compact_string(topic_config_value.value))
                        add(NO_TAGS)
                    add(NO_TAGS)
                add(NO_TAGS)
            add(NO_TAGS)
        add(compact_count(group.members))
        for member in group.members:
            add(compact_string(member.member_id))
            add(FIXED_2.pack(member.member_epoch))
            add(nullable_compact_string(member.instance_id))
            add(nullable_compact_string(member.rack_id))
            add(compact_string(member.client_id))
            add(compact_string(member.client_host))
            add(FIXED_2.pack(member.topology_epoch))
            add(compact_string(member.process_id))
            user_endpoint = member.user_endpoint
            add(b"\xff" if user_endpoint is None else b"\x01")
            if user_endpoint is not None:
                add(compact_string(user_endpoint.host))
                add(FIXED_6.pack(user_endpoint.port))
            add(compact_count(member.client_tags))
            for client_tag in member.client_tags:
                add(compact_string(client_tag.key))
                add(compact_string(client_tag.value))
                add(NO_TAGS)
            add(compact_count(member.task_offsets))
            for task_offset in member.task_offsets:
                add(compact_string(task_offset.subtopology_id))
                add(FIXED_7.pack(task_offset.partition, task_offset.offset))
            add(compact_count(member.task_end_offsets))
            for task_end_offset in member.task_end_offsets:
                add(compact_string(task_end_offset.subtopology_id))
                add(FIXED_7.pack(task_end_offset.partition, task_end_offset.offset))
            assignment = member.assignment
            add(compact_count(assignment.active_tasks))
            for active_task in assignment.active_tasks:
                add(compact_string(active_task.subtopology_id))
                add(compact_count(active_task.partitions))
                add(numbers(active_task.partitions, "i"))
                add(NO_TAGS)
            add(compact_count(assignment.standby_tasks))
            for standby_task in assignment.standby_tasks:
                add(compact_string(standby_task.subtopology_id))
                add(compact_count(standby_task.partitions))
                add(numbers(standby_task.partitions, "i"))
                add(NO_TAGS)
            add(compact_count(assignment.warmup_tasks))
            for warmup_task in assignment.warmup_tasks:
                add(compact_string(warmup_task.subtopology_id))
                add(compact_count(warmup_task.partitions))
                add(numbers(warmup_task.partitions, "i"))
                add(NO_TAGS)
            add(NO_TAGS)
            target_assignment = member.target_assignment
            add(compact_count(target_assignment.active_tasks))
            for active_task_value in target_assignment.active_tasks:
                add(compact_string(active_task_value.subtopology_id))
                add(compact_count(active_task_value.partitions))
                add(numbers(active_task_value.partitions, "i"))
                add(NO_TAGS)
            add(compact_count(target_assignment.standby_tasks))
            for standby_task_value in target_assignment.standby_tasks:
                add(compact_string(standby_task_value.subtopology_id))
                add(compact_count(standby_task_value.partitions))
                add(numbers(standby_task_value.partitions, "i"))
                add(NO_TAGS)
            add(compact_count(target_assignment.warmup_tasks))
            for warmup_task_value in target_assignment.warmup_tasks:
                add(compact_string(warmup_task_value.subtopology_id))
                add(compact_count(warmup_task_value.partitions))
                add(numbers(warmup_task_value.partitions, "i"))
                add(NO_TAGS)
            add(NO_TAGS)
            add(FIXED_8.pack(member.is_classic))
        add(FIXED_9.pack(group.authorized_operations))
    add(NO_TAGS)


DECODERS: Final[dict[int, Callable[[bytes, int], tuple[StreamsGroupDescribeRequest, int]]]] = {
    0: decode_0,
}
ENCODERS: Final[dict[int, Callable[[StreamsGroupDescribeResponse, Callable[[bytes], None]], None]]] = {
    0: encode_0,
}
