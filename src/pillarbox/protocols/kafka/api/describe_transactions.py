"""DescribeTransactions (65): the transaction of each id that is asked for, with those of its topics that the
client may see. Source: KIP-664; row K64."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)
from pillarbox.protocols.kafka.rights import SEE_TOPIC, SEE_TRANSACTION
from pillarbox.protocols.kafka.transactions import State, Transaction


def answer(call: Call, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse:
    return DescribeTransactionsResponse(
        transaction_states=[_described(call, name) for name in request.transactional_ids]
    )


def _described(call: Call, name: str) -> TransactionState:
    if not call.allows(SEE_TRANSACTION, name):
        return TransactionState(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, name)
    transaction = call.head.transactions.get(name)
    if transaction is None:
        return TransactionState(ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, name)
    topics: dict[str, list[int]] = {}
    for topic, index in transaction.partitions.values():
        if call.allows(SEE_TOPIC, topic):
            topics.setdefault(topic, []).append(index)
    return TransactionState(
        transactional_id=name,
        transaction_state=transaction.state.value,
        transaction_timeout_ms=transaction.timeout_ms,
        transaction_start_time_ms=_started_ms(transaction),
        producer_id=transaction.producer_id,
        producer_epoch=transaction.epoch,
        topics=[TopicData(topic, sorted(indexes)) for topic, indexes in sorted(topics.items())],
    )


def _started_ms(transaction: Transaction) -> int:
    """When the last transaction began; -1: there was none, or before a restart."""
    return -1 if transaction.state is State.EMPTY else transaction.started_ms or -1
