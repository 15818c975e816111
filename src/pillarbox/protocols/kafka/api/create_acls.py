"""CreateAcls (30): each is made, or refused on its own; answered when they are durable.

Versions: 1-3. Source: KIP-140; row K73.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.acls import Acl, demand_valid
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.messages.create_acls import (
    AclCreation,
    AclCreationResult,
    CreateAclsRequest,
    CreateAclsResponse,
)
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER


def answer(call: Call, request: CreateAclsRequest) -> None:
    call.reply_when_durable(CreateAclsResponse(results=[_made(call, each) for each in request.creations]))


def _made(call: Call, wanted: AclCreation) -> AclCreationResult:
    acl = Acl(
        wanted.resource_type,
        wanted.resource_pattern_type,
        wanted.resource_name,
        wanted.principal,
        wanted.host,
        wanted.operation,
        wanted.permission_type,
    )
    try:
        acls = call.head.demand_acls()
        call.demand(ALTER_CLUSTER)
        demand_valid(acl)
    except Refused as refused:
        return AclCreationResult(refused.code, refused.text)
    acls.add(acl)
    return AclCreationResult(error_message=None)
