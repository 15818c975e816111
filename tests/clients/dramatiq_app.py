"""The actors of test_dramatiq.py, made alike by the worker process and by the test process.

The worker (`dramatiq dramatiq_app`) takes DRAMATIQ_BROKER, DRAMATIQ_QUEUE and DRAMATIQ_LOG from the
environment. Actors write what they see, a line each, to the log file.
"""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import CurrentMessage


def make(url: str, queue: str, log: str) -> SimpleNamespace:
    """Return the broker and its actors, all on one queue."""
    broker: Any = RabbitmqBroker(url=url, confirm_delivery=True, max_priority=10)
    broker.add_middleware(CurrentMessage())

    def write(*words: object) -> None:
        with open(log, "a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    def actor(function: Any, **options: Any) -> Any:
        return dramatiq.actor(broker=broker, queue_name=queue, **options)(function)

    def note(word: str) -> None:
        write(word)

    def note_time(word: str) -> None:
        write(word, time.time())

    def succeed_at(attempt: int) -> None:
        message = CurrentMessage.get_current_message()
        retries = message.options.get("retries", 0)
        write("attempt", retries)
        if retries < attempt:
            raise RuntimeError("not yet")

    def always_fail() -> None:
        write("failing")
        raise RuntimeError("on purpose")

    return SimpleNamespace(
        broker=broker,
        note=actor(note),
        note_time=actor(note_time),
        succeed_at=actor(succeed_at, max_retries=5, min_backoff=50, max_backoff=100),
        always_fail=actor(always_fail, max_retries=0),
    )


if "DRAMATIQ_BROKER" in os.environ:
    actors = make(os.environ["DRAMATIQ_BROKER"], os.environ["DRAMATIQ_QUEUE"], os.environ["DRAMATIQ_LOG"])
    dramatiq.set_broker(actors.broker)
