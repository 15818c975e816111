"""The committer: what is urgent and what waits for company, and who hurries it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pillarbox.engine.schedulers import LoopScheduler
from pillarbox.store import committer
from pillarbox.store.committer import AHEAD_BYTES, LINGER_S, Committer, Entry, Worker
from pillarbox.testing.faults import SimulatedFiles

WAIT_S = 30.0


class Asked:
    """A worker that writes down what it was asked, and works when the test says so."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.calls: list[float | None] = []

    def wake(self) -> None:
        self.calls.append(None)

    def wake_within(self, seconds: float) -> None:
        self.calls.append(seconds)

    def stop(self) -> None:
        self.work()


class Bench:
    def __init__(self, **options: int) -> None:
        self.files = SimulatedFiles()
        self.files.make_folder("d")
        self.files.make_folder("d/journal")
        self.done: list[int] = []
        self.answered: list[int] = []
        """What was committed on the spot."""
        self.failures: list[str] = []
        self.worker = Asked(lambda: None)
        self.position = 0
        self.committer = Committer(
            self.files,
            "d",
            self._worker,
            self.done.append,
            self.failures.append,
            barrier=1,
            sync=True,
            **options,
        )

    def _worker(self, work: Callable[[], None]) -> Worker:
        self.worker = Asked(work)
        return self.worker

    def entry(self, number: int, size: int = 100) -> Entry:
        chunk = bytearray(size)
        entry = Entry(number, 1, self.position, [chunk])
        self.position += len(chunk)
        return entry

    def commit_now(self, number: int) -> bool:
        return self.committer.commit_now(self.entry(number), self.answered.append)

    def written(self) -> list[int]:
        """The sizes of all writes so far."""
        return [len(operation.data) for operation in self.files.log if operation.kind == "write"]

    def syncs(self) -> int:
        return sum(operation.kind == "sync" for operation in self.files.log)


def test_what_is_not_urgent_asks_once_for_some_time() -> None:
    bench = Bench()
    for number in range(3):
        bench.committer.submit(bench.entry(number), urgent=False)
    assert bench.worker.calls == [LINGER_S]
    bench.worker.work()
    assert (bench.done, bench.syncs()) == ([2], 1)
    bench.committer.submit(bench.entry(3), urgent=False)
    assert bench.worker.calls == [LINGER_S, LINGER_S]


def test_what_is_urgent_takes_along_what_is_not() -> None:
    """In the order in which it was submitted, in one write and one sync."""
    bench = Bench()
    bench.committer.submit(bench.entry(0), urgent=False)
    bench.committer.submit(bench.entry(1))
    assert bench.worker.calls == [LINGER_S, None]
    bench.worker.work()
    assert (bench.done, bench.syncs()) == ([1], 1)
    assert sum(operation.kind == "write" for operation in bench.files.log) == 1


def test_commit_on_the_spot_takes_along_what_is_not_urgent() -> None:
    bench = Bench()
    bench.committer.submit(bench.entry(0), urgent=False)
    assert bench.commit_now(1)
    assert (bench.answered, bench.syncs()) == ([1], 1)
    bench.worker.work()
    assert (bench.answered, bench.done) == ([1], [])


def test_nothing_is_committed_on_the_spot_while_syncs_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    now_us = [0]
    monkeypatch.setattr(committer, "monotonic_ns", lambda: now_us[0] * 1000)
    bench = Bench(quick_sync_us=500)
    sync, took_us = bench.files.sync, 10_000

    def slowly(handle: int) -> None:
        now_us[0] += took_us
        sync(handle)

    bench.files.sync = slowly  # type: ignore[method-assign]
    assert bench.commit_now(0), "nobody has seen a slow one yet"
    refused, took_us = 0, 100
    while not bench.commit_now(refused + 1):
        bench.position -= 100
        bench.committer.submit(bench.entry(refused + 1))
        bench.worker.work()
        refused += 1
    assert 5 < refused < 30
    assert sorted(bench.done + bench.answered) == list(range(refused + 2))


def test_small_write_to_blocks_that_were_only_reserved_takes_zeros_along() -> None:
    """The writes after it are then quicker to sync; what is not allocated, or large, is left alone."""
    bench = Bench(allocate_bytes=AHEAD_BYTES + 10_000)
    for number in range(3):
        bench.committer.submit(bench.entry(number))
        bench.worker.work()
    assert bench.written() == [100 + AHEAD_BYTES, 100, 100]
    large = bench.entry(3, AHEAD_BYTES - 200)
    bench.committer.submit(large)
    bench.worker.work()
    assert bench.written()[3:] == [AHEAD_BYTES - 200], "large"
    bench.committer.submit(bench.entry(4))
    bench.worker.work()
    rest = AHEAD_BYTES + 10_000 - bench.position
    assert bench.written()[4:] == [100 + rest], "no further than what is reserved"
    bench.committer.submit(bench.entry(5, rest + 50))
    bench.worker.work()
    assert bench.written()[5:] == [rest + 50], "beyond it nothing is reserved"


def test_defect_fails_the_journal_as_a_full_disk_does(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits for a confirm hears that none will come; the log has what we did wrong."""
    bench = Bench()
    wrong = bench.entry(1)
    wrong.chunks = ["no bytes"]  # type: ignore[list-item]
    bench.committer.submit(wrong)
    bench.committer.submit(bench.entry(2))
    bench.worker.work()
    bench.committer.submit(bench.entry(3))
    bench.worker.work()
    assert bench.done == []
    assert len(bench.failures) == 1
    assert bench.failures[0].startswith("writing the journal failed: AssertionError")
    assert "Traceback" in caplog.text


def test_hurry_wakes_only_if_something_is_pending() -> None:
    bench = Bench()
    bench.committer.hurry()
    assert bench.worker.calls == []
    bench.committer.submit(bench.entry(0), urgent=False)
    bench.committer.hurry()
    assert bench.worker.calls == [LINGER_S, None]


class Ran:
    """A thread's work, counted."""

    def __init__(self) -> None:
        self.count = 0
        self.happened = threading.Semaphore(0)

    def __call__(self) -> None:
        self.count += 1
        self.happened.release()


@pytest.fixture
def ran() -> Ran:
    return Ran()


def test_thread_works_by_itself_when_the_time_is_over(ran: Ran) -> None:
    worker = LoopScheduler(_Loop()).worker(ran)
    worker.wake_within(0.001)
    assert ran.happened.acquire(timeout=WAIT_S)
    worker.stop()


def test_thread_that_was_given_time_works_at_once_when_it_is_woken(ran: Ran) -> None:
    worker = LoopScheduler(_Loop()).worker(ran)
    worker.wake_within(1000 * WAIT_S)
    worker.wake()
    assert ran.happened.acquire(timeout=WAIT_S)
    worker.stop()
    assert ran.count >= 2, "a last time when it ends"


def test_thread_that_was_given_time_ends_at_once(ran: Ran) -> None:
    worker = LoopScheduler(_Loop()).worker(ran)
    worker.wake_within(1000 * WAIT_S)
    worker.stop()
    assert ran.count == 1


class _Loop:
    """Nobody calls back here."""

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        raise AssertionError("a worker has nothing to tell the loop")
