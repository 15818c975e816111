"""AddOffsetsToTxn (25): a group whose offsets a transaction is about to commit. Source: KIP-98; row K60."""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, fenced
from pillarbox.protocols.kafka.messages.add_offsets_to_txn import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
)
from pillarbox.protocols.kafka.rights import READ_GROUP, WRITE_TRANSACTION

FENCED_FROM: Final = 2


def answer(call: Call, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse:
    name = request.transactional_id
    if not call.allows(WRITE_TRANSACTION, name):
        return AddOffsetsToTxnResponse(error_code=ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    if not call.allows(READ_GROUP, request.group_id):
        return AddOffsetsToTxnResponse(error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED)
    error = call.head.transactions.join(
        name, request.producer_id, request.producer_epoch, group=request.group_id
    )
    return AddOffsetsToTxnResponse(error_code=fenced(error, known=call.version >= FENCED_FROM))
