"""Celery 5 as its users set it up, on the default profile.

Prefetch for the channel, quorum queues with confirms, tasks delayed by the worker and by the broker,
priorities, late acknowledgements and workers that die.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pika
import pytest
from broker_target import Target
from celery_scenarios_app import make_scenario
from pamqp import commands
from test_celery import WAIT_S, Worker, lines, queue_ready, wait_until
from wiretap import Wiretap

NATIVE_LEVELS = 28
"""Queues that Celery's native delayed delivery declares, one for each bit of a delay in seconds."""

LATE_S = 10.0
"""How late a task may be on a machine that has much else to do."""


class Scenario(Worker):
    """A worker with the settings of one scenario."""

    application = "celery_scenarios_app"

    def __init__(self, broker: Target, folder: Path, scenario: str, *options: str, **more: str) -> None:
        super().__init__(broker, folder, *options, CELERY_SCENARIO=scenario, **more)

    @contextlib.contextmanager
    def tasks(self) -> Iterator[SimpleNamespace]:
        settings = self.environment
        tasks = make_scenario(
            settings["CELERY_BROKER"],
            settings["CELERY_BACKEND"],
            settings["CELERY_QUEUE"],
            settings["CELERY_SCENARIO"],
        )
        yield tasks
        tasks.app.close()


@contextlib.contextmanager
def channel_to(broker: Target) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(broker.url()))) as connection:
        yield connection.channel()


@pytest.mark.row("R65", "T1", "T3")
def test_global_prefetch_bounds_what_a_worker_holds(broker: Target, tmp_path: Path) -> None:
    """R65: with two processes and multiplier 2 a worker holds four tasks; the channel's limit, set by
    basic.qos with global=true because the broker says RabbitMQ 3.13, keeps the others in the queue."""
    started, release = tmp_path / "started", tmp_path / "release"
    with Scenario(broker, tmp_path, "classic", "--concurrency", "2") as worker, worker.tasks() as tasks:
        tasks.app.conf.task_acks_late = True
        results = [tasks.wait_for.delay(str(started), str(release)) for _ in range(7)]
        wait_until(lambda: len(lines(started)) == 2, "two tasks run")
        wait_until(lambda: queue_ready(broker, worker.queue) == 3, "the worker holds four")
        release.touch()
        assert len([result.get(timeout=WAIT_S) for result in results]) == 7


@pytest.mark.row("R65", "T3")
def test_eta_tasks_raise_the_global_prefetch_and_lower_it_again(broker: Target, tmp_path: Path) -> None:
    """R65: each held task raises the channel's limit by one, with basic.qos beside a running consumer."""
    with Scenario(broker, tmp_path, "classic", "--concurrency", "1") as worker, worker.tasks() as tasks:
        for countdown_s in (2, 10, 30):
            order = tmp_path / f"order {countdown_s}"
            since = time.time()
            held = [tasks.note.apply_async((str(order), "late"), countdown=countdown_s) for _ in range(6)]
            now = [tasks.note.delay(str(order), "now") for _ in range(6)]
            for result in now:
                result.get(timeout=WAIT_S)
            in_time = time.time() - since < countdown_s
            assert all(result.get(timeout=WAIT_S) - since >= countdown_s for result in held)
            if in_time:
                break  # Held tasks that fell due meanwhile, on a busy machine, show nothing: once more.
        assert lines(order) == ["now"] * 6 + ["late"] * 6
        assert tasks.note.delay(str(order), "after").get(timeout=WAIT_S)


@pytest.mark.row("R43", "R48", "R65", "T1", "T3")
@pytest.mark.parametrize(
    ("scenario", "for_channel", "held"),
    [("classic", True, 2), ("quorum", False, 1)],
    ids=["classic, held by the worker", "quorum, held by the broker"],
)
def test_tasks_with_an_eta_or_a_countdown_are_on_time(
    broker: Target, tmp_path: Path, scenario: str, for_channel: bool, held: int
) -> None:
    """R65: on the wire every limit that the worker asks for is one of the channel, raised for each task that
    it holds. Quorum queues refuse that: there it is one of each consumer, and the broker holds the tasks
    until the last second before they are due."""
    order = tmp_path / "order"
    with (
        Wiretap(broker) as tap,
        Scenario(tap.target, tmp_path, scenario, "--concurrency", "1") as worker,
        worker.tasks() as tasks,
    ):
        since = time.time()
        eta = datetime.fromtimestamp(since + 3, UTC)
        late = tasks.note.apply_async((str(order), "eta"), eta=eta)
        soon = tasks.note.apply_async((str(order), "countdown"), countdown=1)
        tasks.note.delay(str(order), "now").get(timeout=WAIT_S)
        assert 1 <= soon.get(timeout=WAIT_S) - since < 1 + LATE_S
        assert 3 <= late.get(timeout=WAIT_S) - since < 3 + LATE_S
        asked = tap.sent(commands.Basic.Qos)
    assert lines(order) == ["now", "countdown", "eta"]
    assert {each.global_ for each in asked} == {for_channel}
    limits = [each.prefetch_count for each in asked]
    assert max(limits) - limits[0] >= held


