"""Fetch sessions: what a client fetches, kept between its requests, so that only changes are said and told.

A session is begun by a full fetch that asks for one, and goes by a number that clients are told. Each request
in it has the next epoch. It is no part of a connection: who comes back may go on with it, and who does not
come back leaves it until its slot is needed. Not here: reading (`api.fetch`).

Invariant: there are no more sessions than slots, and no more partitions in all of them than `PARTITIONS_MAX`.
Who finds no room gets no session and goes on naming everything.

Source: KIP-227; Kafka's `FetchSession` (what is told again, who is evicted); row K11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
)

SLOTS: Final = 1000
"""Kafka's `max.incremental.fetch.session.cache.slots`."""
EVICTION_MS: Final = 120_000
"""Kafka's `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`: a session that was not used for so long makes room for
any other, and one that is older for a larger one."""
USED_MS: Final = 1_000
"""How exactly it is known when a session was used last: looking at it closer would cost each fetch."""
PARTITIONS_MAX: Final = 500_000
"""What all sessions hold together: about 150 MB. Kafka sets no limit."""
NO_SESSION: Final = 0
BEGINS, NONE_WANTED = 0, -1
"""Epochs of full fetches: one that would begin a session, and one that does without."""
EPOCH_MAX: Final = 2**31 - 1
UNTOLD: Final = -1
"""The high watermark after an error, so that the next one is told."""

Key = str | bytes
"""A topic as the version of the session tells it: its name or its id."""


class Held(msgspec.Struct, gc=False):
    """One partition of a session: what is wanted of it, and what its client was told last."""

    wanted: FetchPartition
    high_watermark: int
    log_start_offset: int

    def has_news(self, data: PartitionData) -> bool:
        """Is there anything in the answer that the client does not know? Takes it for told."""
        news = bool(data.records) or data.diverging_epoch is not None
        if data.error_code:
            self.high_watermark = UNTOLD
            return True
        if data.high_watermark != self.high_watermark:
            self.high_watermark = data.high_watermark
            news = True
        if data.log_start_offset != self.log_start_offset:
            self.log_start_offset = data.log_start_offset
            news = True
        return news


class Session:
    """What one client fetches. `topics` are in the order in which they are read: who had records is last."""

    __slots__ = ("by_id", "created_ms", "epoch", "id", "size", "topics", "used_ms")

    def __init__(self, number: int, now_ms: int, *, by_id: bool) -> None:
        self.id = number
        self.epoch = 1
        """Of the request that is to come."""
        self.by_id = by_id
        self.created_ms = self.used_ms = now_ms
        self.topics: dict[Key, dict[int, Held]] = {}
        self.size = 0

    def __repr__(self) -> str:
        return f"<Session {self.id} epoch={self.epoch} partitions={self.size}>"

    def advance(self) -> int:
        """Go on to the next epoch, and return it."""
        self.epoch = self.epoch + 1 if self.epoch < EPOCH_MAX else 1
        return self.epoch

    def hold(self, key: Key, index: int, held: Held) -> None:
        partitions = self.topics.setdefault(key, {})
        self.size += index not in partitions
        partitions[index] = held

    def update(self, topics: Iterable[FetchTopic], forgotten: Iterable[ForgottenTopic]) -> None:
        """Take in what a request says otherwise than those before it."""
        for topic in topics:
            key = topic.topic_id if self.by_id else topic.topic
            partitions = self.topics.get(key, {})
            for wanted in topic.partitions:
                held = partitions.get(wanted.partition)
                if held is None:
                    self.hold(key, wanted.partition, Held(wanted, UNTOLD, UNTOLD))
                else:
                    held.wanted = wanted
        for gone in forgotten:
            key = gone.topic_id if self.by_id else gone.topic
            partitions = self.topics.get(key, {})
            for index in gone.partitions:
                self.size -= partitions.pop(index, None) is not None
            if key in self.topics and not partitions:
                del self.topics[key]

    def served(self, key: Key, indexes: Iterable[int]) -> None:
        """These had records: others come before them in the next request."""
        partitions = self.topics.pop(key, None)
        if partitions is None:
            return
        self.topics[key] = partitions
        for index in indexes:
            if index in partitions:
                partitions[index] = partitions.pop(index)


class FetchSessions:
    """All sessions, the one that was used least lately first."""

    def __init__(self, random: Callable[[int], bytes], *, slots: int = SLOTS) -> None:
        self._random = random
        self._slots = slots
        self._sessions: dict[int, Session] = {}
        self.size = 0
        """Partitions in all of them."""

    def __repr__(self) -> str:
        return f"<FetchSessions {len(self._sessions)} partitions={self.size}>"

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, request: FetchRequest, now_ms: int, *, by_id: bool) -> Session | ErrorCode:
        """The session of a request, with what the request changes in it; or why there is none."""
        session = self._sessions.get(request.session_id)
        if session is None:
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        if session.epoch != request.session_epoch:
            return ErrorCode.INVALID_FETCH_SESSION_EPOCH
        if session.by_id != by_id:
            return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
        before = session.size
        session.update(request.topics, request.forgotten_topics_data)
        self.size += session.size - before
        if self.size > PARTITIONS_MAX:
            self.close(session.id)
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        if now_ms - session.used_ms >= USED_MS:
            session.used_ms = now_ms
            del self._sessions[session.id]
            self._sessions[session.id] = session
        return session

    def begin(self, parts: Sequence[tuple[Key, Held]], now_ms: int, *, by_id: bool) -> int:
        """Make a session for these partitions, if there is room for it; return its number, or 0."""
        size = len(parts)
        if not size or self.size + size > PARTITIONS_MAX or not self._has_room(size, now_ms):
            return NO_SESSION
        session = Session(self._number(), now_ms, by_id=by_id)
        for key, held in parts:
            session.hold(key, held.wanted.partition, held)
        self.size += session.size
        self._sessions[session.id] = session
        return session.id

    def close(self, number: int) -> None:
        """Its client does without it. One that is not there is none to close."""
        session = self._sessions.pop(number, None)
        if session is not None:
            self.size -= session.size

    def _has_room(self, size: int, now_ms: int) -> bool:
        """Whether there is a slot; one that may be is made free, as Kafka chooses it."""
        if len(self._sessions) < self._slots:
            return True
        oldest = next(iter(self._sessions.values()), None)
        if oldest is None:
            return False
        if now_ms - oldest.used_ms > EVICTION_MS:
            self.close(oldest.id)
            return True
        old = (one for one in self._sessions.values() if now_ms - one.created_ms > EVICTION_MS)
        smallest = min(old, key=lambda one: one.size, default=None)
        if smallest is None or smallest.size >= size:
            return False
        self.close(smallest.id)
        return True

    def _number(self) -> int:
        """A number that is free and cannot be guessed; 0 is that of no session."""
        while True:
            number = int.from_bytes(self._random(4), "big") & 0x7FFF_FFFF
            if number != NO_SESSION and number not in self._sessions:
                return number
