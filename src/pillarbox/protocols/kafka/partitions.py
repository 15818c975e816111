"""Looking up a partition that a client names, with what it may do there.

Source: Kafka's answers to what is missing or forbidden; row K75.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pillarbox.protocols.kafka.errors import ErrorCode, Refused

if TYPE_CHECKING:
    from pillarbox.broker.stream import StreamQueue
    from pillarbox.protocols.kafka.call import Call


def demand_partition(call: Call, topic: str, index: int, actions: Iterable[str] = ()) -> StreamQueue:
    """The stream that is this partition; the client must be allowed one of these actions, if there are any.

    Raises Refused: TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION.
    """
    wanted = tuple(actions)
    if wanted and not any(call.allows(action, topic) for action in wanted):
        raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    found = call.head.topics.get(topic)
    if found is None or not 0 <= index < len(found.partitions):
        raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return found.partitions[index]
