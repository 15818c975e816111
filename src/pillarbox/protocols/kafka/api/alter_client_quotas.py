"""AlterClientQuotas (49): refused, because a quota that nobody keeps would be a lie.

Source: KIP-546; row K74.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    ResponseEntityData,
    ResponseEntryData,
)
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER_CONFIGS


def answer(call: Call, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse:
    try:
        call.demand(ALTER_CLUSTER_CONFIGS)
        raise Refused(ErrorCode.INVALID_REQUEST, "This broker has no quotas for Kafka clients.")
    except Refused as refused:
        return AlterClientQuotasResponse(
            entries=[
                ResponseEntryData(
                    refused.code,
                    refused.text,
                    [ResponseEntityData(each.entity_type, each.entity_name) for each in entry.entity],
                )
                for entry in request.entries
            ]
        )
