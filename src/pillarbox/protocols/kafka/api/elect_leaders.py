"""ElectLeaders (43): nobody else can lead, so no election is needed.

Versions: 0-2. Behaviour: for administrators. Asked for all partitions, the answer names none.
Source: KIP-183, KIP-460.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from pillarbox.protocols.kafka.partitions import demand_partition
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER

PREFERRED, UNCLEAN = KINDS = (0, 1)
"""Elections that there are in Kafka."""
CODE_FROM: Final = 1
"""The first version in which the request as a whole can be refused."""


def answer(call: Call, request: ElectLeadersRequest) -> ElectLeadersResponse:
    code = ErrorCode.NONE
    try:
        call.demand(ALTER_CLUSTER)
        if request.election_type not in KINDS:
            raise Refused(ErrorCode.INVALID_REQUEST)
    except Refused as refused:
        code = refused.code
        if call.version >= CODE_FROM:
            return ElectLeadersResponse(error_code=code)
    return ElectLeadersResponse(
        replica_election_results=[
            ReplicaElectionResult(
                wanted.topic, [_elected(call, wanted.topic, index, code) for index in wanted.partitions]
            )
            for wanted in request.topic_partitions or ()
        ]
    )


def _elected(call: Call, topic: str, index: int, code: ErrorCode) -> PartitionResult:
    if code != ErrorCode.NONE:
        return PartitionResult(index, code, None)
    try:
        demand_partition(call, topic, index)
    except Refused as refused:
        return PartitionResult(index, refused.code, refused.text)
    return PartitionResult(index, ErrorCode.ELECTION_NOT_NEEDED, "This node is the leader already.")
