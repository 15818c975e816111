"""Record a workload on simulated files, crash it anywhere, recover, and compare with the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from pillarbox.broker.queue import Queue
from pillarbox.broker.stream import StreamQueue
from pillarbox.engine.base import Recovery, ReturnedFact
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.store.batch import decode_batch
from pillarbox.store.files import Files
from pillarbox.store.segment import Slice
from pillarbox.testing.faults import Image, SimulatedFiles, crash_images
from pillarbox.testing.journal import ModelDomain, QueueView, ShuffledScheduler, State

FOLDER = "/data"


def open_engine(
    files: Files, scheduler: InlineScheduler | None = None, **options: object
) -> tuple[LocalEngine, InlineScheduler, Recovery]:
    scheduler = scheduler or InlineScheduler()
    settings = {"segment_bytes": 4000, "checkpoint_records": 30, "allocate_bytes": 0, **options}
    engine = LocalEngine(FOLDER, files, scheduler, **settings)  # type: ignore[arg-type]
    return engine, scheduler, engine.open()


class Workload:
    """Random operations of a `ModelDomain`, with the disk's turns in between."""

    def __init__(
        self,
        seed: int,
        start: Image | SimulatedFiles | None = None,
        *,
        adopt_merged: bool = True,
        wrap: Callable[[SimulatedFiles], Files] = lambda files: files,
        **options: object,
    ) -> None:
        self.chance = random.Random(seed)
        self.simulated = start if isinstance(start, SimulatedFiles) else SimulatedFiles(start)
        self.files = wrap(self.simulated)
        scheduler = ShuffledScheduler(self.chance)
        self.engine, self.scheduler, recovery = open_engine(self.files, scheduler, **options)
        self.domain = ModelDomain(self.engine, self.simulated.note)
        self.domain.adopt_merged = adopt_merged
        self.domain.lone = lambda: self.chance.random() < 0.3
        self.engine.attach(self.domain)
        load_all(self.domain, self.scheduler, recovery)
        self.opened = len(self.simulated.log)
        """Operations that opening took."""
        self.simulated.note(("opened", 0))
        self.checkpoints = 0
        self._next_uid = max(self.domain.queues, default=0) + 1

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step()
            if self.chance.random() < 0.7:
                self.domain.commit()
            # The disk is sometimes far behind and sometimes ahead.
            for _ in range(self.chance.choice((0, 0, 1, 2, 5, 20))):
                self.scheduler.step()
            if self.engine.checkpoint_due or self.chance.random() < 0.02:
                self.checkpoints += 1
                self.engine.checkpoint(self.domain.snapshot)
        assert not self.domain.failures

    def kill(self) -> SimulatedFiles:
        """The process is gone: its locks with it, but what it wrote is in the page cache, synced or not."""
        self.simulated.release_locks()
        return self.simulated

    def _step(self) -> None:
        chance, domain = self.chance, self.domain
        uids = list(domain.queues)
        action = chance.random()
        if len(uids) < 2 or action < 0.05:
            domain.make_queue(self._next_uid)
            self._next_uid += 1
        elif action < 0.45:
            count = chance.choice((1, 1, 1, 2, 5, 12))
            targets = chance.sample(uids, chance.choice((1, 1, 2, min(4, len(uids)))))
            size = chance.choice((10, 10, 600))
            domain.publish(targets, count, size=size, expiration_ms=chance.choice((-1, -1, 60_000)))
        elif action < 0.50:
            domain.skip(chance.choice(uids), chance.randint(1, 3))
        elif action < 0.60:
            uid = chance.choice(uids)
            if domain.queues[uid].sequence_next:
                domain.deliver(uid, chance.randrange(domain.queues[uid].sequence_next))
        elif action < 0.66:
            self._come_back(chance.choice(uids))
        elif action < 0.85:
            self._settle(chance.choice(uids))
        elif action < 0.92:
            domain.move(*chance.sample(uids, 2))
        elif action < 0.96:
            domain.define("exchange", chance.choice("abc"), chance.choice((None, b"x", b"y")))
        elif action < 0.98:
            domain.load(chance.choice(uids))
        elif len(uids) > 3:
            domain.delete_queue(chance.choice(uids))

    def _come_back(self, uid: int) -> None:
        waiting = sorted(self.domain.queues[uid].bodies)
        if waiting:
            first = self.chance.choice(waiting[:5])
            last = min(first + self.chance.randint(1, 9), self.domain.queues[uid].sequence_next)
            span = range(first, last, self.chance.choice((1, 1, 2)))
            count = self.chance.randint(1, 20)
            held_until_ms = self.chance.choice((0, 0, 1_800_000_000_000))
            fact = ReturnedFact(uid, span, count, self.chance.randint(0, count), held_until_ms)
            self.domain.come_back(fact)

    def _settle(self, uid: int) -> None:
        waiting = sorted(self.domain.queues[uid].bodies)
        if waiting:
            first = self.chance.choice(waiting[:5])
            span = range(first, first + self.chance.randint(1, 30), self.chance.choice((1, 1, 1, 2)))
            known = [sequence for sequence in span if sequence in self.domain.queues[uid].bodies]
            if len(known) == len(span):
                self.domain.settle(uid, span)
            else:
                for sequence in known:
                    self.domain.settle(uid, range(sequence, sequence + 1))


