"""DescribeProducers (61): who writes to a partition, with its last sequence and what it has open.

Source: KIP-664; row K64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)
from pillarbox.protocols.kafka.rights import READ_TOPIC

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic


def answer(call: Call, request: DescribeProducersRequest) -> DescribeProducersResponse:
    topics = []
    for wanted in request.topics:
        topic = call.head.topics.get(wanted.name)
        found = [_described(call, wanted.name, topic, index) for index in wanted.partition_indexes]
        topics.append(TopicResponse(wanted.name, found))
    return DescribeProducersResponse(topics=topics)


def _described(call: Call, name: str, topic: Topic | None, index: int) -> PartitionResponse:
    if not call.allows(READ_TOPIC, name):
        return PartitionResponse(index, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    if topic is None or not 0 <= index < len(topic.partitions):
        return PartitionResponse(index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return PartitionResponse(
        index,
        active_producers=[
            ProducerState(
                producer_id,
                known.epoch,
                known.sent[-1].sequence_last if known.sent else -1,
                known.sent[-1].timestamp_ms if known.sent else -1,
                known.coordinator_epoch,
                known.transaction_first,
            )
            for producer_id, known in topic.partitions[index].log.producers.items()
        ],
    )
