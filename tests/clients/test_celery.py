"""Celery 5 with real worker processes: results, retries, countdown, acks_late, chords, prefetch, control."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pika
import pytest
from broker_target import HERE, Target
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from celery_app import make

START_S = 60.0
WAIT_S = 60.0


class Worker:
    """A `celery worker` process with its own queue; the context ends when the worker has stopped."""

    application = "celery_app"

    def __init__(self, broker: Target, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self.queue = environment.get("CELERY_QUEUE") or f"celery-{secrets.token_hex(4)}"
        self.options = options
        self.environment = {
            "CELERY_BROKER": broker.url(),
            "CELERY_BACKEND": f"file://{folder}",
            "CELERY_QUEUE": self.queue,
        } | environment
        self.log = folder / f"worker-{secrets.token_hex(2)}.log"

    def __enter__(self) -> Self:
        reader, writer = os.pipe()
        command = [sys.executable, "-m", "celery", "-A", self.application, "worker", "--loglevel", "INFO"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--hostname", f"{secrets.token_hex(4)}@%h", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=HERE,
                env=os.environ | self.environment | {"CELERY_READY_FD": str(writer)},
                pass_fds=[writer],
                start_new_session=True,
            )
        os.close(writer)
        try:
            ready, _, _ = select.select([reader], [], [], START_S)
            assert ready, f"the worker is not ready:\n{self.log.read_text()}"
            assert os.read(reader, 1) == b"r", f"the worker ended:\n{self.log.read_text()}"
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(reader)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def kill(self) -> None:
        """End the worker and its pool at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @contextlib.contextmanager
    def tasks(self) -> Iterator[SimpleNamespace]:
        """Return the application and its tasks, as this worker sees them."""
        settings = self.environment
        tasks = make(
            settings["CELERY_BROKER"],
            settings["CELERY_BACKEND"],
            settings["CELERY_QUEUE"],
            "CELERY_PRIORITIES" in settings,
        )
        yield tasks
        tasks.app.close()


@pytest.fixture(scope="module")
def worker(broker: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Return a worker that the tests share which leave it in peace: two processes, results in files."""
    with Worker(broker, tmp_path_factory.mktemp("celery"), "--concurrency", "2") as running:
        yield running


@pytest.fixture(scope="module")
def tasks(worker: Worker) -> Iterator[SimpleNamespace]:
    with worker.tasks() as module:
        yield module


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Ask every 20 ms: what a worker does is only seen from outside."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def queue_ready(broker: Target, queue: str) -> int:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


@pytest.mark.row("R60", "R63", "R66")
def test_results_come_back(tasks: SimpleNamespace) -> None:
    """Fifty tasks, each with its own result; an exception is raised again at the caller."""
    results = [tasks.add.delay(n, n) for n in range(50)]
    assert [result.get(timeout=WAIT_S) for result in results] == [2 * n for n in range(50)]
    with pytest.raises(ValueError, match="on purpose"):
        tasks.fail.delay().get(timeout=WAIT_S)


@pytest.mark.row("R60", "R66")
def test_retries(tasks: SimpleNamespace) -> None:
    """A retry is a new message with the same id, a higher count and an ETA."""
    assert tasks.succeed_at.delay(3).get(timeout=WAIT_S) == {"retries": 3}


@pytest.mark.row("R65")
def test_countdown(tasks: SimpleNamespace) -> None:
    """A task with a countdown is held by the worker, unacknowledged, until it is due."""
    since = time.time()
    result = tasks.when.apply_async(countdown=1)
    assert tasks.add.delay(1, 1).get(timeout=WAIT_S) == 2
    assert result.get(timeout=WAIT_S) - since >= 1


@pytest.mark.row("R65", "T1", "T3")
def test_tasks_with_a_late_eta_do_not_starve_the_others(tasks: SimpleNamespace) -> None:
    """R65: for each held task the worker raises its prefetch, global or not by the broker's version."""
    held = [tasks.add.apply_async((1, 1), countdown=3600) for _ in range(10)]
    assert [tasks.add.delay(n, 1).get(timeout=WAIT_S) for n in range(5)] == [1, 2, 3, 4, 5]
    tasks.app.control.revoke([result.id for result in held])


@pytest.mark.row("R22", "R66")
def test_chain_group_and_map(tasks: SimpleNamespace) -> None:
    """Canvas that needs no more than results."""
    assert chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.add.s(4))().get(timeout=WAIT_S) == 10
    assert group(tasks.add.s(n, 1) for n in range(10))().get(timeout=WAIT_S) == list(range(1, 11))


@pytest.mark.row("R60", "R65")
@pytest.mark.parametrize("backend", ["file", "sqlite"])
def test_chord(broker: Target, tmp_path: Path, backend: str) -> None:
    """A chord on a result backend without counters: the unlock task polls by retrying itself."""
    url = f"file://{tmp_path}" if backend == "file" else f"db+sqlite:///{tmp_path}/results.db"
    with (
        Worker(broker, tmp_path, "--concurrency", "2", CELERY_BACKEND=url) as worker,
        worker.tasks() as tasks,
    ):
        result = chord(tasks.add.s(n, n) for n in range(10))(tasks.total.s())
        assert result.get(timeout=WAIT_S) == 90


