"""OffsetForLeaderEpoch (23): where the records of a leader's epoch end, by which clients notice lost ones.

Versions: 2-4. Source: KIP-101, KIP-320; row K13.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.epochs import epoch_fault
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)
from pillarbox.protocols.kafka.partitions import demand_partition
from pillarbox.protocols.kafka.rights import SEE_TOPIC


def answer(call: Call, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse:
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic.topic, [_ended(call, topic.topic, partition) for partition in topic.partitions]
            )
            for topic in request.topics
        ]
    )


def _ended(call: Call, topic: str, wanted: OffsetForLeaderPartition) -> EpochEndOffset:
    index = wanted.partition
    try:
        log = demand_partition(call, topic, index, SEE_TOPIC).log
    except Refused as refused:
        return EpochEndOffset(refused.code, index)
    fault = epoch_fault(log, wanted.current_leader_epoch)
    if fault:
        return EpochEndOffset(fault, index)
    epoch, end = log.end_of_epoch(wanted.leader_epoch)
    return EpochEndOffset(partition=index, leader_epoch=epoch, end_offset=min(end, log.committed))
