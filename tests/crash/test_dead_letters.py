"""No crash loses a dead letter or leaves it in two queues (R48): the real core on the local engine.

A message that is forwarded is appended to its new queue and settled in the old one in one group, so every
state that a killed process or a power cut may leave has it in exactly one of them. Checkpoints, which look at
the queues one by one over many turns, are taken all the time.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pillarbox.broker.core import Core
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.undelivered import RETRY_MS
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091.deaths import dead_letter
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.store import committer
from pillarbox.testing.simulated_storage import DiskStorage

NOW_MS = 1_700_000_000_000
ADDRESS = Address(ORIGIN, "", "work")


def letters_to(name: str, **limits: int) -> dict[str, object]:
    arguments = {f"x-{key.replace('_', '-')}": value for key, value in limits.items()}
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name, **arguments}


QUEUES: dict[str, dict[str, object]] = {
    "work": letters_to("short"),
    "timed": letters_to("short", message_ttl=5),
    "short": letters_to("dead", max_length=7),
    "dead": {},
    "kept": {
        **letters_to("full", message_ttl=5),
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-strategy": "at-least-once",
    },
    "full": {"x-max-length": 3, "x-overflow": "reject-publish"},
}


class Life:
    """One process after the other on the same disk."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.storage = DiskStorage(self.chance)
        self.now_ms = NOW_MS
        self.published = 0
        self.confirmed: set[int] = set()
        self.settled: set[int] = set()
        """Acknowledged by their consumer: they may be there or not."""
        self.deaths = self.kept_seen = 0
        self.begin()

    def begin(self) -> None:
        self.waiting: list[tuple[int, int]] = []
        """(ticket, number) of what is not confirmed yet."""
        self.ledger = Ledger()
        self.numbers: dict[tuple[int, int], int] = {}
        """What was delivered, by lane and sequence."""
        recovery = self.storage.open()
        self.core = Core(
            self.storage.journal,
            now_ms=self.now_ms,
            random=self.chance.randbytes,
            wake=lambda: None,
            memory_budget=self.chance.choice((0, 3000, 1 << 30)),
        )
        self.storage.attach(self.core)
        self.core.dead_letters.writers[ORIGIN] = dead_letter
        confirms = self.core.confirms
        synced = confirms.synced

        def note(ticket: int) -> None:
            self.confirmed |= {number for due, number in self.waiting if due <= ticket}
            self.waiting = [one for one in self.waiting if one[0] > ticket]
            synced(ticket)

        confirms.synced = note  # type: ignore[method-assign]
        self.core.restore(recovery)
        vhost = self.core.add_vhost("/")
        for name, arguments in QUEUES.items():
            vhost.declare_queue(None, name, durable=True, arguments=arguments)

    def queue(self, name: str) -> Queue:
        return self.core.vhosts["/"].queues[name]

    def step(self) -> None:
        chance = self.chance
        action = chance.random()
        if action < 0.4:
            name = chance.choice(("work", "timed", "short", "kept"))
            self.publish(name, chance.choice((1, 1, 3, 20)))
        elif action < 0.6:
            run = self.queue(chance.choice(("work", "short", "kept"))).take(chance.choice((1, 4, 30)))
            if run is not None:
                self.ledger.add(None, run)
                run.lane.delivered(run)
                # Noted here: what is out may leave the memory.
                numbers = [int(one.body.rstrip(b".")) for one in run.messages or []]
                places = [(run.lane.uid, sequence) for sequence in run.sequences]
                self.numbers.update(zip(places, numbers, strict=True))
        elif action < 0.75 and self.ledger.count:
            outcome = chance.choice((Outcome.REJECTED, Outcome.REJECTED, Outcome.RELEASED, Outcome.ACCEPTED))
            entry = next(iter(self.ledger.entries()))
            if outcome is Outcome.ACCEPTED:
                part = entry.run.sequences[entry.start : entry.stop]
                self.settled |= {self.numbers[entry.lane.uid, sequence] for sequence in part}
            self.ledger.settle(entry.base + entry.stop - 1, True, outcome)
        elif action < 0.8:
            self.now_ms += chance.choice((6, 6, 6, RETRY_MS))
        if chance.random() < 0.6:
            self.core.tick(self.now_ms)
        self.kept_seen += self.queue("kept").dead_count > 0
        for _ in range(chance.choice((0, 0, 1, 3, 10))):
            self.storage.step()

    def publish(self, name: str, count: int) -> None:
        numbers = range(self.published + 1, self.published + count + 1)
        self.published += count
        size = self.chance.choice((8, 8, 500))
        batch = [
            Message(ADDRESS, b"\x10\x00\x02", str(number).encode().ljust(size, b"."), self.now_ms, -1, True)
            for number in numbers
        ]
        queue = self.queue(name)
        self.core.publish((queue,), batch, size * count, persistent=True, expiring=False, prioritized=False)
        self.waiting += [(self.core.ticket + 1, number) for number in numbers]

    def compare(self) -> None:
        """Take everything out, and demand that it is what it must be."""
        found: Counter[int] = Counter()
        # What is still to move would be found twice by somebody who looks at one queue after the other.
        idle = 0
        while idle < 20:
            before = (self.core.ticket, len(self.core.changes.dying))
            self.now_ms += 6
            self.core.tick(self.now_ms)
            worked = [self.storage.step() for _ in range(20)]
            same = before == (self.core.ticket, len(self.core.changes.dying))
            idle = idle + 1 if same and not any(worked) else 0
        while True:
            self.drain(found)
            if not self.queue("kept").dead_count:
                break
            self.now_ms += RETRY_MS
            for _ in range(20):
                self.core.tick(self.now_ms)
                self.storage.step()
        assert not [number for number, count in found.items() if count > 1], "in two queues"
        assert self.confirmed - self.settled <= found.keys(), "lost"
        self.confirmed.clear()
        self.settled |= found.keys()

    def drain(self, found: Counter[int]) -> None:
        """Take out what stands in any queue."""
        for name in QUEUES:
            queue = self.queue(name)
            while queue.ready_count:
                run = queue.take(50)
                if run is None:
                    self.core.tick(self.now_ms)
                    self.storage.step()
                    continue
                self.deaths += sum(b"x-death" in one.properties for one in run.messages or [])
                found.update(int(one.body.rstrip(b".")) for one in run.messages or [])
                run.lane.settle_unanswered(run)


@pytest.fixture(autouse=True)
def _syncs_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "monotonic_ns", lambda: 0)


@pytest.mark.row("R48", "R46", "R49")
@pytest.mark.parametrize("seed", range(25))
def test_dead_letters_are_in_one_queue_whatever_crashes(seed: int) -> None:
    """Killed processes, power cuts, torn writes; several lives, each compared by emptying all queues."""
    life = Life(seed)
    for _ in range(5):
        for _ in range(life.chance.choice((30, 120, 250))):
            life.step()
        life.storage.crash()
        life.begin()
        life.compare()
    assert life.deaths
    assert life.kept_seen, "nothing was ever kept because its target was full"


def test_the_comparison_finds_a_message_that_is_in_two_queues() -> None:
    """The check itself."""
    life = Life(1)
    life.publish("work", 1)
    life.published -= 1
    life.publish("dead", 1)
    with pytest.raises(AssertionError, match="in two queues"):
        life.compare()
