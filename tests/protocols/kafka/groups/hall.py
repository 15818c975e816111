"""Where groups live in tests: a host whose time a test moves, and clients that act as real ones do."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import Any

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.classic import ClassicGroup, State
from pillarbox.protocols.kafka.groups.member import Joined, Joining, Synced, Syncing
from pillarbox.protocols.kafka.groups.records import GroupRecord

SESSION_MS = 10_000
ROUND_MS = 60_000
RANGE = (("range", b"r"),)


class Hall:
    """A host; `kept` is the last record that a group asked to keep."""

    def __init__(self, *, initial_delay_ms: int = 0, group_size_max: int = 100) -> None:
        self.now_ms = 1_000_000
        self.initial_delay_ms = initial_delay_ms
        self.group_size_max = group_size_max
        self.kept: GroupRecord | None = None
        self._alarms: list[tuple[int, int, Any]] = []
        self._order = count()
        self._ids = count(1)

    def new_member_id(self, prefix: str) -> str:
        return f"{prefix}-{next(self._ids)}"

    def alarm(self, group: Any, due_ms: int) -> None:
        heappush(self._alarms, (due_ms, next(self._order), group))

    def keep(self, group: ClassicGroup) -> None:
        self.kept = group.record()

    def forget_alarms(self) -> None:
        """The groups up to now are no more."""
        self._alarms.clear()

    def advance(self, ms: int) -> None:
        """Let time go by, and groups look when they have asked for it."""
        end_ms = self.now_ms + ms
        while self._alarms and self._alarms[0][0] <= end_ms:
            due_ms, _, group = heappop(self._alarms)
            self.now_ms = max(self.now_ms, due_ms)
            group.on_timer(self.now_ms)
        self.now_ms = end_ms


def joining(member_id: str = "", **values: Any) -> Joining:
    """What a consumer says that joins; it gets no id beforehand unless a test says so."""
    said: dict[str, Any] = {
        "instance_id": None,
        "client_id": "c",
        "client_host": "127.0.0.1",
        "session_timeout_ms": SESSION_MS,
        "rebalance_timeout_ms": ROUND_MS,
        "protocol_type": "consumer",
        "protocols": RANGE,
        "needs_id": False,
    }
    return Joining(member_id, **{**said, **values})


class Answers(list[Any]):
    """What was answered; a call of it is an answer."""

    def __call__(self, answer: Any) -> None:
        self.append(answer)

    @property
    def last(self) -> Any:
        return self[-1] if self else None


def join(group: ClassicGroup, member_id: str = "", **values: Any) -> Answers:
    answers = Answers()
    group.join(joining(member_id, **values), answers)
    return answers


def sync(
    group: ClassicGroup, member_id: str, assignments: dict[str, bytes] | None = None, **values: Any
) -> Answers:
    answers = Answers()
    said: dict[str, Any] = {
        "instance_id": None,
        "generation": group.generation,
        "protocol_type": None,
        "protocol_name": None,
    }
    group.sync(Syncing(member_id, **{**said, **values}, assignments=assignments or {}), answers)
    return answers


def settle(group: ClassicGroup, **values: Any) -> None:
    """Have everybody join who has not, and the leader deal out to all."""
    for member in list(group.members.values()):
        if member.on_joined is None and group.state is State.PREPARING:
            join(group, member.id, instance_id=member.instance_id, protocols=member.protocols)
    assert group.state is State.COMPLETING, group
    assert group.leader is not None
    followers = [one for one in group.members.values() if one.id != group.leader]
    for member in [*followers, group.members[group.leader]]:
        deal = {name: f"work of {name}".encode() for name in group.members}
        sync(group, member.id, deal, instance_id=member.instance_id)
    assert group.state is State.STABLE, group


class Client:
    """A consumer as clients are: joins, deals out if it leads, is there, joins again when it is told."""

    def __init__(self, group: ClassicGroup, name: str, instance_id: str | None = None) -> None:
        self.group = group
        self.name = name
        self.instance_id = instance_id
        self.alive = True
        self.id = ""
        self.generation = -1
        self.assignment: bytes | None = None
        self.waits = False
        self.history: list[Joined] = []

    def step(self) -> None:
        """What it does every few seconds."""
        if not self.alive or self.waits:
            return
        if self.assignment is None:
            self.join()
            return
        error = self.group.heartbeat(self.id, self.instance_id, self.generation)
        if error:
            self.refused(error)

    def join(self) -> None:
        self.waits = True
        said = joining(self.id, instance_id=self.instance_id, client_id=self.name, needs_id=True)
        self.group.join(said, self.joined)

    def joined(self, joined: Joined) -> None:
        self.waits = False
        if not self.alive:
            return
        if joined.error is ErrorCode.MEMBER_ID_REQUIRED:
            self.id = joined.member_id
        elif joined.error:
            self.refused(joined.error)
        else:
            self.history.append(joined)
            self.id, self.generation = joined.member_id, joined.generation
            deal = {member_id: member_id.encode() for member_id, _, _ in joined.members}
            self.waits = True
            self.group.sync(
                Syncing(self.id, self.instance_id, self.generation, "consumer", "range", deal), self.synced
            )

    def synced(self, synced: Synced) -> None:
        self.waits = False
        if not self.alive:
            return
        if synced.error:
            self.refused(synced.error)
        else:
            self.assignment = synced.assignment

    def refused(self, error: ErrorCode) -> None:
        self.assignment = None
        if error is ErrorCode.FENCED_INSTANCE_ID:
            self.alive = False
        elif error is not ErrorCode.REBALANCE_IN_PROGRESS:
            self.id = ""

    def leave(self) -> None:
        self.group.leave([(self.id, self.instance_id)])
        self.die()

    def die(self) -> None:
        self.alive = False
