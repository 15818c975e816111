"""FindCoordinator (10): which node keeps a group, or a transaction: this one.

*Versions* 0-6: several keys at once from 4 on; share groups (key type 2) from 6 on.
*Behaviour*: whoever may not read a group is not told either. Source: KIP-98, KIP-699, KIP-932; rows K50, K60.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from pillarbox.protocols.kafka.rights import REFUSALS, SEE_GROUP, SEE_TRANSACTION

SEVERAL_FROM: Final = 4
KEY_TYPES: Final = {
    0: (0, SEE_GROUP),
    1: (0, SEE_TRANSACTION),
    2: (6, SEE_GROUP),
}
"""By key type: from which version on, and what one has to be allowed."""


def answer(call: Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    keys = request.coordinator_keys if call.version >= SEVERAL_FROM else [request.key]
    found = [_find(call, key, request.key_type) for key in keys]
    if call.version >= SEVERAL_FROM:
        return FindCoordinatorResponse(coordinators=found)
    (one,) = found
    return FindCoordinatorResponse(
        error_code=one.error_code,
        error_message=one.error_message,
        node_id=one.node_id,
        host=one.host,
        port=one.port,
    )


def _find(call: Call, key: str, key_type: int) -> Coordinator:
    since, right = KEY_TYPES.get(key_type, (call.version + 1, SEE_GROUP))
    if call.version < since:
        return _nowhere(key, ErrorCode.INVALID_REQUEST)
    if not call.allows(right, key):
        return _nowhere(key, REFUSALS[right.resource][0])
    host, port = call.head.address_for(call.connection)
    return Coordinator(key=key, node_id=call.head.settings.node_id, host=host, port=port, error_message=None)


def _nowhere(key: str, error: ErrorCode) -> Coordinator:
    return Coordinator(key=key, node_id=-1, port=-1, error_code=error, error_message=error.name)
