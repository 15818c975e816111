"""UnregisterBroker (64): takes a broker out that is gone for good; here there is one, and it runs.

Versions: 0. Behaviour: for those who may alter the cluster. This node is refused, where Kafka would let it go
and have it register anew. Source: KIP-631, KIP-851; row K37.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.unregister_broker import (
    UnregisterBrokerRequest,
    UnregisterBrokerResponse,
)
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER


def answer(call: Call, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse:
    try:
        call.demand(ALTER_CLUSTER)
        if request.broker_id != call.head.settings.node_id:
            text = f"Broker ID {request.broker_id} is not currently registered"
            raise Refused(ErrorCode.BROKER_ID_NOT_REGISTERED, text)
        raise Refused(ErrorCode.INVALID_REQUEST, "The only node of a cluster stays in it.")
    except Refused as refused:
        return UnregisterBrokerResponse(error_code=refused.code, error_message=refused.text)
