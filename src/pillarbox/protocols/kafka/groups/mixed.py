"""A consumer group as those of its members see it that speak the classic protocol: both at once (KIP-848).

A group that is moved from one protocol to the other, member by member, is a consumer group all that time: it
becomes one with the first member that speaks the new protocol, and is a classic one again when the last of
those is gone, or its instance has come back as one of the others. A classic member joins and is answered at
once, without a round; its generation is its epoch; what it is to have it hears by SyncGroup, as bytes that
only a leader would have written else. A heartbeat tells it to join again when it has to take a step: to give
up something, or to get something.

Not here: targets and steps (`consumer`), rounds (`classic`), when groups change their kind (`coordinator`).

Source: KIP-848, "Supporting Online Consumer Group Upgrade"; Kafka's `GroupMetadataManager`, its methods
`classicGroup...ToConsumerGroup`; row K55.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.consumer import (
    JOINS,
    STABLE,
    Beat,
    Classic,
    ConsumerMember,
    MemberState,
    Topic,
)
from pillarbox.protocols.kafka.groups.member import Joined, Joining, OnJoined, OnSynced, Synced, Syncing
from pillarbox.protocols.kafka.groups.subscription import (
    CONSUMER,
    assignment_bytes,
    is_plain_assignment,
    is_subscription,
    owned_of,
    topics_of,
    version_of,
)

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.groups.assignors import Part
    from pillarbox.protocols.kafka.groups.classic import ClassicGroup
    from pillarbox.protocols.kafka.groups.consumer import ConsumerGroup


class Host(Protocol):
    """What is needed of where groups live."""

    def new_id(self) -> str: ...
    def topic(self, name: str) -> Topic | None: ...
    def turn_classic(self, group: ConsumerGroup, *, together: bool) -> ClassicGroup: ...


class ClassicSide:
    """See the module; the methods are those of `ClassicGroup`."""

    def __init__(self, group: ConsumerGroup, host: Host) -> None:
        self._group = group
        self._host = host

    def __repr__(self) -> str:
        return f"<ClassicSide of {self._group!r}>"

    def join(self, joining: Joining, on_joined: OnJoined) -> None:
        """Take somebody in, or in again; answered at once."""
        member_id = joining.member_id or self._host.new_id()
        if not self._speaks(joining):
            on_joined(Joined(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, joining.member_id))
            return
        if not joining.member_id and joining.instance_id is None and joining.needs_id:
            on_joined(Joined(ErrorCode.MEMBER_ID_REQUIRED, member_id))
            return
        told = self._group.heartbeat(self._beat(joining, member_id))
        if told.error:
            on_joined(Joined(told.error, joining.member_id))
            return
        spoken: str | None = joining.protocols[0][0]
        if self._group.is_classic:
            # It has taken the place of the last one that spoke the new protocol.
            unfinished = self._group.state_name != STABLE
            spoken = self._host.turn_classic(self._group, together=unfinished).protocol_name
        on_joined(Joined(ErrorCode.NONE, member_id, told.epoch, CONSUMER, spoken))

    def _speaks(self, joining: Joining) -> bool:
        """Is it a consumer, and is there something that it and all other classic members can speak?"""
        others = [
            {name for name, _ in member.classic.protocols}
            for member in self._group.members.values()
            if member.classic is not None and member.id != joining.member_id
        ]
        common = {name for name, _ in joining.protocols}.intersection(*others)
        return joining.protocol_type == CONSUMER and bool(common)

    def _beat(self, joining: Joining, member_id: str) -> Beat:
        """What a member says by joining, in the words of the other protocol."""
        said = joining.protocols[0][1]
        group, instance_id = self._group, joining.instance_id
        if instance_id is not None and group.instances.get(instance_id, member_id) != member_id:
            group.release(instance_id)
        member = group.members.get(member_id)
        return Beat(
            member_id,
            JOINS if member is None else member.epoch,
            instance_id,
            None,
            joining.rebalance_timeout_ms,
            tuple(sorted(topics_of(said))),
            None,
            None,
            self._parts(owned_of(said)),
            joining.client_id,
            joining.client_host,
            lambda name: False,
            Classic(joining.session_timeout_ms, tuple(joining.protocols)),
        )

    def _parts(self, by_name: dict[str, list[int]]) -> frozenset[Part]:
        return known_parts(by_name, self._host)

    def sync(self, syncing: Syncing, on_synced: OnSynced) -> None:
        """Tell a member its part."""
        member, error = self._find(syncing.member_id, syncing.instance_id, syncing.generation)
        if member is None or member.classic is None:
            on_synced(Synced(error))
            return
        name, said = member.classic.protocols[0]
        if syncing.protocol_type not in (None, CONSUMER) or syncing.protocol_name not in (None, name):
            error = ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        elif self._group.epoch > member.epoch and member.state is not MemberState.UNREVOKED:
            error = ErrorCode.REBALANCE_IN_PROGRESS
        if error:
            on_synced(Synced(error))
            return
        part = assignment_bytes(version_of(said), self._group.assigned_by_name(member))
        on_synced(Synced(ErrorCode.NONE, part, CONSUMER, name))

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """A member is there; the answer says whether it has to join again."""
        member, error = self._find(member_id, instance_id, generation)
        if member is None:
            return error
        return ErrorCode.REBALANCE_IN_PROGRESS if self._group.hear(member) else ErrorCode.NONE

    def _find(
        self, member_id: str, instance_id: str | None, generation: int
    ) -> tuple[ConsumerMember | None, ErrorCode]:
        """The classic member that this is; None, and why: it is none, or not at that place."""
        group = self._group
        if instance_id is not None and group.instances.get(instance_id) not in (None, member_id):
            return None, ErrorCode.FENCED_INSTANCE_ID
        member = group.members.get(member_id)
        if member is None or member.classic is None:
            return None, ErrorCode.UNKNOWN_MEMBER_ID
        if generation != member.epoch:
            return None, ErrorCode.ILLEGAL_GENERATION
        return member, ErrorCode.NONE

    def leave(self, leavers: Sequence[tuple[str, str | None]]) -> list[ErrorCode]:
        """Let members go, each (member id, instance id); without an id the instance is enough."""
        group, answers, gone = self._group, [], []
        for member_id, instance_id in leavers:
            known = member_id if instance_id is None else group.instances.get(instance_id, "")
            if known not in group.members:
                answers.append(ErrorCode.UNKNOWN_MEMBER_ID)
            elif member_id not in ("", known):
                answers.append(ErrorCode.FENCED_INSTANCE_ID)
            else:
                answers.append(ErrorCode.NONE)
                gone.append(known)
        group.remove(dict.fromkeys(gone))
        return answers


def can_turn_new(group: ClassicGroup) -> bool:
    """Are there members, all of whom say what a broker can read and deal out itself?"""
    return (
        bool(group.members)
        and group.protocol_type == CONSUMER
        and all(
            is_subscription(member.protocols[0][1]) and is_plain_assignment(member.assignment)
            for member in group.members.values()
        )
    )


def known_parts(by_name: dict[str, list[int]], host: Host) -> frozenset[Part]:
    """Partitions by topic id, of the topics that are there."""
    found = ((host.topic(name), numbers) for name, numbers in by_name.items())
    return frozenset(
        (topic.id, number)
        for topic, numbers in found
        if topic is not None
        for number in numbers
        if 0 <= number < topic.partition_count
    )
