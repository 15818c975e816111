"""InitProducerId (22): a number by which a producer's batches can be told apart, and its epoch.

With a transactional id it makes the caller the only producer under that id (see `transactions`).
Source: KIP-98, KIP-360; rows K7, K60, K61, K63.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, fenced
from pillarbox.protocols.kafka.messages.init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from pillarbox.protocols.kafka.rights import WRITE_IDEMPOTENTLY, WRITE_TOPIC, WRITE_TRANSACTION
from pillarbox.protocols.kafka.transactions import TIMEOUT_MS_MAX

FENCED_FROM: Final = 4


def answer(call: Call, request: InitProducerIdRequest) -> InitProducerIdResponse | None:
    name = request.transactional_id
    if name is None:
        if not call.allows(WRITE_IDEMPOTENTLY) and not call.allows_any(WRITE_TOPIC):
            return _refused(ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
        call.reply_when_durable(InitProducerIdResponse(producer_id=call.head.producer_ids.take()))
        return None
    if not name:
        return _refused(ErrorCode.INVALID_REQUEST)
    if not call.allows(WRITE_TRANSACTION, name):
        return _refused(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    if not 0 < request.transaction_timeout_ms <= TIMEOUT_MS_MAX:
        return _refused(ErrorCode.INVALID_TRANSACTION_TIMEOUT)

    def begun(error: ErrorCode, producer_id: int, epoch: int) -> None:
        if not call.is_open:
            return
        if error:
            call.reply(_refused(fenced(error, known=call.version >= FENCED_FROM)))
        else:
            call.reply(InitProducerIdResponse(producer_id=producer_id, producer_epoch=epoch))

    call.head.transactions.begin(
        name, request.transaction_timeout_ms, request.producer_id, request.producer_epoch, begun
    )
    return None


def _refused(error: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=error, producer_epoch=-1)
