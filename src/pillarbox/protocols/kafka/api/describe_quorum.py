"""DescribeQuorum (55): the quorum of a cluster of one node, which leads and follows nobody.

Versions: 0-2. Behaviour: for administrators, and for the partition that Kafka keeps its metadata in alone;
its offset is the number of the broker's last group of changes.

Source: KIP-595, KIP-836, KIP-853; row K37.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.creation import CLUSTER_METADATA
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    ReplicaState,
    ResponsePartitionData,
    ResponseTopicData,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER

EPOCH: Final = 1
"""Nobody else has ever led."""
LISTENER: Final = "CONTROLLER"


def answer(call: Call, request: DescribeQuorumRequest) -> DescribeQuorumResponse:
    if not call.allows(SEE_CLUSTER):
        return DescribeQuorumResponse(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED, error_message=None)
    topics = [
        ResponseTopicData(
            topic.topic_name,
            [_described(call, topic.topic_name, each.partition_index) for each in topic.partitions],
        )
        for topic in request.topics
    ]
    host, port = call.head.address_for(call.connection)
    nodes = [Node(call.head.settings.node_id, [Listener(LISTENER, host, port)])]
    return DescribeQuorumResponse(error_message=None, topics=topics, nodes=nodes)


def _described(call: Call, topic: str, index: int) -> ResponsePartitionData:
    if (topic, index) != (CLUSTER_METADATA, 0):
        return ResponsePartitionData(index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None)
    node, offset = call.head.settings.node_id, call.head.core.ticket
    voter = ReplicaState(
        node,
        log_end_offset=offset,
        last_fetch_timestamp=call.now_ms,
        last_caught_up_timestamp=call.now_ms,
    )
    return ResponsePartitionData(index, ErrorCode.NONE, None, node, EPOCH, offset, [voter])