@pytest.mark.row("R40", "R41", "R45")
def test_rpc_result_backend(broker: Target, tmp_path: Path) -> None:
    """Results as messages: a reply queue per client, published through the default exchange."""
    with (
        Worker(broker, tmp_path, "--concurrency", "1", CELERY_BACKEND="rpc://") as worker,
        worker.tasks() as tasks,
    ):
        results = [tasks.add.delay(n, 1) for n in range(20)]
        assert [result.get(timeout=WAIT_S) for result in results] == list(range(1, 21))


@pytest.mark.row("R66")
def test_acks_late_redelivers_when_a_pool_process_dies(tasks: SimpleNamespace, tmp_path: Path) -> None:
    """R66: reject with requeue; the second delivery is marked redelivered."""
    assert tasks.die_once.delay(str(tmp_path / "died")).get(timeout=WAIT_S) is True


@pytest.mark.row("R66", "R12")
def test_acks_late_survives_the_death_of_the_worker(broker: Target, tmp_path: Path) -> None:
    """R66: SIGKILL for the whole worker; what it had not acknowledged goes to the next one."""
    started, release = tmp_path / "started", tmp_path / "release"
    with Worker(broker, tmp_path, "--concurrency", "1") as first, first.tasks() as tasks:
        result = tasks.wait_for.delay(str(started), str(release))
        wait_until(lambda: lines(started), "the task runs")
        first.kill()
        wait_until(lambda: queue_ready(broker, first.queue) == 1, "the message is back in its queue")
        release.touch()
        with Worker(broker, tmp_path, "--concurrency", "1", CELERY_QUEUE=first.queue):
            result.get(timeout=WAIT_S)
    assert lines(started) == [result.id, result.id]


@pytest.mark.row("R65", "R42")
def test_prefetch_leaves_the_rest_in_the_queue(broker: Target, tmp_path: Path) -> None:
    """R65: acks_late, one process, prefetch multiplier 1: one task runs, the others stay for others."""
    started, release = tmp_path / "started", tmp_path / "release"
    with Worker(broker, tmp_path, "--concurrency", "1") as worker, worker.tasks() as tasks:
        results = [tasks.wait_for.delay(str(started), str(release)) for _ in range(5)]
        wait_until(lambda: lines(started), "the first task runs")
        wait_until(lambda: queue_ready(broker, worker.queue) == 4, "four tasks are ready")
        with Worker(broker, tmp_path, "--concurrency", "1", CELERY_QUEUE=worker.queue):
            wait_until(lambda: len(lines(started)) == 2, "the second worker has one task")
            assert queue_ready(broker, worker.queue) == 3
            release.touch()
            hosts = {result.get(timeout=WAIT_S) for result in results}
    assert len(hosts) == 2


@pytest.mark.row("R50")
def test_priorities(broker: Target, tmp_path: Path) -> None:
    """R50: with x-max-priority the more important task overtakes those that wait."""
    started, release = tmp_path / "started", tmp_path / "release"
    options: dict[str, Any] = {"CELERY_PRIORITIES": "1"}
    with Worker(broker, tmp_path, "--concurrency", "1", **options) as worker, worker.tasks() as tasks:
        results = [tasks.wait_for.delay(str(started), str(release))]
        wait_until(lambda: lines(started), "the first task runs")
        for priority in (1, 5, 9):
            results.append(tasks.wait_for.apply_async((str(started), str(release)), priority=priority))
        wait_until(lambda: queue_ready(broker, worker.queue) == 3, "three tasks wait")
        release.touch()
        for result in results:
            result.get(timeout=WAIT_S)
    ids = [result.id for result in results]
    assert lines(started) == [ids[0], ids[3], ids[2], ids[1]]


@pytest.mark.row("R22", "R40", "R45")
def test_remote_control(tasks: SimpleNamespace, worker: Worker) -> None:
    """R22: ping, inspect and revoke go through fanout mailboxes and come back through reply queues."""
    (pong,) = tasks.app.control.ping(timeout=5, limit=1)
    ((host, answer),) = pong.items()
    assert answer == {"ok": "pong"}
    queues = tasks.app.control.inspect(destination=[host], timeout=5).active_queues()
    assert [queue["name"] for queue in queues[host]] == [worker.queue]
    result = tasks.add.apply_async((1, 1), countdown=2)
    tasks.app.control.revoke(result.id, reply=True, timeout=5, limit=1)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT_S)


@pytest.mark.row("R56")
def test_purge(broker: Target, tmp_path: Path, worker: Worker) -> None:
    """R56: app.control.purge reports how many tasks went."""
    unused = Worker(broker, tmp_path)
    with unused.tasks() as tasks:
        for n in range(3):
            tasks.add.delay(n, n)
        wait_until(lambda: queue_ready(broker, unused.queue) == 3, "three tasks wait")
        assert tasks.app.control.purge() == 3


@pytest.mark.row("R12")
def test_warm_shutdown_finishes_and_acknowledges(broker: Target, tmp_path: Path) -> None:
    """R12: SIGTERM: the running task ends, its message is acknowledged, the rest goes back."""
    started, release = tmp_path / "started", tmp_path / "release"
    with Worker(broker, tmp_path, "--concurrency", "1") as worker, worker.tasks() as tasks:
        results = [tasks.wait_for.delay(str(started), str(release)) for _ in range(3)]
        wait_until(lambda: lines(started), "the first task runs")
        worker.process.terminate()
        release.touch()
        assert worker.process.wait(WAIT_S) == 0
        done = len(lines(started))
        assert done >= 1
        assert queue_ready(broker, worker.queue) == 3 - done
        results[0].get(timeout=WAIT_S)
