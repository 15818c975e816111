"""OffsetCommit (8): how far a group has read. Answered when that is durable.

*Versions* 0-10: 0 means offsets in ZooKeeper, and is refused; up to 4 a client may say how long an offset is
good; 6 has leader epochs, 7 instances, 9 member epochs (KIP-848), 10 topic ids instead of names.
*Behaviour*: a commit of nobody, with generation -1, makes the group if there is none, and is refused while it
has members. The empty name is a group too, as it was for the oldest clients.
*Version notes*: a group that is not there is an illegal generation up to 8. Source: rows K12, K54, K57.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.records import Committed
from pillarbox.protocols.kafka.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from pillarbox.protocols.kafka.rights import READ_GROUP, READ_TOPIC

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic

METADATA_CHARS_MAX: Final = 4096
"""Kafka's `offset.metadata.max.bytes`: a client's own text for each partition stays in memory."""
IN_ZOOKEEPER: Final = 0
"""The version whose offsets were kept elsewhere."""
MEMBER_EPOCH_FROM: Final = 9
IDS_FROM: Final = 10


def answer(call: Call, request: OffsetCommitRequest) -> OffsetCommitResponse | None:
    response = OffsetCommitResponse(topics=[])
    accepted: list[tuple[Topic, OffsetCommitRequestPartition, OffsetCommitResponsePartition]] = []
    in_zookeeper = call.version == IN_ZOOKEEPER
    may_read = call.allows(READ_GROUP, request.group_id)
    for asked in request.topics:
        topic, error = _topic(call, asked) if may_read else (None, ErrorCode.GROUP_AUTHORIZATION_FAILED)
        if in_zookeeper and not error:
            error = ErrorCode.UNSUPPORTED_VERSION
        answered = OffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id, partitions=[])
        response.topics.append(answered)
        for one in asked.partitions:
            told = OffsetCommitResponsePartition(
                partition_index=one.partition_index, error_code=error or _partition_refused(topic, one)
            )
            answered.partitions.append(told)
            if topic is not None and told.error_code == ErrorCode.NONE:
                accepted.append((topic, one, told))
    if not accepted:
        return response
    error = _group_refused(call, request)
    if error:
        for _, _, told in accepted:
            told.error_code = error
        return response
    _commit(call, request, [(topic, one) for topic, one, _ in accepted])

    def done(failure: str | None) -> None:
        for _, _, told in accepted if failure is not None else ():
            told.error_code = ErrorCode.COORDINATOR_NOT_AVAILABLE
        call.reply(response)

    call.head.promises.when_durable(done)
    return None


def _topic(call: Call, asked: OffsetCommitRequestTopic) -> tuple[Topic | None, ErrorCode]:
    """The topic that is meant, or why nothing can be committed for it."""
    topics = call.head.topics
    if call.version >= IDS_FROM:
        topic, missing = topics.by_id(asked.topic_id), ErrorCode.UNKNOWN_TOPIC_ID
    else:
        topic, missing = topics.get(asked.name), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    name = asked.name if topic is None else topic.name
    if name and not call.allows(READ_TOPIC, name):
        return None, ErrorCode.TOPIC_AUTHORIZATION_FAILED
    return topic, missing if topic is None else ErrorCode.NONE


def _partition_refused(topic: Topic | None, one: OffsetCommitRequestPartition) -> ErrorCode:
    if topic is None or not 0 <= one.partition_index < len(topic.partitions):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if len(one.committed_metadata or "") > METADATA_CHARS_MAX:
        return ErrorCode.OFFSET_METADATA_TOO_LARGE
    return ErrorCode.NONE


def _group_refused(call: Call, request: OffsetCommitRequest) -> ErrorCode:
    groups = call.head.groups
    generation = request.generation_id_or_member_epoch
    group = groups.get(request.group_id)
    knows_epochs = call.version >= MEMBER_EPOCH_FROM
    if group is None:
        if generation >= 0:
            return ErrorCode.GROUP_ID_NOT_FOUND if knows_epochs else ErrorCode.ILLEGAL_GENERATION
        group = groups.classic(request.group_id, create=True)
        assert group is not None, "there was no group of this name"
    error = group.check_commit(request.member_id, request.group_instance_id, generation)
    if error is ErrorCode.STALE_MEMBER_EPOCH and not knows_epochs:
        return ErrorCode.UNSUPPORTED_VERSION
    return error


def _commit(
    call: Call, request: OffsetCommitRequest, accepted: list[tuple[Topic, OffsetCommitRequestPartition]]
) -> None:
    offsets = call.head.groups.offsets(request.group_id)
    now_ms, retention_ms = call.now_ms, request.retention_time_ms
    expires_ms = now_ms + retention_ms if retention_ms >= 0 else None
    for topic, one in accepted:
        committed = Committed(
            one.committed_offset,
            one.committed_leader_epoch,
            one.committed_metadata or "",
            now_ms,
            expires_ms,
            topic.id,
        )
        offsets.commit(topic.name, one.partition_index, committed)
