"""How an engine gets things run: soon on the domain's thread, or in another one.

`LoopScheduler` works with any event loop that has `call_soon_threadsafe` (asyncio, uvloop); it imports
neither. `InlineScheduler` has no threads at all: whoever drives it decides when anything happens, so that
tests are deterministic and may stop between any two steps.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from pillarbox.store.committer import Worker

T = TypeVar("T")

PAUSE_S = 0.0005
"""How long a thread that works on Python objects steps aside between two bursts of work. The domain's
thread needs the interpreter lock back within its 2 ms, and half of the time is enough for what is not
urgent."""


class Scheduler(Protocol):
    """What an engine needs to be run by."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run a callback on the domain's thread, in order. May be called from any thread."""

    def run_in_thread(
        self, work: Callable[[], T], done: Callable[[T | BaseException], None], *, background: bool = False
    ) -> None:
        """Run `work` in a thread, then `done` with its result or exception on the domain's thread.

        Work is done in order; `background` work has a thread of its own, so that nothing waits for it.
        """

    def worker(self, work: Callable[[], None]) -> Worker:
        """A thread that runs `work` whenever it is woken."""

    def pause(self) -> None:
        """Called in a thread between two bursts of work: let the domain's thread go first."""

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Run callbacks here and now, on the domain's thread, until the condition holds."""

    def close(self) -> None:
        """End the threads."""


class Failure(Exception):
    """Nothing is left to run and the condition that was waited for does not hold."""


class _InlineWorker:
    def __init__(self, scheduler: InlineScheduler, work: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._work = work
        self._awake = False

    def wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._scheduler.call_soon(self._run)

    def wake_within(self, seconds: float) -> None:
        self.wake()

    def _run(self) -> None:
        self._awake = False
        self._work()

    def stop(self) -> None:
        self._run()


class InlineScheduler:
    """Everything on one thread, one callback after another, when `step` or `run_until_idle` is called."""

    def __init__(self) -> None:
        self._callbacks: deque[Callable[[], None]] = deque()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def run_in_thread(
        self, work: Callable[[], T], done: Callable[[T | BaseException], None], *, background: bool = False
    ) -> None:
        def run() -> None:
            result = _result_of(work)
            self._callbacks.append(lambda: done(result))

        self._callbacks.append(run)

    def worker(self, work: Callable[[], None]) -> Worker:
        return _InlineWorker(self, work)

    def pause(self) -> None:
        pass

    def step(self) -> bool:
        """Run the next callback; False if there is none."""
        if not self._callbacks:
            return False
        self._callbacks.popleft()()
        return True

    def run_until_idle(self) -> None:
        while self.step():
            pass

    def run_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if not self.step():
                raise Failure("nothing is left to run")

    def close(self) -> None:
        pass


def _result_of(work: Callable[[], T]) -> T | BaseException:
    try:
        return work()
    except BaseException as error:
        return error


class _ThreadWorker:
    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._wakes: SimpleQueue[bool | float] = SimpleQueue()
        """True: now; False: for the last time; a number: within so many seconds."""
        self.wake = lambda put=self._wakes.put: put(True)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        get, empty, work = self._wakes.get, self._wakes.empty, self._work
        asked: bool | float = True
        while asked is not False:
            asked = get()
            if asked is not True and asked is not False:
                with contextlib.suppress(Empty):
                    asked = get(timeout=asked)
            while asked is not False and not empty():
                asked = get()
            work()

    def wake_within(self, seconds: float) -> None:
        self._wakes.put(seconds)

    def stop(self) -> None:
        self._wakes.put(False)
        self._thread.join()


class _Lane:
    """A thread that does one job after another."""

    def __init__(self, name: str) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()


class LoopScheduler:
    """Over a running event loop and threads. Made and closed on the loop's thread."""

    def __init__(self, loop: Any) -> None:
        self._wake_loop = loop.call_soon_threadsafe
        self._callbacks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._scheduled = False
        self._lanes: dict[str, _Lane] = {}
        self._never = threading.Event()
        self._closed = False

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._callbacks.put(callback)
        # Two threads may both see False; a second wake-up finds nothing to do and is harmless. The flag is
        # lowered before the callbacks are taken, so that none is ever left behind.
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._wake_loop(self._run)

    def _run(self) -> None:
        self._scheduled = False
        callbacks = self._callbacks
        # Only what is there now: a callback that calls itself soon must let the loop have its turn.
        for _ in range(callbacks.qsize()):
            try:
                callback = callbacks.get_nowait()
            except Empty:
                return
            callback()

    def run_in_thread(
        self, work: Callable[[], T], done: Callable[[T | BaseException], None], *, background: bool = False
    ) -> None:
        def run() -> None:
            result = _result_of(work)
            self.call_soon(lambda: done(result))

        name = "pillarbox-background" if background else "pillarbox-disk"
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name)
        lane.jobs.put(run)

    def worker(self, work: Callable[[], None]) -> Worker:
        return _ThreadWorker(work, "pillarbox-committer")

    def pause(self) -> None:
        self._never.wait(PAUSE_S)

    def run_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._callbacks.get()()

    def close(self) -> None:
        self._closed = True
        for lane in self._lanes.values():
            lane.jobs.put(None)
            lane.thread.join()
        self._lanes.clear()
