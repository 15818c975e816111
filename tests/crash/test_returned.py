"""No crash loses or invents a return (R52, R53): the real core on the local engine.

A restart finds every message with the counts that it had after some group that was not yet lost, and held as
long as it was; what was out by then has come back once more, as failed. Checkpoints are taken all the time.
"""

from __future__ import annotations

import random

import pytest

from pillarbox.broker.core import Core
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import Run
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.store import committer
from pillarbox.testing.simulated_storage import DiskStorage

NOW_MS = 1_700_000_000_000
ADDRESS = Address(ORIGIN, "", "work")
ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-delayed-retry-type": "returned",
    "x-delayed-retry-min": 20,
    "x-delayed-retry-max": 70,
}

View = dict[int, tuple[int, int, int]]
"""Of each message, by sequence: how often it came back, how often as failed, until when it is held."""


class Life:
    """One process after the other on the same disk."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.storage = DiskStorage(self.chance)
        self.now_ms = NOW_MS
        self.returns = self.held = 0
        self.history: dict[int, View] = {0: {}}
        self.begin()

    def begin(self) -> None:
        recovery = self.storage.open()
        self.ledger = Ledger()
        self.core = Core(
            self.storage.journal,
            now_ms=self.now_ms,
            random=self.chance.randbytes,
            wake=lambda: None,
            memory_budget=self.chance.choice((0, 3000, 1 << 30)),
        )
        self.storage.attach(self.core)
        self.core.restore(recovery)
        self.core.add_vhost("/").declare_queue(None, "work", durable=True, arguments=ARGUMENTS)

    def record(self) -> None:
        """Remember the state after each group from now on."""
        flush = self.core.flush
        self.history = {self.core.ticket: self.view()}

        def and_note(delivered: int | None = None) -> None:
            flush(delivered)
            self.history[self.core.ticket] = self.view()

        self.core.flush = and_note  # type: ignore[method-assign]

    @property
    def queue(self) -> Queue:
        return self.core.vhosts["/"].queues["work"]

    def view(self) -> View:
        """What a restart would make of the queue now."""
        queue, found = self.queue, View()
        (lane,) = queue.lanes

        def note(run: Run, more: int, held_until_ms: int) -> None:
            never = [0] * len(run)
            counts, failures = run.counts or never, run.failures or never
            for sequence, count, failed in zip(run.sequences, counts, failures, strict=True):
                found[sequence] = (count + more, failed + more, held_until_ms)

        for run in lane.ready_runs():
            note(run, 0, 0)
        for entry in lane.outstanding:
            note(entry.run.cut(slice(entry.start, entry.stop)), 1, 0)
        if queue.delayed is not None:
            for run, due_ms in queue.delayed.waiting(lane):
                note(run, 0, due_ms)
        return found

    def step(self) -> None:
        chance = self.chance
        action = chance.random()
        if action < 0.25:
            self.publish(chance.choice((1, 1, 3, 20)))
        elif action < 0.55:
            run = self.queue.take(chance.choice((1, 4, 30))) if self.queue.ready_count else None
            if run is not None:
                self.ledger.add(None, run)
                run.lane.delivered(run)
        elif action < 0.85 and self.ledger.count:
            outcome = chance.choice((Outcome.RELEASED, Outcome.MODIFIED, Outcome.MODIFIED, Outcome.ACCEPTED))
            entry = chance.choice(list(self.ledger.entries()))
            last = chance.randrange(entry.start, entry.stop)
            self.returns += outcome is not Outcome.ACCEPTED
            self.ledger.settle_range(entry.tag_first, entry.base + last, outcome)
        elif action < 0.95:
            self.now_ms += chance.choice((1, 15))
        if chance.random() < 0.6:
            self.core.tick(self.now_ms)
        for _ in range(chance.choice((0, 0, 1, 3, 10))):
            self.storage.step()

    def publish(self, count: int) -> None:
        size = self.chance.choice((8, 8, 500))
        batch = [Message(ADDRESS, b"\x10\x00\x02", bytes(size), self.now_ms, -1, True) for _ in range(count)]
        arguments = {"persistent": True, "expiring": False, "prioritized": False}
        self.core.publish((self.queue,), batch, size * count, **arguments)

    def compare(self, synced: int) -> None:
        """Demand the state after some group that was not yet lost; held is only what is not due."""
        found = self._due(self.view())
        allowed = [self._due(view) for ticket, view in self.history.items() if ticket >= synced]
        assert found in allowed
        self.held += sum(due_ms > 0 for _, _, due_ms in found.values())

    def _due(self, view: View) -> View:
        return {
            sequence: (count, failed, due_ms if due_ms > self.now_ms else 0)
            for sequence, (count, failed, due_ms) in view.items()
        }


@pytest.fixture(autouse=True)
def _syncs_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "monotonic_ns", lambda: 0)


@pytest.mark.row("R52", "R53")
@pytest.mark.parametrize("seed", range(25))
def test_counts_are_those_of_some_group_whatever_crashes(seed: int) -> None:
    """Killed processes, power cuts, torn writes; several lives."""
    life = Life(seed)
    life.core.flush()
    for _ in range(5):
        life.record()
        for _ in range(life.chance.choice((30, 120, 250))):
            life.step()
        synced = life.core.synced_ticket
        life.storage.crash()
        life.begin()
        life.compare(synced)
    assert life.returns
    assert life.held
