"""A group as people want to see it: who is in it, what each reads, how far it is behind.

All kinds of groups look alike here. *Lag* is what a partition has beyond the committed offset; of a
partition of which nothing was committed, or that is not there any more, there is no lag to know, which is
not the same as none. Not here: changing anything. Source: row K57; Kafka's `kafka-consumer-groups`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.protocols.kafka.groups.classic import ClassicGroup
from pillarbox.protocols.kafka.groups.consumer import ConsumerGroup, ConsumerMember, topics_by_id
from pillarbox.protocols.kafka.groups.member import Member
from pillarbox.protocols.kafka.groups.share import ShareGroup, ShareMember
from pillarbox.protocols.kafka.groups.subscription import assignment_of, topics_of

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topics
    from pillarbox.engine.logs import PartitionLog
    from pillarbox.protocols.kafka.groups.coordinator import Groups
    from pillarbox.protocols.kafka.groups.share_partition import SharePartition

Assigned = Mapping[str, list[int]]
"""Partitions by topic."""


class SeenMember(NamedTuple):
    """A member of either kind."""

    id: str
    instance_id: str | None
    client_id: str
    host: str
    topics: list[str]
    """What it wants to read, as far as it says so by name."""
    assigned: Assigned
    heard_ms: int
    """When it was last heard of."""
    waits_for: str
    """Empty, or what it is about: `join`, `sync`, `revoke` (it has yet to give something up) or `release`
    (others have)."""


class Place(NamedTuple):
    """How far a group is in one partition. `offset` None: nothing was committed. `end` None: the partition is
    not there any more."""

    topic: str
    partition: int
    offset: int | None
    leader_epoch: int
    metadata: str
    committed_ms: int | None
    start: int | None
    end: int | None
    """The high watermark."""
    stable: int | None
    """Where readers of committed records stop."""
    member: SeenMember | None
    unsettled: int | None = None
    """Of a share group, which settles records one by one: how many are not."""

    @property
    def lag(self) -> int | None:
        """Records that were not read; None: nobody knows."""
        if self.unsettled is not None:
            return self.unsettled
        return None if self.offset is None or self.end is None else max(0, self.end - self.offset)


class SeenGroup:
    """See the module. Good for one moment: what was looked up stays as it was."""

    def __init__(self, name: str, groups: Groups, topics: Topics) -> None:
        group = groups.get(name)
        assert isinstance(group, ClassicGroup | ConsumerGroup | ShareGroup), "the caller has seen it"
        self.name = name
        self._group = group
        self._groups = groups
        self._topics = topics

    def __repr__(self) -> str:
        return f"<SeenGroup {self._group!r}>"

    @property
    def kind(self) -> str:
        return self._group.kind

    @property
    def protocol_type(self) -> str:
        """`consumer`, or that of another kind of client; empty: there never was a member."""
        return self._group.protocol_type or ""

    @property
    def protocol(self) -> str:
        """By what partitions are dealt out."""
        group = self._group
        return group.protocol_name or "" if isinstance(group, ClassicGroup) else group.assignor

    @property
    def state(self) -> str:
        return self._group.state_name

    @property
    def is_empty(self) -> bool:
        return self._group.is_empty

    @property
    def generation(self) -> int:
        """Rounds of a classic group, the epoch of the other kinds."""
        group = self._group
        return group.generation if isinstance(group, ClassicGroup) else group.epoch

    @property
    def leader(self) -> str | None:
        """The member that deals out, in a classic group."""
        return self._group.leader if isinstance(self._group, ClassicGroup) else None

    @property
    def since_ms(self) -> int | None:
        """Since when it is in this state; None: of this kind nobody notes it."""
        return self._group.since_ms if isinstance(self._group, ClassicGroup) else None

    @property
    def member_count(self) -> int:
        return len(self._group.members)

    @cached_property
    def members(self) -> list[SeenMember]:
        group = self._group
        if isinstance(group, ConsumerGroup):
            return [self._consumer(member) for member in group.members.values()]
        if isinstance(group, ShareGroup):
            return [self._sharer(group, member) for member in group.members.values()]
        return [self._member(group, member) for member in group.members.values()]

    def _member(self, group: ClassicGroup, member: Member) -> SeenMember:
        preparing, completing = group.is_joining, group.is_syncing
        waits_for = ""
        if preparing and member.on_joined is None:
            waits_for = "join"
        elif completing and member.on_synced is None:
            waits_for = "sync"
        return SeenMember(
            member.id,
            member.instance_id,
            member.client_id,
            member.client_host.lstrip("/"),
            sorted(topics_of(member.bytes_for(group.protocol_name))),
            assignment_of(member.assignment),
            group.heard_ms(member),
            waits_for,
        )

    def _consumer(self, member: ConsumerMember) -> SeenMember:
        return SeenMember(
            member.id,
            member.instance_id,
            member.client_id,
            member.client_host.lstrip("/"),
            sorted(member.topics),
            self._named(member.assigned),
            member.silent_ms - self._groups.session_timeout_ms(self.name),
            {"UNREVOKED": "revoke", "UNRELEASED": "release"}.get(member.state.name, ""),
        )

    def _sharer(self, group: ShareGroup, member: ShareMember) -> SeenMember:
        return SeenMember(
            member.id,
            None,
            member.client_id,
            member.client_host.lstrip("/"),
            list(member.names),
            self._named(member.assigned),
            member.silent_ms - group.settings.session_timeout_ms,
            "",
        )

    def _named(self, parts: frozenset[tuple[bytes, int]]) -> Assigned:
        found = ((self._topics.by_id(topic_id), numbers) for topic_id, numbers in topics_by_id(parts).items())
        return {topic.name: numbers for topic, numbers in found if topic is not None}

    @cached_property
    def places(self) -> list[Place]:
        """Every partition that it has committed for, or that a member reads, in order."""
        group = self._group
        readers = {
            (topic, partition): member
            for member in self.members
            for topic, partitions in member.assigned.items()
            for partition in partitions
        }
        if isinstance(group, ShareGroup):
            parts = sorted(group.parts.values(), key=lambda one: one.place)
            return [self._shared(one, readers.get(one.place)) for one in parts]
        committed = self._groups.offsets(self.name)
        wanted = {(topic, partition) for topic, partition, _ in committed} | readers.keys()
        return [self._place(*place, readers.get(place)) for place in sorted(wanted)]

    def _place(self, topic: str, partition: int, reader: SeenMember | None) -> Place:
        found = self._topics.get(topic)
        committed = self._groups.offsets(self.name).get(topic, partition)
        if committed is not None and found is not None and committed.topic_id != found.id:
            # Of a topic before it that had the same name.
            committed = None
        log: PartitionLog | None = None
        if found is not None and 0 <= partition < len(found.partitions):
            log = found.partitions[partition].log
        return Place(
            topic,
            partition,
            None if committed is None else committed.offset,
            -1 if committed is None else committed.leader_epoch,
            "" if committed is None else committed.metadata,
            None if committed is None else committed.committed_ms,
            None if log is None else log.offsets().start,
            None if log is None else log.committed,
            None if log is None else log.last_stable,
            reader,
        )

    @staticmethod
    def _shared(one: SharePartition, reader: SeenMember | None) -> Place:
        """A share group is where all before is settled; of what is beyond, its lag counts what is not.

        Of several members that have the partition one is named.
        """
        partition = one.partition
        log = None if partition is None else partition.log
        return Place(
            *one.place,
            None if one.state is None else one.state.start,
            -1,
            "",
            None,
            None if log is None else log.offsets().start,
            None if log is None else log.committed,
            None if log is None else log.last_stable,
            reader,
            None if one.state is None or log is None else one.lag,
        )

    @property
    def lag(self) -> int | None:
        """Of all partitions together, as far as it is known; None: of none."""
        known = [place.lag for place in self.places if place.lag is not None]
        return sum(known) if known else None

    @property
    def committed(self) -> int:
        """All committed offsets together, whose growth is how much is read."""
        return sum(place.offset for place in self.places if place.offset is not None)


def seen_groups(groups: Groups, topics: Topics) -> Iterator[SeenGroup]:
    """All groups, by name."""
    for name in sorted(group.name for group in groups):
        if groups.get(name) is not None:
            yield SeenGroup(name, groups, topics)