@pytest.mark.row("R43", "R61", "R66", "T3")
def test_quorum_queues_with_confirms(broker: Target, tmp_path: Path) -> None:
    """R43: the worker finds out, or its consumer would be refused with 540; each publish is confirmed."""
    with Scenario(broker, tmp_path, "quorum", "--concurrency", "2") as worker, worker.tasks() as tasks:
        results = [tasks.add.delay(n, n) for n in range(50)]
        assert [result.get(timeout=WAIT_S) for result in results] == [2 * n for n in range(50)]
        with channel_to(broker) as channel, pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
            channel.queue_declare(worker.queue, durable=True)
        assert "x-queue-type" in caught.value.reply_text, "the queue is a quorum queue"


@pytest.mark.row("R43", "R44", "R47", "R48", "R49", "R24")
def test_native_delayed_delivery(broker: Target, tmp_path: Path) -> None:
    """R48: tasks wait in the broker, in a row of queues with a TTL each whose dead letters go to the next.

    A delay of 3 s is two of these queues one after the other; meanwhile no worker holds the task.
    """
    order = tmp_path / "order"
    with Scenario(broker, tmp_path, "quorum", "--concurrency", "1") as worker, worker.tasks() as tasks:
        with channel_to(broker) as channel:
            for level in range(NATIVE_LEVELS):
                channel.queue_declare(f"celery_delayed_{level}", passive=True)
            since = time.time()
            late = tasks.note.apply_async((str(order), "3 s"), countdown=3)
            soon = tasks.note.apply_async((str(order), "1 s"), countdown=1)
            held = channel.queue_declare("celery_delayed_1", passive=True).method.message_count
            assert held == 1, "the broker holds it, not the worker"
            assert tasks.note.delay(str(order), "now").get(timeout=WAIT_S)
            assert soon.get(timeout=WAIT_S) - since >= 1
            assert late.get(timeout=WAIT_S) - since >= 2
        assert lines(order) == ["now", "1 s", "3 s"]
        assert tasks.note_later.delay(str(order)).get(timeout=WAIT_S) == 1
        assert lines(order)[-1] == "retried"


@pytest.mark.row("R43", "R66", "R12")
def test_quorum_tasks_survive_the_death_of_the_worker(broker: Target, tmp_path: Path) -> None:
    """R66: SIGKILL; the queue gives the task to the next worker, which sees it redelivered."""
    started, release = tmp_path / "started", tmp_path / "release"
    with Scenario(broker, tmp_path, "quorum", "--concurrency", "1") as first, first.tasks() as tasks:
        result = tasks.wait_for.delay(str(started), str(release))
        wait_until(lambda: lines(started), "the task runs")
        first.kill()
        wait_until(lambda: queue_ready(broker, first.queue) == 1, "the message is back in its queue")
        release.touch()
        with Scenario(broker, tmp_path, "quorum", "--concurrency", "1", CELERY_QUEUE=first.queue):
            result.get(timeout=WAIT_S)
    assert lines(started) == [result.id, result.id]


@pytest.mark.row("R50", "R65")
def test_priorities_overtake_in_the_queue(broker: Target, tmp_path: Path) -> None:
    """R50: x-max-priority 10 and a default of 3: what waits is taken by priority, equals in order."""
    started, release, order = (tmp_path / name for name in ("started", "release", "order"))
    with Scenario(broker, tmp_path, "priorities", "--concurrency", "1") as worker, worker.tasks() as tasks:
        first = tasks.wait_for.delay(str(started), str(release))
        wait_until(lambda: lines(started), "the first task runs")
        waiting = [tasks.wait_for.apply_async((str(started), str(release)), priority=10)]
        wanted = [("d", None), ("b1", 7), ("c", 5), ("b2", 7), ("e", 0)]
        for word, priority in wanted:
            options = {} if priority is None else {"priority": priority}
            waiting.append(tasks.note.apply_async((str(order), word), **options))
        wait_until(lambda: queue_ready(broker, worker.queue) >= 5, "the others wait")
        release.touch()
        for result in (first, *waiting):
            result.get(timeout=WAIT_S)
    assert lines(order) == ["b1", "b2", "c", "d", "e"]


@pytest.mark.row("R66", "R65")
def test_many_workers_share_what_a_dead_one_left(broker: Target, tmp_path: Path) -> None:
    """R66: three workers with late acknowledgements, one killed: every task is done, each at least once."""
    order, started, release = (tmp_path / name for name in ("order", "started", "release"))
    queue = f"celery-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(
                Scenario(broker, tmp_path, "classic", "--concurrency", "1", CELERY_QUEUE=queue)
            )
            for _ in range(3)
        ]
        with workers[0].tasks() as tasks:
            blocked = [tasks.wait_for.delay(str(started), str(release)) for _ in range(3)]
            wait_until(lambda: len(lines(started)) == 3, "each worker has one")
            tasks.app.conf.task_acks_late = True
            results = [tasks.note.delay(str(order), str(n)) for n in range(20)]
            workers[1].kill()
            release.touch()
            for result in (*blocked, *results):
                result.get(timeout=WAIT_S)
    assert {int(line) for line in lines(order)} == set(range(20))
