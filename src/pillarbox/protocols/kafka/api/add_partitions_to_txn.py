"""AddPartitionsToTxn (24): partitions that a producer is about to write to in its transaction.

From version 4 on brokers ask for several transactions at once, also whether partitions take part without
adding them. Source: KIP-98, KIP-890; row K60.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, fenced
from pillarbox.protocols.kafka.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)
from pillarbox.protocols.kafka.rights import WRITE_TOPIC, WRITE_TRANSACTION

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition

SEVERAL_FROM: Final = 4
FENCED_FROM: Final = 2


def answer(call: Call, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse:
    if call.version >= SEVERAL_FROM:
        return AddPartitionsToTxnResponse(
            results_by_transaction=[
                AddPartitionsToTxnResult(each.transactional_id, _joined(call, each))
                for each in request.transactions
            ]
        )
    one = AddPartitionsToTxnTransaction(
        request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id,
        request.v3_and_below_producer_epoch,
        topics=request.v3_and_below_topics,
    )
    return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=_joined(call, one))


def _joined(call: Call, wanted: AddPartitionsToTxnTransaction) -> list[AddPartitionsToTxnTopicResult]:
    """What one transaction is told of each partition: all join, or none."""
    faults: dict[tuple[str, int], ErrorCode] = {}
    places: list[tuple[str, int, Partition]] = []
    for asked in wanted.topics:
        topic = call.head.topics.get(asked.name)
        for index in asked.partitions:
            if not call.allows(WRITE_TOPIC, asked.name):
                faults[asked.name, index] = ErrorCode.TOPIC_AUTHORIZATION_FAILED
            elif topic is None or not 0 <= index < len(topic.partitions):
                faults[asked.name, index] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            else:
                places.append((asked.name, index, topic.partitions[index].partition))
    transactions = call.head.transactions
    name, producer_id, epoch = wanted.transactional_id, wanted.producer_id, wanted.producer_epoch
    if not call.allows(WRITE_TRANSACTION, name):
        return _results(wanted.topics, {}, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    if faults:
        return _results(wanted.topics, faults, ErrorCode.OPERATION_NOT_ATTEMPTED)
    if wanted.verify_only:
        error = transactions.check(name, producer_id, epoch)
        if not error and not all(transactions.has_joined(name, place[2]) for place in places):
            error = ErrorCode.TRANSACTION_ABORTABLE
    else:
        error = transactions.join(name, producer_id, epoch, places)
    return _results(wanted.topics, {}, fenced(error, known=call.version >= FENCED_FROM))


def _results(
    topics: list[AddPartitionsToTxnTopic], faults: dict[tuple[str, int], ErrorCode], others: ErrorCode
) -> list[AddPartitionsToTxnTopicResult]:
    return [
        AddPartitionsToTxnTopicResult(
            topic.name,
            [
                AddPartitionsToTxnPartitionResult(index, faults.get((topic.name, index), others))
                for index in topic.partitions
            ],
        )
        for topic in topics
    ]
