"""ConsumerGroupDescribe (69): state and members of consumer groups, what they have and what they are to have.

*Versions* 0-1: 1 says which protocol a member speaks. Source: KIP-848; rows K55, K57.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.groups.assignors import Parts
from pillarbox.protocols.kafka.groups.consumer import ConsumerGroup, ConsumerMember
from pillarbox.protocols.kafka.groups.describing import by_topic, demand_visible
from pillarbox.protocols.kafka.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    Member,
    TopicPartitions,
)
from pillarbox.protocols.kafka.rights import UNASKED, group_operations

SPEAKS_CLASSIC, SPEAKS_CONSUMER = 0, 1


def answer(call: Call, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse:
    asked = request.include_authorized_operations
    return ConsumerGroupDescribeResponse(
        groups=[_describe(call, name, asked=asked) for name in request.group_ids]
    )


def _describe(call: Call, name: str, *, asked: bool) -> DescribedGroup:
    if not call.head.release.consumer_groups:
        return DescribedGroup(error_code=ErrorCode.UNSUPPORTED_VERSION, group_id=name)
    try:
        group = demand_visible(call, name, call.head.groups.consumers(name), "consumer", _topics)
    except Refused as refused:
        return DescribedGroup(error_code=refused.code, error_message=refused.text, group_id=name)
    return _described(call, group, group_operations(call, name) if asked else UNASKED)


def _described(call: Call, group: ConsumerGroup, operations: int) -> DescribedGroup:
    return DescribedGroup(
        group_id=group.name,
        group_state=group.state_name,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.assignor,
        members=[_member(call, member) for member in group.members.values()],
        authorized_operations=operations,
    )


def _topics(group: ConsumerGroup) -> Iterator[str]:
    return (topic for member in group.members.values() for topic in member.topics)


def _member(call: Call, member: ConsumerMember) -> Member:
    return Member(
        member_id=member.id,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=list(member.names),
        subscribed_topic_regex=None if member.pattern is None else member.pattern.pattern,
        assignment=_assignment(call, member.assigned),
        target_assignment=_assignment(call, member.target),
        member_type=SPEAKS_CONSUMER if member.classic is None else SPEAKS_CLASSIC,
    )


def _assignment(call: Call, parts: Parts) -> Assignment:
    return Assignment(
        topic_partitions=[
            TopicPartitions(topic_id=topic.id, topic_name=topic.name, partitions=numbers)
            for topic, numbers in by_topic(call, parts)
        ]
    )
