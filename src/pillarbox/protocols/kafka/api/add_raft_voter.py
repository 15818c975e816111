"""AddRaftVoter (80): a further voter for the quorum, which has one and stays so.

Versions: 0-1. Behaviour: this node is one already; another one counts as out of reach, as for a Kafka that
cannot connect to it. Source: KIP-853; row K37.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.add_raft_voter import AddRaftVoterRequest, AddRaftVoterResponse
from pillarbox.protocols.kafka.voters import demand_cluster


def answer(call: Call, request: AddRaftVoterRequest) -> AddRaftVoterResponse:
    try:
        demand_cluster(call, request.cluster_id)
        voter = request.voter_id
        if voter == call.head.settings.node_id:
            text = f"The voter id {voter} is already part of the set of voters."
            raise Refused(ErrorCode.DUPLICATE_VOTER, text)
        text = f"The voter {voter} cannot be reached: this cluster has one node."
        raise Refused(ErrorCode.REQUEST_TIMED_OUT, text)
    except Refused as refused:
        return AddRaftVoterResponse(error_code=refused.code, error_message=refused.text)
