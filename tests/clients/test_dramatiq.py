"""dramatiq with a real worker: delivery, delays, retries, dead letters, priorities, join."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pika
import pytest
from broker_target import HERE, Target
from dramatiq_app import make

WAIT_S = 60.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "actors.log"


@pytest.fixture
def actors(broker: Target, log: Path) -> Iterator[SimpleNamespace]:
    """Return actors on a queue of their own; the queue and its two companions are deleted at the end."""
    queue = f"dramatiq-{secrets.token_hex(4)}"
    made = make(broker.url(), queue, str(log))
    yield made
    channel = made.broker.channel
    for name in (queue, f"{queue}.DQ", f"{queue}.XQ"):
        channel.queue_delete(name)
    made.broker.close()


@contextlib.contextmanager
def worker(broker: Target, actors: SimpleNamespace, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `dramatiq` with one process and two threads."""
    environment = {
        "DRAMATIQ_BROKER": broker.url(),
        "DRAMATIQ_QUEUE": actors.note.queue_name,
        "DRAMATIQ_LOG": str(log),
        "dramatiq_restart_delay": "100",
    }
    output = log.with_suffix(".worker")
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "dramatiq", "dramatiq_app", "--processes", "1", "--threads", "2"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=HERE,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        yield process
        assert process.poll() is None, output.read_text()
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        finally:
            # Its own processes too, which it leaves behind now and then.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_lines(log: Path, count: int) -> list[str]:
    """Wait until the actors have written this many lines."""
    lines: list[str] = []

    def enough() -> bool:
        lines[:] = log.read_text().splitlines() if log.exists() else []
        return len(lines) >= count

    wait_until(enough, lambda: f"{lines} {log.with_suffix('.worker').read_text()}")
    return lines


def wait_until(condition: Callable[[], object], seen: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, seen()
        time.sleep(0.02)


def dead_letters(broker: Target, queue: str) -> int:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        return int(connection.channel().queue_declare(f"{queue}.XQ", passive=True).method.message_count)


@pytest.mark.row("R61", "R63", "R66", "R44", "R48")
def test_messages_reach_the_worker(broker: Target, actors: SimpleNamespace, log: Path) -> None:
    """Queues with dead-letter arguments, confirmed publishes, prefetch and acknowledgements."""
    with worker(broker, actors, log):
        for n in range(100):
            actors.note.send(str(n))
        assert sorted(wait_lines(log, 100), key=int) == [str(n) for n in range(100)]


@pytest.mark.row("R44", "R48")
def test_delay(broker: Target, actors: SimpleNamespace, log: Path) -> None:
    """A delayed message goes to the queue's delay companion, and from there to the queue when due."""
    with worker(broker, actors, log):
        sent = time.time()
        actors.note_time.send_with_options(args=("late",), delay=1500)
        actors.note_time.send("early")
        lines = wait_lines(log, 2)
    assert [line.split()[0] for line in lines] == ["early", "late"]
    assert float(lines[1].split()[1]) - sent >= 1.5


@pytest.mark.row("R44", "R48")
def test_retries(broker: Target, actors: SimpleNamespace, log: Path) -> None:
    """A failing message is sent again with a delay, until it succeeds."""
    with worker(broker, actors, log):
        actors.succeed_at.send(2)
        assert wait_lines(log, 3) == ["attempt 0", "attempt 1", "attempt 2"]
    assert dead_letters(broker, actors.note.queue_name) == 0


@pytest.mark.row("R48", "R66")
def test_failed_for_good_goes_to_the_dead_letter_queue(
    broker: Target, actors: SimpleNamespace, log: Path
) -> None:
    """The worker rejects without requeue; the queue's x-dead-letter-* bring it to the XQ queue."""
    with worker(broker, actors, log):
        actors.always_fail.send()
        wait_lines(log, 1)
        queue = actors.note.queue_name
        wait_until(lambda: dead_letters(broker, queue) == 1, lambda: dead_letters(broker, queue))


@pytest.mark.row("R42")
def test_join_counts_down_to_zero(broker: Target, actors: SimpleNamespace, log: Path) -> None:
    """R42: `broker.join` asks the passive declare's counts until nothing waits."""
    for n in range(20):
        actors.note.send(str(n))
    assert actors.broker.get_queue_message_counts(actors.note.queue_name) == (20, 0, 0)
    with worker(broker, actors, log):
        actors.broker.join(actors.note.queue_name, timeout=int(WAIT_S * 1000))
        wait_lines(log, 20)
    assert actors.broker.get_queue_message_counts(actors.note.queue_name) == (0, 0, 0)


@pytest.mark.row("R56")
def test_flush_purges(actors: SimpleNamespace) -> None:
    """R56: `broker.flush` empties the queue and its companions."""
    for n in range(5):
        actors.note.send(str(n))
    actors.note.send_with_options(args=("late",), delay=60_000)
    assert actors.broker.get_queue_message_counts(actors.note.queue_name) == (5, 1, 0)
    actors.broker.flush(actors.note.queue_name)
    assert actors.broker.get_queue_message_counts(actors.note.queue_name) == (0, 0, 0)


@pytest.mark.row("R66", "R12")
def test_killed_worker_loses_nothing(broker: Target, actors: SimpleNamespace, log: Path) -> None:
    """R66: what a killed worker had taken goes to the next one."""
    for n in range(200):
        actors.note.send(str(n))
    with contextlib.suppress(AssertionError), worker(broker, actors, log) as process:
        wait_lines(log, 1)
        process.kill()
    with worker(broker, actors, log):
        wait_until(
            lambda: len(set(log.read_text().splitlines())) == 200,
            lambda: len(set(log.read_text().splitlines())),
        )
