"""The Celery application of test_celery.py, made alike by the worker and by the test process.

A worker takes its settings from the environment: CELERY_BROKER, CELERY_BACKEND, CELERY_QUEUE,
CELERY_PRIORITIES, and CELERY_READY_FD, a pipe to which it writes a byte when it is ready.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from celery import Celery, Task
from celery.signals import worker_ready


@worker_ready.connect
def tell_ready(**_: Any) -> None:
    if descriptor := os.environ.get("CELERY_READY_FD"):
        os.write(int(descriptor), b"r")


def make(broker: str, backend: str, queue: str, priorities: bool = False) -> SimpleNamespace:
    """Return the application and its tasks; several may live in one process."""
    app = Celery("pillarbox-tests", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        task_default_queue=queue,
        task_queue_max_priority=10 if priorities else None,
        worker_prefetch_multiplier=1,
        result_chord_retry_interval=0.1,
        result_expires=3600,
        broker_connection_retry_on_startup=True,
        task_publish_retry=False,
    )

    task = partial(app.task, shared=False)  # Otherwise every later application gets them too.

    @task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    @task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @task(name="fail")
    def fail() -> None:
        raise ValueError("on purpose")

    @task(name="succeed_at", bind=True, max_retries=5)
    def succeed_at(self: Task, attempt: int) -> dict[str, Any]:
        """Retry until this attempt (the first is 0)."""
        if self.request.retries < attempt:
            # Long enough for this process to store RETRY before another one stores the final state.
            raise self.retry(countdown=0.3)
        return {"retries": self.request.retries}

    @task(name="when", bind=True)
    def when(self: Task) -> float:
        """Return the time of execution."""
        return time.time()

    @task(name="die_once", bind=True, acks_late=True, reject_on_worker_lost=True)
    def die_once(self: Task, marker: str) -> bool:
        """Kill this pool process at the first attempt; return at the second whether it was a redelivery."""
        path = Path(marker)
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return bool(self.request.delivery_info["redelivered"])

    @task(name="wait_for", bind=True, acks_late=True)
    def wait_for(self: Task, started: str, release: str) -> str:
        """Tell through a file that the task runs, then wait for another file."""
        with Path(started).open("a") as file:
            file.write(f"{self.request.id}\n")
        deadline = time.monotonic() + 60
        while not Path(release).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return str(self.request.hostname)

    return SimpleNamespace(
        app=app,
        add=add,
        total=total,
        fail=fail,
        succeed_at=succeed_at,
        when=when,
        die_once=die_once,
        wait_for=wait_for,
    )


if "CELERY_BROKER" in os.environ:
    app = make(
        os.environ["CELERY_BROKER"],
        os.environ["CELERY_BACKEND"],
        os.environ["CELERY_QUEUE"],
        bool(os.environ.get("CELERY_PRIORITIES")),
    ).app
