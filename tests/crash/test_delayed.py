"""No crash loses a delayed message or lets it fire twice (R28): the real core on the local engine.

What fires is appended to its queue and settled in its schedule in one group, so every state that a killed
process or a power cut may leave has it in exactly one of them. Checkpoints are taken all the time.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.broker.schedule_lane import cost_of
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.delays import TIMETABLE
from pillarbox.protocols.amqp091.publishing import ORIGIN, envelope_of, examine
from pillarbox.store import committer
from pillarbox.testing.simulated_storage import DiskStorage

NOW_MS = 1_700_000_000_000
ADDRESS = Address(ORIGIN, "later", "q")
DELAY_MAX_MS = 60


def properties_of(delay_ms: int) -> bytes:
    empty = wire.decode_properties(b"\0\0")
    return wire.encode_properties(empty._replace(headers={"x-delay": delay_ms}, delivery_mode=2))


class Life:
    """One process after the other on the same disk."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.storage = DiskStorage(self.chance)
        self.now_ms = NOW_MS
        self.published = 0
        self.confirmed: set[int] = set()
        self.gone: set[int] = set()
        """Taken for good in an earlier life."""
        self.fired = 0
        self.begin()

    def begin(self) -> None:
        self.waiting: list[tuple[int, int]] = []
        """(ticket, number) of what is not confirmed yet."""
        recovery = self.storage.open()
        self.core = Core(
            self.storage.journal,
            now_ms=self.now_ms,
            random=self.chance.randbytes,
            wake=lambda: None,
            memory_budget=self.chance.choice((0, 3000, 1 << 30)),
        )
        self.storage.attach(self.core)
        self.core.schedules.timetables[ORIGIN] = TIMETABLE
        confirms = self.core.confirms
        synced = confirms.synced

        def note(ticket: int) -> None:
            self.confirmed |= {number for due, number in self.waiting if due <= ticket}
            self.waiting = [one for one in self.waiting if one[0] > ticket]
            synced(ticket)

        confirms.synced = note  # type: ignore[method-assign]
        self.core.restore(recovery)
        vhost = self.core.add_vhost("/")
        exchange = vhost.declare_exchange(
            "later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"}
        )
        vhost.bind(exchange, vhost.declare_queue(None, "q", durable=True), "q", {})

    def step(self) -> None:
        chance = self.chance
        action = chance.random()
        if action < 0.5:
            self.publish(chance.choice((1, 1, 3, 20)))
        elif action < 0.8:
            self.now_ms += chance.randint(1, 8)
        if chance.random() < 0.6:
            self.core.tick(self.now_ms)
        for _ in range(chance.choice((0, 0, 1, 3, 10))):
            self.storage.step()

    def publish(self, count: int) -> None:
        """Publish messages whose delays may differ, in one batch to the schedule."""
        self.core.set_time(self.now_ms)
        size = self.chance.choice((8, 8, 500))
        batch: list[Message] = []
        for _ in range(count):
            self.published += 1
            properties = properties_of(self.chance.randint(1, DELAY_MAX_MS))
            body = str(self.published).encode().ljust(size, b".")
            batch.append(Message(ADDRESS, properties, body, self.now_ms, -1, True))
            self.waiting.append((self.core.ticket + 1, self.published))
        envelope = envelope_of(batch[0].properties, examine(batch[0].properties, "guest"))
        route = self.core.vhosts["/"].route("later", ("q",), envelope)
        self.core.publish(
            route.queues, batch, size * count, persistent=True, expiring=False, prioritized=False
        )

    def compare(self) -> None:
        """Let everything fire, take it, and demand that it is what it must be."""
        schedule = self.core.vhosts["/"].exchanges["later"].schedule
        assert schedule is not None
        waited = schedule.waiting_count
        self.now_ms += DELAY_MAX_MS
        for _ in range(3000):
            if not schedule.waiting_count:
                break
            self.core.tick(self.now_ms)
            self.storage.step()
        assert not schedule.waiting_count, "never fires"
        self.fired += waited
        found: Counter[int] = Counter()
        queue = self.core.vhosts["/"].queues["q"]
        while queue.ready_count:
            run = queue.take(50)
            if run is None:
                self.core.tick(self.now_ms)
                self.storage.step()
                continue
            found.update(int(one.body.rstrip(b".")) for one in run.messages or [])
            run.lane.settle_unanswered(run)
        assert not [number for number, count in found.items() if count > 1], "fired twice"
        assert self.confirmed - self.gone <= found.keys(), "lost"
        self.confirmed.clear()
        self.gone |= found.keys()


@pytest.fixture(autouse=True)
def _syncs_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "monotonic_ns", lambda: 0)


@pytest.mark.row("R28")
@pytest.mark.parametrize("seed", range(25))
def test_delayed_messages_fire_once_whatever_crashes(seed: int) -> None:
    """Killed processes, power cuts, torn writes; several lives, each compared by letting everything fire."""
    life = Life(seed)
    for _ in range(5):
        for _ in range(life.chance.choice((30, 120, 250))):
            life.step()
        life.storage.crash()
        life.begin()
        life.compare()
    assert life.fired


@pytest.mark.row("R28")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("budget", [0, 4000, 1 << 30])
def test_messages_published_one_by_one_share_entries_after_a_checkpoint(seed: int, budget: int) -> None:
    """R28: what is left of records that were merged, in memory or not, is one entry, and fires."""
    life = Life(seed)
    life.core.memory_budget = budget
    schedule = life.core.vhosts["/"].exchanges["later"].schedule
    assert schedule is not None
    lane = schedule.lane
    for _ in range(3):
        for _ in range(300):
            life.publish(1)
            life.core.tick(life.now_ms)
            if life.chance.random() < 0.05:
                # Some become due, and leave gaps.
                life.now_ms += 1
                life.core.tick(life.now_ms)
            while life.storage.step():
                pass
        assert schedule.waiting_count > 150
        for _ in range(2):
            # The first may have been under way and not have seen everything.
            life.storage.journal.checkpoint(CoreSnapshot(life.core))
            while life.storage.step():
                life.core.tick(life.now_ms)
        blocks = [block for block in lane._blocks if block.left]
        assert len(blocks) < 40
        assert sum(block.left for block in blocks) == schedule.waiting_count
        assert life.core.changes.resident_bytes == resident_bytes(life.core)
    life.compare()
    assert life.core.changes.resident_bytes == resident_bytes(life.core) == 0


def resident_bytes(core: Core) -> int:
    """What all messages take, recounted."""
    vhost = core.vhosts["/"]
    schedule = vhost.exchanges["later"].schedule
    assert schedule is not None
    lane = schedule.lane
    total = sum(map(cost_of, (*lane._held.values(), *lane._fresh.values())))
    for queue in vhost.queues.values():
        total += sum(run.held_bytes for run in queue.ready_runs() if run.messages is not None)
    return total
