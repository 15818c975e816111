"""ListPartitionReassignments (46): none is ever under way. For administrators. Source: KIP-455."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER


def answer(call: Call, request: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse:
    try:
        call.demand(SEE_CLUSTER)
    except Refused as refused:
        return ListPartitionReassignmentsResponse(error_code=refused.code, error_message=refused.text)
    return ListPartitionReassignmentsResponse(error_message=None)
