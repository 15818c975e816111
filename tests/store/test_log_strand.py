"""Strands of the partition log: in order, answers on the domain's thread, and with real threads."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from log_tools import NOW, ManualStrand, batch, records_of

from pillarbox.engine.schedulers import LoopScheduler
from pillarbox.store.files import DiskFiles
from pillarbox.store.log import PartitionLog
from pillarbox.store.log_base import LogOptions, Strands
from pillarbox.store.segment import Slice
from pillarbox.store.strand import Strand
from pillarbox.store.tail import TailBudget


class Note:
    """A work that writes down what is done with it."""

    def __init__(self, name: str, notes: list[str], *, wanted: bool = True, fails: bool = False) -> None:
        self.name, self.notes, self.wanted, self.fails = name, notes, wanted, fails

    def prepare(self) -> bool:
        self.notes.append(f"prepare {self.name}")
        return self.wanted

    def run(self) -> None:
        self.notes.append(f"run {self.name}")
        if self.fails:
            raise OSError("broken")

    def finish(self, error: Exception | None) -> None:
        self.notes.append(f"finish {self.name} {error}")


def test_works_are_prepared_run_and_finished_in_order_and_errors_are_their_own() -> None:
    notes: list[str] = []
    strand = ManualStrand()
    strand.strand.submit(Note("a", notes, fails=True))
    strand.strand.submit(Note("b", notes, wanted=False))
    strand.strand.submit(Note("c", notes))
    assert notes == []
    assert strand.run()
    assert notes == [
        "prepare a",
        "prepare b",
        "prepare c",
        "run a",
        "run c",
        "finish a broken",
        "finish c None",
    ]


def test_a_strand_asks_for_a_flush_once_a_tick() -> None:
    wakes: list[str] = []
    strand = Strand(
        lambda work: ManualStrand()._make(work), lambda callback: None, lambda: wakes.append("wake")
    )
    notes: list[str] = []
    strand.submit(Note("a", notes))
    strand.submit(Note("b", notes))
    assert wakes == ["wake"]
    strand.flush()
    strand.submit(Note("c", notes))
    assert wakes == ["wake", "wake"]


class ThreadedOwner:
    """A log on real threads, whose answers must all come on the loop's thread."""

    def __init__(self, folder: str, loop: asyncio.AbstractEventLoop, last: int) -> None:
        self.thread = threading.current_thread()
        self.done = asyncio.Event()
        self.last = last
        self.synced_tickets: list[int] = []
        self.loads: dict[int, asyncio.Future[Slice]] = {}
        self.scheduler = LoopScheduler(loop)
        self.strands = Strands(self.make_strand(), self.make_strand(), self.make_strand())
        options = LogOptions(segment_bytes=5000, index_interval_bytes=500, durability="fsync")
        self.log = PartitionLog.open(
            DiskFiles(), folder, options, self, self.strands, TailBudget(2000), now_ms=NOW
        )

    def make_strand(self) -> Strand:
        strand: Strand = Strand(
            self.scheduler.worker, self.scheduler.call_soon, lambda: self.scheduler.call_soon(strand.flush)
        )
        return strand

    def written(self, ticket: int) -> None:
        assert threading.current_thread() is self.thread

    def synced(self, ticket: int) -> None:
        assert threading.current_thread() is self.thread
        self.synced_tickets.append(ticket)
        if ticket == self.last:
            self.done.set()

    def loaded(self, ticket: int, found: Slice) -> None:
        assert threading.current_thread() is self.thread
        self.loads.pop(ticket).set_result(found)

    def found(self, ticket: int, offset: int) -> None:
        raise AssertionError("nobody asked for a time")

    def load_failed(self, ticket: int, error: Exception) -> None:
        self.loads.pop(ticket).set_exception(error)

    def failed(self, reason: str) -> None:
        raise AssertionError(reason)

    async def read(self, offset: int) -> Slice:
        found = self.log.read(offset, 1000, offset)
        if found is None:
            self.loads[offset] = asyncio.get_running_loop().create_future()
            found = await asyncio.wait_for(self.loads[offset], 30)
        return found

    def close(self) -> None:
        for strand in self.strands:
            strand.stop()
        self.scheduler.close()


def test_appends_and_reads_on_real_threads_give_what_was_appended(tmp_path: Path) -> None:
    """Segments roll, seal and leave memory while a reader starts from the beginning."""
    asyncio.run(append_and_read(str(tmp_path / "log"), 400))


async def append_and_read(folder: str, count: int) -> None:
    owner = ThreadedOwner(folder, asyncio.get_running_loop(), count)
    try:
        reader = asyncio.create_task(read_to(owner, count))
        for ticket in range(1, count + 1):
            owner.log.append(batch(b"%d" % ticket), ticket, now_ms=NOW)
            if ticket % 7 == 0:
                await asyncio.sleep(0)
        await asyncio.wait_for(owner.done.wait(), 30)
        assert await asyncio.wait_for(reader, 30) == [(i, b"%d" % (i + 1)) for i in range(count)]
        assert owner.synced_tickets == sorted(set(owner.synced_tickets))
        assert not owner.log.busy
        owner.log.close()
    finally:
        owner.close()
    again = PartitionLog.open(
        DiskFiles(), folder, LogOptions(), owner, owner.strands, TailBudget(0), now_ms=NOW
    )
    assert again.warnings == []
    assert again.offsets().accepted == count


async def read_to(owner: ThreadedOwner, end: int) -> list[tuple[int, bytes]]:
    records: list[tuple[int, bytes]] = []
    while len(records) < end:
        found = await owner.read(len(records))
        records += records_of(found)
        if not found.size:
            await asyncio.sleep(0)
    return records
