"""DescribeAcls (29): the ACLs that fit a filter, by resource. Versions: 1-3. Source: KIP-140; row K73."""

from __future__ import annotations

from itertools import groupby

from pillarbox.protocols.kafka.acls import Acl, AclFilter
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.messages.describe_acls import (
    AclDescription,
    DescribeAclsRequest,
    DescribeAclsResource,
    DescribeAclsResponse,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER


def answer(call: Call, request: DescribeAclsRequest) -> DescribeAclsResponse:
    wanted = AclFilter(
        request.resource_type_filter,
        request.pattern_type_filter,
        request.resource_name_filter,
        request.principal_filter,
        request.host_filter,
        request.operation,
        request.permission_type,
    )
    try:
        acls = call.head.demand_acls()
        call.demand(SEE_CLUSTER)
        wanted.demand_sense()
    except Refused as refused:
        return DescribeAclsResponse(error_code=refused.code, error_message=refused.text)
    resources = groupby(acls.found(wanted), key=lambda acl: (acl.resource, acl.name, acl.pattern))
    return DescribeAclsResponse(
        error_message=None,
        resources=[
            DescribeAclsResource(*resource, [_described(acl) for acl in some]) for resource, some in resources
        ],
    )


def _described(acl: Acl) -> AclDescription:
    return AclDescription(acl.principal, acl.host, acl.operation, acl.effect)
