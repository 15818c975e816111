"""What is in `__transaction_state`: each transactional id as it is now.

Not here: when it is there and how records get into it (`internal_topics`). Nobody knows here which kind of
client has a transaction before it ends, so that field has its default.

Source: Kafka's `TransactionLogKey` (0), `TransactionLogValue` (version 1), `TransactionState`; row K38.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.protocols.kafka.wire import (
    COMPACT_NULL,
    INT16,
    NO_TAGS,
    compact_count,
    compact_string,
    numbers,
    string,
    tags,
)

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.internal_topics import Record

SETTINGS: Final = {"cleanup.policy": "compact", "compression.type": "uncompressed"}
"""As Kafka makes it, but for what is about replicas."""

STATES: Final = {
    "Empty": 0,
    "Ongoing": 1,
    "PrepareCommit": 2,
    "PrepareAbort": 3,
    "CompleteCommit": 4,
    "CompleteAbort": 5,
}
EMPTY: Final = "Empty"

VALUE_VERSION: Final = 1
NEXT_ID_TAG, NEXT_EPOCH_TAG = 1, 3
NEVER: Final = -1
_KEY: Final = INT16.pack(0)
_HEAD: Final = Struct(">hqhib")
_TIMES: Final = Struct(">qq")
_ID: Final = Struct(">q")


class Shown(NamedTuple):
    """A transactional id as its record says it; `next`: the producer id and epoch that follow, if others."""

    producer_id: int
    epoch: int
    timeout_ms: int
    state: str
    places: Iterable[tuple[str, int]]
    updated_ms: int
    started_ms: int
    next: tuple[int, int] | None = None


def transaction_record(name: str, shown: Shown | None) -> Record:
    """A transactional id; None: it is forgotten."""
    key = _KEY + string(name)
    if shown is None:
        return key, None
    head = _HEAD.pack(VALUE_VERSION, shown.producer_id, shown.epoch, shown.timeout_ms, STATES[shown.state])
    partitions = COMPACT_NULL if shown.state == EMPTY else _partitions(_by_topic(shown.places))
    times = _TIMES.pack(shown.updated_ms, shown.started_ms or NEVER)
    return key, b"".join((head, partitions, times, _following(shown.next)))


def _by_topic(places: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for topic, index in sorted(places):
        found.setdefault(topic, []).append(index)
    return found


def _partitions(by_topic: Mapping[str, list[int]]) -> bytes:
    pieces = [compact_count(by_topic)]
    for topic, indexes in by_topic.items():
        pieces += (compact_string(topic), compact_count(indexes), numbers(indexes, "i"), NO_TAGS)
    return b"".join(pieces)


def _following(following: tuple[int, int] | None) -> bytes:
    if following is None:
        return NO_TAGS
    producer_id, epoch = following
    return tags([(NEXT_ID_TAG, [_ID.pack(producer_id)]), (NEXT_EPOCH_TAG, [INT16.pack(epoch)])])
