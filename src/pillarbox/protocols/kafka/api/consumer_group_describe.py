"""ConsumerGroupDescribe (69): state and members of consumer groups, what they have and what they are to have.

*Versions* 0-1: 1 says which protocol a member speaks. Source: KIP-848; rows K55, K57.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.assignors import Parts
from pillarbox.protocols.kafka.groups.consumer import ConsumerGroup, ConsumerMember, topics_by_id
from pillarbox.protocols.kafka.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    Member,
    TopicPartitions,
)
from pillarbox.protocols.kafka.rights import SEE_GROUP, SEE_TOPIC, UNASKED, group_operations

SPEAKS_CLASSIC, SPEAKS_CONSUMER = 0, 1


def answer(call: Call, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse:
    asked = request.include_authorized_operations
    return ConsumerGroupDescribeResponse(
        groups=[_describe(call, name, asked=asked) for name in request.group_ids]
    )


def _describe(call: Call, name: str, *, asked: bool) -> DescribedGroup:
    groups = call.head.groups
    if not call.head.release.consumer_groups:
        return DescribedGroup(error_code=ErrorCode.UNSUPPORTED_VERSION, group_id=name)
    if not call.allows(SEE_GROUP, name):
        return DescribedGroup(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED, group_id=name)
    if not name:
        return DescribedGroup(error_code=ErrorCode.INVALID_GROUP_ID, group_id=name)
    group = groups.consumers(name)
    if group is None:
        other = groups.get(name) is not None
        text = f"Group {name} is not a consumer group." if other else f"Group {name} not found."
        return DescribedGroup(error_code=ErrorCode.GROUP_ID_NOT_FOUND, error_message=text, group_id=name)
    if not all(call.allows(SEE_TOPIC, topic) for one in group.members.values() for topic in one.topics):
        text = "The group has described topic(s) that the client is not authorized to describe."
        return DescribedGroup(
            error_code=ErrorCode.TOPIC_AUTHORIZATION_FAILED, error_message=text, group_id=name
        )
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
    found = ((call.head.topics.by_id(topic_id), numbers) for topic_id, numbers in topics_by_id(parts).items())
    return Assignment(
        topic_partitions=[
            TopicPartitions(topic_id=topic.id, topic_name=topic.name, partitions=numbers)
            for topic, numbers in found
            if topic is not None
        ]
    )
