"""DescribeShareGroupOffsets (90): where share groups begin in their partitions, and how far they are behind.

*Versions* 0-1: 1 tells the lag (KIP-1226). *Behaviour*: without topics, all that the group has; what it has
not begun is told as -1. The beginning is the one before the last acknowledgements, as Kafka writes it.
Source: KIP-932; rows K56, K57.
"""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.share import ShareGroup
from pillarbox.protocols.kafka.groups.share_partition import UNKNOWN
from pillarbox.protocols.kafka.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponse,
    DescribeShareGroupOffsetsResponseGroup,
    DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
)
from pillarbox.protocols.kafka.rights import SEE_GROUP, SEE_TOPIC


def answer(call: Call, request: DescribeShareGroupOffsetsRequest) -> DescribeShareGroupOffsetsResponse:
    return DescribeShareGroupOffsetsResponse(groups=[_describe(call, asked) for asked in request.groups])


def _describe(
    call: Call, asked: DescribeShareGroupOffsetsRequestGroup
) -> DescribeShareGroupOffsetsResponseGroup:
    name = asked.group_id
    response = DescribeShareGroupOffsetsResponseGroup(group_id=name, topics=[])
    groups = call.head.groups
    group = groups.shares(name)
    if not call.allows(SEE_GROUP, name):
        response.error_code = ErrorCode.GROUP_AUTHORIZATION_FAILED
        response.error_message = "Group authorization failed."
    elif group is None:
        response.error_code = ErrorCode.GROUP_ID_NOT_FOUND
        other = groups.get(name) is not None
        response.error_message = (
            f"Group {name} is not a share group." if other else f"Group {name} not found."
        )
    elif asked.topics is None:
        group.forget_gone()
        names = sorted({one.topic for one in group.parts.values()})
        response.topics = [
            _topic(call, group, topic, (one.part[1] for one in group.of_topic(topic)))
            for topic in names
            if call.allows(SEE_TOPIC, topic)
        ]
    else:
        response.topics = [_topic(call, group, each.topic_name, each.partitions) for each in asked.topics]
    return response


def _topic(
    call: Call, group: ShareGroup, name: str, numbers: Iterable[int]
) -> DescribeShareGroupOffsetsResponseTopic:
    topic = call.head.topics.get(name)
    response = DescribeShareGroupOffsetsResponseTopic(topic_name=name, partitions=[])
    if not call.allows(SEE_TOPIC, name):
        error = ErrorCode.TOPIC_AUTHORIZATION_FAILED
    else:
        error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if topic is None else ErrorCode.NONE
    if topic is not None and not error:
        response.topic_id = topic.id
    for number in numbers:
        told = DescribeShareGroupOffsetsResponsePartition(number, UNKNOWN, error_code=error)
        part = None if topic is None else group.parts.get((topic.id, number))
        partition = None if part is None else part.partition
        if not error and part is not None and partition is not None and part.shown != UNKNOWN:
            told.start_offset, told.lag = part.shown, part.lag
            told.leader_epoch = partition.log.leader_epoch
        response.partitions.append(told)
    return response
