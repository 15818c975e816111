"""Metadata (3): which topics and partitions there are, and where: always on this one node.

Topics are made here that are asked for and missing, as far as settings and client allow it (K30), and are in
the answer at once. Source: KIP-4, KIP-516 (ids), KIP-700; rows K12, K30, K37, T16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.creation import create_topic, demand_name
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.internal_topics import INTERNAL
from pillarbox.protocols.kafka.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from pillarbox.protocols.kafka.rights import (
    SEE_TOPIC,
    UNASKED,
    cluster_operations,
    may_create,
    topic_operations,
)
from pillarbox.protocols.kafka.topic_names import is_valid_name
from pillarbox.protocols.kafka.wire import NO_UUID

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic

NONE_ASKED_FROM = 1
"""The first version in which no topics asked for are none; before, they were all."""


def answer(call: Call, request: MetadataRequest) -> MetadataResponse:
    head = call.head
    wanted = request.topics
    head.show_internal([each.name or "" for each in wanted] if wanted else None)
    if wanted is None or (not wanted and call.version < NONE_ASKED_FROM):
        topics = [
            _described(call, topic) for topic in head.topics.all() if call.allows(SEE_TOPIC, topic.name)
        ]
    else:
        creates = request.allow_auto_topic_creation and head.settings.auto_create_topics
        topics = [_answered(call, each, creates=creates) for each in wanted]
    if request.include_topic_authorized_operations:
        for topic in topics:
            if not topic.error_code:
                topic.topic_authorized_operations = topic_operations(call, topic.name or "")
    host, port = head.address_for(call.connection)
    return MetadataResponse(
        brokers=[MetadataResponseBroker(node_id=head.settings.node_id, host=host, port=port)],
        cluster_id=head.cluster_id,
        controller_id=head.settings.node_id,
        topics=topics,
        cluster_authorized_operations=(
            cluster_operations(call) if request.include_cluster_authorized_operations else UNASKED
        ),
    )


def _answered(call: Call, wanted: MetadataRequestTopic, *, creates: bool) -> MetadataResponseTopic:
    """One topic that was asked for, by name or by id; made if it may be."""
    topics, name = call.head.topics, wanted.name
    if wanted.topic_id != NO_UUID:
        topic = topics.by_id(wanted.topic_id)
        if topic is None or not call.allows(SEE_TOPIC, topic.name):
            return MetadataResponseTopic(ErrorCode.UNKNOWN_TOPIC_ID, None, wanted.topic_id)
        return _described(call, topic)
    name = name or ""
    if not call.allows(SEE_TOPIC, name):
        return MetadataResponseTopic(ErrorCode.TOPIC_AUTHORIZATION_FAILED, name)
    topic = topics.get(name)
    if topic is None:
        if not is_valid_name(name):
            return MetadataResponseTopic(ErrorCode.INVALID_TOPIC_EXCEPTION, name)
        if topics.is_hidden(name):
            # It is being made, or removed: the client asks again.
            return MetadataResponseTopic(ErrorCode.LEADER_NOT_AVAILABLE, name)
        if not creates:
            return MetadataResponseTopic(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name)
        if not may_create(call, name):
            return MetadataResponseTopic(ErrorCode.TOPIC_AUTHORIZATION_FAILED, name)
        try:
            demand_name(call.head, name)
            topic = create_topic(call.head, name, call.head.settings.partitions_default, {})
        except Refused as refused:
            return MetadataResponseTopic(refused.code, name)
    return _described(call, topic)


def _described(call: Call, topic: Topic) -> MetadataResponseTopic:
    node = call.head.settings.node_id
    nodes = [node]
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.name in INTERNAL,
        partitions=[
            MetadataResponsePartition(
                partition_index=index,
                leader_id=node,
                leader_epoch=stream.log.leader_epoch,
                replica_nodes=nodes,
                isr_nodes=nodes,
            )
            for index, stream in enumerate(topic.partitions)
        ],
    )
