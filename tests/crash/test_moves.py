"""What moves from a queue into a stream survives every crash (R80): the real core on the local engine.

A queue is kept by the journal, a stream by its log, and no crash sees both at the same moment. So a source is
settled only after the log has what was moved: whatever happens, a confirmed message is in at least one place.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from crash_tools import stream_bodies

from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.broker.dialects import Dialects
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.transaction import Transaction
from pillarbox.engine.base import Address, Message
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.deaths import dead_letter
from pillarbox.protocols.amqp091.delays import TIMETABLE
from pillarbox.protocols.amqp091.publishing import ORIGIN, envelope_of, examine
from pillarbox.protocols.amqp091.records import RecordCodec
from pillarbox.store import committer
from pillarbox.testing.faults import SimulatedFiles, crash_images
from pillarbox.testing.journal import ShuffledScheduler

NOW_MS = 1_700_000_000_000
DELAY_MS = 5
END_MS = NOW_MS + 1000
"""Everything has fired by then."""
TO_STREAM = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s"}


class Life:
    """A core on simulated files: messages leave `work` for the stream `s` and the queue `q`."""

    def __init__(self, files: SimulatedFiles, scheduler: InlineScheduler) -> None:
        self.files, self.scheduler = files, scheduler
        self.now_ms = NOW_MS
        self.engine = LocalEngine("/data", files, scheduler, allocate_bytes=0, checkpoint_records=40)
        recovery = self.engine.open()
        self.core = Core(self.engine, now_ms=NOW_MS, random=bytes, wake=lambda: None, logs=self.engine.logs)
        self.core.streams.codec = RecordCodec(Dialects())
        self.core.dead_letters.writers[ORIGIN] = dead_letter
        self.core.schedules.timetables[ORIGIN] = TIMETABLE
        self.engine.attach(self.core)
        self.core.restore(recovery)
        self.published = 0
        self.in_transactions: set[int] = set()
        """Taken from `work` and published to `s` and `q` in one transaction."""
        self.ledger = Ledger()
        self.waiting: list[tuple[int, int]] = []
        """(ticket, highest number) of what is not confirmed yet."""
        synced = self.core.confirms.synced

        def note(ticket: int) -> None:
            while self.waiting and self.waiting[0][0] <= ticket:
                files.note(("confirmed", self.waiting.pop(0)[1]))
            synced(ticket)

        self.core.confirms.synced = note  # type: ignore[method-assign]

    def declare(self) -> None:
        vhost = self.core.add_vhost("/")
        arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 400}
        stream = vhost.declare_queue(None, "s", durable=True, arguments=arguments)
        vhost.declare_queue(None, "q", durable=True)
        vhost.declare_queue(None, "work", durable=True, arguments=TO_STREAM)
        later = vhost.declare_exchange(
            "later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"}
        )
        vhost.bind(later, stream, "", {})
        self.tick()
        self.scheduler.run_until_idle()

    def tick(self) -> None:
        self.core.tick(self.now_ms)

    def queue(self, name: str) -> Queue:
        return self.core.vhosts["/"].queues[name]

    def message(self, number: int, properties: bytes = b"\x10\x00\x02") -> Message:
        return Message(Address(ORIGIN, "", "work"), properties, b"%d" % number, self.now_ms, -1, True)

    def publish(self, queues: tuple[Queue, ...], message: Message) -> None:
        stored, _ = self.core.publish(
            queues, [message], len(message.body), persistent=True, expiring=False, prioritized=False
        )
        assert stored

    def bring(self, chance: random.Random) -> None:
        """Publish a message to the queue or to the exchange that delays it."""
        self.published += 1
        if chance.random() < 0.7:
            self.publish((self.queue("work"),), self.message(self.published))
        else:
            headers = wire.decode_properties(b"\0\0")._replace(headers={"x-delay": DELAY_MS}, delivery_mode=2)
            properties = wire.encode_properties(headers)
            message = self.message(self.published, properties)
            envelope = envelope_of(properties, examine(properties, "guest"))
            self.publish(self.core.vhosts["/"].route("later", ("",), envelope).queues, message)
        self.waiting.append((self.core.ticket + 1, self.published))

    def move(self, chance: random.Random) -> None:
        """Take messages out, and reject them, or publish them elsewhere in a transaction."""
        run = self.queue("work").take(chance.choice((1, 3)))
        if run is None:
            return
        numbers = [int(one.body) for one in run.messages or []]
        self.ledger.add(None, run)
        run.lane.delivered(run)
        if chance.random() < 0.5:
            self.ledger.settle(0, True, Outcome.REJECTED)
            return
        transaction = Transaction(self.core, self.core.vhosts["/"])
        self.in_transactions.update(numbers)
        exchange = self.core.vhosts["/"].exchanges["later"]
        transaction.publish(
            exchange.counters,
            (self.queue("s"), self.queue("q")),
            [self.message(number) for number in numbers],
            sum(len(b"%d" % number) for number in numbers),
            persistent=True,
            expiring=False,
            prioritized=False,
        )
        transaction.settle(self.ledger, 0, True, Outcome.ACCEPTED)
        transaction.commit()

    def drained(self, name: str) -> Iterator[int]:
        """Take everything out of a queue."""
        queue = self.queue(name)
        while queue.ready_count:
            run = queue.take(50)
            if run is None:
                self.tick()
                self.scheduler.run_until_idle()
                continue
            yield from [int(one.body) for one in run.messages or []]
            run.lane.settle_unanswered(run)

    def settle_down(self) -> None:
        """Let everything fire and be forwarded."""
        self.now_ms = END_MS
        for _ in range(10):
            self.tick()
            self.scheduler.run_until_idle()


@pytest.fixture(autouse=True)
def _syncs_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "monotonic_ns", lambda: 0)


def recorded(seed: int) -> tuple[SimulatedFiles, Life]:
    chance = random.Random(seed)
    files = SimulatedFiles()
    life = Life(files, ShuffledScheduler(chance))
    life.declare()
    for _ in range(18):
        for _ in range(chance.choice((1, 1, 4))):
            life.bring(chance)
        life.tick()
        if chance.random() < 0.6:
            life.move(chance)
        if chance.random() < 0.3:
            life.now_ms += DELAY_MS
        life.tick()
        for _ in range(chance.choice((0, 1, 4, 20))):
            life.scheduler.step()
    life.settle_down()
    assert not life.waiting
    return files, life


@pytest.mark.row("R80", "R48", "R62", "R28")
@pytest.mark.parametrize("seed", range(4))
def test_no_crash_loses_what_moves_from_a_queue_into_a_stream(seed: int) -> None:
    """Dead letters, transactions, delayed messages; after every operation: killed, power cut, torn."""
    files, recorded_life = recorded(seed)
    confirmed = moved = 0
    operations = list(files.log)
    following = iter(operations)
    passed = 0
    for done, image in crash_images(files.start, operations, seed=seed, mixtures=1):
        while passed < done:
            operation = next(following)
            passed += 1
            if operation.kind == "note":
                confirmed = operation.note[1]
        life = Life(SimulatedFiles(image), InlineScheduler())
        if "/" not in life.core.vhosts or "work" not in life.core.vhosts["/"].queues:
            assert not confirmed
            continue
        life.settle_down()
        streamed = {int(body) for body in stream_bodies(life.queue("s"), life.scheduler)}
        waiting, copied = set(life.drained("work")), set(life.drained("q"))
        lost = set(range(1, confirmed + 1)) - waiting - streamed
        assert not lost, f"after {done} operations"
        assert copied <= streamed, "one half of a transaction"
        settled = recorded_life.in_transactions & set(range(1, confirmed + 1)) - waiting
        assert settled <= copied, "settled without what was published in its place"
        moved += len(streamed - waiting)
    assert moved > 100


def test_a_log_that_fails_leaves_what_was_moved_in_its_queue() -> None:
    """Neither the group that settles it nor a checkpoint may count any more, also at a clean stop."""
    files = SimulatedFiles()
    life = Life(files, InlineScheduler())
    life.declare()
    life.publish((life.queue("work"),), life.message(1))
    life.tick()
    life.scheduler.run_until_idle()
    run = life.queue("work").take(1)
    assert run is not None
    life.ledger.add(None, run)
    life.ledger.settle(0, True, Outcome.REJECTED)
    life.tick()
    life.queue("s").partition.failed("the disk is on fire")  # type: ignore[attr-defined]
    assert life.core.failure == "the disk is on fire"
    life.core.flush()
    life.engine.close(CoreSnapshot(life.core))
    again = Life(files, InlineScheduler())
    assert list(again.drained("work")) == [1]
