"""ListTransactions (66): transactional ids, by state, producer, age or pattern. Source: KIP-664, KIP-994,
KIP-1152; row K64."""

from __future__ import annotations

import re

from pillarbox import patterns
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)
from pillarbox.protocols.kafka.rights import SEE_TRANSACTION
from pillarbox.protocols.kafka.transactions import State, Transaction

STATES = {state.value for state in State}


def answer(call: Call, request: ListTransactionsRequest) -> ListTransactionsResponse:
    unknown = [name for name in request.state_filters if name not in STATES]
    try:
        pattern = patterns.checked(request.transactional_id_pattern or ".*").compiled
    except re.error:
        return ListTransactionsResponse(error_code=ErrorCode.INVALID_REGULAR_EXPRESSION)
    found = [
        one
        for one in call.head.transactions.all()
        if _is_wanted(one, request, call.now_ms)
        and pattern.fullmatch(one.name)
        and call.allows(SEE_TRANSACTION, one.name)
    ]
    return ListTransactionsResponse(
        unknown_state_filters=unknown,
        transaction_states=[TransactionState(one.name, one.producer_id, one.state.value) for one in found],
    )


def _is_wanted(one: Transaction, request: ListTransactionsRequest, now_ms: int) -> bool:
    age_ms = now_ms - one.started_ms if one.state is State.ONGOING else -1
    return (
        (not request.state_filters or one.state.value in request.state_filters)
        and (not request.producer_id_filters or one.producer_id in request.producer_id_filters)
        and (request.duration_filter < 0 or age_ms > request.duration_filter)
    )
