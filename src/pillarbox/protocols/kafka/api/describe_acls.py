"""DescribeAcls (29): there are none, and nobody asks them. Versions: 1-3. Source: KIP-140; row K73."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse
from pillarbox.protocols.kafka.no_authorizer import CODE, TEXT


def answer(call: Call, request: DescribeAclsRequest) -> DescribeAclsResponse:
    return DescribeAclsResponse(error_code=CODE, error_message=TEXT)
