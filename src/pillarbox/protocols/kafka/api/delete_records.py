"""DeleteRecords (21): the beginning of partitions goes, up to an offset.

Versions: 0-2. Behaviour: -1 is everything that is committed. Segments go from the disk as a whole, so space
comes free later than the records are gone. What is only compacted keeps its records.

Source: KIP-107; row K35.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.config_table import DELETE
from pillarbox.protocols.kafka.configs import policies_of, settings_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from pillarbox.protocols.kafka.partitions import demand_partition
from pillarbox.protocols.kafka.rights import DELETE_TOPIC

HIGH_WATERMARK: Final = -1
NOWHERE: Final = -1


def answer(call: Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse:
    return DeleteRecordsResponse(
        topics=[
            DeleteRecordsTopicResult(
                topic.name, [_trimmed(call, topic.name, partition) for partition in topic.partitions]
            )
            for topic in request.topics
        ]
    )


def _trimmed(call: Call, topic: str, wanted: DeleteRecordsPartition) -> DeleteRecordsPartitionResult:
    index = wanted.partition_index
    try:
        stream = demand_partition(call, topic, index, DELETE_TOPIC)
        topics = call.head.topics
        found = topics.get(topic)
        if found is not None and DELETE not in policies_of(settings_of(topics, found)):
            raise Refused(ErrorCode.POLICY_VIOLATION)
        offset = stream.log.committed if wanted.offset == HIGH_WATERMARK else wanted.offset
        if not 0 <= offset <= stream.log.committed:
            raise Refused(ErrorCode.OFFSET_OUT_OF_RANGE)
        stream.begin_at(offset)
    except Refused as refused:
        return DeleteRecordsPartitionResult(index, NOWHERE, refused.code)
    return DeleteRecordsPartitionResult(index, stream.log.offsets().start)
