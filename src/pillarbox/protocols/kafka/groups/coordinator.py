"""All groups of a broker by name, their offsets, and what of them is kept.

Groups are made when somebody joins or commits, and forgotten when nobody is in them and their last offset has
expired. Not here: how members agree (`classic`, `consumer`), requests (`api`).

Invariant: a group's offsets are there as long as the group is. Source: rows K50-K57; Kafka's broker options
`group.*` and `offsets.*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import UUID

import msgspec

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.classic import ClassicGroup
from pillarbox.protocols.kafka.groups.consumer import Classic, ConsumerGroup, ConsumerMember, Topic
from pillarbox.protocols.kafka.groups.group_configs import GroupConfigs
from pillarbox.protocols.kafka.groups.mixed import ClassicSide, can_turn_new, known_parts
from pillarbox.protocols.kafka.groups.offsets import Offsets
from pillarbox.protocols.kafka.groups.records import (
    CONSUMER_MEMBERS,
    CONSUMERS,
    GROUPS,
    OFFSETS,
    PENDING,
    SHARE_MEMBERS,
    SHARE_PARTITIONS,
    SHARE_UPDATES,
    SHARES,
    Committed,
    ConsumersRecord,
    GroupRecord,
    MemberRecord,
    SharePartitionRecord,
    SharesRecord,
    ShareUpdateRecord,
    consumer_member_key,
    consumers_key,
    decode_committed,
    decode_consumer_member,
    decode_consumers,
    decode_group,
    decode_share_member,
    decode_share_partition,
    decode_share_update,
    decode_shares,
    encode,
    group_key,
    parts_of,
    share_member_key,
    share_partition_key,
    share_update_key,
    shares_key,
)
from pillarbox.protocols.kafka.groups.share import ShareGroup, ShareMember, ShareSettings
from pillarbox.protocols.kafka.groups.share_partition import SharePartition
from pillarbox.protocols.kafka.groups.share_sessions import ShareSessions
from pillarbox.protocols.kafka.groups.subscription import (
    CONSUMER,
    assignment_bytes,
    assignment_of,
    topics_of,
    version_of,
)
from pillarbox.protocols.kafka.internal_topics import OFFSETS as OFFSETS_TOPIC
from pillarbox.protocols.kafka.internal_topics import SHARES as SHARES_TOPIC
from pillarbox.protocols.kafka.internal_topics import InternalTopic, Owned
from pillarbox.protocols.kafka.offsets_topic import SETTINGS, group_record, offset_record
from pillarbox.protocols.kafka.shares_topic import SETTINGS as SHARES_SETTINGS
from pillarbox.protocols.kafka.shares_topic import Facts, snapshot_record, update_record

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.partition import Partition
    from pillarbox.broker.topics import Topics
    from pillarbox.protocols.kafka.groups.assignors import Part

AnyGroup = TypeVar("AnyGroup", bound="ClassicGroup | ConsumerGroup | ShareGroup")


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What Kafka's operators may set, with its defaults."""

    session_timeout_min_ms: int = 6_000
    """`group.min.session.timeout.ms`: shorter ones would take a slow network for a death."""
    session_timeout_max_ms: int = 1_800_000
    """`group.max.session.timeout.ms`."""
    initial_delay_ms: int = 0
    """`group.initial.rebalance.delay.ms`, for which Kafka takes three seconds: how long the first round of an
    empty group waits for more members. Here nobody waits for consumers that come alone."""
    size_max: int = 2_147_483_647
    """`group.max.size`."""
    consumer_session_timeout_ms: int = 45_000
    """`group.consumer.session.timeout.ms`."""
    consumer_heartbeat_ms: int = 5_000
    """`group.consumer.heartbeat.interval.ms`."""
    consumer_size_max: int = 2_147_483_647
    """`group.consumer.max.size`."""
    share_size_max: int = 200
    """`group.share.max.size`."""
    share_deliveries_max: int = 5
    """`group.share.delivery.count.limit`."""
    share_locks_max: int = 2_000
    """`group.share.partition.max.record.locks`: how much a group may have in flight in one partition."""
    retention_ms: int = 7 * 86_400_000
    """`offsets.retention.minutes`: from when on the group is empty."""
    retention_check_ms: int = 600_000
    """`offsets.retention.check.interval.ms`."""


