"""What consumers write into the bytes that a classic group passes on: which topics they want.

The broker need not understand it, and reads no more of it than it must: to say whether a group still reads a
topic whose offsets somebody wants to delete, and to show who reads what. Not here: the bytes of other
protocol types, which nobody here can read. Source: Kafka's ConsumerProtocolSubscription, versions 0 to 3,
which begin alike; KIP-429.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final

CONSUMER: Final = "consumer"
"""The protocol type of consumers; Kafka Connect and schema registries have their own."""

_COUNT = Struct(">i")
_SIZE = Struct(">h")


def topics_of(data: bytes) -> frozenset[str]:
    """Topics of a subscription; none of bytes that are no such thing."""
    try:
        (count,) = _COUNT.unpack_from(data, 2)
        topics, at = [], 6
        for _ in range(count):
            name, at = _string(data, at)
            topics.append(name)
    except (error, UnicodeDecodeError):
        return frozenset()
    return frozenset(topics)


def assignment_of(data: bytes) -> dict[str, list[int]]:
    """Partitions by topic, of what a leader has dealt out to a consumer; nothing of bytes that are no such
    thing. Source: Kafka's ConsumerProtocolAssignment, versions 0 to 3, which begin alike."""
    try:
        (count,) = _COUNT.unpack_from(data, 2)
        dealt, at = {}, 6
        for _ in range(count):
            name, at = _string(data, at)
            (partitions,) = _COUNT.unpack_from(data, at)
            end = at + 4 + 4 * partitions
            if partitions < 0 or end > len(data):
                raise error("no list")
            dealt[name] = [number for (number,) in _COUNT.iter_unpack(data[at + 4 : end])]
            at = end
    except (error, UnicodeDecodeError):
        return {}
    return dealt


def _string(data: bytes, at: int) -> tuple[str, int]:
    (size,) = _SIZE.unpack_from(data, at)
    end = at + 2 + size
    if size < 0 or end > len(data):
        raise error("no string")
    return data[at + 2 : end].decode(), end
