"""What consumers write into the bytes that a classic group passes on: which topics they want.

The broker need not understand it, and reads no more of it than it must: to say whether a group still reads a
topic whose offsets somebody wants to delete. Not here: the bytes of other protocol types, which nobody here
can read. Source: Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment, versions 0 to 3, which
begin alike; KIP-429.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """Partitions by topic of an assignment; none of bytes that are no such thing."""
    assigned: dict[str, list[int]] = {}
    try:
        (count,) = _COUNT.unpack_from(data, 2)
        at = 6
        for _ in range(count):
            name, at = _string(data, at)
            (partitions,) = _COUNT.unpack_from(data, at)
            if not 0 <= partitions <= len(data) // 4:
                return {}
            assigned[name] = list(Struct(f">{partitions}i").unpack_from(data, at + 4))
            at += 4 + 4 * partitions
    except (error, UnicodeDecodeError):
        return {}
    return assigned


def assignment_bytes(assigned: Mapping[str, list[int]], version: int = 0) -> bytes:
    """An assignment as consumers read it, without anything of the client's own."""
    pieces = [_SIZE.pack(version), _COUNT.pack(len(assigned))]
    for name, partitions in assigned.items():
        raw = name.encode()
        pieces += (_SIZE.pack(len(raw)), raw, _COUNT.pack(len(partitions)))
        pieces.append(Struct(f">{len(partitions)}i").pack(*partitions))
    pieces.append(_COUNT.pack(-1))
    return b"".join(pieces)


def _string(data: bytes, at: int) -> tuple[str, int]:
    (size,) = _SIZE.unpack_from(data, at)
    end = at + 2 + size
    if size < 0 or end > len(data):
        raise error("no string")
    return data[at + 2 : end].decode(), end
