"""AlterReplicaLogDirs (34): partitions to another folder, of which there is one only.

Versions: 1-2. Behaviour: for administrators; a partition is where it is told to be, or there is no such
folder. Source: KIP-113.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)
from pillarbox.protocols.kafka.partitions import demand_partition
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER


def answer(call: Call, request: AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse:
    results: dict[str, AlterReplicaLogDirTopicResult] = {}
    for folder in request.dirs:
        for topic in folder.topics:
            result = results.setdefault(topic.name, AlterReplicaLogDirTopicResult(topic.name, []))
            for index in topic.partitions:
                code = _moved(call, folder.path, topic.name, index)
                result.partitions.append(AlterReplicaLogDirPartitionResult(index, code))
    return AlterReplicaLogDirsResponse(results=list(results.values()))


def _moved(call: Call, path: str, topic: str, index: int) -> ErrorCode:
    try:
        call.demand(ALTER_CLUSTER)
        demand_partition(call, topic, index)
    except Refused as refused:
        return refused.code
    return ErrorCode.NONE if path == call.head.log_dir else ErrorCode.LOG_DIR_NOT_FOUND
