"""A domain small enough to be obviously right, over any journal: what an engine is compared with.

`ModelDomain` keeps queues as dicts from sequence to body, writes what it does into a journal as the broker
would, and remembers the state after every group. A recovery is then compared with those states: it must
equal the one after some group between the last confirmed and the last appended.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from pillarbox.engine.base import (
    Address,
    DefinitionFact,
    DeliveredFact,
    Group,
    Journal,
    Location,
    Message,
    MessagesFact,
    QueueState,
    Recovery,
    ReturnedFact,
    SettledFact,
    StoredRun,
)
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.store.committer import Worker

T = TypeVar("T")

ADDRESSES = [
    Address("amqp091", "", "q"),
    Address("amqp091", "amq.topic", "a.b"),
    Address("amqp091", "amq.topic", "a.b", ("hidden", "key \0 é")),
    Address("stomp", "é", "\udcff"),
]
NOW_MS = 1_700_000_000_000


class ShuffledScheduler(InlineScheduler):
    """No threads, yet the committer, logs, loads and background work take their turns in any order.

    Each is a lane that keeps its own order; which lane is next is left to chance (seeded).
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._lanes: dict[str, deque[Callable[[], None]]] = {
            "loop": self._callbacks,
            "disk": deque(),
            "background": deque(),
        }

    def run_in_thread(
        self, work: Callable[[], T], done: Callable[[T | BaseException], None], *, background: bool = False
    ) -> None:
        lane = self._lanes["background" if background else "disk"]
        super().run_in_thread(work, done, background=background)
        lane.append(self._callbacks.pop())

    def worker(self, work: Callable[[], None]) -> Worker:
        lane = self._lanes[f"worker {len(self._lanes)}"] = deque()
        return _LaneWorker(lane, work)

    def step(self) -> bool:
        waiting = [lane for lane in self._lanes.values() if lane]
        if not waiting:
            return False
        self._chance.choice(waiting).popleft()()
        return True


class _LaneWorker:
    def __init__(self, lane: deque[Callable[[], None]], work: Callable[[], None]) -> None:
        self._lane = lane
        self._work = work

    def wake(self) -> None:
        if not self._lane:
            self._lane.append(self._work)

    def wake_within(self, seconds: float) -> None:
        self.wake()

    def stop(self) -> None:
        self._lane.clear()
        self._work()


class QueueView(NamedTuple):
    """What must come back of one queue."""

    sequence_next: int
    """Highest sequence in any fact, plus one."""
    delivered_through: int
    bodies: dict[int, bytes]
    returned: dict[int, tuple[int, int, int]]
    """Of each message that came back: how often, how often of these as failed, until when it is held."""


@dataclass
class State:
    """All that must come back after some group."""

    definitions: dict[tuple[str, str], bytes] = field(default_factory=dict)
    queues: dict[int, QueueView] = field(default_factory=dict)


@dataclass
class ModelQueue:
    """One queue: bodies by sequence, and where each rests."""

    sequence_next: int = 0
    sequence_seen: int = 0
    delivered_through: int = -1
    bodies: dict[int, bytes] = field(default_factory=dict)
    locations: dict[int, Location] = field(default_factory=dict)
    returned: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def come_back(self, fact: ReturnedFact) -> None:
        for sequence in fact.sequences:
            if sequence in self.bodies:
                self.returned[sequence] = (fact.count, fact.failures, fact.held_until_ms)


class Confirmed(Protocol):
    """Is told when a group was appended or confirmed; a crash test puts that into its log."""

    def __call__(self, event: tuple[str, int]) -> None: ...


