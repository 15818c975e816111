"""ShareGroupDescribe (77): state and members of share groups, and what they read.

*Versions* 1. Source: KIP-932; rows K56, K57.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.groups.describing import by_topic, demand_visible
from pillarbox.protocols.kafka.groups.share import ShareGroup, ShareMember
from pillarbox.protocols.kafka.messages.share_group_describe import (
    Assignment,
    DescribedGroup,
    Member,
    ShareGroupDescribeRequest,
    ShareGroupDescribeResponse,
    TopicPartitions,
)
from pillarbox.protocols.kafka.rights import UNASKED, group_operations


def answer(call: Call, request: ShareGroupDescribeRequest) -> ShareGroupDescribeResponse:
    asked = request.include_authorized_operations
    return ShareGroupDescribeResponse(
        groups=[_describe(call, name, asked=asked) for name in request.group_ids]
    )


def _describe(call: Call, name: str, *, asked: bool) -> DescribedGroup:
    try:
        group = demand_visible(call, name, call.head.groups.shares(name), "share", _topics)
    except Refused as refused:
        return DescribedGroup(error_code=refused.code, error_message=refused.text, group_id=name)
    return DescribedGroup(
        group_id=group.name,
        group_state=group.state_name,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.assignor,
        members=[_member(call, member) for member in group.members.values()],
        authorized_operations=group_operations(call, name) if asked else UNASKED,
    )


def _topics(group: ShareGroup) -> Iterator[str]:
    return (topic for member in group.members.values() for topic in member.names)


def _member(call: Call, member: ShareMember) -> Member:
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
                for topic, numbers in by_topic(call, member.assigned)
            ]
        ),
    )
