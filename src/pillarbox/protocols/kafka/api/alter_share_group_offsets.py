"""AlterShareGroupOffsets (91): have a share group in which nobody is begin elsewhere. Answered when that is
durable.

*Versions* 0. *Behaviour*: the group is made if there is none; all that was in flight is forgotten.
Source: KIP-932; rows K56, K57.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.share import ShareGroup
from pillarbox.protocols.kafka.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestTopic,
    AlterShareGroupOffsetsResponse,
    AlterShareGroupOffsetsResponsePartition,
    AlterShareGroupOffsetsResponseTopic,
)
from pillarbox.protocols.kafka.rights import READ_GROUP, READ_TOPIC


def answer(call: Call, request: AlterShareGroupOffsetsRequest) -> AlterShareGroupOffsetsResponse | None:
    name = request.group_id
    if not call.allows(READ_GROUP, name):
        return AlterShareGroupOffsetsResponse(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED)
    if not name:
        return AlterShareGroupOffsetsResponse(error_code=ErrorCode.INVALID_GROUP_ID)
    group = call.head.groups.shares(name, create=True)
    if group is None:
        text = f"Group {name} is not a share group."
        return AlterShareGroupOffsetsResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND, error_message=text)
    if not group.is_empty:
        return AlterShareGroupOffsetsResponse(
            error_code=ErrorCode.NON_EMPTY_GROUP, error_message="The group is not empty."
        )
    response = AlterShareGroupOffsetsResponse(
        responses=[_alter(call, group, each) for each in request.topics]
    )
    call.reply_when_durable(response)
    return None


def _alter(
    call: Call, group: ShareGroup, asked: AlterShareGroupOffsetsRequestTopic
) -> AlterShareGroupOffsetsResponseTopic:
    name = asked.topic_name
    response = AlterShareGroupOffsetsResponseTopic(name, partitions=[])
    topic = call.head.topics.get(name)
    for each in asked.partitions:
        number = each.partition_index
        told = AlterShareGroupOffsetsResponsePartition(number)
        response.partitions.append(told)
        if not call.allows(READ_TOPIC, name):
            told.error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
        elif topic is None or not 0 <= number < len(topic.partitions):
            told.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        elif each.start_offset < 0:
            told.error_code = ErrorCode.INVALID_REQUEST
        else:
            response.topic_id = topic.id
            group.make_part((topic.id, number), name).reset(each.start_offset)
        if told.error_code:
            told.error_message = ErrorCode(told.error_code).name
    return response