class ModelDomain:
    """See the module. Also the journal's listener and the snapshot that checkpoints take."""

    def __init__(self, journal: Journal, note: Confirmed = lambda event: None) -> None:
        self._journal = journal
        self._note = note
        self.adopt_merged = True
        self.lone: Callable[[], bool] = lambda: False
        """Whether the next group says that a lone publisher waits for it."""
        self.piece_runs = 3
        """Runs per piece of a snapshot: small, so that long queues come in several."""
        self.queues: dict[int, ModelQueue] = {}
        self.definitions_now: dict[tuple[str, str], bytes] = {}
        self.ticket = 0
        self.confirmed = 0
        self.failures: list[str] = []
        self.answers: dict[int, list[dict[int, bytes]]] = {}
        self.history: list[State] = [State()]
        self._expected: dict[int, list[dict[int, bytes]]] = {}
        self._loads = 0
        self._bodies = 0
        self._begin()

    def _begin(self) -> None:
        self._definitions: list[DefinitionFact] = []
        self._messages: list[MessagesFact] = []
        self._delivered: dict[int, int] = {}
        self._settled: dict[int, list[range]] = {}
        self._returned: list[ReturnedFact] = []

    # --- what may happen ---------------------------------------------------------------------------

    def define(self, kind: str, key: str, value: bytes | None) -> None:
        if value is None:
            self.definitions_now.pop((kind, key), None)
        else:
            self.definitions_now[kind, key] = value
        self._definitions.append(DefinitionFact(kind, key, value))

    def make_queue(self, uid: int) -> None:
        self.define("queue", str(uid), b"queue %d" % uid)
        self.queues[uid] = ModelQueue()

    def delete_queue(self, uid: int) -> None:
        """Delete a queue; what the same tick still says of it is left to the engine to ignore."""
        self.commit()
        self.define("queue", str(uid), None)
        del self.queues[uid]

    def publish(self, uids: Sequence[int], count: int, *, size: int = 10, expiration_ms: int = -1) -> None:
        """Publish messages with new bodies to some queues."""
        bodies = []
        for _ in range(count):
            self._bodies += 1
            bodies.append((b"%d." % self._bodies).ljust(size, b"#"))
        self._enter(uids, bodies, expiration_ms)

    def _enter(self, uids: Sequence[int], bodies: list[bytes], expiration_ms: int = -1) -> None:
        address = ADDRESSES[self._bodies % len(ADDRESSES)]
        messages = [
            Message(address, b"props %d" % len(body), body, NOW_MS, expiration_ms, True) for body in bodies
        ]
        fact = MessagesFact([(uid, self.queues[uid].sequence_next) for uid in uids], messages, Location())
        for uid, first in fact.targets:
            queue = self.queues[uid]
            for sequence, body in enumerate(bodies, first):
                queue.bodies[sequence] = body
                queue.locations[sequence] = fact.location
            queue.sequence_next = queue.sequence_seen = first + len(bodies)
        self._messages.append(fact)

    def skip(self, uid: int, count: int) -> None:
        """Transient messages: they take sequences and leave no trace."""
        self.queues[uid].sequence_next += count

    def deliver(self, uid: int, sequence: int) -> None:
        queue = self.queues[uid]
        if sequence > queue.delivered_through:
            queue.delivered_through = self._delivered[uid] = sequence
            queue.sequence_seen = max(queue.sequence_seen, sequence + 1)

    def come_back(self, fact: ReturnedFact) -> None:
        """What was delivered is ready again, or held."""
        queue = self.queues[fact.uid]
        queue.come_back(fact)
        queue.sequence_seen = max(queue.sequence_seen, fact.sequences[-1] + 1)
        self._returned.append(fact)

    def settle(self, uid: int, sequences: range) -> None:
        queue = self.queues[uid]
        if not sequences:
            return
        for sequence in sequences:
            queue.returned.pop(sequence, None)
            queue.bodies.pop(sequence, None)
            queue.locations.pop(sequence, None)
        self._settled.setdefault(uid, []).append(sequences)
        queue.sequence_seen = max(queue.sequence_seen, sequences[-1] + 1)
        queue.sequence_next = max(queue.sequence_next, queue.sequence_seen)

    def move(self, uid: int, target: int) -> None:
        """Dead-letter the head: out of one queue and into another in one group."""
        queue = self.queues[uid]
        if queue.bodies:
            sequence = min(queue.bodies)
            self._enter([target], [queue.bodies[sequence]])
            self.settle(uid, range(sequence, sequence + 1))

    def commit(self) -> None:
        """End the tick: append what happened as one group."""
        facts = (self._definitions, self._messages, self._delivered, self._returned, self._settled)
        if not any(facts):
            return
        self.ticket += 1
        group = Group(
            self.ticket,
            self._definitions,
            self._messages,
            [DeliveredFact(uid, sequence) for uid, sequence in self._delivered.items()],
            [SettledFact(uid, ranges) for uid, ranges in self._settled.items()],
            self.lone(),
            returned=self._returned,
        )
        self._begin()
        self.history.append(self.state())
        self._note(("appended", self.ticket))
        self._journal.append(group)

    def state(self) -> State:
        return State(
            dict(self.definitions_now),
            {
                uid: QueueView(
                    queue.sequence_seen, queue.delivered_through, dict(queue.bodies), dict(queue.returned)
                )
                for uid, queue in self.queues.items()
            },
        )

    def load(self, uid: int) -> int:
        """Ask for everything in a queue; the answer comes into `answers` under the number returned.

        The answer is compared with what the queue holds now, unless that is not known (after `restore`).
        """
        self.commit()
        self._loads += 1
        runs = self._runs(self.queues[uid])
        bodies = self.queues[uid].bodies
        self._expected[self._loads] = [{s: bodies[s] for s in run.sequences} for run in runs]
        self._journal.load(self._loads, [(uid, run.sequences, run.location) for run in runs])
        return self._loads

    # --- listener ----------------------------------------------------------------------------------

    def synced(self, ticket: int) -> None:
        assert self.confirmed < ticket <= self.ticket, "confirmed twice, or never appended"
        self.confirmed = ticket
        self._note(("confirmed", ticket))

    def loaded(self, ticket: int, records: Sequence[Sequence[tuple[int, Message]]]) -> None:
        answer = [{sequence: bytes(message.body) for sequence, message in record} for record in records]
        expected = self._expected.pop(ticket)
        assert [list(record) for record in answer] == [list(record) for record in expected] or self.failures
        for got, known in zip(answer, expected, strict=True):
            assert all(not known[sequence] or known[sequence] == body for sequence, body in got.items())
        self.answers[ticket] = answer

    def checkpointed(self) -> None:
        pass

    def merged(self, uid: int, sequences: range, location: Location) -> None:
        queue = self.queues.get(uid)
        if queue is not None and self.adopt_merged:
            for sequence in sequences:
                if sequence in queue.locations:
                    queue.locations[sequence] = location

    def failed(self, reason: str) -> None:
        self.failures.append(reason)

    # --- snapshot ----------------------------------------------------------------------------------

    def definitions(self) -> list[tuple[str, str, bytes]]:
        self.commit()
        return [(kind, key, value) for (kind, key), value in self.definitions_now.items()]

    def queues_of_snapshot(self) -> Iterator[QueueState]:
        for uid in list(self.queues):
            self.commit()
            queue = self.queues.get(uid)
            if queue is None:
                continue
            runs = self._runs(queue)
            returned = [
                ReturnedFact(uid, range(sequence, sequence + 1), *numbers)
                for sequence, numbers in queue.returned.items()
            ]
            yield QueueState(
                uid, queue.sequence_next, queue.delivered_through, runs[: self.piece_runs], returned
            )
            last = runs[: self.piece_runs][-1].sequences[-1] if runs else -1
            while uid in self.queues:
                self.commit()
                later = [run for run in self._runs(queue) if run.sequences[0] > last][: self.piece_runs]
                if not later:
                    break
                last = later[-1].sequences[-1]
                yield QueueState(uid, queue.sequence_next, queue.delivered_through, later)

    def _runs(self, queue: ModelQueue) -> list[StoredRun]:
        runs: list[StoredRun] = []
        for sequence, location in sorted(queue.locations.items()):
            size = len(queue.bodies[sequence])
            if runs and runs[-1].location is location and runs[-1].sequences.stop == sequence:
                runs[-1].sequences = range(runs[-1].sequences.start, sequence + 1)
                runs[-1].body_bytes += size
            else:
                runs.append(StoredRun(range(sequence, sequence + 1), location, size, NOW_MS))
        return runs

    @property
    def snapshot(self) -> ModelSnapshot:
        return ModelSnapshot(self)

    def restore(self, recovery: Recovery) -> None:
        """Go on where a recovery left off; the bodies have to be loaded and `adopt`ed."""
        self.definitions_now = dict(recovery.definitions)
        for uid, state in recovery.queues.items():
            queue = self.queues[uid] = ModelQueue(
                state.sequence_next, state.sequence_next, state.delivered_through
            )
            starts = [run.sequences.start for run in state.runs]
            assert starts == sorted(starts), f"runs of queue {uid} are out of order: {state.runs}"
            for run in state.runs:
                for sequence in run.sequences:
                    assert sequence not in queue.locations, f"queue {uid} has {sequence} twice: {state.runs}"
                    queue.locations[sequence] = run.location
                    queue.bodies[sequence] = b""
            for fact in state.returned:
                queue.come_back(fact)
        self.history = [self.state()]

    def adopt(self, uid: int, ticket: int) -> None:
        """Take the bodies that a load brought; what they are becomes the state to compare with."""
        for record in self.answers.pop(ticket):
            self.queues[uid].bodies.update(record)
        self.history = [self.state()]


class ModelSnapshot:
    """The snapshot of a `ModelDomain`, whose own `queues` are something else."""

    def __init__(self, domain: ModelDomain) -> None:
        self._domain = domain

    def definitions(self) -> list[tuple[str, str, bytes]]:
        return self._domain.definitions()

    def queues(self) -> Iterator[QueueState]:
        return self._domain.queues_of_snapshot()
