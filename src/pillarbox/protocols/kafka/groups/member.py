"""A member of a classic group, and what it says and is told.

Not here: when it is told (`classic`). Source: Kafka's JoinGroup and SyncGroup; KIP-345, KIP-394, KIP-814.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pillarbox.protocols.kafka.errors import ErrorCode

NO_GENERATION: Final = -1

Protocols = Sequence[tuple[str, bytes]]
"""What a member can speak, best first, and its bytes for each."""


class Joining(NamedTuple):
    """What one who joins says."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    needs_id: bool = True
    """The client has to come back with the id that it is given (KIP-394)."""
    may_skip: bool = True
    """The client can be told that it leads but need not deal out (KIP-814)."""


class Joined(NamedTuple):
    """The answer to one who joins; `members` (id, instance, bytes) are for the leader alone."""

    error: ErrorCode
    member_id: str
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: Sequence[tuple[str, str | None, bytes]] = ()


class Synced(NamedTuple):
    """What one of the members is to do."""

    error: ErrorCode
    assignment: bytes = b""
    protocol_type: str | None = None
    protocol_name: str | None = None


class Syncing(NamedTuple):
    """What a member says that waits for its part; `assignments` by member id come from the leader."""

    member_id: str
    instance_id: str | None
    generation: int
    protocol_type: str | None
    protocol_name: str | None
    assignments: dict[str, bytes]


OnJoined = Callable[[Joined], None]
OnSynced = Callable[[Synced], None]


class Member:
    """One member. `on_joined` and `on_synced` are what it waits for; `silent_ms`: when it is given up."""

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "id",
        "instance_id",
        "is_new",
        "on_joined",
        "on_synced",
        "protocols",
        "rebalance_timeout_ms",
        "session_timeout_ms",
        "silent_ms",
    )

    def __init__(self, member_id: str, joining: Joining, on_joined: OnJoined | None) -> None:
        self.id = member_id
        self.instance_id = joining.instance_id
        self.client_id = joining.client_id
        self.client_host = joining.client_host
        self.session_timeout_ms = joining.session_timeout_ms
        self.rebalance_timeout_ms = joining.rebalance_timeout_ms
        self.protocols = tuple(joining.protocols)
        self.assignment = b""
        self.is_new = True
        self.on_joined = on_joined
        self.on_synced: OnSynced | None = None
        self.silent_ms = 0

    def __repr__(self) -> str:
        return f"<Member {self.id} joins={self.on_joined is not None} syncs={self.on_synced is not None}>"

    @property
    def excused(self) -> bool:
        """Silent because it waits for the group."""
        waits = self.on_joined is not None or self.on_synced is not None
        return waits and not self.is_new

    def bytes_for(self, protocol: str | None) -> bytes:
        """What it says in this protocol."""
        return next((data for name, data in self.protocols if name == protocol), b"")

    def answer_join(self, joined: Joined) -> None:
        """Answer its JoinGroup, if there is one."""
        on_joined, self.on_joined = self.on_joined, None
        if on_joined is not None:
            on_joined(joined)

    def answer_sync(self, synced: Synced) -> None:
        """Answer its SyncGroup, if there is one."""
        on_synced, self.on_synced = self.on_synced, None
        if on_synced is not None:
            on_synced(synced)
