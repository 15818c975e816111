"""What is in `__consumer_offsets`: the offsets of groups, and the classic groups themselves.

Not here: when it is there and how records get into it (`internal_topics`); groups whose members the broker
assigns (KIP-848), which Kafka keeps in records of other kinds.

Source: Kafka's `OffsetCommitKey` (1), `OffsetCommitValue` (version 3, which tools of all ages can read),
`GroupMetadataKey` (2), `GroupMetadataValue` (version 3); row K38.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.wire import INT16, INT32, count, nullable_string, string

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.groups.records import Committed, GroupRecord, MemberRecord
    from pillarbox.protocols.kafka.internal_topics import Record

SETTINGS: Final = {"cleanup.policy": "compact", "compression.type": "producer"}
"""As Kafka makes it."""

OFFSET_KEY: Final = INT16.pack(1)
GROUP_KEY: Final = INT16.pack(2)
VALUE_VERSION: Final = 3
_OFFSET: Final = Struct(">hqi")
_TIME: Final = Struct(">q")


def offset_record(group: str, topic: str, partition: int, committed: Committed | None) -> Record:
    """How far a group has read; None: that is forgotten."""
    key = b"".join((OFFSET_KEY, string(group), string(topic), INT32.pack(partition)))
    if committed is None:
        return key, None
    head = _OFFSET.pack(VALUE_VERSION, committed.offset, committed.leader_epoch)
    return key, b"".join((head, string(committed.metadata), _TIME.pack(committed.committed_ms)))


def group_record(name: str, group: GroupRecord | None) -> Record:
    """A classic group with its members; None: it is gone."""
    key = GROUP_KEY + string(name)
    if group is None:
        return key, None
    pieces = [
        INT16.pack(VALUE_VERSION),
        string(group.protocol_type or ""),
        INT32.pack(group.generation),
        nullable_string(group.protocol_name),
        nullable_string(group.leader),
        _TIME.pack(group.since_ms),
        count(group.members),
    ]
    for member in group.members:
        pieces += _member(member, group.protocol_name)
    return key, b"".join(pieces)


def _member(member: MemberRecord, protocol: str | None) -> tuple[bytes, ...]:
    """With its words for the protocol that the group has agreed on."""
    subscription = dict(member.protocols).get(protocol or "", b"")
    return (
        string(member.id),
        nullable_string(member.instance_id),
        string(member.client_id),
        string(member.client_host),
        INT32.pack(member.rebalance_timeout_ms),
        INT32.pack(member.session_timeout_ms),
        count(subscription),
        subscription,
        count(member.assignment),
        member.assignment,
    )
