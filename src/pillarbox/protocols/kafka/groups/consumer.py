"""A consumer group: the broker deals out partitions, and members take steps towards it one by one (KIP-848).

There are no rounds in which all stop. The group has an epoch, which a change of members, subscriptions or
topics moves on; for each epoch there is a target for every member. A member first gives up what it is not to
have any more, says so, and then has what others have given up. Its own epoch says which target it has
reached.

Not here: who gets what (`assignors`), the wire and permissions (`api`), committed offsets (`offsets`).

Invariants: no partition is with two members, what one is giving up counted as its own; a member's epoch is
never beyond that of the targets, and neither beyond the group's.

Source: KIP-848, KIP-1082 (ids that clients make); Kafka's protocol guide, "ConsumerGroupHeartbeat"; row K55.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple, Protocol

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.assignors import ASSIGNORS, NO_PARTS, Part, Parts, Wish
from pillarbox.protocols.kafka.groups.records import Committed, ConsumerMemberRecord
from pillarbox.protocols.kafka.groups.subscription import CONSUMER

JOINS: Final = 0
LEAVES: Final = -1
LEAVES_FOR_A_WHILE: Final = -2
"""Member epochs that are none: an instance that goes so keeps its part for a session's time."""
STABLE: Final = "Stable"
"""The state of a group whose members have all reached their targets."""


class MemberState(Enum):
    """How far a member is on the way to its target."""

    STABLE = "has what it is to have"
    UNREVOKED = "has yet to give up something"
    UNRELEASED = "waits for what others have yet to give up"


class Topic(NamedTuple):
    """What a group has to know of a topic."""

    id: bytes
    partition_count: int


