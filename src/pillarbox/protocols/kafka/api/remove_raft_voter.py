"""RemoveRaftVoter (81): takes a voter out of the quorum; here nobody can be taken out.

Versions: 0. Behaviour: voters are told by their number and the id of their folder, and this node's has none.
Source: KIP-853; row K37.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.remove_raft_voter import (
    RemoveRaftVoterRequest,
    RemoveRaftVoterResponse,
)
from pillarbox.protocols.kafka.voters import demand_cluster


def answer(call: Call, request: RemoveRaftVoterRequest) -> RemoveRaftVoterResponse:
    try:
        demand_cluster(call, request.cluster_id)
        text = f"Cannot remove voter {request.voter_id} from the set of voters: it is not one of them."
        raise Refused(ErrorCode.VOTER_NOT_FOUND, text)
    except Refused as refused:
        return RemoveRaftVoterResponse(error_code=refused.code, error_message=refused.text)
