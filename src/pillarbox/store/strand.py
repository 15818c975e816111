"""A queue of works from the domain's thread to another one, and their answers back.

Purpose: let code that decides hand over code that touches files, without knowing about threads. A work is
*prepared* on the domain's thread at the end of the tick, when all that the tick brought is known, *run*
elsewhere, and *finished* on the domain's thread. Not here: threads (a `Worker` is given), and what works do.

Invariants: works are prepared, run and finished in the order of their submission. A work's error is its
own: the strand goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from pillarbox.store.committer import Worker


class Work(Protocol):
    """One thing to be done off the domain's thread."""

    def prepare(self) -> bool:
        """On the domain's thread: take what is to be done. False: nothing is, and `finish` is not called."""

    def run(self) -> None:
        """Anywhere: do it, and touch nothing that the domain's thread uses."""

    def finish(self, error: Exception | None) -> None:
        """On the domain's thread: take note of it."""


class Strand:
    """See the module.

    `worker` makes the worker that runs `work`. `post` has a function called on the domain's thread, soon
    (asyncio: `call_soon_threadsafe`). `wake` is told when `flush` is wanted: the owner calls it at the end
    of the tick.
    """

    def __init__(
        self,
        worker: Callable[[Callable[[], None]], Worker],
        post: Callable[[Callable[[], None]], object],
        wake: Callable[[], object],
    ) -> None:
        self._post = post
        self._wake = wake
        self._submitted: deque[Work] = deque()
        self._prepared: deque[Work] = deque()
        self._worker = worker(self.work)

    def __repr__(self) -> str:
        return f"<Strand submitted={len(self._submitted)} prepared={len(self._prepared)}>"

    def submit(self, work: Work) -> None:
        """On the domain's thread: have a work done after the next `flush`."""
        self._submitted.append(work)
        if len(self._submitted) == 1:
            self._wake()

    def flush(self) -> None:
        """At the end of a tick: prepare what was submitted and hand it to the worker."""
        while self._submitted:
            work = self._submitted.popleft()
            if work.prepare():
                self._prepared.append(work)
        if self._prepared:
            self._worker.wake()

    def work(self) -> None:
        """On the worker's thread: run what is prepared. Each answer is posted at once, since the works of
        many logs may lie in one pile."""
        while self._prepared:
            work = self._prepared.popleft()
            self._post(partial(work.finish, _run(work)))

    def stop(self) -> None:
        """End the worker, after what was handed to it."""
        self._worker.stop()


def _run(work: Work) -> Exception | None:
    try:
        work.run()
    except Exception as error:
        return error
    return None


def run_inline(work: Work) -> None:
    """Do a work here and now."""
    if work.prepare():
        work.finish(_run(work))
