"""How far one group has read: an offset, a leader epoch and a client's own text for each partition.

What a transaction commits is *pending* until it ends; somebody who asks for stable offsets waits for that.
What is committed meanwhile is newer, and stays.

Not here: who may commit (`classic`, `consumer`), when offsets expire (`coordinator`). Invariant: what is in
memory is kept. Source: KIP-98, KIP-447 (stable offsets), KIP-516 (topic ids); rows K54, K60.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pillarbox.protocols.kafka.groups.records import Committed, encode, offset_key, pending_key

Place = tuple[str, int]
"""Topic and partition."""

Keep = Callable[[str, bytes | None], None]
"""Keep bytes under a key, or forget them (`Core.keep`)."""

Note = Callable[[str, str, int, Committed | None], None]
"""A group's offset for a topic's partition was committed, or (None) forgotten."""


class Offsets:
    """See the module."""

    def __init__(self, group: str, keep: Keep, note: Note) -> None:
        self._group = group
        self._keep = keep
        self._note = note
        self._topics: dict[str, dict[int, Committed]] = {}
        self._pending: dict[int, dict[Place, Committed | None]] = {}
        """By producer id; None: something newer was committed there."""

    def __repr__(self) -> str:
        return f"<Offsets {self._group} partitions={len(self)} transactions={len(self._pending)}>"

    def __len__(self) -> int:
        return sum(map(len, self._topics.values()))

    def __bool__(self) -> bool:
        return bool(self._topics or self._pending)

    # --- reading -----------------------------------------------------------------------------------

    def get(self, topic: str, partition: int) -> Committed | None:
        """What was committed; None: nothing."""
        return self._topics.get(topic, {}).get(partition)

    def partitions(self, topic: str) -> list[int]:
        """Those of a topic that have an offset."""
        return sorted(self._topics.get(topic, ()))

    def topics(self) -> list[str]:
        """All that have an offset."""
        return sorted(self._topics)

    def __iter__(self) -> Iterator[tuple[str, int, Committed]]:
        """All that there is when it begins."""
        whole = [(topic, one) for topic, partitions in self._topics.items() for one in partitions.items()]
        for topic, (partition, committed) in whole:
            yield topic, partition, committed

    def is_pending(self, topic: str, partition: int) -> bool:
        """Whether a transaction that has not ended commits here."""
        return bool(self._pending) and any((topic, partition) in places for places in self._pending.values())

    # --- committing --------------------------------------------------------------------------------

    def commit(self, topic: str, partition: int, committed: Committed) -> None:
        for producer_id in self._holding(topic, partition):
            self._pending[producer_id][topic, partition] = None
            self._keep(pending_key(self._group, producer_id, topic, partition), None)
        self._commit(topic, partition, committed)

    def _commit(self, topic: str, partition: int, committed: Committed) -> None:
        self.restore(topic, partition, committed)
        self._keep(offset_key(self._group, topic, partition), encode(committed))
        self._note(self._group, topic, partition, committed)

    def forget(self, topic: str, partition: int) -> bool:
        """Whether there was something to forget; what is pending is forgotten, too."""
        for producer_id in self._holding(topic, partition):
            del self._pending[producer_id][topic, partition]
            self._keep(pending_key(self._group, producer_id, topic, partition), None)
            if not self._pending[producer_id]:
                del self._pending[producer_id]
        partitions = self._topics.get(topic, {})
        if partitions.pop(partition, None) is None:
            return False
        if not partitions:
            del self._topics[topic]
        self._keep(offset_key(self._group, topic, partition), None)
        self._note(self._group, topic, partition, None)
        return True

    def forget_all(self) -> None:
        """The group is gone."""
        for topic, partition, _ in self:
            self.forget(topic, partition)
        for producer_id in list(self._pending):
            self.end(producer_id, commit=False)

    def producers(self) -> list[int]:
        """Those whose transactions are pending here."""
        return list(self._pending)

    # --- transactions ------------------------------------------------------------------------------

    def _holding(self, topic: str, partition: int) -> list[int]:
        """Producers whose transactions commit here."""
        place = topic, partition
        return [producer_id for producer_id, places in self._pending.items() if place in places]

    def hold(self, producer_id: int, topic: str, partition: int, committed: Committed) -> None:
        """Commit when this producer's transaction does."""
        self.restore_pending(producer_id, topic, partition, committed)
        self._keep(pending_key(self._group, producer_id, topic, partition), encode(committed))

    def end(self, producer_id: int, *, commit: bool) -> None:
        """The producer's transaction has ended."""
        for (topic, partition), committed in self._pending.pop(producer_id, {}).items():
            self._keep(pending_key(self._group, producer_id, topic, partition), None)
            if commit and committed is not None:
                self._commit(topic, partition, committed)

    # --- restarts ----------------------------------------------------------------------------------

    def restore(self, topic: str, partition: int, committed: Committed) -> None:
        self._topics.setdefault(topic, {})[partition] = committed

    def restore_pending(self, producer_id: int, topic: str, partition: int, committed: Committed) -> None:
        self._pending.setdefault(producer_id, {})[topic, partition] = committed
