"""DescribeClientQuotas (48): clients have no quotas here. For administrators. Source: KIP-546; row K74."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.messages.describe_client_quotas import (
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER_CONFIGS


def answer(call: Call, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse:
    try:
        call.demand(SEE_CLUSTER_CONFIGS)
    except Refused as refused:
        return DescribeClientQuotasResponse(error_code=refused.code, error_message=refused.text, entries=None)
    return DescribeClientQuotasResponse(error_message=None)
