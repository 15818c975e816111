"""DescribeTopicPartitions (75): topics in pages of so many partitions.

Versions: 0. Behaviour: topics by name, all of them where none is named; a page ends after as many partitions
as the client or `PARTITIONS_MAX` says, and the cursor tells where the next one begins. What a client may not
see is refused where it is named and left out where all are asked for. A topic of a name that is not valid, or
that is missing, stands on the page with an error; a cursor that is on no page makes all of them wrong.

Source: KIP-966; Kafka's `DescribeTopicPartitionsRequestHandler`; row K37.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.internal_topics import INTERNAL
from pillarbox.protocols.kafka.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
    ResponseCursor,
)
from pillarbox.protocols.kafka.rights import SEE_TOPIC, topic_operations
from pillarbox.protocols.kafka.topic_names import is_valid_name

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic

PARTITIONS_MAX: Final = 2000
"""On one page: Kafka's `max.request.partition.size.limit`."""


def answer(call: Call, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse:
    cursor = request.cursor
    begin = cursor.topic_name if cursor is not None else ""
    first = cursor.partition_index if cursor is not None else 0
    asked = {topic.name for topic in request.topics}
    if first < 0 or (cursor is not None and asked and begin not in asked):
        return DescribeTopicPartitionsResponse(
            topics=[_faulty(name, ErrorCode.INVALID_REQUEST) for name in sorted(asked)]
        )
    call.head.show_internal(asked or None)
    names = sorted(asked) if asked else [topic.name for topic in call.head.topics.all()]
    response = DescribeTopicPartitionsResponse(topics=[])
    left = max(1, min(PARTITIONS_MAX, request.response_partition_limit))
    for name in names:
        if name < begin:
            continue
        if not call.allows(SEE_TOPIC, name):
            if asked:
                response.topics.append(_faulty(name, ErrorCode.TOPIC_AUTHORIZATION_FAILED))
            continue
        topic = call.head.topics.get(name)
        if topic is None:
            response.topics.append(_faulty(name, _why_missing(name)))
            continue
        start = first if name == begin else 0
        if not left:
            response.next_cursor = ResponseCursor(name, start)
            break
        page = range(start, min(start + left, len(topic.partitions)))
        response.topics.append(_described(call, topic, page))
        left -= len(page)
        if page.stop < len(topic.partitions):
            response.next_cursor = ResponseCursor(name, page.stop)
            break
    return response


def _why_missing(name: str) -> ErrorCode:
    if is_valid_name(name):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return ErrorCode.INVALID_TOPIC_EXCEPTION


def _faulty(name: str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(code, name)


def _described(call: Call, topic: Topic, page: range) -> DescribeTopicPartitionsResponseTopic:
    node = call.head.settings.node_id
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.name in INTERNAL,
        partitions=[
            DescribeTopicPartitionsResponsePartition(
                partition_index=index,
                leader_id=node,
                leader_epoch=topic.partitions[index].log.leader_epoch,
                replica_nodes=[node],
                isr_nodes=[node],
                eligible_leader_replicas=[],
                last_known_elr=[],
            )
            for index in page
        ],
        topic_authorized_operations=topic_operations(call, topic.name),
    )