class Classic(NamedTuple):
    """What a member says besides that speaks the classic protocol (see `mixed`)."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    """What it can speak, best first, and its bytes for each."""


class Beat(NamedTuple):
    """What a member says; None: as before."""

    member_id: str
    epoch: int
    instance_id: str | None
    rack_id: str | None
    rebalance_timeout_ms: int
    names: tuple[str, ...] | None
    pattern: re.Pattern[str] | None
    assignor: str | None
    owned: Parts | None
    client_id: str
    client_host: str
    may_read: Callable[[str], bool]
    """Which topics a pattern may find."""
    classic: Classic | None = None

    @property
    def is_whole(self) -> bool:
        """Says everything, as at first, or when the last answer was not heard."""
        told = self.names is not None or self.pattern is not None
        return self.rebalance_timeout_ms != -1 and told and self.owned is not None


class Told(NamedTuple):
    """What a member is told; `assignment` None: as before."""

    error: ErrorCode
    message: str | None
    member_id: str
    epoch: int = 0
    assignment: Parts | None = None


class Refused(Exception):
    """Why a member is not heard."""

    def __init__(self, error: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error = error


class ConsumerMember:
    """One member; `silent_ms`: when it is given up; `revoke_due_ms`: until when it has to have given up."""

    __slots__ = (
        "assigned",
        "assignor",
        "classic",
        "client_host",
        "client_id",
        "epoch",
        "epoch_before",
        "id",
        "instance_id",
        "matched",
        "matched_ms",
        "names",
        "pattern",
        "rack_id",
        "rebalance_timeout_ms",
        "revoke_due_ms",
        "revoking",
        "silent_ms",
        "state",
        "target",
    )

    def __init__(self, member_id: str, instance_id: str | None = None) -> None:
        self.id = member_id
        self.instance_id = instance_id
        self.rack_id: str | None = None
        self.client_id = self.client_host = ""
        self.rebalance_timeout_ms = 0
        self.names: tuple[str, ...] = ()
        self.pattern: re.Pattern[str] | None = None
        self.matched: frozenset[str] = frozenset()
        """Topics that the pattern has found."""
        self.matched_ms = 0
        self.assignor: str | None = None
        self.classic: Classic | None = None
        """None: it speaks the new protocol."""
        self.epoch = self.epoch_before = 0
        self.state = MemberState.STABLE
        self.assigned = self.revoking = self.target = NO_PARTS
        self.silent_ms = 0
        self.revoke_due_ms: int | None = None

    def __repr__(self) -> str:
        return f"<ConsumerMember {self.id} epoch={self.epoch} {self.state.name} parts={len(self.assigned)}>"

    @property
    def topics(self) -> frozenset[str]:
        """Names of all topics that it wants."""
        return self.matched.union(self.names)

    @property
    def has_left(self) -> bool:
        """An instance that is away and may come back."""
        return self.epoch == LEAVES_FOR_A_WHILE

    def record(self) -> ConsumerMemberRecord:
        return ConsumerMemberRecord(
            self.id,
            self.instance_id,
            self.rack_id,
            self.client_id,
            self.client_host,
            self.rebalance_timeout_ms,
            self.names,
            None if self.pattern is None else self.pattern.pattern,
            tuple(sorted(self.matched)),
            self.assignor,
            self.epoch,
            self.epoch_before,
            self.state.name,
            tuple(sorted(self.assigned)),
            tuple(sorted(self.revoking)),
            self.classic,
        )


class ConsumerHost(Protocol):
    """What such a group needs of where it lives."""

    @property
    def now_ms(self) -> int: ...
    def session_timeout_ms(self, group: str) -> int: ...
    def heartbeat_ms(self, group: str) -> int: ...
    @property
    def consumer_group_size_max(self) -> int: ...
    def alarm(self, group: ConsumerGroup, due_ms: int) -> None: ...
    def topic(self, name: str) -> Topic | None: ...
    def topic_names(self) -> Iterable[str]: ...
    def keep_member(self, group: ConsumerGroup, member_id: str, member: ConsumerMember | None) -> None:
        """What is to survive a restart of a member has changed; None: it is gone."""

    def keep_consumers(self, group: ConsumerGroup) -> None:
        """The epoch has changed."""

    def turn_classic(self, group: ConsumerGroup, *, together: bool) -> object:
        """Only classic members are left; `together`: who have to join again."""


class ConsumerGroup:
    """See the module."""

    kind = "consumer"
    protocol_type = CONSUMER

    def __init__(self, name: str, host: ConsumerHost, epoch: int = 0) -> None:
        self.name = name
        self.epoch = self.assignment_epoch = epoch
        self.assignor = next(iter(ASSIGNORS))
        self.members: dict[str, ConsumerMember] = {}
        self.instances: dict[str, str] = {}
        self._host = host
        self._owners: dict[Part, str] = {}
        """Which member has a partition, or is giving it up."""
        self._topics: dict[str, Topic] = {}
        """All topics that members want, as they were when the epoch was last moved on."""
        self._alarm_ms: int | None = None

    def __repr__(self) -> str:
        return f"<ConsumerGroup {self.name} epoch={self.epoch} members={len(self.members)}>"

    @property
    def state_name(self) -> str:
        if not self.members:
            return "Empty"
        if self.epoch > self.assignment_epoch:
            return "Assigning"
        return STABLE if all(map(self._is_done, self.members.values())) else "Reconciling"

    def _is_done(self, member: ConsumerMember) -> bool:
        return member.state is MemberState.STABLE and member.epoch == self.assignment_epoch

    @property
    def is_empty(self) -> bool:
        return not self.members

    is_idle = is_empty

    @property
    def is_classic(self) -> bool:
        """Whether there are members, and none of them speaks the new protocol."""
        return bool(self.members) and all(one.classic is not None for one in self.members.values())

    # --- heartbeats --------------------------------------------------------------------------------

    def heartbeat(self, beat: Beat) -> Told:
        """A member joins, is there, or leaves; it is told what it is to have."""
        try:
            if beat.epoch < JOINS:
                return self._leave(beat)
            member, is_new = self._member(beat)
        except Refused as refused:
            return Told(refused.error, str(refused), beat.member_id)
        had = member.assigned
        if self._take_in(member, beat) or is_new or self._topics_changed():
            self._move_on()
        if self.epoch > self.assignment_epoch:
            self._assign()
        if self._reconcile(member, beat.owned if beat.epoch != JOINS else NO_PARTS):
            self._host.keep_member(self, member.id, member)
        self._listen(member)
        tell = beat.epoch == JOINS or beat.is_whole or member.assigned != had
        return Told(ErrorCode.NONE, None, member.id, member.epoch, member.assigned if tell else None)

    def _listen(self, member: ConsumerMember) -> None:
        """It is there: its silence begins anew."""
        classic = member.classic
        session_ms = (
            self._host.session_timeout_ms(self.name) if classic is None else classic.session_timeout_ms
        )
        member.silent_ms = self._host.now_ms + session_ms
        self._look_later()

    def _member(self, beat: Beat) -> tuple[ConsumerMember, bool]:
        """Who says this, and whether it is new. Raises Refused."""
        if beat.instance_id is not None:
            return self._instance(beat, beat.instance_id)
        member = self.members.get(beat.member_id)
        if member is None:
            if beat.epoch != JOINS:
                raise Refused(
                    ErrorCode.UNKNOWN_MEMBER_ID, f"Member {beat.member_id} is not a member of {self.name}."
                )
            return self._admit(ConsumerMember(beat.member_id)), True
        self._check_epoch(member, beat)
        return member, False

    def _instance(self, beat: Beat, instance_id: str) -> tuple[ConsumerMember, bool]:
        """The same for one that has a name of its own."""
        known = self.members.get(self.instances.get(instance_id, ""))
        if beat.epoch != JOINS:
            member = self._named(beat, instance_id)
            self._check_epoch(member, beat)
            return member, False
        if known is None:
            return self._admit(ConsumerMember(beat.member_id, instance_id)), True
        if known.id != beat.member_id:
            if not known.has_left:
                text = f"Static member {known.id} with instance id {instance_id} was not yet released."
                raise Refused(ErrorCode.UNRELEASED_INSTANCE_ID, text)
            self._take_over(known, beat.member_id)
        known.epoch = JOINS
        return known, False

    def _named(self, beat: Beat, instance_id: str) -> ConsumerMember:
        """The member that has this instance, if it is the one that says so. Raises Refused."""
        member = self.members.get(self.instances.get(instance_id, ""))
        if member is None:
            text = f"Instance id {instance_id} is unknown."
            raise Refused(ErrorCode.UNKNOWN_MEMBER_ID, text)
        if member.id != beat.member_id:
            text = f"Static member {beat.member_id} with instance id {instance_id} was fenced by {member.id}."
            raise Refused(ErrorCode.FENCED_INSTANCE_ID, text)
        return member

    def _check_epoch(self, member: ConsumerMember, beat: Beat) -> None:
        """Is the member where the group believes it is? It may not have heard the last answer, if it has
        nothing that it is not to have. Raises Refused."""
        if beat.epoch in (JOINS, member.epoch):
            return
        unheard = beat.epoch == member.epoch_before and beat.owned is not None
        if not unheard or not beat.owned <= member.assigned:  # type: ignore[operator]
            text = f"The member epoch {beat.epoch} is not the one of the group, {member.epoch}."
            raise Refused(ErrorCode.FENCED_MEMBER_EPOCH, text)

    def _admit(self, member: ConsumerMember) -> ConsumerMember:
        """Take in somebody new, if there is room. Raises Refused."""
        if len(self.members) >= self._host.consumer_group_size_max:
            text = f"The group has reached its maximum size of {self._host.consumer_group_size_max} members."
            raise Refused(ErrorCode.GROUP_MAX_SIZE_REACHED, text)
        return self._add(member)

    def _add(self, member: ConsumerMember) -> ConsumerMember:
        """Have it as a member. Whoever was one before stays one, whatever has become of the limit."""
        self.members[member.id] = member
        if member.instance_id is not None:
            self.instances[member.instance_id] = member.id
        return member

    def _take_over(self, member: ConsumerMember, new_id: str) -> None:
        """An instance has come back under a new id: all that was with it is its own again."""
        assert member.instance_id is not None
        self._host.keep_member(self, member.id, None)
        del self.members[member.id]
        member.id = new_id
        self.members[new_id] = member
        self.instances[member.instance_id] = new_id
        self._own(member, member.assigned, member.revoking)

    def _take_in(self, member: ConsumerMember, beat: Beat) -> bool:
        """Note what the member says; whether it wants other topics than before."""
        wanted = member.topics
        before = member.record()
        if beat.epoch == JOINS:
            member.names, member.pattern = (), None
        member.client_id, member.client_host = beat.client_id, beat.client_host
        member.classic = beat.classic
        member.rack_id = beat.rack_id if beat.rack_id is not None else member.rack_id
        member.assignor = beat.assignor if beat.assignor is not None else member.assignor
        if beat.rebalance_timeout_ms != -1:
            member.rebalance_timeout_ms = beat.rebalance_timeout_ms
        if beat.names is not None:
            member.names = beat.names
        if beat.pattern is not None:
            member.pattern = beat.pattern if beat.pattern.pattern else None
        self._match(member, beat, before.pattern)
        if member.record() != before:
            self._host.keep_member(self, member.id, member)
        return member.topics != wanted

    def _match(self, member: ConsumerMember, beat: Beat, before: str | None) -> None:
        """See which topics a member's pattern finds: at once if it is new, then at each heartbeat."""
        now_ms = self._host.now_ms
        if member.pattern is None:
            member.matched = frozenset()
        elif member.pattern.pattern != before or now_ms - member.matched_ms >= self._host.heartbeat_ms(
            self.name
        ):
            fits = member.pattern.fullmatch
            member.matched_ms = now_ms
            member.matched = frozenset(
                name for name in self._host.topic_names() if fits(name) and beat.may_read(name)
            )

    # --- targets -----------------------------------------------------------------------------------

    def _topics_changed(self) -> bool:
        return self._wanted_topics() != self._topics

    def _wanted_topics(self) -> dict[str, Topic]:
        names = frozenset[str]().union(*(member.topics for member in self.members.values()))
        found = ((name, self._host.topic(name)) for name in sorted(names))
        return {name: topic for name, topic in found if topic is not None}

    def _move_on(self) -> None:
        """Something has changed by which targets have to be made anew."""
        self.epoch += 1
        self._topics = self._wanted_topics()
        self._host.keep_consumers(self)

    def _assign(self) -> None:
        """Give everybody a target."""
        liked = Counter(one.assignor for one in self.members.values() if one.assignor is not None)
        self.assignor = liked.most_common(1)[0][0] if liked else next(iter(ASSIGNORS))
        topics = self._topics
        wishes = {
            member.id: Wish(
                frozenset(topics[name].id for name in member.topics if name in topics),
                member.target or member.assigned,
                member.instance_id,
            )
            for member in self.members.values()
        }
        targets = ASSIGNORS[self.assignor](
            wishes, {topic.id: topic.partition_count for topic in topics.values()}
        )
        for member_id, target in targets.items():
            self.members[member_id].target = target
        self.assignment_epoch = self.epoch

    # --- the way to a target -----------------------------------------------------------------------

    def _reconcile(self, member: ConsumerMember, owned: Parts | None) -> bool:
        """Let a member take the next step to its target, if it may; whether anything has changed.

        `owned` is what it says that it has; None: it says nothing about that, so it may have all that it had.
        """
        if member.state is MemberState.UNREVOKED and (owned is None or owned & member.revoking):
            return False
        if self._is_done(member):
            return False
        kept = member.assigned & member.target
        given_up = member.assigned - member.target
        if given_up and (owned is None or owned & given_up):
            member.state = MemberState.UNREVOKED
            member.revoke_due_ms = self._host.now_ms + member.rebalance_timeout_ms
            self._own(member, kept, given_up)
            return True
        free = frozenset(
            part for part in member.target - kept if self._owners.get(part, member.id) == member.id
        )
        before = (member.state, member.epoch, member.assigned)
        self._own(member, kept | free, NO_PARTS)
        member.revoke_due_ms = None
        member.state = MemberState.STABLE if member.assigned == member.target else MemberState.UNRELEASED
        if member.epoch != self.assignment_epoch:
            member.epoch_before, member.epoch = member.epoch, self.assignment_epoch
        return before != (member.state, member.epoch, member.assigned)

    def _own(self, member: ConsumerMember, assigned: Parts, revoking: Parts) -> None:
        """What is a member's own now."""
        for part in member.assigned | member.revoking:
            self._owners.pop(part, None)
        member.assigned, member.revoking = assigned, revoking
        self._owners.update(dict.fromkeys(assigned | revoking, member.id))

    # --- leaving -----------------------------------------------------------------------------------

    def _leave(self, beat: Beat) -> Told:
        if beat.instance_id is not None:
            member = self._named(beat, beat.instance_id)
        elif beat.member_id in self.members:
            member = self.members[beat.member_id]
        else:
            text = f"Member {beat.member_id} is not a member of {self.name}."
            raise Refused(ErrorCode.UNKNOWN_MEMBER_ID, text)
        if beat.epoch == LEAVES_FOR_A_WHILE:
            self._own(member, member.assigned, NO_PARTS)
            member.state, member.revoke_due_ms = MemberState.STABLE, None
            member.epoch = LEAVES_FOR_A_WHILE
            self._host.keep_member(self, member.id, member)
        else:
            self._remove([member])
        return Told(ErrorCode.NONE, None, beat.member_id, beat.epoch)

    def remove(self, member_ids: Iterable[str]) -> None:
        """Take members out, as an admin wants it."""
        self._remove([self.members[member_id] for member_id in member_ids])

    def _remove(self, members: list[ConsumerMember]) -> None:
        """Take members out: the others get what they had, at their next heartbeats."""
        for member in members:
            self._own(member, NO_PARTS, NO_PARTS)
            del self.members[member.id]
            if member.instance_id is not None:
                del self.instances[member.instance_id]
            self._host.keep_member(self, member.id, None)
        if not members:
            return
        if self.is_classic:
            self._host.turn_classic(self, together=True)
            return
        self._move_on()
        if not self.members:
            self.assignment_epoch = self.epoch

    # --- classic members: see `mixed` --------------------------------------------------------------

    def adopt(self, member: ConsumerMember, parts: Parts) -> None:
        """Take over a member of the classic group that this one was, with what it has."""
        self._add(member)
        member.epoch = member.epoch_before = self.epoch
        self._own(member, frozenset(part for part in parts if part not in self._owners), NO_PARTS)
        self._topics = self._wanted_topics()
        self._host.keep_member(self, member.id, member)
        self._listen(member)

    def release(self, instance_id: str) -> None:
        """The instance comes back under another id, which fences the one that it had."""
        self.members[self.instances[instance_id]].epoch = LEAVES_FOR_A_WHILE

    def hear(self, member: ConsumerMember) -> bool:
        """A classic member is there; whether it has to join again, for which it has its own time."""
        self._listen(member)
        owner = self._owners.get
        waits = any(owner(part, member.id) != member.id for part in member.target - member.assigned)
        has_to = (
            member.epoch < self.epoch
            or member.state is MemberState.UNREVOKED
            or (member.state is MemberState.UNRELEASED and not waits)
        )
        if has_to and member.revoke_due_ms is None:
            member.revoke_due_ms = self._host.now_ms + member.rebalance_timeout_ms
            self._look_later()
        return has_to

    def assigned_by_name(self, member: ConsumerMember) -> dict[str, list[int]]:
        """What a member has, by the names of the topics."""
        names = {topic.id: name for name, topic in self._topics.items()}
        return {
            names[topic]: numbers
            for topic, numbers in topics_by_id(member.assigned).items()
            if topic in names
        }

    # --- offsets -----------------------------------------------------------------------------------

    def check_commit(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """May offsets be committed so? Nobody may while there are no members."""
        if generation < 0 and not self.members:
            return ErrorCode.NONE
        return self._check(member_id, generation)

    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode:
        """May offsets be read so? By anybody who does not say that it is a member, and by members."""
        if not member_id and member_epoch < 0:
            return ErrorCode.NONE
        return self._check(member_id or "", member_epoch)

    def _check(self, member_id: str, epoch: int) -> ErrorCode:
        member = self.members.get(member_id)
        if member is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if epoch == member.epoch:
            return ErrorCode.NONE
        return ErrorCode.STALE_MEMBER_EPOCH if member.classic is None else ErrorCode.ILLEGAL_GENERATION

    def check_offset_delete(self) -> ErrorCode:
        return ErrorCode.NONE

    def is_subscribed(self, topic: str) -> bool:
        return any(topic in member.topics for member in self.members.values())

    def ages_from_ms(self, topic: str, committed: Committed) -> int | None:
        """Offsets of what nobody wants any more grow old from their commit on."""
        return None if self.is_subscribed(topic) else committed.committed_ms

    # --- time --------------------------------------------------------------------------------------

    def on_timer(self, now_ms: int) -> None:
        """Give up who is silent, or has not given up in time what it was to."""
        self._alarm_ms = None
        self._remove([one for one in self.members.values() if self._due_ms(one) <= now_ms])
        self._look_later()

    @staticmethod
    def _due_ms(member: ConsumerMember) -> int:
        revoke_ms = member.revoke_due_ms
        return member.silent_ms if revoke_ms is None else min(member.silent_ms, revoke_ms)

    def _look_later(self) -> None:
        due_ms = min(map(self._due_ms, self.members.values()), default=None)
        if due_ms is not None and (self._alarm_ms is None or due_ms < self._alarm_ms):
            self._alarm_ms = due_ms
            self._host.alarm(self, due_ms)

    # --- restarts ----------------------------------------------------------------------------------

    def restore(self, record: ConsumerMemberRecord) -> None:
        """Have a member as it was kept; it has a session's time to be heard of.

        Targets are not kept. They are made anew at the first heartbeat, in the next epoch, from what members
        have, so that nobody has to give up anything.
        """
        member = self._add(ConsumerMember(record.id, record.instance_id))
        member.rack_id, member.assignor = record.rack_id, record.assignor
        member.client_id, member.client_host = record.client_id, record.client_host
        member.rebalance_timeout_ms = record.rebalance_timeout_ms
        member.names, member.matched = record.names, frozenset(record.matched)
        member.pattern = None if record.pattern is None else re.compile(record.pattern)
        member.epoch, member.epoch_before = record.epoch, record.epoch_before
        member.classic = None if record.classic is None else Classic(*record.classic)
        member.state = MemberState[record.state]
        self._own(member, frozenset(record.assigned), frozenset(record.revoking))
        if member.state is MemberState.UNREVOKED:
            member.revoke_due_ms = self._host.now_ms + member.rebalance_timeout_ms
        self._listen(member)

    def delete(self) -> None:
        """It is gone for good; only an empty group may be deleted."""
        assert not self.members, f"{self!r} is deleted"


def topics_by_id(parts: Iterable[Part]) -> Mapping[bytes, list[int]]:
    """Partitions by topic id, both in order."""
    found: dict[bytes, list[int]] = {}
    for topic, number in sorted(parts):
        found.setdefault(topic, []).append(number)
    return found
