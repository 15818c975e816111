"""Looking up a partition that a client names, with what it may do there.

Source: Kafka's answers to what is missing or forbidden; row K75.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.protocols.kafka.errors import ErrorCode, Refused

if TYPE_CHECKING:
    from pillarbox.broker.stream import StreamQueue
    from pillarbox.protocols.kafka.call import Call
    from pillarbox.protocols.kafka.rights import Right


def demand_partition(call: Call, topic: str, index: int, right: Right | None = None) -> StreamQueue:
    """The stream that is this partition; the client must have this right to the topic, if there is one.

    Raises Refused: TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION.
    """
    if right is not None:
        call.demand(right, topic)
    found = call.head.topics.get(topic)
    if found is None or not 0 <= index < len(found.partitions):
        raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return found.partitions[index]
