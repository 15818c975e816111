"""TxnOffsetCommit (28): offsets that a group gets when the transaction commits.

From version 3 on the consumer's generation is checked, or its member epoch (KIP-447); from 5 on the group
joins the transaction by this request (KIP-890). Whoever is fenced is told as if it did not know that, in
every version. Answered when what is pending is durable. Source: KIP-98; Kafka's `OffsetMetadataManager`; rows
K54, K60, K62.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.api.offset_commit import METADATA_CHARS_MAX
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, fenced, not_joined
from pillarbox.protocols.kafka.groups.records import Committed
from pillarbox.protocols.kafka.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from pillarbox.protocols.kafka.rights import READ_GROUP, READ_TOPIC, WRITE_TRANSACTION

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic

MEMBERS_FROM: Final = 3
ABORTABLE_FROM: Final = 4
"""The first version whose clients know that a transaction may have to be aborted."""
JOINS_FROM: Final = 5
IN_TRANSACTION: Final = {
    ErrorCode.STALE_MEMBER_EPOCH: ErrorCode.ILLEGAL_GENERATION,
    ErrorCode.REBALANCE_IN_PROGRESS: ErrorCode.NONE,
}
"""What is otherwise than for a plain commit: producers take a member epoch for a generation, and whether the
round has ended does not matter."""


def answer(call: Call, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse | None:
    error = _refused(call, request)
    response = TxnOffsetCommitResponse(topics=[])
    held: list[tuple[str, TxnOffsetCommitRequestPartition, bytes]] = []
    for wanted in request.topics:
        topic = call.head.topics.get(wanted.name)
        answers = []
        for one in wanted.partitions:
            code = error or _partition_refused(call, wanted.name, topic, one)
            answers.append(TxnOffsetCommitResponsePartition(one.partition_index, code))
            if not code and topic is not None:
                held.append((wanted.name, one, topic.id))
        response.topics.append(TxnOffsetCommitResponseTopic(wanted.name, answers))
    if not held:
        return response
    offsets = call.head.groups.offsets(request.group_id)
    for name, one, topic_id in held:
        committed = Committed(
            one.committed_offset,
            one.committed_leader_epoch,
            one.committed_metadata or "",
            call.now_ms,
            topic_id=topic_id,
        )
        offsets.hold(request.producer_id, name, one.partition_index, committed)

    def durable(failure: str | None) -> None:
        if not call.is_open:
            return
        if failure is not None:
            for topic in response.topics:
                for told in topic.partitions:
                    told.error_code = told.error_code or ErrorCode.COORDINATOR_NOT_AVAILABLE
        call.reply(response)

    call.head.promises.when_durable(durable)
    return None


def _refused(call: Call, request: TxnOffsetCommitRequest) -> ErrorCode:
    """Why nothing of it can be held."""
    name, producer_id, epoch = request.transactional_id, request.producer_id, request.producer_epoch
    if not call.allows(WRITE_TRANSACTION, name):
        return ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    if not call.allows(READ_GROUP, request.group_id):
        return ErrorCode.GROUP_AUTHORIZATION_FAILED
    transactions, groups = call.head.transactions, call.head.groups
    error = transactions.check(name, producer_id, epoch)
    if not error and (call.version >= JOINS_FROM or transactions.is_restored(name)):
        error = transactions.join(name, producer_id, epoch, group=request.group_id)
    elif not error and not transactions.has_joined(name, request.group_id):
        error = not_joined(known=call.version >= ABORTABLE_FROM)
    if error:
        return fenced(error, known=False)
    group = groups.get(request.group_id)
    if call.version >= MEMBERS_FROM and (request.generation_id >= 0 or request.member_id):
        if group is None:
            return ErrorCode.ILLEGAL_GENERATION
        code = group.check_commit(request.member_id, request.group_instance_id, request.generation_id)
        return IN_TRANSACTION.get(code, code)
    if group is None:
        groups.classic(request.group_id, create=True)
    elif group.kind == "share":
        return ErrorCode.GROUP_ID_NOT_FOUND
    return ErrorCode.NONE


def _partition_refused(
    call: Call, name: str, topic: Topic | None, one: TxnOffsetCommitRequestPartition
) -> ErrorCode:
    if not call.allows(READ_TOPIC, name):
        return ErrorCode.TOPIC_AUTHORIZATION_FAILED
    if topic is None or not 0 <= one.partition_index < len(topic.partitions):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if len(one.committed_metadata or "") > METADATA_CHARS_MAX:
        return ErrorCode.OFFSET_METADATA_TOO_LARGE
    return ErrorCode.NONE
