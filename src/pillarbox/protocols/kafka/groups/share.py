"""A share group: its members read the same partitions at once, each record one of them (KIP-932).

The broker deals out partitions as in a consumer group, but nobody has to give up anything before another can
have it: a member has what it is to have at its next heartbeat. The group's epoch moves on with its members,
what they want, and the topics; a member's epoch says which target it has heard of.

Not here: who gets which partitions (`assignors`), what becomes of records (`share_state`), the wire (`api`).

Source: KIP-932, "Share group membership"; Kafka's protocol guide, "ShareGroupHeartbeat"; row K56.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.assignors import NO_PARTS, Part, Parts, Wish, simple
from pillarbox.protocols.kafka.groups.consumer import JOINS, LEAVES, Refused, Told, Topic
from pillarbox.protocols.kafka.groups.records import (
    Committed,
    ShareMemberRecord,
    SharePartitionRecord,
    ShareUpdateRecord,
)
from pillarbox.protocols.kafka.groups.share_partition import SharePartition

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition

SHARE: Final = "share"


class ShareSettings(NamedTuple):
    """The configs of a group that count here."""

    begins: str
    """`latest`, `earliest`, or empty: as long ago as `begins_ago_ms` says."""
    begins_ago_ms: int
    heartbeat_ms: int
    session_timeout_ms: int
    lock_ms: int
    committed_only: bool


class ShareBeat(NamedTuple):
    """What a member says; `names` None: as before."""

    member_id: str
    epoch: int
    rack_id: str | None
    names: tuple[str, ...] | None
    client_id: str
    client_host: str


class ShareMember:
    """One member; `silent_ms`: when it is given up."""

    __slots__ = (
        "assigned",
        "client_host",
        "client_id",
        "epoch",
        "epoch_before",
        "id",
        "names",
        "rack_id",
        "silent_ms",
    )

    def __init__(self, member_id: str) -> None:
        self.id = member_id
        self.rack_id: str | None = None
        self.client_id = self.client_host = ""
        self.names: tuple[str, ...] = ()
        self.epoch = self.epoch_before = 0
        self.assigned: Parts = NO_PARTS
        self.silent_ms = 0

    def __repr__(self) -> str:
        return f"<ShareMember {self.id} epoch={self.epoch} parts={len(self.assigned)}>"

    def record(self) -> ShareMemberRecord:
        return ShareMemberRecord(
            self.id,
            self.rack_id,
            self.client_id,
            self.client_host,
            self.names,
            self.epoch,
            self.epoch_before,
            tuple(sorted(self.assigned)),
        )


class SharingHost(Protocol):
    """What such a group needs of where it lives."""

    @property
    def now_ms(self) -> int: ...
    @property
    def share_group_size_max(self) -> int: ...
    @property
    def deliveries_max(self) -> int: ...
    @property
    def locks_max(self) -> int: ...
    def share_settings(self, name: str) -> ShareSettings: ...
    def alarm(self, group: ShareGroup, due_ms: int) -> None: ...
    def alarm_partition(self, partition: SharePartition, due_ms: int) -> None: ...
    def topic(self, name: str) -> Topic | None: ...
    def partition(self, part: Part) -> Partition | None: ...
    def keep_shares(self, group: ShareGroup) -> None:
        """The epoch has changed."""

    def keep_share_member(self, group: ShareGroup, member_id: str, member: ShareMember | None) -> None:
        """What is to survive a restart of a member has changed; None: it is gone."""

    def keep_share_partition(
        self, group: ShareGroup, topic: str, part: Part, kept: SharePartitionRecord | None
    ) -> None:
        """The same for a partition."""

    def keep_share_update(
        self, group: ShareGroup, part: Part, number: int, kept: ShareUpdateRecord | None
    ) -> None:
        """A change of a partition, by its number."""

    def left(self, group: ShareGroup, member_id: str) -> None:
        """A member is gone: its session ends."""


class ShareGroup:
    """See the module."""

    kind = SHARE
    protocol_type = SHARE
    assignor = "simple"
    is_idle = False
    """It stays until somebody deletes it: what it has read is its own affair, however old."""

    def __init__(self, name: str, host: SharingHost, epoch: int = 0) -> None:
        self.name = name
        self.epoch = self.assignment_epoch = epoch
        self.members: dict[str, ShareMember] = {}
        self.parts: dict[Part, SharePartition] = {}
        """Every partition that it has begun to read, or is to."""
        self._host = host
        self._topics: dict[str, Topic] = {}
        self._targets: dict[str, Parts] = {}
        self._alarm_ms: int | None = None

    def __repr__(self) -> str:
        return (
            f"<ShareGroup {self.name} epoch={self.epoch} members={len(self.members)} parts={len(self.parts)}>"
        )

    @property
    def state_name(self) -> str:
        return "Stable" if self.members else "Empty"

    @property
    def is_empty(self) -> bool:
        return not self.members

    @property
    def settings(self) -> ShareSettings:
        return self._host.share_settings(self.name)

    # --- heartbeats ----------------------------------------------------------------------------------

    def heartbeat(self, beat: ShareBeat) -> Told:
        """A member joins, is there, or leaves; it is told what it is to read."""
        try:
            if beat.epoch == LEAVES:
                self.remove([self._named(beat.member_id).id])
                return Told(ErrorCode.NONE, None, beat.member_id, LEAVES)
            member, is_new = self._member(beat)
        except Refused as refused:
            return Told(refused.error, str(refused), beat.member_id)
        before, had = member.record(), member.assigned
        if self._take_in(member, beat) or is_new:
            self._move_on()
        if self._wanted_topics() != self._topics:
            self._move_on()
            self._know_topics()
        if self.epoch > self.assignment_epoch:
            self._assign()
        if member.epoch != self.assignment_epoch:
            member.epoch_before, member.epoch = member.epoch, self.assignment_epoch
            member.assigned = self._targets[member.id]
        if member.record() != before or is_new:
            self._host.keep_share_member(self, member.id, member)
        self._listen(member)
        tell = beat.epoch == JOINS or member.assigned != had
        return Told(ErrorCode.NONE, None, member.id, member.epoch, member.assigned if tell else None)

    def _named(self, member_id: str) -> ShareMember:
        member = self.members.get(member_id)
        if member is None:
            text = f"Member {member_id} is not a member of group {self.name}."
            raise Refused(ErrorCode.UNKNOWN_MEMBER_ID, text)
        return member

    def _member(self, beat: ShareBeat) -> tuple[ShareMember, bool]:
        """Who says this, and whether it is new. Raises Refused."""
        if beat.epoch != JOINS or beat.member_id in self.members:
            member = self._named(beat.member_id)
            self._check_epoch(member, beat.epoch)
            return member, False
        most = self._host.share_group_size_max
        if len(self.members) >= most:
            text = f"The share group has reached its maximum capacity of {most} members."
            raise Refused(ErrorCode.GROUP_MAX_SIZE_REACHED, text)
        member = self.members[beat.member_id] = ShareMember(beat.member_id)
        return member, True

    @staticmethod
    def _check_epoch(member: ShareMember, epoch: int) -> None:
        """Is the member where the group believes it is? It may not have heard the last answer."""
        if epoch in (JOINS, member.epoch, member.epoch_before):
            return
        how = "greater" if epoch > member.epoch else "smaller"
        text = (
            f"The share group member has a {how} member epoch ({epoch}) than the one known by the group "
            f"coordinator ({member.epoch}). The member must abandon all its partitions and rejoin."
        )
        raise Refused(ErrorCode.FENCED_MEMBER_EPOCH, text)

    @staticmethod
    def _take_in(member: ShareMember, beat: ShareBeat) -> bool:
        """Note what the member says; whether it wants other topics than before."""
        member.client_id, member.client_host = beat.client_id, beat.client_host
        member.rack_id = beat.rack_id if beat.rack_id is not None else member.rack_id
        wanted = member.names
        if beat.names is not None:
            member.names = beat.names
        return member.names != wanted

    def _listen(self, member: ShareMember) -> None:
        member.silent_ms = self._host.now_ms + self.settings.session_timeout_ms
        self._look_later()

    # --- targets -------------------------------------------------------------------------------------

    def _wanted_topics(self) -> dict[str, Topic]:
        names = frozenset[str]().union(*(member.names for member in self.members.values()))
        found = ((name, self._host.topic(name)) for name in sorted(names))
        return {name: topic for name, topic in found if topic is not None}

    def _move_on(self) -> None:
        self.epoch += 1
        self._host.keep_shares(self)

    def _know_topics(self) -> None:
        """Topics have come, grown or gone."""
        self._topics = self._wanted_topics()
        self.forget_gone()
        for name, topic in self._topics.items():
            for number in range(topic.partition_count):
                self.make_part((topic.id, number), name)

    def make_part(self, part: Part, topic: str) -> SharePartition:
        """A partition that it is to read, from now on."""
        known = self.parts.get(part)
        if known is None:
            known = self.parts[part] = SharePartition(part, topic, self)
            self.keep_partition(known)
        return known

    def _assign(self) -> None:
        topics = self._topics
        wishes = {
            member.id: Wish(
                frozenset(topics[name].id for name in member.names if name in topics), member.assigned
            )
            for member in self.members.values()
        }
        self._targets = simple(wishes, {topic.id: topic.partition_count for topic in topics.values()})
        self.assignment_epoch = self.epoch

    # --- leaving -------------------------------------------------------------------------------------

    def remove(self, member_ids: Iterable[str]) -> None:
        """Take members out, and give others what they held."""
        gone = list(member_ids)
        for member_id in gone:
            del self.members[member_id]
            self._host.keep_share_member(self, member_id, None)
            self._host.left(self, member_id)
        if gone:
            self._move_on()
            if not self.members:
                self.assignment_epoch = self.epoch
                self._topics = {}

    def release(self, member_id: str) -> None:
        """What a member holds is free: its session has ended."""
        for partition in self.parts.values():
            partition.release(member_id)

    def on_timer(self, now_ms: int) -> None:
        """Give up who is silent."""
        self._alarm_ms = None
        self.remove([one.id for one in self.members.values() if one.silent_ms <= now_ms])
        self._look_later()

    def _look_later(self) -> None:
        due_ms = min((one.silent_ms for one in self.members.values()), default=None)
        if due_ms is not None and (self._alarm_ms is None or due_ms < self._alarm_ms):
            self._alarm_ms = due_ms
            self._host.alarm(self, due_ms)

    # --- what its partitions ask: see `ShareHost` ----------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self._host.now_ms

    @property
    def lock_ms(self) -> int:
        return self.settings.lock_ms

    @property
    def deliveries_max(self) -> int:
        return self._host.deliveries_max

    @property
    def locks_max(self) -> int:
        return self._host.locks_max

    def begins_ms(self, now_ms: int) -> int | None:
        settings = self.settings
        ago_ms = settings.begins_ago_ms
        return {"latest": None, "earliest": 0}.get(settings.begins, max(1, now_ms - ago_ms))

    def partition(self, part: Part) -> Partition | None:
        return self._host.partition(part)

    def alarm_partition(self, partition: SharePartition, due_ms: int) -> None:
        self._host.alarm_partition(partition, due_ms)

    def keep_partition(self, partition: SharePartition) -> None:
        self._host.keep_share_partition(self, partition.topic, partition.part, partition.record())

    def keep_update(self, part: Part, number: int, kept: ShareUpdateRecord | None) -> None:
        self._host.keep_share_update(self, part, number, kept)

    # --- administration ------------------------------------------------------------------------------

    def of_topic(self, name: str) -> list[SharePartition]:
        """Its partitions of a topic, in order."""
        found = [one for one in self.parts.values() if one.topic == name]
        return sorted(found, key=lambda one: one.part)

    def forget_topic(self, name: str) -> None:
        """Forget all about a topic."""
        for one in self.of_topic(name):
            del self.parts[one.part]
            one.forget_updates()
            self._host.keep_share_partition(self, name, one.part, None)
        self._topics.pop(name, None)

    def forget_gone(self) -> None:
        """Forget topics that are not there any more."""
        for one in list(self.parts.values()):
            if self._host.partition(one.part) is None:
                del self.parts[one.part]
                one.forget_updates()
                again = self._host.topic(one.topic)
                if again is None or (again.id, one.part[1]) not in self.parts:
                    self._host.keep_share_partition(self, one.topic, one.part, None)

    def check_commit(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """Such a group commits nothing: see `settle`."""
        return ErrorCode.GROUP_ID_NOT_FOUND

    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode:
        return ErrorCode.GROUP_ID_NOT_FOUND

    def check_offset_delete(self) -> ErrorCode:
        return ErrorCode.GROUP_ID_NOT_FOUND

    def is_subscribed(self, topic: str) -> bool:
        return any(topic in member.names for member in self.members.values())

    def ages_from_ms(self, topic: str, committed: Committed) -> int | None:
        return None

    def delete(self) -> None:
        """It is gone for good."""
        assert not self.members, f"{self!r} is deleted"
        for name in {one.topic for one in self.parts.values()}:
            self.forget_topic(name)

    # --- restarts ------------------------------------------------------------------------------------

    def restore_member(self, record: ShareMemberRecord) -> None:
        """Have a member as it was kept; it has a session's time to be heard of."""
        member = self.members[record.id] = ShareMember(record.id)
        member.rack_id, member.names = record.rack_id, record.names
        member.client_id, member.client_host = record.client_id, record.client_host
        member.epoch, member.epoch_before = record.epoch, record.epoch_before
        member.assigned = frozenset((topic, number) for topic, number in record.assigned)
        self._targets[member.id] = member.assigned
        self._listen(member)

    def restore_partition(self, topic: str, number: int, record: SharePartitionRecord) -> None:
        part = (record.topic_id, number)
        self.parts[part] = SharePartition(part, topic, self)
        self.parts[part].restore(record)

    def restored(self) -> None:
        """All members and partitions are there."""
        self.forget_gone()
        self._topics = {
            name: topic
            for name, topic in self._wanted_topics().items()
            if all((topic.id, number) in self.parts for number in range(topic.partition_count))
        }
