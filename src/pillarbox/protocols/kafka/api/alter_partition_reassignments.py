"""AlterPartitionReassignments (45): partitions are on this node, and can be nowhere else.

Versions: 0-1. Behaviour: for administrators. Source: KIP-455.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.creation import demand_replicas
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from pillarbox.protocols.kafka.partitions import demand_partition
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER


def answer(call: Call, request: AlterPartitionReassignmentsRequest) -> AlterPartitionReassignmentsResponse:
    try:
        call.demand(ALTER_CLUSTER)
    except Refused as refused:
        return AlterPartitionReassignmentsResponse(error_code=refused.code, error_message=refused.text)
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=request.allow_replication_factor_change,
        error_message=None,
        responses=[
            ReassignableTopicResponse(
                topic.name, [_placed(call, topic.name, partition) for partition in topic.partitions]
            )
            for topic in request.topics
        ],
    )


def _placed(call: Call, topic: str, wanted: ReassignablePartition) -> ReassignablePartitionResponse:
    try:
        demand_partition(call, topic, wanted.partition_index)
        if wanted.replicas is None:
            raise Refused(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
        demand_replicas(call.head, wanted.replicas)
    except Refused as refused:
        return ReassignablePartitionResponse(wanted.partition_index, refused.code, refused.text)
    return ReassignablePartitionResponse(wanted.partition_index, error_message=None)
