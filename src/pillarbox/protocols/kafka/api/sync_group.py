"""SyncGroup (14): hear one's part in a classic group; the leader says everybody's. Answered when it has.

*Versions* 0-5: 3 has instances; 5 says protocol type and name, and is told them. Source: rows K50, K53.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.member import Synced, Syncing
from pillarbox.protocols.kafka.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from pillarbox.protocols.kafka.rights import READ_GROUP


def answer(call: Call, request: SyncGroupRequest) -> SyncGroupResponse | None:
    if not call.allows(READ_GROUP, request.group_id):
        return _response(Synced(ErrorCode.GROUP_AUTHORIZATION_FAILED))
    if not request.group_id:
        return _response(Synced(ErrorCode.INVALID_GROUP_ID))
    group = call.head.groups.joined(request.group_id)
    if group is None:
        return _response(Synced(ErrorCode.UNKNOWN_MEMBER_ID))
    syncing = Syncing(
        request.member_id,
        request.group_instance_id,
        request.generation_id,
        request.protocol_type,
        request.protocol_name,
        {one.member_id: one.assignment for one in request.assignments},
    )
    group.sync(syncing, lambda synced: call.reply(_response(synced)))
    return None


def _response(synced: Synced) -> SyncGroupResponse:
    return SyncGroupResponse(
        error_code=synced.error,
        protocol_type=synced.protocol_type,
        protocol_name=synced.protocol_name,
        assignment=synced.assignment,
    )