def load_all(domain: ModelDomain, scheduler: InlineScheduler, recovery: Recovery) -> None:
    """Make the domain hold what was recovered, bodies included."""
    domain.restore(recovery)
    for uid in domain.queues:
        ticket = domain.load(uid)
        while ticket not in domain.answers:
            assert scheduler.step(), "a load is never answered"
        domain.adopt(uid, ticket)
    assert not domain.failures


def recovered_state(files: Files, **options: object) -> State:
    """Open the folder, load everything, and say what is there."""
    engine, scheduler, recovery = open_engine(files, **options)
    domain = ModelDomain(engine)
    engine.attach(domain)
    load_all(domain, scheduler, recovery)
    return domain.state()


def moments(files: SimulatedFiles, *, seed: int, mixtures: int) -> Iterator[tuple[int, int, int, Image]]:
    """(operations done, confirmed, appended, image) of every crash."""
    log = list(files.log)
    bounds = [(0, 0)]
    for operation in log:
        confirmed, appended = bounds[-1]
        if operation.kind == "note":
            kind, ticket = operation.note
            confirmed = ticket if kind == "confirmed" else confirmed
            appended = ticket if kind == "appended" else appended
            if kind == "opened":
                confirmed = appended = 0
        bounds.append((confirmed, appended))
    for done, image in crash_images(files.start, log, seed=seed, mixtures=mixtures):
        yield done, *bounds[done], image


def matches(found: State, expected: State) -> bool:
    """Equal, but a queue's next sequence may be higher: transient messages have sequences, too."""
    if found.definitions != expected.definitions or list(found.definitions) != list(expected.definitions):
        return False
    if found.queues.keys() != expected.queues.keys():
        return False
    return all(_queue_matches(view, expected.queues[uid]) for uid, view in found.queues.items())


def _queue_matches(found: QueueView, expected: QueueView) -> bool:
    return (
        found.bodies == expected.bodies
        and found.returned == expected.returned
        and found.delivered_through == expected.delivered_through
        and found.sequence_next >= expected.sequence_next
    )


def assert_recovered(found: State, domain: ModelDomain, low: int, high: int) -> int:
    """The state is that after some group between the last confirmed and the last appended; which one."""
    for ticket in range(high, low - 1, -1):
        if matches(found, domain.history[ticket]):
            return ticket
    raise AssertionError(
        f"recovered none of the states {low}..{high}; from that after {high} it differs in\n"
        + "\n".join(_differences(found, domain.history[high]))
    )


def _differences(found: State, expected: State) -> Iterator[str]:
    if found.definitions != expected.definitions:
        yield f"definitions {found.definitions}\n  not {expected.definitions}"
    for uid in found.queues.keys() | expected.queues.keys():
        one, other = found.queues.get(uid), expected.queues.get(uid)
        if one is None or other is None or not _queue_matches(one, other):
            yield f"queue {uid}: {_short(one)}\n  not {_short(other)}"


def _short(view: QueueView | None) -> str:
    if view is None:
        return "missing"
    bodies = {sequence: body[:8] for sequence, body in view.bodies.items()}
    return f"next={view.sequence_next} delivered={view.delivered_through} {bodies} {view.returned}"


def stream_bodies(queue: Queue, scheduler: InlineScheduler) -> list[bytes]:
    """What a stream has for readers, in order; proves that offsets count from 0 without a gap."""
    assert isinstance(queue, StreamQueue)
    scheduler.run_until_idle()
    found: list[bytes] = []
    answers: list[Slice] = []
    failures: list[Exception] = []
    while len(found) < queue.log.committed:
        read = queue.partition.read(len(found), 1 << 20, answers.append, failures.append)
        if read is None:
            scheduler.run_until_idle()
            assert not failures
            read = answers.pop()
        assert read.offset_first == len(found)
        for chunk in read.chunks:
            position = 0
            while position < len(chunk):
                header, records = decode_batch(bytes(chunk), position)
                found += [record.value or b"" for record in records]
                position += header.size
    return found
