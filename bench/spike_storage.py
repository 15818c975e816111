"""The measurements behind the storage design: what each choice costs, on the real implementation.

    python -m bench.spike_storage                       everything (about ten minutes, 6 GB of disk)
    python -m bench.spike_storage commit queues         some of: disk commit queues fanout stuck restart
                                                        waiting files stall
    python -m bench.spike_storage waiting --part 0.01   a hundredth of the size, to see that it works

Runs in a folder under `--folder` (default: build/spike), which must be on the disk that is meant and not in
memory, and removes it afterwards. Prints one line per figure; the storage decision record in
docs/architecture.md quotes them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvloop

from bench.machine import rss_mb
from pillarbox.engine.base import (
    Address,
    DefinitionFact,
    DeliveredFact,
    Group,
    Location,
    Message,
    MessagesFact,
    QueueState,
    SettledFact,
    StoredRun,
)
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler, LoopScheduler
from pillarbox.store.files import DiskFiles

ADDRESS = Address("amqp091", "", "orders")
PROPERTIES = b"\x90\0\x10application/json\2"
BODY = b"x" * 100
ROUNDS = 5


def say(what: str, *figures: str) -> None:
    print(f"{what:<58} {'   '.join(figures)}", flush=True)


def us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us"


def message() -> Message:
    return Message(ADDRESS, PROPERTIES, BODY, 1_700_000_000_000, -1, True)


MESSAGE = message()


class Domain:
    """As little of a broker as an engine needs: runs per queue, confirms, snapshots, merged records."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.runs: dict[int, list[StoredRun]] = {}
        self.next: dict[int, int] = {}
        self.ticket = 0
        self.confirmed = 0
        self.loaded_messages = 0
        self.merges: list[tuple[int, range, Location]] = []
        self.on_synced: Callable[[], None] = lambda: None
        self.on_loaded: Callable[[], None] = lambda: None

    def make_queues(self, uids: Sequence[int]) -> None:
        for uid in uids:
            self.runs[uid], self.next[uid] = [], 0
        self.append([DefinitionFact("queue", str(uid), b"{}") for uid in uids])

    def append(
        self,
        definitions: list[DefinitionFact] | None = None,
        messages: list[MessagesFact] | None = None,
        delivered: list[DeliveredFact] | None = None,
        settled: list[SettledFact] | None = None,
    ) -> None:
        self.ticket += 1
        self.engine.append(
            Group(self.ticket, definitions or [], messages or [], delivered or [], settled or [])
        )

    def publish(self, uids: Sequence[int], messages: list[Message]) -> MessagesFact:
        """The fact of messages for some queues; it still has to be appended."""
        location = Location()
        fact = MessagesFact([(uid, self.next[uid]) for uid in uids], messages, location)
        count, size = len(messages), 100 * len(messages)
        for uid, first in fact.targets:
            self.next[uid] = first + count
            self.runs[uid].append(StoredRun(range(first, first + count), location, size, 0))
        return fact

    def synced(self, ticket: int) -> None:
        self.confirmed = ticket
        self.on_synced()

    def loaded(self, ticket: int, records: Sequence[Sequence[tuple[int, Message]]]) -> None:
        self.loaded_messages += sum(map(len, records))
        self.on_loaded()

    def checkpointed(self) -> None:
        pass

    def merged(self, uid: int, sequences: range, location: Location) -> None:
        self.merges.append((uid, sequences, location))

    def adopt_merged(self) -> None:
        """Replace runs by merged ones, in one pass per queue."""
        merges, self.merges = self.merges, []
        by_uid: dict[int, list[tuple[range, Location]]] = {}
        for uid, sequences, location in merges:
            by_uid.setdefault(uid, []).append((sequences, location))
        for uid, news in by_uid.items():
            new = [StoredRun(sequences, location, 100 * len(sequences), 0) for sequences, location in news]
            starts = [run.sequences.start for run in new]
            for run in self.runs[uid]:
                place = bisect_right(starts, run.sequences.start) - 1
                if place < 0 or run.sequences.start not in news[place][0]:
                    new.append(run)
            self.runs[uid] = sorted(new, key=lambda run: run.sequences.start)

    def failed(self, reason: str) -> None:
        raise SystemExit(reason)

    # A snapshot of itself.

    def definitions(self) -> dict[tuple[str, str], bytes]:
        return {("queue", str(uid)): b"{}" for uid in self.runs}

    def queues(self) -> Iterator[QueueState]:
        for uid, runs in self.runs.items():
            if not runs:
                yield QueueState(uid, self.next[uid], -1, [])
            for first in range(0, len(runs), 500):
                yield QueueState(uid, self.next[uid], -1, runs[first : first + 500])


