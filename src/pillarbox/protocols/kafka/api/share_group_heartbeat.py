"""ShareGroupHeartbeat (76): all that a member of a share group says and hears about its partitions.

*Versions* 1. *Behaviour*: the member makes its id; the group is made with its first member. Source: KIP-932;
row K56.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.consumer import JOINS, LEAVES, Refused, Told, topics_by_id
from pillarbox.protocols.kafka.groups.share import ShareBeat
from pillarbox.protocols.kafka.messages.share_group_heartbeat import (
    Assignment,
    ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse,
    TopicPartitions,
)
from pillarbox.protocols.kafka.rights import READ_GROUP, SEE_TOPIC


def answer(call: Call, request: ShareGroupHeartbeatRequest) -> ShareGroupHeartbeatResponse:
    groups = call.head.groups
    try:
        _check(call, request)
        group = groups.shares(request.group_id, create=request.member_epoch == JOINS)
        if group is None:
            known = groups.get(request.group_id) is not None
            what = f"Group {request.group_id} is not a share group."
            text = what if known else f"Share group {request.group_id} not found."
            raise Refused(ErrorCode.GROUP_ID_NOT_FOUND, text)
        told = group.heartbeat(_beat(call, request))
    except Refused as refused:
        told = Told(refused.error, str(refused), request.member_id)
    response = ShareGroupHeartbeatResponse(
        error_code=told.error,
        error_message=told.message,
        member_id=told.member_id or None,
        member_epoch=told.epoch,
        heartbeat_interval_ms=0 if told.error else groups.share_settings(request.group_id).heartbeat_ms,
    )
    if told.assignment is not None:
        response.assignment = Assignment(
            topic_partitions=[
                TopicPartitions(topic_id=topic_id, partitions=partitions)
                for topic_id, partitions in topics_by_id(told.assignment).items()
            ]
        )
    return response


def _check(call: Call, request: ShareGroupHeartbeatRequest) -> None:
    """Raise Refused for what no member may say."""
    if not call.allows(READ_GROUP, request.group_id):
        raise Refused(ErrorCode.GROUP_AUTHORIZATION_FAILED, "Group authorization failed.")
    joins = request.member_epoch == JOINS
    wrong = {
        "MemberId can't be empty.": not request.member_id,
        "GroupId can't be empty.": not request.group_id,
        "RackId can't be empty.": request.rack_id == "",
        "SubscribedTopicNames must be set in first request.": joins and not request.subscribed_topic_names,
        "MemberEpoch is invalid.": request.member_epoch < LEAVES,
    }
    for text, is_so in wrong.items():
        if is_so:
            raise Refused(ErrorCode.INVALID_REQUEST, text)
    if not all(call.allows(SEE_TOPIC, name) for name in request.subscribed_topic_names or ()):
        raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed.")


def _beat(call: Call, request: ShareGroupHeartbeatRequest) -> ShareBeat:
    names = request.subscribed_topic_names
    return ShareBeat(
        request.member_id,
        request.member_epoch,
        request.rack_id,
        None if names is None else tuple(sorted(set(names))),
        call.client_id or "",
        call.client_host,
    )
