"""A journal in memory that answers when it is told to: what the domain's own tests run on.

It keeps every group, gives cold messages back, takes checkpoints queue by queue, and replays what was kept
up to any group, so that a test can restart the domain at whatever a crash may have left. Nothing happens
by itself: `sync`, `answer_load` and `step_checkpoint` are the disk. Not here: bytes, files (see `faults`
for those), anything that `engine.local` does besides the contract of `engine.base`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from pillarbox.engine.base import (
    UID_KINDS,
    Group,
    JournalListener,
    Location,
    Message,
    QueueState,
    Recovery,
    ReturnedFact,
    Snapshot,
    StoredRun,
)

Request = tuple[int, Sequence[int], Location]


class Record:
    """Messages as they were stored together, with the queues that took them."""

    __slots__ = ("messages", "targets")

    def __init__(self, messages: list[Message], targets: list[tuple[int, int]]) -> None:
        self.messages = list(messages)
        self.targets = list(targets)


class Kept:
    """One queue while it is replayed: every unsettled sequence, and where its message rests."""

    __slots__ = ("delivered_through", "due", "due_below", "floor", "places", "returned", "sequence_next")

    def __init__(self) -> None:
        self.sequence_next = 0
        self.floor = 0
        """Messages below it were looked at by the checkpoint: there, or settled by then."""
        self.delivered_through = -1
        self.places: dict[int, int] = {}
        self.returned: dict[int, ReturnedFact] = {}
        """The last fact about each message that came back."""
        self.due: list[int] | None = None
        self.due_below = 0

    def came_back(self, fact: ReturnedFact) -> None:
        for sequence in fact.sequences:
            self.seen(sequence)
            single = range(sequence, sequence + 1)
            self.returned[sequence] = msgspec.structs.replace(fact, sequences=single)

    def seen(self, sequence: int) -> None:
        self.sequence_next = max(self.sequence_next, sequence + 1)


class MemoryJournal:
    """See the module. `checkpoint_groups`: after so many groups a checkpoint is due (0: never)."""

    def __init__(self, *, checkpoint_groups: int = 0) -> None:
        self.groups: list[Group] = []
        self.records: list[Record] = []
        self.loads: deque[tuple[int, list[Request]]] = deque()
        """Loads that wait to be answered."""
        self.synced_count = 0
        """How many groups are durable."""
        self._released = 0
        self.failure: str | None = None
        self._checkpoint_groups = checkpoint_groups
        self._checkpointed = 0
        self._base: tuple[int, dict[tuple[str, str], bytes], list[QueueState]] | None = None
        """The last finished checkpoint: groups before its start, definitions, states."""
        self._pending: tuple[int, dict[tuple[str, str], bytes], list[QueueState]] | None = None
        self._states: Iterator[QueueState] = iter(())
        self._listener: JournalListener | None = None

    def __repr__(self) -> str:
        return f"<MemoryJournal groups={len(self.groups)} synced={self.synced_count} loads={len(self.loads)}>"

    def attach(self, listener: JournalListener) -> None:
        """Say who is told."""
        self._listener = listener

    # --- the contract ------------------------------------------------------------------------------

    def append(self, group: Group) -> None:
        for fact in group.messages:
            location = fact.location
            location.segment, location.position = 0, len(self.records)
            location.size = sum(len(message.body) for message in fact.messages)
            location.messages = len(fact.messages)
            self.records.append(Record(fact.messages, fact.targets))
        self.groups.append(group)

    def release(self, ticket: int) -> None:
        self._released = max(self._released, ticket)

    @property
    def writable_count(self) -> int:
        """How many groups may have reached the disk: those up to the first that waits for logs."""
        groups = self.groups
        for position in range(self.synced_count, len(groups)):
            if groups[position].held and groups[position].ticket > self._released:
                return position
        return len(groups)

    def load(self, ticket: int, requests: Sequence[Request]) -> None:
        self.loads.append((ticket, list(requests)))

    def checkpoint(self, snapshot: Snapshot) -> None:
        if self._pending is None:
            self._checkpointed = len(self.groups)
            definitions = {(kind, key): value for kind, key, value in snapshot.definitions()}
            self._pending = (len(self.groups), definitions, [])
            self._states = iter(snapshot.queues())

    @property
    def checkpoint_behind(self) -> bool:
        return False

    @property
    def checkpoint_due(self) -> bool:
        due = self._checkpoint_groups
        return bool(due) and self._pending is None and len(self.groups) - self._checkpointed >= due

    @property
    def unsynced_bytes(self) -> int:
        return sum(
            fact.location.size for group in self.groups[self.synced_count :] for fact in group.messages
        )

    # --- the disk ----------------------------------------------------------------------------------

    def sync(self, count: int | None = None) -> None:
        """Make the next `count` groups durable (None: all that wait for no log) and say so."""
        assert self._listener is not None
        before = self.synced_count
        left = self.writable_count - before
        self.synced_count += left if count is None else min(count, left)
        if self.synced_count > before and self.failure is None:
            self._listener.synced(self.groups[self.synced_count - 1].ticket)

    def fail(self, reason: str) -> None:
        """Nothing becomes durable any more."""
        assert self._listener is not None
        self.failure = reason
        self._listener.failed(reason)

    def answer_load(self, *, unreadable: bool = False) -> bool:
        """Answer the oldest load; False if there is none. What is unreadable is missing, said before."""
        assert self._listener is not None
        if not self.loads:
            return False
        ticket, requests = self.loads.popleft()
        if unreadable:
            self.fail("a segment cannot be read")
        answers = [[] if unreadable else self._read(*request) for request in requests]
        self._listener.loaded(ticket, answers)
        return True

    def _read(self, uid: int, sequences: Sequence[int], location: Location) -> list[tuple[int, Message]]:
        record = self.records[location.position]
        firsts = [first for target, first in record.targets if target == uid]
        assert len(firsts) == 1, f"queue {uid} stands {len(firsts)} times in record {location.position}"
        return [(sequence, record.messages[sequence - firsts[0]]) for sequence in sequences]

    def step_checkpoint(self) -> bool:
        """Take the next queue of a checkpoint under way; False if there is none to take, or it has ended,
        or its end waits for logs."""
        if self._pending is None or self.failure is not None:
            return False
        state = next(self._states, None)
        if state is not None:
            assert all(run.location.segment >= 0 for run in state.runs), "a state shows what was not appended"
            self._pending[2].append(state)
            return True
        # What the states show has to be durable before the checkpoint counts.
        self.sync()
        if self.synced_count == len(self.groups):
            self._base, self._pending = self._pending, None
        return False

    @property
    def checkpointing(self) -> bool:
        """A checkpoint is under way."""
        return self._pending is not None

    def finish_checkpoint(self, snapshot: Snapshot) -> None:
        """Take a whole checkpoint now, after any that is under way."""
        while self.step_checkpoint():
            pass
        self.checkpoint(snapshot)
        while self.step_checkpoint():
            pass

    # --- restart -----------------------------------------------------------------------------------

    def reopened(self, count: int | None = None) -> tuple[MemoryJournal, Recovery]:
        """What a start finds when `count` groups had reached the disk (None: all that were appended).

        A checkpoint under way is forgotten; one that was finished is built upon.
        """
        count = len(self.groups) if count is None else count
        assert count >= self.synced_count, "what is durable stays"
        journal = MemoryJournal(checkpoint_groups=self._checkpoint_groups)
        journal.records = list(self.records)
        journal.groups = self.groups[:count]
        journal.synced_count = journal._checkpointed = count
        journal._base = self._base
        return journal, self.recovery(count)

    def recovery(self, count: int) -> Recovery:
        """Replay the first `count` groups, over the last finished checkpoint."""
        start, definitions, states = self._base or (0, {}, [])
        replay = Replay(definitions)
        for state in states:
            replay.adopt(state)
        for group in self.groups[start:count]:
            replay.apply(group)
        return replay.recovery(self.records)


class Replay:
    """The rules of replay, message by message: slow and obvious."""

    def __init__(self, definitions: dict[tuple[str, str], bytes]) -> None:
        self.definitions = dict(definitions)
        self.queues: dict[int, Kept] = {}

    def _queue(self, uid: int) -> Kept:
        return self.queues.setdefault(uid, Kept())

    def adopt(self, state: QueueState) -> None:
        """Start from a queue as a checkpoint has it."""
        queue = self._queue(state.uid)
        queue.floor = queue.sequence_next = state.sequence_next
        queue.delivered_through = state.delivered_through
        for run in state.runs:
            for sequence in run.sequences:
                queue.places[sequence] = run.location.position
        for fact in state.returned:
            queue.came_back(fact)
        if state.due is not None:
            queue.due, queue.due_below = [*(queue.due or ()), *state.due], state.due_below

    def apply(self, group: Group) -> None:
        """Definitions, messages, delivered, returned, settled, in this order."""
        for definition in group.definitions:
            key = (definition.kind, definition.key)
            if definition.value is not None:
                self.definitions[key] = definition.value
                continue
            self.definitions.pop(key, None)
            if definition.kind in UID_KINDS:
                self.queues.pop(int(definition.key), None)
        for fact in group.messages:
            for uid, first in fact.targets:
                queue = self._queue(uid)
                for sequence in range(first, first + len(fact.messages)):
                    queue.seen(sequence)
                    if sequence >= queue.floor:
                        queue.places[sequence] = fact.location.position
        for delivered in group.delivered:
            queue = self._queue(delivered.uid)
            queue.seen(delivered.sequence)
            queue.delivered_through = max(queue.delivered_through, delivered.sequence)
        for returned in group.returned:
            self._queue(returned.uid).came_back(returned)
        for settled in group.settled:
            queue = self._queue(settled.uid)
            for sequences in settled.sequences:
                for sequence in sequences:
                    queue.seen(sequence)
                    queue.places.pop(sequence, None)

    def recovery(self, records: Sequence[Record]) -> Recovery:
        """The states, with a location of its own for each record."""
        locations: dict[int, Location] = {}
        states = {}
        for uid, queue in self.queues.items():
            if any((kind, str(uid)) in self.definitions for kind in UID_KINDS):
                runs = list(_stored_runs(queue.places, records, locations))
                returned = [fact for sequence, fact in queue.returned.items() if sequence in queue.places]
                due = None if queue.due is None else list(queue.due)
                states[uid] = QueueState(
                    uid, queue.sequence_next, queue.delivered_through, runs, returned, due, queue.due_below
                )
        return Recovery(self.definitions, states, [])


def _stored_runs(
    places: dict[int, int], records: Sequence[Record], locations: dict[int, Location]
) -> Iterator[StoredRun]:
    """One run per unbroken stretch of one record; body bytes are an estimate, as the contract allows."""
    ordered = sorted(places)
    start = 0
    while start < len(ordered):
        first, position = ordered[start], places[ordered[start]]
        stop = start + 1
        while (
            stop < len(ordered)
            and ordered[stop] == first + stop - start
            and places[ordered[stop]] == position
        ):
            stop += 1
        messages = records[position].messages
        size = sum(len(message.body) for message in messages)
        location = locations.setdefault(position, Location(0, position, size, len(messages)))
        count = stop - start
        yield StoredRun(
            range(first, first + count), location, size * count // len(messages), messages[0].accepted_ms
        )
        start = stop
