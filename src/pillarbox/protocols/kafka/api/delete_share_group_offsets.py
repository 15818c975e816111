"""DeleteShareGroupOffsets (92): have a share group in which nobody is forget topics. Answered when that is
durable.

*Versions* 0. Source: KIP-932; rows K56, K57.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.share import ShareGroup
from pillarbox.protocols.kafka.messages.delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse,
    DeleteShareGroupOffsetsResponseTopic,
)
from pillarbox.protocols.kafka.rights import DELETE_GROUP, READ_TOPIC

NOTHING = "There is no offset information to delete."


def answer(call: Call, request: DeleteShareGroupOffsetsRequest) -> DeleteShareGroupOffsetsResponse | None:
    name, groups = request.group_id, call.head.groups
    if not call.allows(DELETE_GROUP, name):
        return DeleteShareGroupOffsetsResponse(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED)
    group = groups.shares(name)
    if group is None:
        other = groups.get(name) is not None
        text = f"Group {name} is not a share group." if other else f"Group {name} not found."
        return DeleteShareGroupOffsetsResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND, error_message=text)
    if not group.is_empty:
        return DeleteShareGroupOffsetsResponse(
            error_code=ErrorCode.NON_EMPTY_GROUP, error_message="The group is not empty."
        )
    response = DeleteShareGroupOffsetsResponse(
        responses=[_delete(call, group, each.topic_name) for each in request.topics]
    )
    call.reply_when_durable(response)
    return None


def _delete(call: Call, group: ShareGroup, name: str) -> DeleteShareGroupOffsetsResponseTopic:
    response = DeleteShareGroupOffsetsResponseTopic(name)
    topic = call.head.topics.get(name)
    if not call.allows(READ_TOPIC, name):
        response.error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
        response.error_message = response.error_code.name
        return response
    if topic is not None:
        response.topic_id = topic.id
    if not group.of_topic(name):
        response.error_code, response.error_message = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, NOTHING
    group.forget_topic(name)
    return response
