"""Kafka's transactions through power cuts (K60): records of two topics and a group's offset, all or nothing.

The topics are synced with each write, so what a producer was told is there. Its clients end a transaction
when all that they sent is acknowledged, as those of Kafka do. After every crash what was decided is marked,
and what was not is aborted by the next producer of the name.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.broker.partition import Partition
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols.kafka.creation import create_topic
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.groups.records import Committed
from pillarbox.protocols.kafka.head import Head, Settings
from pillarbox.store.batch import TRANSACTIONAL, Record, decode_batch, encode_records
from pillarbox.store.producers import is_aborted
from pillarbox.store.segment import Slice
from pillarbox.testing.faults import SimulatedFiles, crash_images
from pillarbox.testing.journal import ShuffledScheduler

NOW_MS = 1_700_000_000_000
TOPICS = ("a", "b")
NAMES = ("x", "y")
TURNS_MAX = 400
Sent = tuple[str, bytes]
"""Topic and value of a record."""


class Life:
    """A broker's core and Kafka's head on simulated files, without a connection."""

    def __init__(self, files: SimulatedFiles, scheduler: InlineScheduler) -> None:
        self.files, self.scheduler = files, scheduler
        self.engine = LocalEngine("/data", files, scheduler, allocate_bytes=0, checkpoint_records=30)
        recovery = self.engine.open()
        self.core = Core(self.engine, now_ms=NOW_MS, random=bytes, wake=lambda: None, logs=self.engine.logs)
        self.engine.attach(self.core)
        self.core.restore(recovery)
        if not self.core.vhosts:
            self.core.add_vhost("/")
            self.core.put_user(User("guest", hash_password("guest", b"salt")))
            self.core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
        self.head = Head(self.core, Settings(anonymous="guest"))

    def tick(self) -> None:
        self.core.set_time(NOW_MS)
        self.core.tick(NOW_MS)

    def until(self, condition: Callable[[], object]) -> None:
        """Let the disk take turns until something is so."""
        for _ in range(TURNS_MAX):
            if condition():
                return
            self.tick()
            self.scheduler.step()
        raise AssertionError("it is never so")

    def rest(self) -> None:
        for _ in range(30):
            self.tick()
            self.scheduler.run_until_idle()

    def partition(self, topic: str) -> Partition:
        found = self.head.topics.get(topic)
        assert found is not None
        return found.partitions[0].partition

    def begin(self, name: str) -> tuple[int, int]:
        """Make somebody the producer of a name, which ends what another one has open: its id and epoch."""
        told: list[tuple[Code, int, int]] = []
        for _ in range(20):
            self.head.transactions.begin(name, 60_000, -1, -1, lambda *found: told.append(found))
            self.rest()
            if told[-1][0] == Code.NONE:
                return told[-1][1:]
        raise AssertionError(f"{name} is never let in: {told}")

    def visible(self, topic: str) -> list[Sent]:
        """What readers of committed records see."""
        partition = self.partition(topic)
        assert partition.log.open_transactions == {}
        offset, found = partition.log.offsets().start, []
        while offset < partition.log.last_stable:
            answers: list[Slice] = []
            read = partition.read(offset, 1 << 20, answers.append, lambda error: None)
            self.rest()
            read = read or answers[0]
            aborted = partition.log.aborted_between(read.offset_first, read.offset_next)
            data, position = b"".join(map(bytes, read.chunks)), 0
            while position < len(data):
                header, records = decode_batch(data, position)
                position += header.size
                if not header.is_control and not is_aborted(header, aborted):
                    found += [(topic, record.value or b"") for record in records]
            offset = read.offset_next
        return found


class Transaction:
    """One of a producer's, as its client knows it."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.sent: list[Sent] = []
        self.acknowledged: list[tuple[Partition, int]] = []
        self.holds = False
        self.commit: bool | None = None
        """None: it was not ended."""


