"""DescribeCluster (60): the one node that there is.

Versions: 0-2; kinds of endpoints from 1 on. Behaviour: the address is where this client can reach the broker
(T16). Asked for controllers, a broker says that it is none.

Source: KIP-700, KIP-919; rows K37, T16.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from pillarbox.protocols.kafka.rights import UNASKED, cluster_operations

BROKERS: Final = 1
CONTROLLERS: Final = 2
STRANGE: Final = {
    CONTROLLERS: (
        ErrorCode.MISMATCHED_ENDPOINT_TYPE,
        "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
    )
}


def answer(call: Call, request: DescribeClusterRequest) -> DescribeClusterResponse:
    if request.endpoint_type != BROKERS:
        unknown = ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, f"Unsupported endpoint type {request.endpoint_type}"
        code, text = STRANGE.get(request.endpoint_type, unknown)
        return DescribeClusterResponse(
            error_code=code, error_message=text, endpoint_type=request.endpoint_type
        )
    head = call.head
    node = head.settings.node_id
    host, port = head.address_for(call.connection)
    asked = request.include_cluster_authorized_operations
    return DescribeClusterResponse(
        cluster_id=head.cluster_id,
        controller_id=node,
        brokers=[DescribeClusterBroker(node, host, port)],
        cluster_authorized_operations=cluster_operations(call) if asked else UNASKED,
    )
