"""DescribeLogDirs (35): how much each partition takes on the disk.

Versions: 1-4; a refusal can be told from 3 on, and is an empty answer before. Behaviour: for administrators.
There is one folder; how large its disk is, the broker does not say here.

Source: KIP-113, KIP-827; row K77.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER


def answer(call: Call, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse:
    if not call.allows(SEE_CLUSTER):
        return DescribeLogDirsResponse(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
    wanted: Iterable[tuple[str, list[int] | None]]
    if request.topics is None:
        wanted = ((topic.name, None) for topic in call.head.topics.all())
    else:
        wanted = ((topic.topic, topic.partitions) for topic in request.topics)
    topics = [
        DescribeLogDirsTopic(name, partitions)
        for name, indexes in wanted
        if (partitions := list(_sizes(call, name, indexes)))
    ]
    return DescribeLogDirsResponse(results=[DescribeLogDirsResult(log_dir=call.head.log_dir, topics=topics)])


def _sizes(call: Call, name: str, indexes: list[int] | None) -> Iterator[DescribeLogDirsPartition]:
    """Of these partitions, as far as there are such; None: of all."""
    topic = call.head.topics.get(name)
    if topic is not None:
        for index, stream in enumerate(topic.partitions):
            if indexes is None or index in indexes:
                yield DescribeLogDirsPartition(index, stream.log.size)
