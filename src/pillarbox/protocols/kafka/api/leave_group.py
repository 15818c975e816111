"""LeaveGroup (13): members go, by themselves or because an admin says so.

*Versions* 0-5: one member up to 2, whose error is that of the answer; several from 3 on, each with its own,
and an instance is enough to name one (KIP-345).
*Behaviour*: `reason` (from 5 on) is ignored. Source: rows K50, K53.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberResponse,
)
from pillarbox.protocols.kafka.rights import READ_GROUP

SEVERAL_FROM: Final = 3


def answer(call: Call, request: LeaveGroupRequest) -> LeaveGroupResponse:
    if not call.allows(READ_GROUP, request.group_id):
        return LeaveGroupResponse(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED)
    if not request.group_id:
        return LeaveGroupResponse(error_code=ErrorCode.INVALID_GROUP_ID)
    if call.version < SEVERAL_FROM:
        leavers: list[tuple[str, str | None]] = [(request.member_id, None)]
    else:
        leavers = [(one.member_id, one.group_instance_id) for one in request.members]
    group = call.head.groups.joined(request.group_id)
    errors = [ErrorCode.UNKNOWN_MEMBER_ID] * len(leavers) if group is None else group.leave(leavers)
    if call.version < SEVERAL_FROM:
        return LeaveGroupResponse(error_code=errors[0])
    return LeaveGroupResponse(
        members=[
            MemberResponse(member_id=member_id, group_instance_id=instance_id, error_code=error)
            for (member_id, instance_id), error in zip(leavers, errors, strict=True)
        ]
    )
