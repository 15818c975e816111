"""What the domain's tests share: a core on a journal in memory, messages, and receivers that write down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.changes import Changes
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.core import Core
from pillarbox.broker.ledger import Ledger
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import Run
from pillarbox.broker.session import Session
from pillarbox.engine.base import NO_EXPIRATION, Address, Message
from pillarbox.errors import Reason
from pillarbox.protocols.amqp091.deaths import dead_letter
from pillarbox.protocols.amqp091.delays import TIMETABLE
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.testing.memory_journal import MemoryJournal

NOW_MS = 1_700_000_000_000
ADDRESS = Address("amqp091", "", "q")


def message(
    body: bytes | str | int,
    *,
    ttl_ms: int = NO_EXPIRATION,
    persistent: bool = True,
    now_ms: int = NOW_MS,
    priority: int = 0,
) -> Message:
    """A message with this body; a number becomes its decimal digits."""
    raw = body if isinstance(body, bytes) else str(body).encode()
    return Message(ADDRESS, b"\0\0", raw, now_ms, ttl_ms, persistent, priority)


def bodies(run: Run) -> list[bytes]:
    assert run.messages is not None
    return [message.body for message in run.messages]


class Outlet:
    """A way out that is writable until a test says otherwise."""

    def __init__(self) -> None:
        self.writable = True
        self.events: list[str] = []

    def blocked(self, reason: str) -> None:
        self.events.append(f"blocked: {reason}")

    def unblocked(self) -> None:
        self.events.append("unblocked")


class Receiver:
    """A sink that writes down what it is given, in the order in which it came."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[str, int, int, bytes, bool]] = []
        """(consumer tag, delivery tag, sequence, body, redelivered)"""
        self.confirms: list[tuple[int, int]] = []
        self.refusals: list[tuple[int, int]] = []
        self.cancelled: list[str] = []
        self.timed: list[str] = []
        self.disconnected: list[str] = []

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        assert run.messages is not None
        assert len(run.messages) == len(run.sequences) > 0
        for position, (sequence, one) in enumerate(zip(run.sequences, run.messages, strict=True)):
            self.deliveries.append((consumer.tag, tag_first + position, sequence, one.body, run.redelivered))

    def confirm(self, tag_first: int, tag_last: int) -> None:
        self.confirms.append((tag_first, tag_last))

    def refuse(self, tag_first: int, tag_last: int) -> None:
        self.refusals.append((tag_first, tag_last))

    def consumer_cancelled(self, consumer: Consumer) -> None:
        self.cancelled.append(consumer.tag)

    def time_answers(self, queue: Queue) -> None:
        self.timed.append(queue.name)

    def disconnect(self, reason: Reason, text: str) -> None:
        self.disconnected.append(f"{reason.name}: {text}")

    @property
    def bodies(self) -> list[bytes]:
        return [delivery[3] for delivery in self.deliveries]

    @property
    def confirmed(self) -> list[int]:
        """Every confirmed number, in the order of the confirms."""
        return [number for first, last in self.confirms for number in range(first, last + 1)]


def add_consumer(
    queue: Queue,
    receiver: Receiver,
    tag: str,
    *,
    ledger: Ledger | None = None,
    outlet: Outlet | None = None,
    prefetch: int = 0,
    pool: Pool | None = None,
    priority: int = 0,
    no_ack: bool = False,
) -> Consumer:
    """A consumer on the queue, behind those of its priority, as `Session.consume` places it."""
    consumer = Consumer(
        queue,
        receiver,
        outlet or Outlet(),
        ledger or Ledger(),
        tag=tag,
        prefetch=prefetch,
        pool=pool,
        priority=priority,
        no_ack=no_ack,
    )
    queue.add_consumer(consumer)
    return consumer


