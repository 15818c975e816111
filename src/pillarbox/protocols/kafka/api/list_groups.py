"""ListGroups (16): the groups that the client may read.

*Versions* 0-5: 4 asks for states (KIP-518), 5 for kinds (KIP-848).
*Behaviour*: filters do not mind the case of letters; what no group can be finds none. Source: row K57.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse
from pillarbox.protocols.kafka.rights import SEE_CLUSTER, SEE_GROUP


def answer(call: Call, request: ListGroupsRequest) -> ListGroupsResponse:
    sees_all = call.allows(SEE_CLUSTER)
    states = {state.lower() for state in request.states_filter}
    kinds = {kind.lower() for kind in request.types_filter}
    return ListGroupsResponse(
        groups=[
            ListedGroup(
                group_id=group.name,
                protocol_type=group.protocol_type or "",
                group_state=group.state_name,
                group_type=group.kind,
            )
            for group in call.head.groups
            if (not states or group.state_name.lower() in states)
            and (not kinds or group.kind in kinds)
            and (sees_all or call.allows(SEE_GROUP, group.name))
        ]
    )
