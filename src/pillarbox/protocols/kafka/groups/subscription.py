"""What consumers write into the bytes that a classic group passes on: which topics they want.

The broker need not understand it, and reads no more of it than it must: to say whether a group still reads a
topic whose offsets somebody wants to delete, and to show who reads what. Not here: the bytes of other
protocol types, which nobody here can read. Source: Kafka's ConsumerProtocolSubscription, versions 0 to 3,
which begin alike; KIP-429.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct, error
from typing import Final

CONSUMER: Final = "consumer"
"""The protocol type of consumers; Kafka Connect and schema registries have their own."""

OWNED_FROM: Final = 1

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


def owned_of(data: bytes) -> dict[str, list[int]]:
    """Partitions by topic that a member says in its subscription that it has: none before version 1."""
    try:
        (topics,) = _COUNT.unpack_from(data, 2)
        at = 6
        for _ in range(topics):
            _, at = _string(data, at)
        (size,) = _COUNT.unpack_from(data, at)
        at += 4 + max(0, size)
    except (error, UnicodeDecodeError):
        return {}
    # What follows is laid out as an assignment is behind its version.
    return assignment_of(b"\0\0" + data[at:]) if version_of(data) >= OWNED_FROM else {}


def is_subscription(data: bytes) -> bool:
    """Can it be read which topics this wants?"""
    try:
        (count,) = _COUNT.unpack_from(data, 2)
        at = 6
        for _ in range(count):
            _, at = _string(data, at)
    except (error, UnicodeDecodeError):
        return False
    return bool(count >= 0)


def is_plain_assignment(data: bytes) -> bool:
    """Does this say partitions and nothing else? A leader's own bytes mean something to members alone."""
    if not data:
        return True
    dealt = assignment_of(data)
    plain = assignment_bytes(version_of(data), dealt)
    return data in {plain, plain[: -_COUNT.size] + _COUNT.pack(0)}


def version_of(data: bytes) -> int:
    """The version in which a member writes and reads; 0 where that cannot be seen."""
    return int(_SIZE.unpack_from(data)[0]) if len(data) >= _SIZE.size else 0


def assignment_bytes(version: int, dealt: Mapping[str, Sequence[int]]) -> bytes:
    """What a leader would deal out, without anything of its own: what `assignment_of` reads."""
    parts = [_SIZE.pack(version), _COUNT.pack(len(dealt))]
    for name, numbers in dealt.items():
        octets = name.encode()
        parts += (_SIZE.pack(len(octets)), octets, _COUNT.pack(len(numbers)), *map(_COUNT.pack, numbers))
    return b"".join((*parts, _COUNT.pack(-1)))


def _string(data: bytes, at: int) -> tuple[str, int]:
    (size,) = _SIZE.unpack_from(data, at)
    end = at + 2 + size
    if size < 0 or end > len(data):
        raise error("no string")
    return data[at + 2 : end].decode(), end
