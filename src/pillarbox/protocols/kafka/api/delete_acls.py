"""DeleteAcls (31): there are none. Versions: 1-3. Source: KIP-140; row K73."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.messages.delete_acls import (
    DeleteAclsFilterResult,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from pillarbox.protocols.kafka.no_authorizer import CODE, TEXT


def answer(call: Call, request: DeleteAclsRequest) -> DeleteAclsResponse:
    return DeleteAclsResponse(filter_results=[DeleteAclsFilterResult(CODE, TEXT) for _ in request.filters])
