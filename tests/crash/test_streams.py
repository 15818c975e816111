"""Streams through crashes (R80): what was confirmed is there, at its offset, whatever the disk had."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from crash_tools import stream_bodies

from pillarbox.broker.core import Core
from pillarbox.engine.base import Address, Message
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols.amqp091.publishing import ORIGIN
from pillarbox.protocols.amqp091.records import RecordCodec
from pillarbox.testing.faults import Image, SimulatedFiles, crash_images
from pillarbox.testing.journal import ShuffledScheduler

NOW_MS = 1_700_000_000_000
ADDRESS = Address(ORIGIN, "", "s")


class Life:
    """A core on simulated files with a stream and a queue that get the same messages."""

    def __init__(self, files: SimulatedFiles, scheduler: InlineScheduler) -> None:
        self.files, self.scheduler = files, scheduler
        self.engine = LocalEngine("/data", files, scheduler, allocate_bytes=0)
        recovery = self.engine.open()
        self.core = Core(self.engine, now_ms=NOW_MS, random=bytes, wake=lambda: None, logs=self.engine.logs)
        self.core.streams.make_codec = lambda: RecordCodec(self.core.dialects)
        self.engine.attach(self.core)
        self.core.restore(recovery)
        self.published = self.confirmed = 0
        self.waiting: list[tuple[int, int]] = []
        synced = self.core.confirms.synced

        def note(ticket: int) -> None:
            while self.waiting and self.waiting[0][0] <= ticket:
                self.confirmed = self.waiting.pop(0)[1]
                files.note(("confirmed", self.confirmed))
            synced(ticket)

        self.core.confirms.synced = note  # type: ignore[method-assign]

    def publish(self, count: int, *targets: str) -> None:
        """Send one message after another to the stream `s`, or to each of `targets`."""
        first = self.published
        self.published += count
        bodies = [b"%d" % number for number in range(first, self.published)]
        messages = [Message(ADDRESS, b"\0\0", body, NOW_MS) for body in bodies]
        queues = self.core.vhosts["/"].queues
        stored, _ = self.core.publish(
            tuple(queues[name] for name in targets or ("s",)),
            messages,
            sum(map(len, bodies)),
            persistent=bool(targets),
            expiring=False,
            prioritized=False,
        )
        assert stored, "a publisher to a stream always waits"
        self.core.tick(NOW_MS)
        self.waiting.append((self.core.ticket, self.published))

    def queued(self) -> list[Sequence[int]]:
        """The sequences of what waits in the queue, run by run."""
        return [run.sequences for run in self.core.vhosts["/"].queues["q"].ready_runs()]

    def bodies(self) -> list[bytes]:
        return stream_bodies(self.core.vhosts["/"].queues["s"], self.scheduler)


def confirmed_by(files: SimulatedFiles, done: int) -> int:
    notes = [one.note[1] for one in list(files.log)[:done] if one.kind == "note"]
    return max(notes, default=0)


@pytest.mark.row("R80")
@pytest.mark.parametrize("seed", range(6))
def test_no_crash_takes_what_a_stream_has_confirmed(seed: int) -> None:
    """After every operation: killed, power cut, torn; offsets without a gap, nothing invented."""
    chance = random.Random(seed)
    files = SimulatedFiles()
    life = Life(files, ShuffledScheduler(chance))
    life.core.add_vhost("/")
    arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 400}
    life.core.vhosts["/"].declare_queue(None, "s", durable=True, arguments=arguments)
    life.core.tick(NOW_MS)
    life.scheduler.run_until_idle()
    for _ in range(12):
        life.publish(chance.choice((1, 2, 7)))
        for _ in range(chance.choice((0, 1, 4, 20))):
            life.scheduler.step()
    life.scheduler.run_until_idle()
    assert life.confirmed == life.published > 12
    every = [b"%d" % number for number in range(life.published)]
    states = confirmed_states = 0
    for done, image in crash_images(files.start, list(files.log), seed=seed, mixtures=1):
        confirmed = confirmed_by(files, done)
        again = reopened(image)
        if "/" not in again.core.vhosts or "s" not in again.core.vhosts["/"].queues:
            assert not confirmed
            continue
        found = again.bodies()
        assert found == every[: len(found)]
        assert len(found) >= confirmed
        states += 1
        confirmed_states += confirmed > 0
    assert states > confirmed_states > 20


@pytest.mark.row("R80", "R61")
def test_publish_to_a_queue_and_a_stream_is_in_both_once_it_is_confirmed() -> None:
    """Before, a crash may leave it in either of them alone, as the manual says; in each the first ones."""
    apart: set[str] = set()
    for seed in range(4):
        chance = random.Random(seed)
        files = SimulatedFiles()
        life = Life(files, ShuffledScheduler(chance))
        vhost = life.core.add_vhost("/")
        vhost.declare_queue(None, "s", durable=True, arguments={"x-queue-type": "stream"})
        vhost.declare_queue(None, "q", durable=True)
        life.core.tick(NOW_MS)
        life.scheduler.run_until_idle()
        declared = len(list(files.log))
        for _ in range(6):
            life.publish(chance.choice((1, 2, 7)), "s", "q")
            for _ in range(chance.choice((0, 1, 4, 20))):
                life.scheduler.step()
        life.scheduler.run_until_idle()
        every = [b"%d" % number for number in range(life.published)]
        for done, image in crash_images(files.start, list(files.log), seed=seed, mixtures=1):
            if done < declared:
                continue
            again = reopened(image)
            streamed = again.bodies()
            queued = [place for run in again.queued() for place in run]
            assert streamed == every[: len(streamed)]
            assert queued == list(range(len(queued)))
            assert min(len(streamed), len(queued)) >= confirmed_by(files, done)
            apart |= {"stream"} if len(streamed) > len(queued) else set()
            apart |= {"queue"} if len(queued) > len(streamed) else set()
    assert apart == {"stream", "queue"}, "the manual says that each may happen"


def reopened(image: Image) -> Life:
    return Life(SimulatedFiles(image), InlineScheduler())


@pytest.mark.row("R80")
@pytest.mark.parametrize("seed", range(3))
def test_a_stream_whose_deletion_a_crash_forgets_has_all_that_it_had(seed: int) -> None:
    """Its files go when the journal says that it is gone, and not before."""
    chance = random.Random(seed)
    files = SimulatedFiles()
    life = Life(files, ShuffledScheduler(chance))
    vhost = life.core.add_vhost("/")
    arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 400}
    vhost.declare_queue(None, "s", durable=True, arguments=arguments)
    for _ in range(6):
        life.publish(5)
        life.scheduler.run_until_idle()
    assert life.confirmed == 30
    begun = len(list(files.log))
    vhost.remove_queue(vhost.queues["s"])
    life.core.tick(NOW_MS)
    life.scheduler.run_until_idle()
    assert files.names("/data/logs") == []
    there = gone = 0
    for done, image in crash_images(files.start, list(files.log), seed=seed, mixtures=1):
        if done < begun:
            continue
        again = reopened(image)
        if "s" in again.core.vhosts["/"].queues:
            there += 1
            assert again.bodies() == [b"%d" % number for number in range(30)]
        else:
            gone += 1
            assert again.files.names("/data/logs") == []
    assert there
    assert gone
