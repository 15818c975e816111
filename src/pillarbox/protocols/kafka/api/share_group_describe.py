"""ShareGroupDescribe (77): state and members of share groups, and what they read.

*Versions* 1. Source: KIP-932; rows K56, K57.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.consumer import topics_by_id
from pillarbox.protocols.kafka.groups.share import ShareMember
from pillarbox.protocols.kafka.messages.share_group_describe import (
    Assignment,
    DescribedGroup,
    Member,
    ShareGroupDescribeRequest,
    ShareGroupDescribeResponse,
    TopicPartitions,
)
from pillarbox.protocols.kafka.rights import SEE_GROUP, SEE_TOPIC, UNASKED, group_operations


def answer(call: Call, request: ShareGroupDescribeRequest) -> ShareGroupDescribeResponse:
    asked = request.include_authorized_operations
    return ShareGroupDescribeResponse(
        groups=[_describe(call, name, asked=asked) for name in request.group_ids]
    )


def _describe(call: Call, name: str, *, asked: bool) -> DescribedGroup:
    groups = call.head.groups
    if not call.allows(SEE_GROUP, name):
        return DescribedGroup(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED, group_id=name)
    if not name:
        return DescribedGroup(error_code=ErrorCode.INVALID_GROUP_ID, group_id=name)
    group = groups.shares(name)
    if group is None:
        other = groups.get(name) is not None
        text = f"Group {name} is not a share group." if other else f"Group {name} not found."
        return DescribedGroup(error_code=ErrorCode.GROUP_ID_NOT_FOUND, error_message=text, group_id=name)
    if not all(call.allows(SEE_TOPIC, topic) for one in group.members.values() for topic in one.names):
        text = "The group has described topic(s) that the client is not authorized to describe."
        return DescribedGroup(
            error_code=ErrorCode.TOPIC_AUTHORIZATION_FAILED, error_message=text, group_id=name
        )
    return DescribedGroup(
        group_id=group.name,
        group_state=group.state_name,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.assignor,
        members=[_member(call, member) for member in group.members.values()],
        authorized_operations=group_operations(call, name) if asked else UNASKED,
    )


def _member(call: Call, member: ShareMember) -> Member:
    parts = topics_by_id(member.assigned).items()
    found = ((call.head.topics.by_id(topic_id), numbers) for topic_id, numbers in parts)
    return Member(
        member_id=member.id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=list(member.names),
        assignment=Assignment(
            topic_partitions=[
                TopicPartitions(topic_id=topic.id, topic_name=topic.name, partitions=numbers)
                for topic, numbers in found
                if topic is not None
            ]
        ),
    )
