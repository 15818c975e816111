"""DeleteGroups (42): forget groups in which nobody is, with their offsets. Answered when that is durable.

*Versions* 0-2, which differ in encoding only. Source: KIP-229; row K57.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from pillarbox.protocols.kafka.rights import DELETE_GROUP


def answer(call: Call, request: DeleteGroupsRequest) -> None:
    names = list(dict.fromkeys(request.groups_names))
    results = [DeletableGroupResult(group_id=name, error_code=_delete(call, name)) for name in names]

    def done(failure: str | None) -> None:
        for result in results:
            if failure is not None and result.error_code == ErrorCode.NONE:
                result.error_code = ErrorCode.COORDINATOR_NOT_AVAILABLE
        call.reply(DeleteGroupsResponse(results=results))

    call.head.promises.when_durable(done)


def _delete(call: Call, name: str) -> ErrorCode:
    if not call.allows(DELETE_GROUP, name):
        return ErrorCode.GROUP_AUTHORIZATION_FAILED
    return call.head.groups.delete(name)