class Group(Protocol):
    """What every kind of group has."""

    name: str
    kind: str
    """As ListGroups has it: "classic", "consumer", "share"."""

    @property
    def protocol_type(self) -> str | None: ...
    @property
    def state_name(self) -> str: ...
    @property
    def is_empty(self) -> bool: ...
    @property
    def is_idle(self) -> bool: ...
    def check_commit(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode: ...
    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode: ...
    def check_offset_delete(self) -> ErrorCode: ...
    def is_subscribed(self, topic: str) -> bool: ...
    def ages_from_ms(self, topic: str, committed: Committed) -> int | None:
        """Since when the retention time of an offset runs; None: not at present."""

    def on_timer(self, now_ms: int) -> None: ...
    def delete(self) -> None: ...


class Groups:
    """See the module."""

    def __init__(self, core: Core, topics: Topics, settings: GroupSettings | None = None) -> None:
        self._core = core
        self._topics = topics
        self.settings = settings or GroupSettings()
        self._groups: dict[str, Group] = {}
        self._offsets: dict[str, Offsets] = {}
        self.offsets_topic = InternalTopic(core, topics, OFFSETS_TOPIC, SETTINGS, self._shown)
        """What clients see of commits and groups as records (K38)."""
        self.shares_topic = InternalTopic(core, topics, SHARES_TOPIC, SHARES_SETTINGS, self._shares_shown)
        """The same of share groups."""
        self._snapshots: dict[tuple[str, Part], int] = {}
        """How often a share group's partition was shown as a whole, after the first time."""
        self.configs = GroupConfigs(core, self.settings)
        self.share_sessions = ShareSessions(self._release)
        self._restore()
        self.offsets_topic.restored()
        self.shares_topic.restored()
        core.scheduler.at(self.now_ms + self.settings.retention_check_ms, self)

    def __repr__(self) -> str:
        return f"<Groups {len(self._groups)}>"

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def __len__(self) -> int:
        return len(self._groups)

    def get(self, name: str) -> Group | None:
        return self._groups.get(name)

    def offsets(self, name: str) -> Offsets:
        """What a group has committed; of one that is not there nothing."""
        known = self._offsets.get(name)
        return self._new_offsets(name) if known is None else known

    def _new_offsets(self, name: str) -> Offsets:
        return Offsets(name, self._core.keep, self._note_offset)

    def all_offsets(self) -> Iterator[tuple[str, str, int, Committed]]:
        """Whatever any group has committed: group, topic, partition, and how far."""
        for name, offsets in list(self._offsets.items()):
            for topic, partition, committed in offsets:
                yield name, topic, partition, committed

    # --- what is shown of it as records --------------------------------------------------------------

    def _shown(self) -> Iterator[Owned]:
        for place in self.all_offsets():
            yield place[0], offset_record(*place)
        for group in self:
            if isinstance(group, ClassicGroup) and group.protocol_type is not None:
                yield group.name, group_record(group.name, group.record())

    def _shares_shown(self) -> Iterator[Owned]:
        for group in self:
            if isinstance(group, ShareGroup):
                for part, share in group.parts.items():
                    yield snapshot_record(group.name, part, share.record(), self._facts(group, part))

    def _facts(self, group: ShareGroup, part: Part, *, again: bool = True) -> Facts:
        """What is shown of a share group's partition beside what is kept. `again`: it is shown as a whole."""
        place = group.name, part
        epoch = self._snapshots[place] = self._snapshots.get(place, -1) + again
        partition, share = self.partition(part), group.parts.get(part)
        completed = 0 if share is None or share.state is None else share.state.settled_count
        leader_epoch = -1 if partition is None else partition.log.leader_epoch
        return Facts(epoch, leader_epoch, completed, self.now_ms)

    def _note_offset(self, group: str, topic: str, partition: int, committed: Committed | None) -> None:
        if self.offsets_topic.is_there:
            self.offsets_topic.note(group, offset_record(group, topic, partition, committed))

    def _forget_classic(self, name: str) -> None:
        """There is no classic group of this name any more."""
        self._core.keep(group_key(name), None)
        if self.offsets_topic.is_there:
            self.offsets_topic.note(name, group_record(name, None))

    # --- transactions --------------------------------------------------------------------------------

    def in_transactions(self) -> set[int]:
        """Producers whose open transactions hold offsets of any group."""
        return {producer_id for offsets in self._offsets.values() for producer_id in offsets.producers()}

    def end_transaction(self, producer_id: int, *, commit: bool) -> None:
        """A transaction has ended, and with it what it holds for any group."""
        for offsets in self._offsets.values():
            offsets.end(producer_id, commit=commit)

    # --- groups by name ------------------------------------------------------------------------------

    def classic(self, name: str, *, create: bool = False) -> ClassicGroup | None:
        """The classic group of this name, which may be made."""
        group = self._groups.get(name)
        if create and (group is None or (isinstance(group, ConsumerGroup) and group.is_empty)):
            self._core.keep(consumers_key(name), None)
            group = self._add(ClassicGroup(name, self))
        return group if isinstance(group, ClassicGroup) else None

    def joined(self, name: str, *, create: bool = False) -> ClassicGroup | ClassicSide | None:
        """The group of this name as members of the classic protocol see it; it may be made."""
        group = self._groups.get(name)
        if isinstance(group, ConsumerGroup) and not group.is_empty:
            return ClassicSide(group, self)
        return self.classic(name, create=create)

    def consumers(self, name: str, *, create: bool = False) -> ConsumerGroup | None:
        """The consumer group of this name, which may be made, also of a classic one of consumers."""
        group = self._groups.get(name)
        if create and isinstance(group, ClassicGroup) and can_turn_new(group):
            return self._turn_new(group)
        if create and (group is None or (isinstance(group, ClassicGroup) and group.is_idle)):
            if group is not None:
                self._forget_classic(name)
            epoch = group.generation if isinstance(group, ClassicGroup) else 0
            group = self._add(ConsumerGroup(name, self, epoch))
        return group if isinstance(group, ConsumerGroup) else None

    def shares(self, name: str, *, create: bool = False) -> ShareGroup | None:
        """The share group of this name, which may be made."""
        group = self._groups.get(name)
        if create and group is None:
            group = self._add(ShareGroup(name, self))
            self.keep_shares(group)
        return group if isinstance(group, ShareGroup) else None

    def _turn_new(self, old: ClassicGroup) -> ConsumerGroup:
        """Make a consumer group of a classic one: its members stay what they are, and have what they had."""
        group = self._add(ConsumerGroup(old.name, self, old.generation))
        self._forget_classic(old.name)
        self.keep_consumers(group)
        for known in old.members.values():
            member = ConsumerMember(known.id, known.instance_id)
            member.client_id, member.client_host = known.client_id, known.client_host
            member.rebalance_timeout_ms = known.rebalance_timeout_ms
            member.names = tuple(sorted(topics_of(known.protocols[0][1])))
            member.classic = Classic(known.session_timeout_ms, known.protocols)
            group.adopt(member, known_parts(assignment_of(known.assignment), self))
        old.dissolve()
        return group

    def turn_classic(self, old: ConsumerGroup, *, together: bool) -> ClassicGroup:
        """Make a classic group of a consumer group: its members go on by a round, or with what they have."""
        members = [
            MemberRecord(
                one.id,
                one.instance_id,
                one.client_id,
                one.client_host,
                one.classic.session_timeout_ms,
                one.rebalance_timeout_ms,
                list(one.classic.protocols),
                assignment_bytes(version_of(one.classic.protocols[0][1]), old.assigned_by_name(one)),
            )
            for one in old.members.values()
            if one.classic is not None
        ]
        group = self._add(ClassicGroup(old.name, self))
        leader = members[0]
        common = set.intersection(*({name for name, _ in one.protocols} for one in members))
        spoken = next(name for name, _ in leader.protocols if name in common)
        group.restore(GroupRecord(CONSUMER, old.epoch, spoken, leader.id, self.now_ms, members))
        for member in members:
            self.keep_member(old, member.id, None)
        self._core.keep(consumers_key(old.name), None)
        old.members.clear()
        self.keep(group)
        if together:
            group.call_together()
        return group

    def _add(self, group: AnyGroup) -> AnyGroup:
        self._groups[group.name] = group
        if group.name not in self._offsets:
            self._offsets[group.name] = self._new_offsets(group.name)
        return group

    def delete(self, name: str) -> ErrorCode:
        """Forget a group and its offsets, if nobody is in it."""
        group = self._groups.get(name)
        if group is None:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if not group.is_empty:
            return ErrorCode.NON_EMPTY_GROUP
        group.delete()
        del self._groups[name]
        self._offsets.pop(name).forget_all()
        if isinstance(group, ClassicGroup):
            self._forget_classic(name)
        for key in (consumers_key(name), shares_key(name)):
            self._core.keep(key, None)
        return ErrorCode.NONE

    # --- what groups ask -----------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self._core.changes.now_ms

    @property
    def initial_delay_ms(self) -> int:
        return self.settings.initial_delay_ms

    @property
    def group_size_max(self) -> int:
        return self.settings.size_max

    def session_timeout_ms(self, group: str) -> int:
        return self.configs.number(group, "consumer.session.timeout.ms")

    def heartbeat_ms(self, group: str) -> int:
        return self.configs.number(group, "consumer.heartbeat.interval.ms")

    @property
    def consumer_group_size_max(self) -> int:
        return self.settings.consumer_size_max

    def topic(self, name: str) -> Topic | None:
        found = self._topics.get(name)
        return None if found is None else Topic(found.id, len(found.partitions))

    def topic_names(self) -> Iterable[str]:
        return (topic.name for topic in self._topics.all())

    def new_member_id(self, prefix: str) -> str:
        return f"{prefix}-{self.new_id()}"

    def new_id(self) -> str:
        return str(UUID(bytes=self._core.random(16), version=4))

    def alarm(self, group: Group, due_ms: int) -> None:
        self._core.scheduler.at(due_ms, group)

    def keep(self, group: ClassicGroup) -> None:
        record = group.record()
        self._core.keep(group_key(group.name), encode(record))
        if self.offsets_topic.is_there:
            self.offsets_topic.note(group.name, group_record(group.name, record))

    def keep_consumers(self, group: ConsumerGroup) -> None:
        self._core.keep(consumers_key(group.name), encode(ConsumersRecord(group.epoch)))

    def keep_member(self, group: ConsumerGroup, member_id: str, member: ConsumerMember | None) -> None:
        value = None if member is None else encode(member.record())
        self._core.keep(consumer_member_key(group.name, member_id), value)

    # --- what share groups ask: see `share.SharingHost` ----------------------------------------------

    @property
    def share_group_size_max(self) -> int:
        return self.settings.share_size_max

    @property
    def deliveries_max(self) -> int:
        return self.settings.share_deliveries_max

    @property
    def locks_max(self) -> int:
        return self.settings.share_locks_max

    def share_settings(self, name: str) -> ShareSettings:
        return self.configs.share(name)

    def partition(self, part: Part) -> Partition | None:
        topic_id, number = part
        topic = self._topics.by_id(topic_id)
        return topic.partitions[number].partition if topic and number < len(topic.partitions) else None

    def alarm_partition(self, partition: SharePartition, due_ms: int) -> None:
        self._core.scheduler.at(due_ms, partition)

    def keep_shares(self, group: ShareGroup) -> None:
        self._core.keep(shares_key(group.name), encode(SharesRecord(group.epoch)))

    def keep_share_member(self, group: ShareGroup, member_id: str, member: ShareMember | None) -> None:
        value = None if member is None else encode(member.record())
        self._core.keep(share_member_key(group.name, member_id), value)

    def keep_share_partition(
        self, group: ShareGroup, topic: str, part: Part, kept: SharePartitionRecord | None
    ) -> None:
        value = None if kept is None else encode(kept)
        self._core.keep(share_partition_key(group.name, topic, part[1]), value)
        if self.shares_topic.is_there:
            self.shares_topic.note(*snapshot_record(group.name, part, kept, self._facts(group, part)))
        if kept is None:
            self._snapshots.pop((group.name, part), None)

    def keep_share_update(
        self, group: ShareGroup, part: Part, number: int, kept: ShareUpdateRecord | None
    ) -> None:
        value = None if kept is None else encode(kept)
        self._core.keep(share_update_key(group.name, *part, number), value)
        if kept is not None and self.shares_topic.is_there:
            self.shares_topic.note(
                *update_record(group.name, part, kept, self._facts(group, part, again=False))
            )

    def left(self, group: ShareGroup, member_id: str) -> None:
        self.share_sessions.end((group.name, member_id))

    def _release(self, name: str, member_id: str) -> None:
        """A member's session has ended."""
        group = self.shares(name)
        if group is not None:
            group.release(member_id)

    # --- time ----------------------------------------------------------------------------------------

    def on_timer(self, now_ms: int) -> None:
        """Look for offsets that have expired, some groups in each turn."""
        self._core.scheduler.at(now_ms + self.settings.retention_check_ms, self)
        if self._groups:
            self._core.chores.add(self._expire())

    def _expire(self) -> Iterator[None]:
        for group in self:
            if self._groups.get(group.name) is group:
                self._expire_of(group)
            yield

    def _expire_of(self, group: Group) -> None:
        offsets, now_ms = self._offsets[group.name], self.now_ms
        for topic, partition, committed in offsets:
            since_ms = group.ages_from_ms(topic, committed)
            if since_ms is None:
                continue
            due_ms = committed.expires_ms
            if due_ms is None:
                due_ms = since_ms + self.settings.retention_ms
            if due_ms <= now_ms and not offsets.is_pending(topic, partition):
                offsets.forget(topic, partition)
        if group.is_idle and not offsets:
            self.delete(group.name)

    # --- restarts ------------------------------------------------------------------------------------

    def _restore(self) -> None:
        for key, value in self._core.kept(GROUPS):
            (name,) = parts_of(GROUPS, key)
            self._add(ClassicGroup(str(name), self)).restore(decode_group(value))
        for key, value in self._core.kept(CONSUMERS):
            (name,) = parts_of(CONSUMERS, key)
            self._add(ConsumerGroup(str(name), self, decode_consumers(value).epoch))
        for key, value in self._core.kept(CONSUMER_MEMBERS):
            group = self._groups.get(str(parts_of(CONSUMER_MEMBERS, key)[0]))
            if isinstance(group, ConsumerGroup):
                group.restore(decode_consumer_member(value))
        self._restore_shares()
        for key, value in self._core.kept(OFFSETS):
            name, topic, partition = parts_of(OFFSETS, key)
            self._offsets_restored(str(name)).restore(str(topic), int(partition), decode_committed(value))
        for key, value in self._core.kept(PENDING):
            name, producer_id, topic, partition = parts_of(PENDING, key)
            offsets = self._offsets_restored(str(name))
            offsets.restore_pending(int(producer_id), str(topic), int(partition), decode_committed(value))

    def _restore_shares(self) -> None:
        for key, value in self._core.kept(SHARES):
            name = str(parts_of(SHARES, key)[0])
            self._add(ShareGroup(name, self, decode_shares(value).epoch))
        for key, value in self._core.kept(SHARE_PARTITIONS):
            owner, topic, number = parts_of(SHARE_PARTITIONS, key)
            group = self.shares(str(owner))
            if group is not None:
                group.restore_partition(str(topic), int(number), decode_share_partition(value))
        for key, value in self._core.kept(SHARE_UPDATES):
            owner, topic_id, number, update = parts_of(SHARE_UPDATES, key)
            group = self.shares(str(owner))
            if group is not None:
                part = bytes.fromhex(str(topic_id)), int(number)
                group.parts[part].amend(int(update), decode_share_update(value))
        for key, value in self._core.kept(SHARE_MEMBERS):
            group = self.shares(str(parts_of(SHARE_MEMBERS, key)[0]))
            if group is not None:
                group.restore_member(decode_share_member(value))
        for each in list(self._groups.values()):
            if isinstance(each, ShareGroup):
                each.restored()

    def _offsets_restored(self, name: str) -> Offsets:
        if name not in self._groups:
            self._add(ClassicGroup(name, self))
        return self._offsets[name]
