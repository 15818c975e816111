"""How groups and their offsets are kept, as bytes under keys of the head's own (see `Core.keep`).

Invariant: decoding what was encoded gives an equal record. Fields are added at the end, with a default, so
that what an older version has kept can be read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pillarbox.broker.definitions import key_of

GROUPS: Final = "kafka/group/"
CONSUMERS: Final = "kafka/consumer-group/"
CONSUMER_MEMBERS: Final = "kafka/consumer-member/"
OFFSETS: Final = "kafka/offset/"
PENDING: Final = "kafka/pending-offset/"
"""Offsets that a transaction commits when it ends."""
CONFIGS: Final = "kafka/group-config/"
SHARES: Final = "kafka/share-group/"
SHARE_MEMBERS: Final = "kafka/share-member/"
SHARE_PARTITIONS: Final = "kafka/share-partition/"
SHARE_UPDATES: Final = "kafka/share-update/"
"""What has changed since then, in the order of their numbers."""


class MemberRecord(msgspec.Struct, frozen=True, array_like=True):
    """A member of a classic group."""

    id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: list[tuple[str, bytes]]
    assignment: bytes


class GroupRecord(msgspec.Struct, frozen=True, array_like=True):
    """A classic group whose work is dealt out, or that is empty."""

    protocol_type: str | None
    generation: int
    protocol_name: str | None
    leader: str | None
    since_ms: int
    members: list[MemberRecord]


class ConsumersRecord(msgspec.Struct, frozen=True, array_like=True):
    """A consumer group; its members are kept one by one, because they change one by one."""

    epoch: int


class ConsumerMemberRecord(msgspec.Struct, frozen=True, array_like=True):
    """A member of a consumer group; parts are topic ids with partitions."""

    id: str
    instance_id: str | None
    rack_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    names: tuple[str, ...]
    pattern: str | None
    matched: tuple[str, ...]
    assignor: str | None
    epoch: int
    epoch_before: int
    state: str
    assigned: tuple[tuple[bytes, int], ...]
    revoking: tuple[tuple[bytes, int], ...]
    classic: tuple[int, tuple[tuple[str, bytes], ...]] | None = None
    """Session timeout and protocols of one that speaks the classic protocol."""


class Committed(msgspec.Struct, frozen=True, array_like=True):
    """How far a group has read in a partition."""

    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int
    expires_ms: int | None = None
    """If the client has said so, as versions up to 4 can; None: some time after the group is empty."""
    topic_id: bytes = b""
    """Of which topic of that name: one that is made anew has no offsets."""


class SharesRecord(msgspec.Struct, frozen=True, array_like=True):
    """A share group; its members and partitions are kept one by one."""

    epoch: int


class ShareMemberRecord(msgspec.Struct, frozen=True, array_like=True):
    """A member of a share group."""

    id: str
    rack_id: str | None
    client_id: str
    client_host: str
    names: tuple[str, ...]
    epoch: int
    epoch_before: int
    assigned: tuple[tuple[bytes, int], ...]


class SharePartitionRecord(msgspec.Struct, frozen=True, array_like=True):
    """How far a share group is in a partition."""

    topic_id: bytes
    start: int
    """-1: it has not begun, and looks where to when somebody first asks for records."""
    stretches: tuple[tuple[int, int, int, int], ...] = ()
    """First and last offset, state, delivery count (`share_state.Kept`)."""
    shown: int = -1
    """The beginning as administrators are told it: that before the last answers."""


class ShareUpdateRecord(msgspec.Struct, frozen=True, array_like=True):
    """What has changed in a partition of a share group."""

    start: int
    stretches: tuple[tuple[int, int, int, int], ...]
    shown: int


def group_key(group: str) -> str:
    return GROUPS + key_of(group)


def consumers_key(group: str) -> str:
    return CONSUMERS + key_of(group)


def consumer_member_key(group: str, member: str) -> str:
    return CONSUMER_MEMBERS + key_of(group, member)


def offset_key(group: str, topic: str, partition: int) -> str:
    return OFFSETS + key_of(group, topic, partition)


def pending_key(group: str, producer_id: int, topic: str, partition: int) -> str:
    return PENDING + key_of(group, producer_id, topic, partition)


def config_key(group: str) -> str:
    return CONFIGS + key_of(group)


def shares_key(group: str) -> str:
    return SHARES + key_of(group)


def share_member_key(group: str, member: str) -> str:
    return SHARE_MEMBERS + key_of(group, member)


def share_partition_key(group: str, topic: str, partition: int) -> str:
    return SHARE_PARTITIONS + key_of(group, topic, partition)


def share_update_key(group: str, topic_id: bytes, partition: int, number: int) -> str:
    return SHARE_UPDATES + key_of(group, topic_id.hex(), partition, number)


def parts_of(prefix: str, key: str) -> list[str | int]:
    """What such a key was made of."""
    parts: list[str | int] = msgspec.json.decode(key[len(prefix) :])
    return parts


encode: Final = msgspec.msgpack.Encoder().encode
decode_group: Final = msgspec.msgpack.Decoder(GroupRecord).decode
decode_committed: Final = msgspec.msgpack.Decoder(Committed).decode
decode_consumers: Final = msgspec.msgpack.Decoder(ConsumersRecord).decode
decode_consumer_member: Final = msgspec.msgpack.Decoder(ConsumerMemberRecord).decode
decode_configs: Final = msgspec.msgpack.Decoder(dict[str, str]).decode
decode_shares: Final = msgspec.msgpack.Decoder(SharesRecord).decode
decode_share_member: Final = msgspec.msgpack.Decoder(ShareMemberRecord).decode
decode_share_partition: Final = msgspec.msgpack.Decoder(SharePartitionRecord).decode
decode_share_update: Final = msgspec.msgpack.Decoder(ShareUpdateRecord).decode