def opened(folder: Path, scheduler: InlineScheduler | LoopScheduler, **options: object) -> Domain:
    engine = LocalEngine(str(folder), DiskFiles(), scheduler, **options)  # type: ignore[arg-type]
    recovery = engine.open()
    domain = Domain(engine)
    for uid, state in recovery.queues.items():
        domain.runs[uid], domain.next[uid] = state.runs, state.sequence_next
    engine.attach(domain)
    return domain


def folder_size(folder: Path) -> str:
    total = sum(os.stat(path).st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    return f"{total / 1e6:.0f} MB on disk"


# --- raw disk --------------------------------------------------------------------------------------------


def measure_disk(folder: Path, part: float) -> None:
    """What one durable append of 200 bytes costs, by how the file was prepared and how it is synced."""
    size, count = 200, max(50, int(500 * part))

    def plain(handle: int) -> None:
        pass

    def reserved(handle: int) -> None:
        os.posix_fallocate(handle, 0, 8 << 20)

    def zeroed(handle: int) -> None:
        os.pwrite(handle, bytes(8 << 20), 0)

    def with_fdatasync(handle: int, position: int) -> None:
        os.pwrite(handle, bytes(size), position)
        os.fdatasync(handle)

    def with_fsync(handle: int, position: int) -> None:
        os.pwrite(handle, bytes(size), position)
        os.fsync(handle)

    def with_dsync(handle: int, position: int) -> None:
        os.pwritev(handle, [bytes(size)], position, os.RWF_DSYNC)

    variants = {
        "plain file, fsync": (plain, with_fsync),
        "plain file, fdatasync": (plain, with_fdatasync),
        "reserved (fallocate), fdatasync": (reserved, with_fdatasync),
        "reserved (fallocate), RWF_DSYNC": (reserved, with_dsync),
        "zeros written before, fdatasync": (zeroed, with_fdatasync),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(ROUNDS):
        for name, (prepare, append) in variants.items():
            handle = os.open(folder / f"raw-{number}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            prepare(handle)
            os.fsync(handle)
            for place in range(count):
                began = time.perf_counter()
                append(handle, place * size)
                times[name].append(time.perf_counter() - began)
            os.close(handle)
            os.unlink(folder / f"raw-{number}")
    for name, taken in times.items():
        taken.sort()
        say(f"disk: {name}", f"p50 {us(taken[len(taken) // 2])}", f"p99 {us(taken[len(taken) * 99 // 100])}")
    began = time.perf_counter()
    handle = os.open(folder / "reserved", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(handle, 0, 64 << 20)
    say("disk: reserving 64 MiB", us(time.perf_counter() - began))
    os.close(handle)


# --- commits ---------------------------------------------------------------------------------------------


async def _commit_rounds(
    folder: Path, window: int, count: int, *, batch: int = 1, **options: object
) -> float:
    """Seconds per group with `window` groups in flight."""
    loop = asyncio.get_running_loop()
    domain = opened(folder, LoopScheduler(loop), **options)
    domain.make_queues([1])
    wake = asyncio.Event()
    domain.on_synced = wake.set
    began = time.perf_counter()
    sent = 0
    while sent < count:
        while sent < count and domain.ticket - domain.confirmed < window:
            domain.append(messages=[domain.publish([1], [message() for _ in range(batch)])])
            sent += 1
        wake.clear()
        await wake.wait()
    while domain.confirmed < domain.ticket:
        wake.clear()
        await wake.wait()
    taken = time.perf_counter() - began
    domain.engine.close()
    return taken / count


def _commit_inline(folder: Path, count: int) -> float:
    """Seconds per group if the loop's thread itself wrote and synced, and did nothing else meanwhile."""
    scheduler = InlineScheduler()
    domain = opened(folder, scheduler)
    domain.make_queues([1])
    scheduler.run_until_idle()
    began = time.perf_counter()
    for _ in range(count):
        domain.append(messages=[domain.publish([1], [message()])])
        scheduler.run_until(lambda: domain.confirmed == domain.ticket)
    taken = time.perf_counter() - began
    domain.engine.close()
    return taken / count


def measure_commit(folder: Path, part: float) -> None:
    """One group at a time, and many in flight; reserved space or not; thread or inline."""
    count = max(100, int(1000 * part))
    variants: dict[str, Callable[[Path], float]] = {
        "inline, reserved": lambda path: _commit_inline(path, count),
        "thread, reserved": lambda path: uvloop.run(_commit_rounds(path, 1, count)),
        "thread, not reserved": lambda path: uvloop.run(_commit_rounds(path, 1, count, allocate_bytes=0)),
        "thread, reserved, os": lambda path: uvloop.run(_commit_rounds(path, 1, count, durability="os")),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(ROUNDS):
        for name, run in variants.items():
            times[name].append(run(folder / f"{name}-{number}"))
    for name, taken in times.items():
        say(f"commit: one at a time, {name}", us(statistics.median(taken)))
    for window in (1, 16, 256):
        taken = [
            uvloop.run(_commit_rounds(folder / f"w{window}-{n}", window, count * min(window, 50)))
            for n in range(3)
        ]
        say(f"commit: {window} groups in flight", f"{1 / statistics.median(taken):,.0f} groups/s")
    taken = [uvloop.run(_commit_rounds(folder / f"b-{n}", 4, max(20, count), batch=1000)) for n in range(3)]
    say("commit: groups of 1,000 messages, 4 in flight", f"{1000 / statistics.median(taken):,.0f} messages/s")


# --- queues and fan-out ----------------------------------------------------------------------------------


def _append_cost(
    folder: Path, uids: list[int], per_queue: int, groups: int, *, fan_out: bool
) -> tuple[float, float]:
    """CPU seconds of the loop's thread and wall seconds, both per message, for groups over these queues."""
    scheduler = InlineScheduler()
    domain = opened(folder, scheduler)
    domain.make_queues(uids)
    scheduler.run_until_idle()
    cpu = 0.0
    began = time.perf_counter()
    for _ in range(groups):
        if fan_out:
            facts = [domain.publish(uids, [message() for _ in range(per_queue)])]
        else:
            facts = [domain.publish([uid], [message() for _ in range(per_queue)]) for uid in uids]
        start = time.thread_time()
        domain.append(messages=facts)
        cpu += time.thread_time() - start
        scheduler.run_until_idle()
    wall = time.perf_counter() - began
    total = groups * per_queue * (1 if fan_out else len(uids))
    domain.engine.close()
    return cpu / total, wall / total


def measure_queues(folder: Path, part: float) -> None:
    """The cost of a message by the number of queues that a tick touches."""
    for queues, per_queue, groups in (
        (1, 1000, 200),
        (1, 10_000, 20),
        (1000, 1, 100),
        (1000, 10, 20),
        (10_000, 1, 10),
    ):
        uids = list(range(1, queues + 1))
        rounds = [
            _append_cost(
                folder / f"q{queues}-{per_queue}-{n}",
                uids,
                per_queue,
                max(2, int(groups * part)),
                fan_out=False,
            )
            for n in range(3)
        ]
        cpu, wall = map(statistics.median, zip(*rounds, strict=True))
        say(
            f"queues: {queues:,} queues, {per_queue:,} messages each per group",
            f"{cpu * 1e6:.2f} us append",
            f"{wall * 1e6:.2f} us to durable",
            f"{1 / wall:,.0f}/s",
        )


def measure_fanout(folder: Path, part: float) -> None:
    """One message into a thousand queues: payload once, or once per queue."""
    uids = list(range(1, 1001))
    groups = max(10, int(300 * part))
    path = folder / "fanout"
    cpu, wall = _append_cost(path, uids, 1, groups, fan_out=True)
    size = sum(file.stat().st_blocks * 512 for file in path.glob("journal/*"))
    say(
        "fan-out to 1,000: payload once",
        f"{us(cpu)} append",
        f"{1 / wall:,.0f} publishes/s",
        f"{size} bytes reserved",
    )
    cpu, wall = _append_cost(folder / "copies", uids, 1, max(5, groups // 10), fan_out=False)
    say(
        "fan-out to 1,000: a record per queue instead",
        f"{us(cpu * 1000)} append",
        f"{1 / wall / 1000:,.0f} publishes/s",
    )
    began = time.perf_counter()
    domain = opened(path, InlineScheduler())
    pairs = sum(map(len, domain.runs.values()))
    say(
        f"fan-out to 1,000: restart with {pairs:,} deliveries waiting", f"{time.perf_counter() - began:.2f} s"
    )
    domain.engine.close()


# --- one stuck message -----------------------------------------------------------------------------------


def measure_stuck(folder: Path, part: float) -> None:
    """One message that is never acknowledged under five million that are, with checkpoints when due."""
    total = int(5_000_000 * part)
    scheduler = InlineScheduler()
    path = folder / "stuck"
    domain = opened(path, scheduler)
    domain.make_queues([1])
    domain.append(messages=[domain.publish([1], [message()])])
    batch = [MESSAGE] * 1000
    peak = checkpoints = 0
    began = time.perf_counter()
    for number in range(total // 1000):
        fact = domain.publish([1], batch)
        first = fact.targets[0][1]
        domain.append(messages=[fact])
        domain.append(
            delivered=[DeliveredFact(1, first + 999)], settled=[SettledFact(1, [range(first, first + 1000)])]
        )
        domain.runs[1].pop()
        if domain.engine.checkpoint_due:
            domain.engine.checkpoint(domain)
            checkpoints += 1
        scheduler.run_until_idle()
        if number % 200 == 0:
            peak = max(peak, sum(os.stat(p).st_size for p in path.rglob("*") if p.is_file()))
    taken = time.perf_counter() - began
    say(
        f"stuck: {total:,} messages in and out over one that stays",
        f"{taken / total * 1e6:.2f} us each",
        f"{checkpoints} checkpoints",
        f"peak {peak / 1e6:.0f} MB",
    )
    domain.engine.close(domain)
    say("stuck: afterwards", folder_size(path))
    # The same settlements one by one, in an unfriendly order, without a checkpoint: what replay makes of it.
    path = folder / "acks"
    domain = opened(
        path, scheduler := InlineScheduler(), checkpoint_bytes=1 << 40, checkpoint_records=1 << 40
    )
    domain.make_queues([1])
    for first in range(0, total, 10_000):
        domain.append(messages=[domain.publish([1], [MESSAGE] * 10_000)])
        odd_then_even = [*range(first + 1, first + 10_000, 2), *range(first + 2, first + 10_000, 2)]
        domain.append(settled=[SettledFact(1, [range(s, s + 1) for s in odd_then_even])])
        scheduler.run_until_idle()
    domain.engine.close()
    began = time.perf_counter()
    domain = opened(path, InlineScheduler())
    left = sum(len(run.sequences) for run in domain.runs[1])
    say(
        f"stuck: replay of {total:,} single settlements, {left} left",
        f"{time.perf_counter() - began:.2f} s",
        folder_size(path),
    )
    domain.engine.close()


# --- restart ---------------------------------------------------------------------------------------------

RESTART = """
import sys, time
from pathlib import Path
from bench.machine import rss_mb
from bench.spike_storage import opened
import os
from pillarbox.engine.schedulers import InlineScheduler
before = rss_mb(os.getpid())
began = time.perf_counter()
domain = opened(Path(sys.argv[1]), InlineScheduler())
taken = time.perf_counter() - began
runs = sum(map(len, domain.runs.values()))
waiting = sum(len(run.sequences) for some in domain.runs.values() for run in some)
more = rss_mb(os.getpid()) - before
print(f"{taken * 1000:.0f} ms   {waiting:,} waiting in {runs:,} runs   {more:.0f} MB more")
"""


def restart(path: Path) -> str:
    """Open a folder in a process of its own: how long, and how much memory."""
    result = subprocess.run(
        [sys.executable, "-c", RESTART, str(path)], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def measure_restart(folder: Path, part: float) -> None:
    """Start with nothing, with many queues, and with the most journal that can be left to replay."""
    domain = opened(folder / "empty", InlineScheduler())
    domain.engine.close(domain)
    say("restart: nothing", restart(folder / "empty"))
    for queues in (1000, 10_000):
        domain = opened(folder / f"q{queues}", InlineScheduler())
        domain.make_queues(range(1, queues + 1))
        domain.engine.close(domain)
        say(f"restart: {queues:,} empty queues", restart(folder / f"q{queues}"))
    cases = {
        "64 MiB of journal in groups of 100": (4500, 100, 1),
        "100,000 groups of one message": (100_000, 1, 1),
        "100,000 records for 10,000 queues": (10, 1, 10_000),
    }
    for name, (groups, batch, queues) in cases.items():
        scheduler = InlineScheduler()
        path = folder / name.replace(" ", "-")
        domain = opened(path, scheduler, durability="os")
        uids = range(1, queues + 1)
        domain.make_queues(uids)
        for _ in range(max(1, int(groups * part))):
            domain.append(messages=[domain.publish([uid], [MESSAGE] * batch) for uid in uids])
            if domain.ticket % 100 == 0:
                scheduler.run_until_idle()
        domain.engine.close()
        say(f"restart: {name}", restart(path))


# --- ten million waiting ---------------------------------------------------------------------------------


async def _fill(path: Path, total: int, batch: int) -> None:
    loop = asyncio.get_running_loop()
    domain = opened(path, LoopScheduler(loop))
    domain.make_queues([1])
    await asyncio.sleep(0.1)
    wake = asyncio.Event()
    domain.on_synced = wake.set
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # As the broker does it.
    before = rss_mb(os.getpid())
    began = last = time.perf_counter()
    checkpoints, stall, peak = 0, 0.0, before
    cpu_last, cpu_stall = time.thread_time(), 0.0
    per_tick = max(1, min(1000 // batch, 50))  # At most half a millisecond's worth, as a tick should be.
    for number in range(total // batch // per_tick):
        for _ in range(per_tick):
            domain.append(messages=[domain.publish([1], [MESSAGE] * batch)])
        if domain.engine.checkpoint_due:
            domain.engine.checkpoint(domain)
            checkpoints += 1
        await asyncio.sleep(0)
        now, cpu = time.perf_counter(), time.thread_time()
        stall, last = max(stall, now - last), now
        cpu_stall, cpu_last = max(cpu_stall, cpu - cpu_last), cpu
        if domain.engine.unsynced_bytes > 16 << 20:
            wake.clear()
            await wake.wait()
            last, cpu_last = time.perf_counter(), time.thread_time()
        while domain.engine.checkpoint_behind and not domain.engine.checkpoint_due:
            await asyncio.sleep(0)
            last, cpu_last = time.perf_counter(), time.thread_time()
        if domain.merges and domain.engine._checkpoint is None:
            domain.adopt_merged()
            last, cpu_last = time.perf_counter(), time.thread_time()
        if number % 5000 == 0:
            peak = max(peak, rss_mb(os.getpid()))
    taken = time.perf_counter() - began
    say(
        f"waiting: {total:,} in groups of {batch}",
        f"{taken / total * 1e6:.2f} us each",
        f"{checkpoints} checkpoints",
        f"longest turn {stall * 1000:.0f} ms ({cpu_stall * 1000:.0f} ms of processor)",
        f"{rss_mb(os.getpid()) - before:.0f} MB more (peak {peak - before:.0f})",
        f"{len(domain.runs[1]):,} runs",
    )
    began = time.perf_counter()
    domain.engine.close(domain)
    say("waiting: last checkpoint", f"{time.perf_counter() - began:.2f} s", folder_size(path))


async def _drain(path: Path) -> None:
    """Read everything back in order, a few records at a time, as a queue does."""
    domain = opened(path, LoopScheduler(asyncio.get_running_loop()))
    runs = domain.runs[1]
    wake = asyncio.Event()
    domain.on_loaded = wake.set
    began = time.perf_counter()
    for first in range(0, len(runs), 4):
        wake.clear()
        domain.engine.load(first, [(1, run.sequences, run.location) for run in runs[first : first + 4]])
        await wake.wait()
    taken = time.perf_counter() - began
    say(
        f"waiting: {domain.loaded_messages:,} read back",
        f"{taken / domain.loaded_messages * 1e6:.2f} us each",
    )
    domain.engine.close()


def measure_waiting(folder: Path, part: float) -> None:
    """Ten million messages that nobody takes: memory, checkpoints, restart, reading back."""
    for total, batch in ((int(10_000_000 * part), 100), (int(10_000_000 * part), 1)):
        path = folder / f"waiting-{batch}"
        uvloop.run(_fill(path, total, batch))
        say("waiting: restart", restart(path))
        uvloop.run(_drain(path))
        shutil.rmtree(path)


# --- one sorted segment, or a file per queue -------------------------------------------------------------


def measure_files(folder: Path, part: float) -> None:
    """Ten messages in each of many queues, at a checkpoint: one segment sorted by queue, or a file each."""
    queues = int(10_000 * part)
    data = bytes(1300)
    began = time.perf_counter()
    for queue in range(queues):
        handle = os.open(folder / f"queue-{queue}", os.O_RDWR | os.O_CREAT)
        os.pwrite(handle, data, 0)
        os.fdatasync(handle)
        os.close(handle)
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    say(f"files: {queues:,} files of one queue each, synced", f"{time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    for queue in range(queues):
        os.unlink(folder / f"queue-{queue}")
    say(f"files: removing {queues:,} files", f"{time.perf_counter() - began:.2f} s")
    scheduler = InlineScheduler()
    domain = opened(folder / "sorted", scheduler)
    domain.make_queues(range(1, queues + 1))
    for _ in range(10):
        domain.append(messages=[domain.publish([uid], [MESSAGE]) for uid in range(1, queues + 1)])
    scheduler.run_until_idle()
    began = time.perf_counter()
    domain.engine.checkpoint(domain)
    scheduler.run_until_idle()
    domain.adopt_merged()
    say(
        f"files: one sorted segment, whole checkpoint of {queues:,} queues",
        f"{time.perf_counter() - began:.2f} s",
        f"{sum(map(len, domain.runs.values())):,} runs left of {10 * queues:,}",
    )
    domain.engine.close()


# --- what a checkpoint does to the loop ------------------------------------------------------------------


async def _stall(path: Path, records: int) -> tuple[float, float, float, float]:
    """Longest turn of a busy loop, by the clock and in processor time, 99th percentile, whole duration."""
    domain = opened(path, LoopScheduler(asyncio.get_running_loop()))
    domain.make_queues(range(1, 101))
    for number in range(records):
        domain.append(messages=[domain.publish([1 + number % 100], [MESSAGE])])
        if number % 1000 == 0:
            await asyncio.sleep(0)
    while domain.confirmed < domain.ticket:
        await asyncio.sleep(0.01)
    domain.engine.checkpoint(domain)
    began = last = time.perf_counter()
    turns, cpu_turns = [], []
    cpu_last = time.thread_time()
    while domain.engine._checkpoint is not None:
        # A tick's work: a hundred messages, which takes about 0.1 ms when nothing else is going on.
        domain.append(messages=[domain.publish([1], [message() for _ in range(100)])])
        await asyncio.sleep(0)
        now = time.perf_counter()
        turns.append(now - last)
        cpu_turns.append(time.thread_time() - cpu_last)
        last, cpu_last = now, time.thread_time()
        if domain.engine.unsynced_bytes > 4 << 20:
            await asyncio.sleep(0.001)
            last = time.perf_counter()
    taken = time.perf_counter() - began
    turns.sort()
    domain.engine.close()
    return turns[-1], max(cpu_turns), turns[len(turns) * 99 // 100], taken


def measure_stall(folder: Path, part: float) -> None:
    """How long the loop's turns get while a checkpoint merges a hundred thousand small records."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # As the broker does it.
    for interval in (0.005, 0.0005, 0.0001):
        sys.setswitchinterval(interval)
        rounds = [uvloop.run(_stall(folder / f"{interval}-{n}", int(100_000 * part))) for n in range(3)]
        longest, longest_cpu, high, taken = map(statistics.median, zip(*rounds, strict=True))
        say(
            f"stall: switch interval {interval * 1000:g} ms",
            f"longest turn {longest * 1000:.1f} ms ({longest_cpu * 1000:.1f} ms of processor)",
            f"p99 {high * 1000:.2f} ms",
            f"checkpoint of 100,000 records {taken:.2f} s",
        )
    sys.setswitchinterval(0.005)


MEASURES: dict[str, Callable[[Path, float], None]] = {
    "disk": measure_disk,
    "commit": measure_commit,
    "queues": measure_queues,
    "fanout": measure_fanout,
    "stuck": measure_stuck,
    "restart": measure_restart,
    "files": measure_files,
    "stall": measure_stall,
    "waiting": measure_waiting,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measures", nargs="*", choices=[[], *MEASURES], help="default: all")
    parser.add_argument("--part", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--folder", default="build/spike", help="where to work; must not be in memory")
    arguments = parser.parse_args()
    base = Path(arguments.folder)
    base.mkdir(parents=True, exist_ok=True)
    for name in arguments.measures or MEASURES:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
        try:
            MEASURES[name](folder, arguments.part)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
