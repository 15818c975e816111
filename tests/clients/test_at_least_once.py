"""At-least-once dead lettering (R49) through pika and the management API, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from broker_target import Target
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import Pika, consume, publish, wait_ready, wait_until

from pillarbox import Broker, ManualClock
from tests.management.http import client

pytestmark = pytest.mark.row("R49")

SOURCE = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-dead-letter-exchange": "letters",
    "x-dead-letter-strategy": "at-least-once",
}
RETRY_S = 180


def start(data: Path, clock: ManualClock) -> Broker:
    return Broker(str(data), clock=clock, management_port=0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path, clock: ManualClock) -> Path:
    """Where a broker has stopped whose queue `orders` has two dead letters that nobody took."""
    with start(tmp_path, clock) as broker, connected(broker) as channel:
        channel.queue_declare("orders", durable=True, arguments=SOURCE)
        received = consume(channel, "orders", auto_ack=False)
        publish(channel, "orders", b"one", b"three", delivery_mode=2)
        received.wait(2)
        channel.basic_nack(0, multiple=True, requeue=False)
        wait_until(channel, lambda: counts(broker)["dead"] == 2, lambda: counts(broker))
        assert counts(broker) == {"dead": 2, "dead_bytes": 8, "all": 2, "ready": 0}
    return tmp_path


@contextmanager
def connected(broker: Broker) -> Iterator[BlockingChannel]:
    """A channel with confirms."""
    made = Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port))
    channel = made.channel()
    channel.confirm_delivery()
    yield channel
    made.close()


def counts(broker: Broker) -> dict[str, int]:
    with client(broker) as api:
        queue = api.get("queues/%2F/orders")
    names = {
        "dead": "messages_dlx",
        "dead_bytes": "message_bytes_dlx",
        "all": "messages",
        "ready": "messages_ready",
    }
    return {short: queue[name] for short, name in names.items()}


def test_dead_letters_wait_for_their_exchange_over_a_restart(folder: Path, clock: ManualClock) -> None:
    """Once exchange and queue are there they come, each once and in order, and their source has none left."""
    with start(folder, clock) as broker, connected(broker) as channel:
        assert counts(broker) == {"dead": 2, "dead_bytes": 8, "all": 2, "ready": 0}
        channel.exchange_declare("letters", "fanout", durable=True)
        channel.queue_declare("dead", durable=True)
        channel.queue_bind("dead", "letters")
        assert counts(broker)["dead"] == 2
        clock.advance(f"{RETRY_S}s")
        wait_ready(channel, "dead", 2)
        assert [channel.basic_get("dead", auto_ack=True)[2] for _ in range(2)] == [b"one", b"three"]
        assert counts(broker) == {"dead": 0, "dead_bytes": 0, "all": 0, "ready": 0}
