"""CreateAcls (30): refused, because nobody would ask them. Versions: 1-3. Source: KIP-140; row K73."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.messages.create_acls import (
    AclCreationResult,
    CreateAclsRequest,
    CreateAclsResponse,
)
from pillarbox.protocols.kafka.no_authorizer import CODE, TEXT


def answer(call: Call, request: CreateAclsRequest) -> CreateAclsResponse:
    return CreateAclsResponse(results=[AclCreationResult(CODE, TEXT) for _ in request.creations])
