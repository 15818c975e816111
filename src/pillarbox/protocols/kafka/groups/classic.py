"""A classic group: its members join, one of them deals out the work, all are told, until something changes.

The broker does not know what is dealt out (K51): a member brings bytes for each protocol it can speak, the
group settles on one, its leader sees the bytes of all and answers with bytes for each. Rounds are counted in
generations. A broken connection removes nobody; silence for a session timeout does.

Not here: bytes of the wire and permissions (`api`), committed offsets (`offsets`), where groups are
(`coordinator`).

Invariants: the leader is a member; each member of a group that is not preparing speaks `protocol_name`;
`instances` names members of this group only.

Source: Kafka's protocol guide, "JoinGroup" to "LeaveGroup"; KIP-62 (timeouts), KIP-345 (static members),
KIP-394 (member id required), KIP-429 (cooperative), KIP-814 (assignment skipped); rows K50-K53.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.member import (
    Joined,
    Joining,
    Member,
    OnJoined,
    OnSynced,
    Protocols,
    Synced,
    Syncing,
)
from pillarbox.protocols.kafka.groups.records import Committed, GroupRecord, MemberRecord
from pillarbox.protocols.kafka.groups.subscription import CONSUMER, topics_of

NEW_MEMBER_MS: Final = 300_000
"""A member that is new knows no id by which it could be heard of; it may wait so long for an answer."""

AGAIN_MS: Final = 1_000
"""How soon at the earliest a round is looked at again that nobody came to."""


class State(Enum):
    """Where a group stands; values are what Kafka's tools show."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class Input(Enum):
    """What moves a group from one state to another."""

    REBALANCE = "a new round has to begin"
    JOINED = "all are here who will be"
    DESERTED = "the round began, and nobody came"
    ASSIGNED = "the leader has dealt out"
    DELETED = "it is deleted"


TRANSITIONS: Final = {
    (State.EMPTY, Input.REBALANCE): State.PREPARING,
    (State.STABLE, Input.REBALANCE): State.PREPARING,
    (State.COMPLETING, Input.REBALANCE): State.PREPARING,
    (State.PREPARING, Input.JOINED): State.COMPLETING,
    (State.PREPARING, Input.DESERTED): State.EMPTY,
    (State.COMPLETING, Input.ASSIGNED): State.STABLE,
    (State.EMPTY, Input.DELETED): State.DEAD,
}
"""Any other pair is a mistake of this module."""

SYNC_REFUSED: Final = {
    State.EMPTY: ErrorCode.UNKNOWN_MEMBER_ID,
    State.PREPARING: ErrorCode.REBALANCE_IN_PROGRESS,
    State.DEAD: ErrorCode.COORDINATOR_NOT_AVAILABLE,
}
HEARTBEAT_ANSWERS: Final = {
    State.EMPTY: ErrorCode.UNKNOWN_MEMBER_ID,
    State.PREPARING: ErrorCode.REBALANCE_IN_PROGRESS,
    State.COMPLETING: ErrorCode.NONE,
    State.STABLE: ErrorCode.NONE,
    State.DEAD: ErrorCode.COORDINATOR_NOT_AVAILABLE,
}


class Host(Protocol):
    """What a group needs of where it lives."""

    @property
    def now_ms(self) -> int: ...
    @property
    def initial_delay_ms(self) -> int: ...
    @property
    def group_size_max(self) -> int: ...
    def new_member_id(self, prefix: str) -> str: ...
    def alarm(self, group: ClassicGroup, due_ms: int) -> None:
        """Call the group's `on_timer` when the time has come."""

    def keep(self, group: ClassicGroup) -> None:
        """What is to survive a restart has changed."""


