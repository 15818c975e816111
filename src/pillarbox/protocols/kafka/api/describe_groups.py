"""DescribeGroups (15): state and members of classic groups.

*Versions* 0-6: 3 can say what one may do to a group; a group that does not exist is Dead up to 5, and an
error from 6 on (KIP-1043).
*Behaviour*: what members have said and what they have to do is shown while that is settled.
Source: row K57.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.classic import ClassicGroup, State
from pillarbox.protocols.kafka.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from pillarbox.protocols.kafka.rights import SEE_GROUP, UNASKED, group_operations

NOT_FOUND_FROM: Final = 6


def answer(call: Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    asked = request.include_authorized_operations
    return DescribeGroupsResponse(groups=[_describe(call, name, asked=asked) for name in request.groups])


def _describe(call: Call, name: str, *, asked: bool) -> DescribedGroup:
    if not call.allows(SEE_GROUP, name):
        return DescribedGroup(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED, group_id=name)
    operations = group_operations(call, name) if asked else UNASKED
    groups = call.head.groups
    group = groups.classic(name)
    if group is not None:
        return _described(group, operations)
    dead = DescribedGroup(group_id=name, group_state=State.DEAD.value, authorized_operations=operations)
    if call.version >= NOT_FOUND_FROM:
        dead.error_code = ErrorCode.GROUP_ID_NOT_FOUND
        other = groups.get(name) is not None
        dead.error_message = f"Group {name} is not a classic group." if other else f"Group {name} not found."
    return dead


def _described(group: ClassicGroup, operations: int) -> DescribedGroup:
    settled = group.state is State.STABLE
    return DescribedGroup(
        group_id=group.name,
        group_state=group.state_name,
        protocol_type=group.protocol_type or "",
        protocol_data=(group.protocol_name or "") if settled else "",
        members=[
            DescribedGroupMember(
                member_id=member.id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.bytes_for(group.protocol_name) if settled else b"",
                member_assignment=member.assignment if settled else b"",
            )
            for member in group.members.values()
        ],
        authorized_operations=operations,
    )
