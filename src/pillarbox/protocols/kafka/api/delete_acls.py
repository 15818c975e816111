"""DeleteAcls (31): the ACLs that fit each filter go, and are named; answered when that is durable.

Versions: 1-3. Source: KIP-140; row K73.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.acls import AclFilter
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.delete_acls import (
    DeleteAclsFilter,
    DeleteAclsFilterResult,
    DeleteAclsMatchingAcl,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER


def answer(call: Call, request: DeleteAclsRequest) -> None:
    call.reply_when_durable(
        DeleteAclsResponse(filter_results=[_removed(call, each) for each in request.filters])
    )


def _removed(call: Call, asked: DeleteAclsFilter) -> DeleteAclsFilterResult:
    wanted = AclFilter(
        asked.resource_type_filter,
        asked.pattern_type_filter,
        asked.resource_name_filter,
        asked.principal_filter,
        asked.host_filter,
        asked.operation,
        asked.permission_type,
    )
    try:
        acls = call.head.demand_acls()
        call.demand(ALTER_CLUSTER)
        wanted.demand_sense()
    except Refused as refused:
        return DeleteAclsFilterResult(refused.code, refused.text)
    gone = acls.found(wanted)
    for acl in gone:
        acls.remove(acl)
    return DeleteAclsFilterResult(
        error_message=None,
        matching_acls=[
            DeleteAclsMatchingAcl(
                ErrorCode.NONE,
                None,
                acl.resource,
                acl.name,
                acl.pattern,
                acl.principal,
                acl.host,
                acl.operation,
                acl.effect,
            )
            for acl in gone
        ],
    )
