"""The Celery applications of test_celery_scenarios.py: one set of tasks under settings that users choose.

A worker takes the name of a scenario from CELERY_SCENARIO, the rest like `celery_app`. Tasks that write to a
file tell what a worker does in which order.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from celery import Task
from celery_app import make
from kombu import Exchange, Queue

QUORUM = {"x-queue-type": "quorum"}


def quorum_settings(queue: str) -> dict[str, Any]:
    """What Celery's manual says for quorum queues: confirms, a topic exchange, detection left on."""
    exchange = Exchange(f"{queue}-tasks", type="topic")
    return {
        "task_queues": [Queue(queue, exchange, routing_key=queue, queue_arguments=QUORUM)],
        "task_default_exchange": exchange.name,
        "task_default_exchange_type": "topic",
        "task_default_routing_key": queue,
        "task_default_queue_type": "quorum",
        "worker_detect_quorum_queues": True,
        "broker_transport_options": {"confirm_publish": True},
        "broker_native_delayed_delivery_queue_type": "quorum",
    }


SCENARIOS = {
    "classic": lambda queue: {"worker_prefetch_multiplier": 2},
    "quorum": quorum_settings,
    "priorities": lambda queue: {"task_queue_max_priority": 10, "task_default_priority": 3},
}


def make_scenario(broker: str, backend: str, queue: str, scenario: str) -> SimpleNamespace:
    """Return the application and its tasks."""
    tasks = make(broker, backend, queue)
    app = tasks.app
    app.conf.update(SCENARIOS[scenario](queue))

    @app.task(name="note", shared=False)
    def note(path: str, word: str) -> float:
        """Append a line to a file; return the time."""
        with Path(path).open("a") as file:
            file.write(f"{word}\n")
        return time.time()

    @app.task(name="note_later", bind=True, shared=False, max_retries=1)
    def note_later(self: Task, path: str) -> int:
        """Retry once with a countdown."""
        if not self.request.retries:
            raise self.retry(countdown=1)
        with Path(path).open("a") as file:
            file.write("retried\n")
        return int(self.request.retries)

    tasks.note, tasks.note_later = note, note_later
    return tasks


if "CELERY_SCENARIO" in os.environ:
    app = make_scenario(
        os.environ["CELERY_BROKER"],
        os.environ["CELERY_BACKEND"],
        os.environ["CELERY_QUEUE"],
        os.environ["CELERY_SCENARIO"],
    ).app