class Load:
    """Two producers, who do at random what clients do."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.files = SimulatedFiles()
        self.life = life = Life(self.files, ShuffledScheduler(self.chance))
        for topic in TOPICS:
            create_topic(life.head, topic, 1, {"flush.messages": "1"})
        life.rest()
        self.producers = {name: life.begin(name) for name in NAMES}
        self.sequences: dict[Sent | tuple[str, str], int] = {}
        self.open: dict[str, Transaction] = {}
        self.all: list[Transaction] = []
        self.files.note(("ready", 0))

    def step(self) -> None:
        chance = self.chance
        name = chance.choice(NAMES)
        transaction = self.open.get(name)
        if transaction is None:
            transaction = self.open[name] = Transaction(len(self.all) + 1, name)
            self.all.append(transaction)
        if transaction.commit is None:
            action = chance.random()
            if action < 0.5:
                self.send(transaction, chance.choice(TOPICS))
            elif action < 0.65:
                self.hold(transaction)
            elif transaction.sent or transaction.holds:
                self.end(transaction)
        for _ in range(chance.choice((0, 0, 1, 2, 6))):
            self.life.scheduler.step()
            self.life.tick()
        if chance.random() < 0.05:
            self.life.engine.checkpoint(CoreSnapshot(self.life.core))

    def send(self, transaction: Transaction, topic: str) -> None:
        name, partition = transaction.name, self.life.partition(topic)
        producer_id, epoch = self.producers[name]
        assert not self.life.head.transactions.join(name, producer_id, epoch, ((topic, 0, partition),))
        value = b"%d:%d" % (transaction.number, len(transaction.sent))
        sequence = self.sequences.get((name, topic), 0)
        self.sequences[name, topic] = sequence + 1
        batch = encode_records(
            [Record(0, NOW_MS, None, value, [])],
            attributes=TRANSACTIONAL,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
        )
        appended = partition.append(b"".join(batch.chunks))
        transaction.sent.append((topic, value))
        transaction.acknowledged.append((partition, appended.offset_next))

    def hold(self, transaction: Transaction) -> None:
        head, name = self.life.head, transaction.name
        producer_id, epoch = self.producers[name]
        assert not head.transactions.join(name, producer_id, epoch, group=name)
        head.groups.classic(name, create=True)
        topic = head.topics.get("a")
        assert topic is not None
        committed = Committed(transaction.number, -1, "", NOW_MS, None, topic.id)
        head.groups.offsets(name).hold(producer_id, "a", 0, committed)
        transaction.holds = True

    def end(self, transaction: Transaction) -> None:
        for partition, end in transaction.acknowledged:
            self.life.until(lambda log=partition.log, end=end: log.committed >= end)  # type: ignore[misc]
        transaction.commit = self.chance.random() < 0.6
        self.files.note(("asked", transaction.number))
        self.life.head.transactions.end(
            transaction.name,
            *self.producers[transaction.name],
            commit=transaction.commit,
            bump=False,
            then=partial(self.ended, transaction),
        )

    def ended(self, transaction: Transaction, error: Code, producer_id: int, epoch: int) -> None:
        assert not error
        self.files.note(("answered", transaction.number))
        del self.open[transaction.name]

    def check(self, left: Life, asked: set[int], answered: set[int]) -> None:
        """What a crash has left against what was asked for, and answered, before it."""
        for name in NAMES:
            left.begin(name)
        visible = {one for topic in TOPICS for one in left.visible(topic)}
        offsets = {name: left.head.groups.offsets(name).get("a", 0) for name in NAMES}
        for one in self.all:
            known = offsets[one.name]
            has_offset = known is not None and known.offset >= one.number
            if not one.commit or one.number not in asked:
                assert visible.isdisjoint(one.sent)
                assert known is None or known.offset != one.number
            elif one.number in answered:
                assert visible.issuperset(one.sent)
                assert has_offset or not one.holds
            else:
                assert visible.issuperset(one.sent) or visible.isdisjoint(one.sent)
                if one.sent and one.holds:
                    assert has_offset == visible.issuperset(one.sent)


@pytest.mark.row("K60")
@pytest.mark.parametrize("seed", range(3))
def test_a_transaction_is_whole_or_nothing_of_it_whatever_crashes(seed: int) -> None:
    load = Load(seed)
    for _ in range(60):
        load.step()
    assert load.life.core.failure is None
    log = list(load.files.log)
    states = 0
    for number, (done, image) in enumerate(crash_images(load.files.start, log, seed=seed, mixtures=1)):
        notes = [operation.note for operation in log[:done] if operation.kind == "note"]
        if number % 7 or ("ready", 0) not in notes:
            continue
        states += 1
        asked, answered = ({n for kind, n in notes if kind == what} for what in ("asked", "answered"))
        load.check(Life(SimulatedFiles(image), InlineScheduler()), asked, answered)
    assert states > 30
