"""Share sessions: which partitions a member fetches, told once, and in which order its requests come.

A session begins with a request of epoch 0 and ends with one of -1, with the member, or with the connection
that it began on; each request between has the next epoch, so that what is lost or comes twice is seen. What
its member holds when it ends is free for others, and was delivered once more. Where the broker itself has
closed the connection, as when it stops, the session is forgotten and the locks go on.

Not here: what is fetched (`api.share_fetch`). Source: KIP-932, "Share sessions"; row K56.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.groups.assignors import Part

BEGINS: Final = 0
ENDS: Final = -1
EPOCH_MAX: Final = (1 << 31) - 1
SESSIONS_MAX: Final = 2_000
"""Kafka's `group.share.max.share.sessions`: each holds its partitions in memory."""

Key = tuple[str, str]
"""Group and member."""


class ShareSession:
    """One of them. `epoch`: of the request that is to come."""

    __slots__ = ("connection", "epoch", "key", "parts")

    def __init__(self, key: Key, connection: object) -> None:
        self.key = key
        self.connection = connection
        self.epoch = 1
        self.parts: dict[Part, None] = {}

    def __repr__(self) -> str:
        return f"<ShareSession {self.key} epoch={self.epoch} parts={len(self.parts)}>"


class ShareSessions:
    """All of them. `release` is told the group and the member whose session has ended."""

    def __init__(self, release: Callable[[str, str], None]) -> None:
        self._release = release
        self._sessions: dict[Key, ShareSession] = {}

    def __repr__(self) -> str:
        return f"<ShareSessions {len(self._sessions)}>"

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, key: Key, connection: object) -> ShareSession:
        """A session from now on, in place of one that this member has. Raises Refused."""
        if key not in self._sessions and len(self._sessions) >= SESSIONS_MAX:
            raise Refused(ErrorCode.SHARE_SESSION_LIMIT_REACHED)
        session = self._sessions[key] = ShareSession(key, connection)
        return session

    def next(self, key: Key, epoch: int) -> ShareSession:
        """The session whose next request this is, or whose last. Raises Refused."""
        session = self._sessions.get(key)
        if session is None:
            raise Refused(ErrorCode.SHARE_SESSION_NOT_FOUND)
        if epoch != ENDS:
            if epoch != session.epoch:
                raise Refused(ErrorCode.INVALID_SHARE_SESSION_EPOCH)
            session.epoch = 1 if epoch == EPOCH_MAX else epoch + 1
        return session

    def has(self, session: ShareSession) -> bool:
        """Whether this one has neither ended nor begun anew."""
        return self._sessions.get(session.key) is session

    def end(self, key: Key) -> None:
        """End a session, if there is one; whatever its member holds is free."""
        if self._sessions.pop(key, None) is not None:
            self._release(*key)

    def forget(self, connection: object, *, release: bool) -> None:
        """A connection is gone, and with it the sessions that began on it."""
        for key in [key for key, one in self._sessions.items() if one.connection is connection]:
            if release:
                self.end(key)
            else:
                del self._sessions[key]
