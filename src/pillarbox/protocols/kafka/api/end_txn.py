"""EndTxn (26): commit or abort. Answered when every partition has its marker.

From version 5 on a transaction is the only one of its epoch, and the answer has the epoch of the next.
Source: KIP-98, KIP-890; rows K60-K62.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, fenced
from pillarbox.protocols.kafka.messages.end_txn import EndTxnRequest, EndTxnResponse
from pillarbox.protocols.kafka.rights import WRITE_TRANSACTION

FENCED_FROM: Final = 2
BUMPED_FROM: Final = 5


def answer(call: Call, request: EndTxnRequest) -> EndTxnResponse | None:
    name = request.transactional_id
    if not call.allows(WRITE_TRANSACTION, name):
        return EndTxnResponse(error_code=ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)

    def ended(error: ErrorCode, producer_id: int, epoch: int) -> None:
        response = EndTxnResponse(error_code=fenced(error, known=call.version >= FENCED_FROM))
        if not error:
            response.producer_id, response.producer_epoch = producer_id, epoch
        if call.is_open:
            call.reply(response)

    call.head.transactions.end(
        name,
        request.producer_id,
        request.producer_epoch,
        commit=request.committed,
        bump=call.version >= BUMPED_FROM,
        then=ended,
    )
    return None
