"""A uid is never given again, although the clock was set back between two starts."""

from __future__ import annotations

from pillarbox.broker.core import Core
from pillarbox.engine.base import Address, Message
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.testing.faults import SimulatedFiles

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
ADDRESS = Address(ORIGIN, "", "q")


class Life:
    """A core on a folder, from a start to a kill."""

    def __init__(self, files: SimulatedFiles, now_ms: int) -> None:
        files.release_locks()
        self.now_ms = now_ms
        self.scheduler = InlineScheduler()
        self.engine = LocalEngine("/data", files, self.scheduler, allocate_bytes=0)
        recovery = self.engine.open()
        self.core = Core(self.engine, now_ms=now_ms, random=bytes, wake=lambda: None, logs=self.engine.logs)
        self.engine.attach(self.core)
        self.core.restore(recovery)

    def tick(self) -> None:
        self.core.tick(self.now_ms)
        self.scheduler.run_until_idle()

    def declare(self, name: str) -> int:
        return self.core.vhosts["/"].declare_queue(None, name, durable=True).uid

    def publish(self, name: str, count: int) -> None:
        messages = [Message(ADDRESS, b"\0\0", b"%d" % n, self.now_ms, persistent=True) for n in range(count)]
        queue = self.core.vhosts["/"].queues[name]
        self.core.publish((queue,), messages, count, persistent=True, expiring=False, prioritized=False)

    def ready(self, name: str) -> int:
        return self.core.vhosts["/"].queues[name].ready_count


def test_a_queue_of_before_the_clock_was_set_back_leaves_nothing_to_a_new_one() -> None:
    """What came to the old one in the tick of its deletion is in the journal behind that."""
    files = SimulatedFiles()
    life = Life(files, NOW_MS)
    life.core.add_vhost("/")
    life.declare("stays")
    life.declare("goes")
    life.tick()
    life.publish("goes", 3)
    life.core.vhosts["/"].remove_queue(life.core.vhosts["/"].queues["goes"])
    life.tick()
    life = Life(files, NOW_MS - HOUR_MS)
    life.declare("new")
    life.tick()
    life.publish("new", 2)
    life.tick()
    life = Life(files, NOW_MS - HOUR_MS)
    assert life.ready("new") == 2
