"""`__consumer_offsets`: what groups commit as records of a compacted topic, for tools that read it there.

The topic is made when a client first lists or names it and some group has committed; before that nobody pays
for it. It begins with all that is kept, gets every commit from then on, and after a restart all that is kept
once more, so what a crash has taken from its end is there again. Compaction leaves the last of each. Nothing
is ever read back from it: what is kept is elsewhere (`groups.offsets`), and who deletes the topic loses
nothing. Not here: members of groups, which Kafka keeps in it too.

Source: Kafka's `OffsetCommitKey` (version 1), `OffsetCommitValue` (version 3), `Topic.INTERNAL_TOPICS`; K38.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.configs import options_of
from pillarbox.protocols.kafka.wire import string
from pillarbox.store.batch import encode_batch

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.topics import Topic, Topics
    from pillarbox.protocols.kafka.groups.records import Committed

OFFSETS: Final = "__consumer_offsets"
INTERNAL: Final = frozenset((OFFSETS, "__transaction_state", "__share_group_state"))
"""Topics of these names are shown as internal, and clients write nothing to them."""

SETTINGS: Final = {"cleanup.policy": "compact", "segment.bytes": "104857600", "compression.type": "producer"}
"""As Kafka makes it."""

BATCH_RECORDS_MAX: Final = 1000

KEY_VERSION: Final = Struct(">h").pack(1)
_PARTITION: Final = Struct(">i")
_VALUE: Final = Struct(">hqi")
VALUE_VERSION: Final = 3
_TIME: Final = Struct(">q")

Record = tuple[bytes, bytes | None]


def record(group: str, topic: str, partition: int, committed: Committed | None) -> Record:
    """Key and value of one offset; without a value: there is none any more."""
    key = b"".join((KEY_VERSION, string(group), string(topic), _PARTITION.pack(partition)))
    if committed is None:
        return key, None
    head = _VALUE.pack(VALUE_VERSION, committed.offset, committed.leader_epoch)
    return key, b"".join((head, string(committed.metadata), _TIME.pack(committed.committed_ms)))


class OffsetsTopic:
    """See the module."""

    def __init__(self, core: Core, topics: Topics) -> None:
        self._core = core
        self._topics = topics
        self._noted: dict[int, list[Record]] = {}
        """Not in the log yet, by partition of the topic; they go into it together."""

    def __repr__(self) -> str:
        return f"<OffsetsTopic noted={sum(map(len, self._noted.values()))}>"

    @property
    def topic(self) -> Topic | None:
        """None as long as nobody has asked for it."""
        return self._topics.get(OFFSETS)

    def make(self, offsets: Iterable[tuple[str, str, int, Committed]]) -> None:
        """Make it with all that there is, unless it is there or there is nothing."""
        everything = list(offsets)
        if everything and self.topic is None:
            self._topics.create(OFFSETS, 1, SETTINGS, options_of(SETTINGS))
            self.write(everything)

    def write(self, offsets: Iterable[tuple[str, str, int, Committed]]) -> None:
        """Note all of these, if the topic is there."""
        for group, topic, partition, committed in offsets:
            self.note(group, topic, partition, committed)

    def note(self, group: str, topic: str, partition: int, committed: Committed | None) -> None:
        """An offset was committed or (None) forgotten."""
        own = self.topic
        if own is None:
            return
        if not self._noted:
            self._core.scheduler.at(self._core.changes.now_ms, self)
        index = abs(java_hash(group)) % len(own.partitions)
        self._noted.setdefault(index, []).append(record(group, topic, partition, committed))

    def on_timer(self, now_ms: int) -> None:
        """Put what was noted in this turn into the log."""
        own, noted = self.topic, self._noted
        self._noted = {}
        if own is None or self._core.failure is not None:
            return
        for index, records in noted.items():
            for some in _parts(records):
                batch = b"".join(encode_batch(some, timestamp_ms=now_ms).chunks)
                own.partitions[index].append(batch, len(some))


def _parts(records: list[Record]) -> Iterator[list[Record]]:
    left = iter(records)
    while some := list(islice(left, BATCH_RECORDS_MAX)):
        yield some


def java_hash(text: str) -> int:
    """Java's hash of a string, by which Kafka finds the partition of a group."""
    units = text.encode("utf-16-be")
    found = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        found = (found * 31 + (high << 8 | low)) & 0xFFFFFFFF
    return found - (1 << 32) if found >> 31 else found
