"""JoinGroup (11): come into a classic group, or come again for its next round. Answered when the round is.

*Versions* 0-9: 0 has one timeout for all (T6); from 4 on a new client first gets an id (KIP-394); 5 has
instances (KIP-345); from 7 on the protocol type is in the answer, and the protocol is null where there is
none; 9 can skip the leader's part (KIP-814).
*Behaviour*: `reason` (from 8 on) is ignored. Source: rows K50-K53.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.member import Joined, Joining, Protocols
from pillarbox.protocols.kafka.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
    JoinGroupResponseMember,
)
from pillarbox.protocols.kafka.rights import READ_GROUP

ROUND_TIMEOUT_FROM: Final = 1
NEEDS_ID_FROM: Final = 4
NULL_PROTOCOL_FROM: Final = 7
SKIP_FROM: Final = 9


def answer(call: Call, request: JoinGroupRequest) -> JoinGroupResponse | None:
    error = _refused(call, request)
    if error:
        return _response(call.version, Joined(error, request.member_id))
    group = call.head.groups.joined(request.group_id, create=not request.member_id)
    if group is None:
        # A consumer group of this name, with members: who joins so has nothing in common with them.
        other = call.head.groups.get(request.group_id) is not None
        error = ErrorCode.INCONSISTENT_GROUP_PROTOCOL if other else ErrorCode.UNKNOWN_MEMBER_ID
        return _response(call.version, Joined(error, request.member_id))
    timeout_ms = request.session_timeout_ms
    joining = Joining(
        request.member_id,
        request.group_instance_id,
        call.client_id or "",
        call.client_host,
        timeout_ms,
        request.rebalance_timeout_ms if call.version >= ROUND_TIMEOUT_FROM else timeout_ms,
        request.protocol_type,
        _each_once(request.protocols),
        needs_id=call.version >= NEEDS_ID_FROM,
        may_skip=call.version >= SKIP_FROM,
    )
    group.join(joining, lambda joined: call.reply(_response(call.version, joined)))
    return None


def _each_once(said: list[JoinGroupRequestProtocol]) -> Protocols:
    """Names and metadata; of a protocol that is said twice the first counts, as in Kafka."""
    protocols: dict[str, bytes] = {}
    for each in said:
        protocols.setdefault(each.name, each.metadata)
    return tuple(protocols.items())


def _refused(call: Call, request: JoinGroupRequest) -> ErrorCode:
    limits = call.head.groups.settings
    if not call.allows(READ_GROUP, request.group_id):
        return ErrorCode.GROUP_AUTHORIZATION_FAILED
    if not request.group_id:
        return ErrorCode.INVALID_GROUP_ID
    if not limits.session_timeout_min_ms <= request.session_timeout_ms <= limits.session_timeout_max_ms:
        return ErrorCode.INVALID_SESSION_TIMEOUT
    return ErrorCode.NONE


def _response(version: int, joined: Joined) -> JoinGroupResponse:
    protocol = joined.protocol_name
    return JoinGroupResponse(
        error_code=joined.error,
        generation_id=joined.generation,
        protocol_type=joined.protocol_type,
        protocol_name="" if protocol is None and version < NULL_PROTOCOL_FROM else protocol,
        leader=joined.leader,
        skip_assignment=joined.skip_assignment,
        member_id=joined.member_id,
        members=[
            JoinGroupResponseMember(member_id=member_id, group_instance_id=instance_id, metadata=data)
            for member_id, instance_id, data in joined.members
        ],
    )