class Domain:
    """A core with one virtual host and an all-powerful user, on a journal that answers when told.

    Time stands still until `advance`; `woken` counts how often the core asked for a tick.
    """

    def __init__(
        self,
        journal: MemoryJournal | None = None,
        *,
        journaled: bool = True,
        memory_budget: int = 128 << 20,
        now_ms: int = NOW_MS,
    ) -> None:
        self.journal = journal or MemoryJournal()
        self.journaled = journaled
        self.memory_budget = memory_budget
        self.now_ms = now_ms
        self.woken = 0
        self._random = 0
        self.refused: Sequence[int] = ()
        """Positions of the last publish that were refused."""
        self.core = self._make_core()
        self.core.add_vhost("/")
        self.core.put_user(User("guest", hash_password("guest", b"salt"), tags=("administrator",)))
        self.core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))

    def _make_core(self) -> Core:
        core = Core(
            self.journal,
            now_ms=self.now_ms,
            random=self._bytes,
            wake=self._wake,
            journaled=self.journaled,
            memory_budget=self.memory_budget,
        )
        self.journal.attach(core)
        core.dead_letters.writers[ORIGIN] = dead_letter
        core.schedules.timetables[ORIGIN] = TIMETABLE
        return core

    def _bytes(self, count: int) -> bytes:
        self._random += 1
        return self._random.to_bytes(count, "big")

    def _wake(self) -> None:
        self.woken += 1

    @property
    def vhost(self) -> Any:
        return self.core.vhosts["/"]

    def session(self, outlet: Outlet | None = None, user: str = "guest", vhost: str = "/") -> Session:
        return self.core.open_session(self.core.users.by_name[user], vhost, outlet or Outlet())

    def queue(self, name: str) -> Queue:
        queue: Queue = self.vhost.queues[name]
        return queue

    def publish(
        self,
        queues: Sequence[Queue],
        messages: list[Message],
        *,
        persistent: bool = True,
        expiring: bool | None = None,
    ) -> bool:
        stored, self.refused = self.core.publish(
            tuple(queues),
            messages,
            sum(len(one.body) for one in messages),
            persistent=persistent,
            expiring=any(one.expiration_ms >= 0 for one in messages) if expiring is None else expiring,
            prioritized=any(one.priority for one in messages),
        )
        return stored

    def tick(self) -> None:
        self.core.tick(self.now_ms)

    def run(self, ticks_max: int = 10_000) -> None:
        """Tick, answer loads and sync until nothing is left to do."""
        for _ in range(ticks_max):
            woken = self.woken
            self.tick()
            loaded = self.journal.answer_load()
            self.journal.sync()
            if self.woken == woken and not loaded:
                return
        raise AssertionError("the core never comes to rest")

    def advance(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        self.core.set_time(self.now_ms)

    def restart(self, count: int | None = None) -> None:
        """Start again with what the first `count` groups amount to (None: all)."""
        self.journal, recovery = self.journal.reopened(count)
        self.core = self._make_core()
        self.core.restore(recovery)

    def consume(
        self,
        session: Session,
        name: str,
        receiver: Receiver,
        *,
        ledger: Ledger | None = None,
        tag: str = "c",
        no_ack: bool = False,
        exclusive: bool = False,
        prefetch: int = 0,
        pool: Pool | None = None,
        priority: int = 0,
    ) -> Consumer:
        return session.consume(
            name,
            receiver,
            ledger or Ledger(),
            tag=tag,
            no_ack=no_ack,
            exclusive=exclusive,
            prefetch=prefetch,
            pool=pool or Pool(),
            priority=priority,
            arguments={},
        )


def make_queue(changes: Changes | None = None, name: str = "q", *, uid: int = 1, **attributes: Any) -> Queue:
    """A durable queue on its own, without a virtual host."""
    changes = changes or Changes(journaled=True)
    changes.now_ms = changes.now_ms or NOW_MS
    return Queue(changes, uid, name, **{"durable": True, **attributes})


def demand_counts(queue: Queue) -> None:
    """Assert that the counts of a queue are what its runs and outstanding deliveries add up to."""
    waiting = list(queue.ready_runs())
    assert queue.ready_count == sum(len(run) for run in waiting)
    assert queue.ready_bytes == sum(run.body_bytes for run in waiting)
    assert queue.unacked_count == sum(entry.stop - entry.start for entry in queue.outstanding())
    assert queue.unacked_bytes == sum(
        entry.part_bytes(entry.start, entry.stop) for entry in queue.outstanding()
    )
    for run in waiting:
        if run.messages is not None:
            assert len(run.messages) == len(run.sequences)
            assert run.body_bytes == sum(len(one.body) for one in run.messages)
    for lane in queue.lanes:
        assert lane._cold_runs == sum(run.messages is None for run in lane.ready)
        places = [sequence for run in lane.ready_runs() for sequence in run.sequences]
        for run in lane.dying:
            places += run.sequences
        for entry in lane.outstanding:
            assert entry.run.lane is entry.lane is lane
            places += entry.run.sequences[entry.start : entry.stop]
        assert len(places) == len(set(places)), "a message stands in two places"
        assert all(sequence < lane.sequence_next for sequence in places)


def resident_bytes(queues: Sequence[Queue]) -> int:
    """What the messages of these queues take, recounted."""
    total = 0
    for queue in queues:
        for run in queue.ready_runs():
            if run.messages is not None:
                total += run.held_bytes
        for lane in queue.lanes:
            total += sum(run.held_bytes for run in lane.dying if run.messages is not None)
        for entry in queue.outstanding():
            total += entry.held_bytes
    return total
