"""OffsetDelete (47): forget offsets of topics that the group does not read. Answered when that is durable.

*Versions* 0. Source: KIP-496; row K57.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from pillarbox.protocols.kafka.rights import DELETE_GROUP, READ_TOPIC


def answer(call: Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse | None:
    group = call.head.groups.get(request.group_id)
    if not call.allows(DELETE_GROUP, request.group_id):
        return OffsetDeleteResponse(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED)
    if group is None:
        return OffsetDeleteResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND)
    error = group.check_offset_delete()
    if error:
        return OffsetDeleteResponse(error_code=error)
    response = OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponsePartition(
                        partition_index=one.partition_index,
                        error_code=_delete(call, request.group_id, topic.name, one.partition_index),
                    )
                    for one in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )

    def done(failure: str | None) -> None:
        if failure is not None:
            response.error_code, response.topics = ErrorCode.COORDINATOR_NOT_AVAILABLE, []
        call.reply(response)

    call.head.promises.when_durable(done)
    return None


def _delete(call: Call, group_name: str, name: str, partition: int) -> ErrorCode:
    if not call.allows(READ_TOPIC, name):
        return ErrorCode.TOPIC_AUTHORIZATION_FAILED
    topic = call.head.topics.get(name)
    if topic is None or not 0 <= partition < len(topic.partitions):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    groups = call.head.groups
    group = groups.get(group_name)
    assert group is not None, "it was there"
    if group.is_subscribed(name):
        return ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    groups.offsets(group_name).forget(name, partition)
    return ErrorCode.NONE
