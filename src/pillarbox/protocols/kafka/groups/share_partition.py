"""One partition of a topic as one share group has it: where it begins, what is in flight, and who waits.

What becomes of each record says `share_state`; here it meets the log, the time and the journal. A group
begins in a partition when somebody first asks it for records: at the end, at the beginning, or some time ago,
as the group's configs say. What is settled, and delivery counts, are kept; who holds what is not, since a
restart ends all sessions.

**What is kept** is a whole, and what has changed since: one fact for each request, of what it has changed
alone, as long as the whole is not as small. Then comes a whole again, with which the changes are forgotten:
that is one journal group, so a crash leaves the one or the other.

Not here: members and what they are to read (`share`), requests (`api`). Source: KIP-932, "Share-partition
persistence"; row K56. Invariant: what was told to a member as settled is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pillarbox.engine.logs import NOT_FOUND
from pillarbox.protocols.kafka.groups.records import SharePartitionRecord, ShareUpdateRecord
from pillarbox.protocols.kafka.groups.share_state import Given, NotHeld, Reply, ShareState

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition
    from pillarbox.protocols.kafka.groups.assignors import Part

UPDATES_MAX: Final = 64
"""Changes behind a whole; Kafka has 500 (`share.coordinator.snapshot.update.records.per.snapshot`), but here
each is in every checkpoint."""
SMALL: Final = 8
"""So many stretches are written as a whole: that is no more than a change with its key."""

UNKNOWN: Final = -1
"""Where a group begins that has not begun; and its lag."""

Watcher = Callable[[], None]


class ShareHost(Protocol):
    """What a partition needs of its group."""

    @property
    def now_ms(self) -> int: ...
    @property
    def lock_ms(self) -> int: ...
    @property
    def deliveries_max(self) -> int: ...
    @property
    def locks_max(self) -> int: ...
    def begins_ms(self, now_ms: int) -> int | None:
        """From what time on a new partition is read; None: from its end on; 0: all of it."""

    def partition(self, part: Part) -> Partition | None: ...
    def alarm_partition(self, partition: SharePartition, due_ms: int) -> None: ...
    def keep_partition(self, partition: SharePartition) -> None: ...
    def keep_update(self, part: Part, number: int, kept: ShareUpdateRecord | None) -> None: ...


class SharePartition:
    """See the module."""

    def __init__(self, part: Part, topic: str, host: ShareHost) -> None:
        self.part = part
        self.topic = topic
        self.shown = UNKNOWN
        self.state: ShareState | None = None
        """None: it has not begun."""
        self.watchers: dict[Watcher, None] = {}
        """Called when records have come back, or it has begun."""
        self._host = host
        self._looking = False
        self._alarm_ms: int | None = None
        self._updates = 0
        """Changes that are kept behind the whole."""

    def __repr__(self) -> str:
        return f"<SharePartition {self.topic}-{self.part[1]} {self.state!r}>"

    @property
    def place(self) -> tuple[str, int]:
        """Topic and number."""
        return self.topic, self.part[1]

    @property
    def partition(self) -> Partition | None:
        """The partition itself; None: the topic is gone."""
        return self._host.partition(self.part)

    # --- beginning -----------------------------------------------------------------------------------

    def begin(self) -> ShareState | None:
        """Be ready to hand out; None: the disk was asked where to begin, and watchers are told."""
        partition = self.partition
        if self.state is None and partition is not None and not self._looking:
            since_ms = self._host.begins_ms(self._host.now_ms)
            if since_ms is None:
                self._begin_at(partition.log.committed)
            elif since_ms <= 0:
                self._begin_at(partition.log.offsets().start)
            else:
                self._looking = True
                found = partition.find_time(since_ms, self._found, self._failed)
                if found is not None:
                    self._found(found)
        if self.state is not None and partition is not None:
            offsets = partition.log.offsets()
            if self.state.trim(offsets.start) or self.state.cut(offsets.accepted):
                self._keep()
        return self.state

    def _found(self, offset: int) -> None:
        self._looking = False
        partition = self.partition
        if self.state is None and partition is not None:
            self._begin_at(partition.log.committed if offset == NOT_FOUND else offset)
            self._tell()

    def _failed(self, error: Exception) -> None:
        self._looking = False
        self._tell()

    def _begin_at(self, offset: int) -> None:
        self.state = self._state(offset)
        self._keep()

    def _state(self, start: int) -> ShareState:
        host = self._host
        return ShareState(start, deliveries_max=host.deliveries_max, locks_max=host.locks_max)

    @property
    def in_flight(self) -> range:
        """Offsets that somebody has or had, from the first that is not settled on."""
        return range(0) if self.state is None else range(self.state.start, self.state.end)

    # --- records out, answers in ---------------------------------------------------------------------

    def acquire(
        self, member: str, first: int, stop: int, count_max: int, end_of: Callable[[int], int]
    ) -> list[Given]:
        """Hand out; see `ShareState.acquire`."""
        assert self.state is not None, "it has begun"
        until_ms = self._host.now_ms + self._host.lock_ms
        given = self.state.acquire(member, first, stop, count_max, until_ms, end_of)
        self._look_later()
        return given

    def skip(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Hand these out to nobody."""
        assert self.state is not None, "it has begun"
        for first, last in ranges:
            self.state.skip(first, last)

    def settle(self, member: str, replies: Sequence[Reply]) -> bool:
        """Take a member's answers, all or none; whether they have to be durable before it is told so.

        Raises NotHeld, NotFetched.
        """
        state = self.begin()
        if state is None:
            raise NotHeld("The share partition is not initialized.")
        begin = state.start
        lasting = state.settle(member, replies, self._host.now_ms + self._host.lock_ms)
        self._look_later()
        if lasting:
            self.shown = begin
            self._keep_changes(state)
            self._tell()  # Records have come back, or there is room for more.
        return lasting

    def release(self, member: str) -> None:
        """A member is gone: what it had is free for others."""
        if self.state is not None and self.state.release(member):
            self._freed(self.state)

    def on_timer(self, now_ms: int) -> None:
        """Locks may be over."""
        self._alarm_ms = None
        if self.state is not None:
            if self.state.expire(now_ms):
                self._freed(self.state)
            self._look_later()

    def _freed(self, state: ShareState) -> None:
        self._keep_changes(state)
        self._tell()

    def _tell(self) -> None:
        for watcher in list(self.watchers):
            watcher()

    def _look_later(self) -> None:
        due_ms = None if self.state is None else self.state.due_ms
        if due_ms is not None and (self._alarm_ms is None or due_ms < self._alarm_ms):
            self._alarm_ms = due_ms
            self._host.alarm_partition(self, due_ms)

    # --- what administrators see and do --------------------------------------------------------------

    @property
    def lag(self) -> int:
        """Records that are not settled; `UNKNOWN` before it has begun."""
        partition = self.partition
        if self.state is None or partition is None:
            return UNKNOWN
        start = max(self.state.start, partition.log.offsets().start)
        return max(0, partition.log.committed - start - self.state.settled_count)

    def reset(self, offset: int) -> None:
        """Begin there, as if nothing had been read."""
        self.state = self._state(offset)
        self.shown = offset
        self._keep()

    # --- restarts ------------------------------------------------------------------------------------

    def record(self) -> SharePartitionRecord:
        topic_id, state = self.part[0], self.state
        if state is None:
            return SharePartitionRecord(topic_id, UNKNOWN)
        return SharePartitionRecord(topic_id, state.start, tuple(state.kept()), self.shown)

    def restore(self, record: SharePartitionRecord) -> None:
        self.shown = record.shown
        if record.start != UNKNOWN:
            self.state = self._state(record.start)
            self.state.restore(record.stretches)

    def amend(self, number: int, update: ShareUpdateRecord) -> None:
        """Take in a change that was kept, in the order of their numbers."""
        assert self.state is not None, "changes are of what has begun"
        self.state.amend(update.start, update.stretches)
        self.shown, self._updates = update.shown, number + 1

    def _keep(self) -> None:
        """Keep the whole."""
        if self.state is not None:
            self.state.take_changes()
        self._host.keep_partition(self)
        self.forget_updates()

    def forget_updates(self) -> None:
        for number in range(self._updates):
            self._host.keep_update(self.part, number, None)
        self._updates = 0

    def _keep_changes(self, state: ShareState) -> None:
        changes = state.take_changes()
        if self._updates >= UPDATES_MAX or len(state) <= max(SMALL, 2 * len(changes)):
            self._keep()
            return
        update = ShareUpdateRecord(state.start, tuple(changes), self.shown)
        self._host.keep_update(self.part, self._updates, update)
        self._updates += 1
