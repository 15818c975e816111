"""Kafka's own topics: what a coordinator keeps, as records of a compacted topic, for tools that read it.

Such a topic is made when a client first lists or names it and there is something to show; before that nobody
pays for it. It begins with all that is kept, gets every change from then on, and after a restart all that is
kept once more, so what a crash has taken from its end is there again. Compaction leaves the last of each; a
topic with records that say what has changed is not compacted, but begins anew now and then. Nothing is ever
read back from it: what is kept is elsewhere, and who deletes the topic loses nothing.

Not here: what the records say (`offsets_topic`, `transactions_topic`, `shares_topic`). Source: Kafka's
`Topic.INTERNAL_TOPICS`; row K38.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.configs import options_of
from pillarbox.store.batch import encode_batch

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.topics import Topic, Topics

OFFSETS: Final = "__consumer_offsets"
TRANSACTIONS: Final = "__transaction_state"
SHARES: Final = "__share_group_state"
INTERNAL: Final = frozenset((OFFSETS, TRANSACTIONS, SHARES))
"""Topics of these names are shown as internal, and clients write nothing to them."""

SEGMENT_BYTES: Final = "104857600"

BATCH_RECORDS_MAX: Final = 1000
"""Records that are put into the log at once."""

PRUNED_RECORDS: Final = 10_000
"""After so many changes a topic that is not compacted begins anew with all that there is; what was before
that is deleted when it does so the next time."""

Record = tuple[bytes, bytes | None]
"""Key and value; without a value: there is none any more."""
Owned = tuple[str, Record]
"""With the name that its partition is found by."""


class InternalTopic:
    """See the module. `everything` gives what there is; `settings` are Kafka's."""

    def __init__(
        self,
        core: Core,
        topics: Topics,
        name: str,
        settings: dict[str, str],
        everything: Callable[[], Iterable[Owned]],
    ) -> None:
        self._core = core
        self._topics = topics
        self._name = name
        self._settings = {**settings, "segment.bytes": SEGMENT_BYTES}
        self._everything = everything
        self._noted: dict[int, deque[Record]] = {}
        """Not in the log yet, by partition of the topic."""
        self._is_compacted = settings["cleanup.policy"] == "compact"
        self._written = 0
        """Changes since it has begun anew; less than 0: what it began with is not in the log yet."""
        self._began_at: list[int] = []
        """Where that was, by partition."""

    def __repr__(self) -> str:
        return f"<InternalTopic {self._name} noted={sum(map(len, self._noted.values()))}>"

    @property
    def topic(self) -> Topic | None:
        """None as long as nobody has asked for it."""
        return self._topics.get(self._name)

    @property
    def is_there(self) -> bool:
        """Whether changes are to be noted."""
        return self.topic is not None

    def show(self) -> None:
        """A client looks for topics: make it with all that there is, unless it is there or there is
        nothing."""
        if self.is_there:
            return
        everything = list(self._everything())
        if everything:
            self._topics.create(self._name, 1, self._settings, options_of(self._settings))
            self._began_at, self._written = [0], -len(everything)
            self.note_all(everything)

    def restored(self) -> None:
        """All that is kept is there again."""
        if self.is_there:
            self.note_all(self._everything())

    def note_all(self, records: Iterable[Owned]) -> None:
        for owner, record in records:
            self.note(owner, record)

    def note(self, owner: str, record: Record) -> None:
        """Something has changed; only where the topic is there."""
        own = self.topic
        if own is None:
            return
        if not self._noted:
            self._core.scheduler.at(self._core.changes.now_ms, self)
        index = abs(java_hash(owner)) % len(own.partitions)
        self._noted.setdefault(index, deque()).append(record)

    def on_timer(self, now_ms: int) -> None:
        """Put what was noted in this turn into the log, in parts if it is much."""
        self._core.chores.begin(self._write(now_ms))

    def _write(self, now_ms: int) -> Iterator[None]:
        while self._noted:
            own, index = self.topic, next(iter(self._noted))
            if own is None or self._core.failure is not None:
                self._noted.clear()
                return
            noted = self._noted[index]
            some = [noted.popleft() for _ in range(min(len(noted), BATCH_RECORDS_MAX))]
            if not noted:
                del self._noted[index]
            batch = b"".join(encode_batch(some, timestamp_ms=now_ms).chunks)
            own.partitions[index].append(batch, len(some))
            self._written += len(some)
            if not self._noted and not self._is_compacted and self._written >= PRUNED_RECORDS:
                self._begin_anew(own)
            if self._noted:
                yield

    def _begin_anew(self, own: Topic) -> None:
        """Delete what was superseded when it last did this."""
        for stream, offset in zip(own.partitions, self._began_at, strict=False):
            # What a slow disk does not have yet goes the next time.
            stream.begin_at(min(offset, stream.log.committed))
        self._began_at = [stream.log.offsets().accepted for stream in own.partitions]
        self.note_all(self._everything())
        self._written = -sum(map(len, self._noted.values()))


def java_hash(text: str) -> int:
    """Java's hash of a string, by which Kafka finds the partition of a group or a transactional id."""
    units = text.encode("utf-16-be")
    found = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        found = (found * 31 + (high << 8 | low)) & 0xFFFFFFFF
    return found - (1 << 32) if found >> 31 else found
