"""What is in `__share_group_state`: how far each share group is in each partition, whole or as a change.

Not here: when it is there and how records get into it (`internal_topics`). A settled record has no delivery
count here; epochs of snapshots are counted from each start on.

Source: Kafka's `ShareSnapshotKey` (0), `ShareSnapshotValue`, `ShareUpdateKey` (1), `ShareUpdateValue` (all of
version 0), KIP-932, KIP-1226 (completed deliveries); row K38.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.protocols.kafka.wire import INT16, INT32, NO_TAGS, compact_count, string, tags

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.groups.assignors import Part
    from pillarbox.protocols.kafka.groups.records import SharePartitionRecord, ShareUpdateRecord
    from pillarbox.protocols.kafka.internal_topics import Owned

SETTINGS: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "compression.type": "uncompressed"}
"""As Kafka makes it, but for what is about replicas; what is superseded is deleted."""

SNAPSHOT_KEY: Final = INT16.pack(0)
UPDATE_KEY: Final = INT16.pack(1)
VALUE_VERSION: Final = 0
STATE_EPOCH: Final = 0
COMPLETED_TAG: Final = 0
_SNAPSHOT: Final = Struct(">hiiiqqq")
_UPDATE: Final = Struct(">hiiq")
_BATCH: Final = Struct(">qqbh")


class Facts(NamedTuple):
    """What a record says beside what is kept; `completed`: settled records in flight."""

    snapshot_epoch: int
    leader_epoch: int
    completed: int
    now_ms: int


def snapshot_record(group: str, part: Part, kept: SharePartitionRecord | None, facts: Facts) -> Owned:
    """A partition as a whole; None: the group has forgotten it."""
    key = _key(SNAPSHOT_KEY, group, part)
    if kept is None:
        return _owner(group, part), (key, None)
    epochs = facts.snapshot_epoch, STATE_EPOCH, facts.leader_epoch
    head = _SNAPSHOT.pack(VALUE_VERSION, *epochs, kept.start, facts.now_ms, facts.now_ms)
    return _owner(group, part), (key, b"".join((head, _batches(kept.stretches), _completed(facts))))


def update_record(group: str, part: Part, kept: ShareUpdateRecord, facts: Facts) -> Owned:
    """What has changed in a partition since the whole before."""
    head = _UPDATE.pack(VALUE_VERSION, facts.snapshot_epoch, facts.leader_epoch, kept.start)
    value = b"".join((head, _batches(kept.stretches), _completed(facts)))
    return _owner(group, part), (_key(UPDATE_KEY, group, part), value)


def _owner(group: str, part: Part) -> str:
    """By what Kafka finds the partition of its topic."""
    topic_id, number = part
    return f"{group}:{base64.urlsafe_b64encode(topic_id).decode().rstrip('=')}:{number}"


def _key(kind: bytes, group: str, part: Part) -> bytes:
    topic_id, number = part
    return b"".join((kind, string(group), topic_id, INT32.pack(number)))


def _batches(stretches: Sequence[tuple[int, int, int, int]]) -> bytes:
    return compact_count(stretches) + b"".join(_BATCH.pack(*one) + NO_TAGS for one in stretches)


def _completed(facts: Facts) -> bytes:
    return tags([(COMPLETED_TAG, [INT32.pack(facts.completed)])])