class ClassicGroup:
    """See the module."""

    kind = "classic"

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.state = State.EMPTY
        self.generation = 0
        self.protocol_type: str | None = None
        """None: a group that never had members, only offsets."""
        self.protocol_name: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.instances: dict[str, str] = {}
        """Member id by instance id."""
        self.since_ms = host.now_ms
        """Since when it is in this state."""
        self._host = host
        self._pending: dict[str, int] = {}
        """Ids that were given to clients which have yet to join by them, and until when they are good."""
        self._unsynced: set[str] = set()
        """Who has not asked for its part since the round ended."""
        self._initial = False
        """The round under way is the first of a group that was empty: it waits a while for more to come."""
        self._grown = False
        self._join_due_ms: int | None = None
        self._join_left_ms = 0
        self._sync_due_ms: int | None = None
        self._alarm_ms: int | None = None

    def __repr__(self) -> str:
        members = f"members={len(self.members)} pending={len(self._pending)}"
        return f"<ClassicGroup {self.name} {self.state.value} generation={self.generation} {members}>"

    @property
    def state_name(self) -> str:
        return self.state.value

    @property
    def is_empty(self) -> bool:
        return self.state is State.EMPTY

    @property
    def is_idle(self) -> bool:
        """Nobody is in it or on the way into it."""
        return self.is_empty and not self._pending

    @property
    def is_joining(self) -> bool:
        """A round is under way, and not all are here."""
        return self.state is State.PREPARING

    @property
    def is_syncing(self) -> bool:
        """All are here, and the leader has yet to deal out."""
        return self.state is State.COMPLETING

    def heard_ms(self, member: Member) -> int:
        """When a member was last heard of."""
        return member.silent_ms - (NEW_MEMBER_MS if member.is_new else member.session_timeout_ms)

    # --- join --------------------------------------------------------------------------------------

    def join(self, joining: Joining, on_joined: OnJoined) -> None:
        """Take somebody in, or in again; the answer comes when all others have joined, or at once."""
        member_id = joining.member_id
        error = self._join_refused(joining)
        if error:
            on_joined(Joined(error, "" if error is ErrorCode.GROUP_MAX_SIZE_REACHED else member_id))
        elif not member_id:
            self._join_unknown(joining, on_joined)
        elif member_id in self._pending:
            self._add(member_id, joining, on_joined)
        else:
            error = self.check_member(member_id, joining.instance_id)
            if error:
                on_joined(Joined(error, member_id))
            else:
                self._join_again(self.members[member_id], joining, on_joined)

    def _join_refused(self, joining: Joining) -> ErrorCode:
        """Why nobody may join so, whoever it is."""
        if self.state is State.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if not self._has_room(joining.member_id):
            self._drop_pending(joining.member_id)
            return ErrorCode.GROUP_MAX_SIZE_REACHED
        if not self._speaks(joining.protocol_type, joining.protocols):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        return ErrorCode.NONE

    def _has_room(self, member_id: str) -> bool:
        if self.state is State.EMPTY:
            return True
        size_max, member = self._host.group_size_max, self.members.get(member_id)
        if self.state is State.PREPARING:
            is_in = member is not None and member.on_joined is not None
            return is_in or sum(one.on_joined is not None for one in self.members.values()) < size_max
        return member is not None or len(self.members) < size_max

    def _speaks(self, protocol_type: str, protocols: Protocols) -> bool:
        """Is there something that it and all others can speak?"""
        if self.state is State.EMPTY:
            return bool(protocol_type and protocols)
        common = self._common_protocols()
        return protocol_type == self.protocol_type and any(name in common for name, _ in protocols)

    def _common_protocols(self) -> set[str]:
        counts = Counter(name for member in self.members.values() for name, _ in member.protocols)
        return {name for name, count in counts.items() if count == len(self.members)}

    def _join_unknown(self, joining: Joining, on_joined: OnJoined) -> None:
        """Take in somebody who has no id yet."""
        new_id = self._host.new_member_id(joining.instance_id or joining.client_id)
        if joining.instance_id is not None:
            old_id = self.instances.get(joining.instance_id)
            if old_id is None:
                self._add(new_id, joining, on_joined)
            else:
                self._replace(self.members[old_id], new_id, joining, on_joined)
        elif joining.needs_id:
            self._pending[new_id] = self._host.now_ms + joining.session_timeout_ms
            self._look_later()
            on_joined(Joined(ErrorCode.MEMBER_ID_REQUIRED, new_id))
        else:
            self._add(new_id, joining, on_joined)

    def _add(self, member_id: str, joining: Joining, on_joined: OnJoined) -> None:
        member = Member(member_id, joining, on_joined)
        member.silent_ms = self._host.now_ms + NEW_MEMBER_MS
        if not self.members:
            self.protocol_type = joining.protocol_type
            self.leader = member_id
        self.members[member_id] = member
        self._pending.pop(member_id, None)
        if joining.instance_id is not None:
            self.instances[joining.instance_id] = member_id
        self._grown = True
        self._rebalance_or_complete()

    def _join_again(self, member: Member, joining: Joining, on_joined: OnJoined) -> None:
        """A member joins for the next round, or because it has not heard the end of the last one."""
        unchanged = member.protocols == tuple(joining.protocols)
        knows = {
            State.COMPLETING: unchanged,
            State.STABLE: unchanged and member.id != self.leader,
        }.get(self.state, False)
        if knows:
            on_joined(self._joined(member))
        else:
            self._update(member, joining, on_joined)
            self._rebalance_or_complete()

    def _update(self, member: Member, joining: Joining, on_joined: OnJoined) -> None:
        member.answer_join(Joined(ErrorCode.REBALANCE_IN_PROGRESS, member.id))
        member.protocols = tuple(joining.protocols)
        member.session_timeout_ms = joining.session_timeout_ms
        member.rebalance_timeout_ms = joining.rebalance_timeout_ms
        member.client_id, member.client_host = joining.client_id, joining.client_host
        member.on_joined = on_joined

    def _replace(self, member: Member, new_id: str, joining: Joining, on_joined: OnJoined) -> None:
        """The instance has come back under a new id, as after its restart: the old one is fenced."""
        leader_before = self.leader
        member.answer_join(Joined(ErrorCode.FENCED_INSTANCE_ID, member.id))
        member.answer_sync(Synced(ErrorCode.FENCED_INSTANCE_ID))
        self._rename(member, new_id)
        self._update(member, joining, on_joined)
        self._hear(member)
        if self.state is not State.STABLE or self._select_protocol() != self.protocol_name:
            self._rebalance_or_complete()
            return
        self._host.keep(self)
        joined = self._joined(member)
        if joining.may_skip:
            joined = joined._replace(skip_assignment=member.id == self.leader)
        else:
            # It would deal out anew if it were told that it leads.
            joined = joined._replace(leader=leader_before or "", members=())
        member.answer_join(joined)

    def _rename(self, member: Member, new_id: str) -> None:
        assert member.instance_id is not None
        old_id, member.id = member.id, new_id
        self.members = {one.id: one for one in self.members.values()}
        self.instances[member.instance_id] = new_id
        if self.leader == old_id:
            self.leader = new_id
        if old_id in self._unsynced:
            self._unsynced.remove(old_id)
            self._unsynced.add(new_id)

    def _joined(self, member: Member) -> Joined:
        """The round as it ended, for this member."""
        protocol, members = self.protocol_name, self.members.values()
        return Joined(
            ErrorCode.NONE,
            member.id,
            self.generation,
            self.protocol_type,
            self.protocol_name,
            self.leader or "",
            members=[(one.id, one.instance_id, one.bytes_for(protocol)) for one in members]
            if member.id == self.leader
            else (),
        )

    # --- rounds ------------------------------------------------------------------------------------

    def _move(self, by: Input) -> None:
        self.state = TRANSITIONS[self.state, by]
        self.since_ms = self._host.now_ms

    def _rebalance_or_complete(self) -> None:
        """Begin a round, or end the one under way if all are here."""
        if (self.state, Input.REBALANCE) in TRANSITIONS:
            self._prepare()
        else:
            self._complete_if_all_joined()

    def _prepare(self) -> None:
        """Begin a round: all members are to join again."""
        if self.state is State.COMPLETING:
            for member in self.members.values():
                member.assignment = b""
                if member.on_synced is not None:
                    self._hear(member)
                member.answer_sync(Synced(ErrorCode.REBALANCE_IN_PROGRESS))
        self._unsynced.clear()
        self._sync_due_ms = None
        self._initial = self.state is State.EMPTY
        self._move(Input.REBALANCE)
        longest_ms = self._longest_round_ms()
        if self._initial:
            delay_ms = min(self._host.initial_delay_ms, longest_ms)
            self._wait_for_more(delay_ms, longest_ms - delay_ms)
        else:
            self._join_due_ms = self._host.now_ms + longest_ms
            self._complete_if_all_joined()
        self._look_later()

    def _wait_for_more(self, delay_ms: int, left_ms: int) -> None:
        """Let others come before the first round of an empty group ends; not at all if there is no delay."""
        self._grown = False
        self._join_due_ms, self._join_left_ms = self._host.now_ms + delay_ms, left_ms
        if delay_ms <= 0:
            self._complete()

    def _longest_round_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def _complete_if_all_joined(self) -> None:
        if self.state is not State.PREPARING or self._initial or self._pending:
            return
        if all(member.on_joined is not None for member in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        """End the joining: who is not here is out. Static members stay until they are silent for too long."""
        self._join_due_ms = None
        late = [one for one in self.members.values() if one.on_joined is None and one.instance_id is None]
        for member in late:
            self._forget(member)
        if self.members and not self._elect():
            # Static members alone are left, and none of them has come: wait on.
            self._join_due_ms = self._host.now_ms + max(self._longest_round_ms(), AGAIN_MS)
            self._look_later()
            return
        self.generation += 1
        self._initial = False
        if not self.members:
            self._move(Input.DESERTED)
            self.protocol_name = self.leader = None
            self._host.keep(self)
            return
        self.protocol_name = self._select_protocol()
        self._move(Input.JOINED)
        self._sync_due_ms = self._host.now_ms + self._longest_round_ms()
        self._unsynced = set(self.members)
        for member in list(self.members.values()):
            self._hear(member)
            member.is_new = False
            member.answer_join(self._joined(member))
        self._look_later()

    def _elect(self) -> bool:
        """See that somebody leads who is here; whether there is one."""
        leader = self.members.get(self.leader or "")
        if leader is None or leader.on_joined is None:
            leader = next((one for one in self.members.values() if one.on_joined is not None), None)
        if leader is not None:
            self.leader = leader.id
        return leader is not None

    def _select_protocol(self) -> str:
        """The protocol most of them like best, of those that all can speak."""
        common = self._common_protocols()
        votes = Counter(
            next(name for name, _ in member.protocols if name in common) for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    # --- sync, heartbeat, leave --------------------------------------------------------------------

    def sync(self, syncing: Syncing, on_synced: OnSynced) -> None:
        """Tell a member its part when the leader has dealt out, which the leader does by this."""
        error = self._sync_refused(syncing)
        if error:
            on_synced(Synced(error))
            return
        member = self.members[syncing.member_id]
        self._unsynced.discard(member.id)
        member.answer_sync(Synced(ErrorCode.REBALANCE_IN_PROGRESS))
        member.on_synced = on_synced
        if self.state is State.STABLE:
            self._tell(member)
        elif member.id == self.leader:
            for one in self.members.values():
                one.assignment = syncing.assignments.get(one.id, b"")
            self._move(Input.ASSIGNED)
            self._host.keep(self)
            for one in list(self.members.values()):
                self._tell(one)

    def _sync_refused(self, syncing: Syncing) -> ErrorCode:
        error = self._check(syncing.member_id, syncing.instance_id, syncing.generation)
        if error:
            return error
        if syncing.protocol_type not in (None, self.protocol_type):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if syncing.protocol_name not in (None, self.protocol_name):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        return SYNC_REFUSED.get(self.state, ErrorCode.NONE)

    def _tell(self, member: Member) -> None:
        """Answer a member that waits for its part; nobody's silence counts up to here."""
        self._hear(member)
        member.answer_sync(Synced(ErrorCode.NONE, member.assignment, self.protocol_type, self.protocol_name))

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """A member is there; the answer says whether it has to join again."""
        error = self._check(member_id, instance_id, generation)
        if error:
            return error
        self._hear(self.members[member_id])
        return HEARTBEAT_ANSWERS[self.state]

    def leave(self, leavers: Sequence[tuple[str, str | None]]) -> list[ErrorCode]:
        """Let members go, each (member id, instance id); without an id the instance is enough."""
        answers = []
        before = len(self.members)
        for member_id, instance_id in leavers:
            if not member_id and instance_id is not None:
                member_id = self.instances.get(instance_id, "")
            if member_id in self._pending:
                error = ErrorCode.NONE
                self._drop_pending(member_id)
            else:
                error = self.check_member(member_id, instance_id)
                if not error:
                    self._forget(self.members[member_id])
            answers.append(error)
        if len(self.members) < before:
            self._rebalance_or_complete()
        return answers

    # --- offsets -----------------------------------------------------------------------------------

    def check_commit(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """May offsets be committed so? Nobody (an admin, a consumer that assigns partitions to itself) may
        while there are no members."""
        if self.state is State.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if generation < 0 and self.state is State.EMPTY:
            return ErrorCode.NONE
        if generation < 0 and not member_id and instance_id is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        error = self._check(member_id, instance_id, generation)
        if error:
            return error
        if self.state is State.COMPLETING:
            return ErrorCode.REBALANCE_IN_PROGRESS
        self._hear(self.members[member_id])
        return ErrorCode.NONE

    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode:
        """May offsets be read so? Here, by anybody."""
        return ErrorCode.GROUP_ID_NOT_FOUND if self.state is State.DEAD else ErrorCode.NONE

    def check_offset_delete(self) -> ErrorCode:
        """May offsets be deleted? While there are members, only if it can be seen which topics they read."""
        if self.state is State.DEAD:
            return ErrorCode.GROUP_ID_NOT_FOUND
        readable = self.is_empty or self.protocol_type == CONSUMER
        return ErrorCode.NONE if readable else ErrorCode.NON_EMPTY_GROUP

    def is_subscribed(self, topic: str) -> bool:
        """Does a member read this topic?"""
        return any(topic in topics_of(one.bytes_for(self._spoken(one))) for one in self.members.values())

    def _spoken(self, member: Member) -> str | None:
        return self.protocol_name if self.protocol_name is not None else member.protocols[0][0]

    def ages_from_ms(self, topic: str, committed: Committed) -> int | None:
        """Since when the retention time of an offset runs; None: not at present."""
        if self.protocol_type is None:
            return committed.committed_ms
        if self.is_empty:
            return max(self.since_ms, committed.committed_ms)
        reads_others = self.state is State.STABLE and self.protocol_type == CONSUMER
        return committed.committed_ms if reads_others and not self.is_subscribed(topic) else None

    # --- who is there ------------------------------------------------------------------------------

    def check_member(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """Is this a member, and is the instance still its own?"""
        if instance_id is not None:
            current = self.instances.get(instance_id)
            if current is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if current != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def _check(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        if self.state is State.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        error = self.check_member(member_id, instance_id)
        if not error and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return error

    def _hear(self, member: Member) -> None:
        """It is there: its silence begins anew."""
        member.silent_ms = self._host.now_ms + member.session_timeout_ms

    def _forget(self, member: Member) -> None:
        """Take a member out; what it waits for is refused."""
        del self.members[member.id]
        self._unsynced.discard(member.id)
        if member.instance_id is not None:
            del self.instances[member.instance_id]
        if self.leader == member.id:
            self.leader = next(iter(self.members), None)
        member.answer_join(Joined(ErrorCode.UNKNOWN_MEMBER_ID, member.id))
        member.answer_sync(Synced(ErrorCode.UNKNOWN_MEMBER_ID))

    def _drop_pending(self, member_id: str) -> None:
        if self._pending.pop(member_id, None) is not None:
            self._complete_if_all_joined()

    def call_together(self) -> None:
        """All members are to join again."""
        self._rebalance_or_complete()

    def dissolve(self) -> None:
        """It is a consumer group from now on: whoever waits for something joins again, and finds that."""
        for member in self.members.values():
            member.answer_join(Joined(ErrorCode.REBALANCE_IN_PROGRESS, member.id))
            member.answer_sync(Synced(ErrorCode.REBALANCE_IN_PROGRESS))
        self.members.clear()
        self._pending.clear()
        self._join_due_ms = self._sync_due_ms = None

    def delete(self) -> None:
        """It is gone for good; only an empty group may be deleted."""
        self._pending.clear()
        self._move(Input.DELETED)

    # --- time --------------------------------------------------------------------------------------

    def on_timer(self, now_ms: int) -> None:
        """See who is silent, and which round is over whoever is here."""
        self._alarm_ms = None
        for member_id, due_ms in list(self._pending.items()):
            if due_ms <= now_ms:
                self._drop_pending(member_id)
        silent = [one for one in self.members.values() if one.silent_ms <= now_ms and not one.excused]
        self._lose(silent)
        if self._join_due_ms is not None and self._join_due_ms <= now_ms:
            if self._initial and self._grown and self._join_left_ms > 0:
                delay_ms = min(self._host.initial_delay_ms, self._join_left_ms)
                self._wait_for_more(delay_ms, self._join_left_ms - delay_ms)
            else:
                self._complete()
        if self._sync_due_ms is not None and self._sync_due_ms <= now_ms:
            self._sync_due_ms = None
            self._lose([self.members[member_id] for member_id in sorted(self._unsynced)])
        self._look_later()

    def _lose(self, members: list[Member]) -> None:
        for member in members:
            self._forget(member)
        if members:
            self._rebalance_or_complete()

    def _look_later(self) -> None:
        """Have `on_timer` called when something may be due."""
        dues = [one.silent_ms for one in self.members.values() if not one.excused]
        dues += self._pending.values()
        dues += [due for due in (self._join_due_ms, self._sync_due_ms) if due is not None]
        if dues and (self._alarm_ms is None or min(dues) < self._alarm_ms):
            self._alarm_ms = min(dues)
            self._host.alarm(self, self._alarm_ms)

    # --- restarts ----------------------------------------------------------------------------------

    def record(self) -> GroupRecord:
        """What a restart needs: the last round that was dealt out."""
        return GroupRecord(
            self.protocol_type,
            self.generation,
            self.protocol_name,
            self.leader,
            self.since_ms,
            [
                MemberRecord(
                    one.id,
                    one.instance_id,
                    one.client_id,
                    one.client_host,
                    one.session_timeout_ms,
                    one.rebalance_timeout_ms,
                    list(one.protocols),
                    one.assignment,
                )
                for one in self.members.values()
            ],
        )

    def restore(self, record: GroupRecord) -> None:
        """Be as it was kept; members have a session timeout to be heard of."""
        self.protocol_type, self.generation = record.protocol_type, record.generation
        self.protocol_name, self.leader = record.protocol_name, record.leader
        self.since_ms = record.since_ms
        for kept in record.members:
            joining = Joining(
                kept.id,
                kept.instance_id,
                kept.client_id,
                kept.client_host,
                kept.session_timeout_ms,
                kept.rebalance_timeout_ms,
                record.protocol_type or "",
                kept.protocols,
            )
            member = self.members[kept.id] = Member(kept.id, joining, None)
            member.is_new, member.assignment = False, kept.assignment
            self._hear(member)
            if kept.instance_id is not None:
                self.instances[kept.instance_id] = kept.id
        self.state = State.STABLE if self.members else State.EMPTY
        self._look_later()
