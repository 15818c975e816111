"""OffsetFetch (9): how far groups have read.

*Versions* 0-10: 0 means offsets in ZooKeeper, and is refused; from 2 on all topics can be asked for; 5 has
leader epochs; 7 asks for stable offsets (KIP-447); 8 several groups (KIP-709); 9 says who asks (KIP-848); 10
has topic ids instead of names.
*Behaviour*: where nothing was committed, or there is no such group, the offset is -1, without an error.
Source: rows K12, K54, K60.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.offsets import Offsets
from pillarbox.protocols.kafka.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from pillarbox.protocols.kafka.rights import SEE_GROUP, SEE_TOPIC
from pillarbox.protocols.kafka.wire import NO_UUID

IN_ZOOKEEPER: Final = 0
"""The version whose offsets were kept elsewhere."""
GROUP_ERROR_FROM: Final = 2
SEVERAL_FROM: Final = 8
IDS_FROM: Final = 10
NOTHING: Final = -1


class Wanted(NamedTuple):
    """One topic of a question; `error`: why it gets no answer."""

    name: str
    id: bytes
    partitions: Iterable[int]
    error: ErrorCode = ErrorCode.NONE


def answer(call: Call, request: OffsetFetchRequest) -> OffsetFetchResponse:
    if call.version >= SEVERAL_FROM:
        return OffsetFetchResponse(
            groups=[_fetch(call, one, request.require_stable) for one in request.groups]
        )
    topics = None
    if request.topics is not None:
        topics = [
            OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
            for topic in request.topics
        ]
    group = OffsetFetchRequestGroup(group_id=request.group_id, topics=topics)
    if call.version == IN_ZOOKEEPER:
        refused = OffsetFetchResponseGroup(error_code=ErrorCode.UNSUPPORTED_VERSION)
        return _in_old_form(call.version, group, refused)
    return _in_old_form(call.version, group, _fetch(call, group, request.require_stable))


def _fetch(call: Call, asked: OffsetFetchRequestGroup, stable: bool) -> OffsetFetchResponseGroup:
    groups = call.head.groups
    response = OffsetFetchResponseGroup(group_id=asked.group_id, topics=[])
    group = groups.get(asked.group_id)
    if not call.allows(SEE_GROUP, asked.group_id):
        response.error_code = ErrorCode.GROUP_AUTHORIZATION_FAILED
    elif group is not None:
        response.error_code = group.check_fetch(asked.member_id, asked.member_epoch)
    if response.error_code == ErrorCode.NONE:
        offsets = groups.offsets(asked.group_id)
        wanted = _everything(call, offsets) if asked.topics is None else _wanted(call, asked.topics)
        response.topics = [
            OffsetFetchResponseTopics(
                name=topic.name,
                topic_id=topic.id,
                partitions=[_partition(offsets, topic, index, stable) for index in topic.partitions],
            )
            for topic in wanted
        ]
    return response


def _everything(call: Call, offsets: Offsets) -> list[Wanted]:
    """All topics of which the group has offsets, and the client may know."""
    found = (call.head.topics.get(name) for name in offsets.topics() if call.allows(SEE_TOPIC, name))
    return [
        Wanted(
            topic.name,
            topic.id,
            [
                index
                for index in offsets.partitions(topic.name)
                if _is_of(offsets, topic.name, index, topic.id)
            ],
        )
        for topic in found
        if topic is not None
    ]


def _wanted(call: Call, asked: list[OffsetFetchRequestTopics]) -> list[Wanted]:
    return [
        _wanted_by_id(call, one) if call.version >= IDS_FROM else _wanted_by_name(call, one) for one in asked
    ]


def _wanted_by_name(call: Call, asked: OffsetFetchRequestTopics) -> Wanted:
    if not call.allows(SEE_TOPIC, asked.name):
        return Wanted(asked.name, NO_UUID, asked.partition_indexes, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    topic = call.head.topics.get(asked.name)
    return Wanted(asked.name, NO_UUID if topic is None else topic.id, asked.partition_indexes)


def _wanted_by_id(call: Call, asked: OffsetFetchRequestTopics) -> Wanted:
    topic = call.head.topics.by_id(asked.topic_id)
    if topic is None:
        return Wanted("", asked.topic_id, asked.partition_indexes, ErrorCode.UNKNOWN_TOPIC_ID)
    allowed = call.allows(SEE_TOPIC, topic.name)
    error = ErrorCode.NONE if allowed else ErrorCode.TOPIC_AUTHORIZATION_FAILED
    return Wanted(topic.name, topic.id, asked.partition_indexes, error)


def _is_of(offsets: Offsets, name: str, index: int, topic_id: bytes) -> bool:
    """Is there an offset, and is it of this topic, not of one before it that had the same name?"""
    committed = offsets.get(name, index)
    return committed is not None and committed.topic_id == topic_id


def _partition(offsets: Offsets, topic: Wanted, index: int, stable: bool) -> OffsetFetchResponsePartitions:
    error = topic.error
    if not error and stable and offsets.is_pending(topic.name, index):
        error = ErrorCode.UNSTABLE_OFFSET_COMMIT
    committed = offsets.get(topic.name, index)
    if error or committed is None or committed.topic_id != topic.id:
        return OffsetFetchResponsePartitions(
            partition_index=index, committed_offset=NOTHING, committed_leader_epoch=NOTHING, error_code=error
        )
    return OffsetFetchResponsePartitions(
        partition_index=index,
        committed_offset=committed.offset,
        committed_leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
    )


def _in_old_form(
    version: int, asked: OffsetFetchRequestGroup, found: OffsetFetchResponseGroup
) -> OffsetFetchResponse:
    """The answer for one group; the oldest version has errors of partitions only."""
    topics = found.topics
    if found.error_code and version < GROUP_ERROR_FROM:
        topics = [
            OffsetFetchResponseTopics(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartitions(
                        partition_index=index, committed_offset=NOTHING, error_code=found.error_code
                    )
                    for index in topic.partition_indexes
                ],
            )
            for topic in asked.topics or []
        ]
    return OffsetFetchResponse(
        error_code=found.error_code,
        topics=[
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartition(
                        partition_index=one.partition_index,
                        committed_offset=one.committed_offset,
                        committed_leader_epoch=one.committed_leader_epoch,
                        metadata=one.metadata,
                        error_code=one.error_code,
                    )
                    for one in topic.partitions
                ],
            )
            for topic in topics
        ],
    )
