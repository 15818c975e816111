"""Heartbeat (12): a member of a classic group is there, and hears whether it has to join again.

*Versions* 0-4: 3 has instances. Source: rows K50, K53.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from pillarbox.protocols.kafka.rights import READ_GROUP


def answer(call: Call, request: HeartbeatRequest) -> HeartbeatResponse:
    return HeartbeatResponse(error_code=_error(call, request))


def _error(call: Call, request: HeartbeatRequest) -> ErrorCode:
    if not call.allows(READ_GROUP, request.group_id):
        return ErrorCode.GROUP_AUTHORIZATION_FAILED
    if not request.group_id:
        return ErrorCode.INVALID_GROUP_ID
    group = call.head.groups.joined(request.group_id)
    if group is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    return group.heartbeat(request.member_id, request.group_instance_id, request.generation_id)
