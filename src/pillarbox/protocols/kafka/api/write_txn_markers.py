"""WriteTxnMarkers (27): end what a producer has open in a partition, in the place of the coordinator.

Kafka's brokers ask each other for it, and administrators ask for a transaction whose coordinator does not
know it any more (`kafka-transactions.sh abort`). Versions: 1-2; what version of transactions the marker is
for (2) is not looked at. Behaviour: for whoever may alter the cluster or act as one of its brokers; a marker
ends the transaction in its partition and nowhere else; for a producer that has nothing open it fences older
epochs. Answered when the markers are committed. Source: KIP-98, KIP-664; row K64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pillarbox.errors import BrokerError
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.committing import Committing
from pillarbox.protocols.kafka.errors import PRODUCER_REFUSALS, REASONS, ErrorCode
from pillarbox.protocols.kafka.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)
from pillarbox.protocols.kafka.rights import ACT_AS_CLUSTER, ALTER_CLUSTER
from pillarbox.store.log_base import LogFailed
from pillarbox.store.producers import ProducerRefused

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition


def answer(call: Call, request: WriteTxnMarkersRequest) -> None:
    allowed = call.allows(ALTER_CLUSTER) or call.allows(ACT_AS_CLUSTER)
    waiting: list[tuple[WritableTxnMarkerPartitionResult, Partition, int]] = []
    markers = []
    for marker in request.markers:
        topics = []
        for wanted in marker.topics:
            results = [WritableTxnMarkerPartitionResult(index) for index in wanted.partition_indexes]
            topics.append(WritableTxnMarkerTopicResult(wanted.name, results))
            for result in results:
                if not allowed:
                    result.error_code = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
                    continue
                partition = _partition(call, wanted.name, result.partition_index)
                if partition is None:
                    result.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                    continue
                end = _mark(partition, marker, result)
                if end is not None:
                    waiting.append((result, partition, end))
        markers.append(WritableTxnMarkerResult(marker.producer_id, topics))

    def committed(lost: Sequence[int]) -> None:
        for position in lost:
            waiting[position][0].error_code = ErrorCode.KAFKA_STORAGE_ERROR
        if call.is_open:
            call.reply(WriteTxnMarkersResponse(markers))

    Committing([(partition, end) for _, partition, end in waiting], committed)


def _partition(call: Call, name: str, index: int) -> Partition | None:
    topic = call.head.topics.get(name)
    if topic is None or not 0 <= index < len(topic.partitions):
        return None
    return topic.partitions[index].partition


def _mark(
    partition: Partition, marker: WritableTxnMarker, result: WritableTxnMarkerPartitionResult
) -> int | None:
    """Write a marker; return up to where that has to be committed. None: it is refused."""
    if marker.producer_id < 0 or marker.producer_epoch < 0:
        result.error_code = ErrorCode.INVALID_REQUEST
        return None
    try:
        return partition.append_marker(
            marker.producer_id,
            marker.producer_epoch,
            marker.coordinator_epoch,
            commit=marker.transaction_result,
        )
    except ProducerRefused as refused:
        result.error_code = PRODUCER_REFUSALS[refused.reason]
    except LogFailed:
        result.error_code = ErrorCode.KAFKA_STORAGE_ERROR
    except BrokerError as error:
        result.error_code = REASONS[error.reason]
    return None
