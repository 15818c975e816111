"""examples/activemq/: every program runs as a process of its own against the broker, unchanged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox import Broker

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "activemq"
WAIT_S = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(stomp_port=0, stomp_dialect="activemq") as running:
        yield running


def started(broker: Broker, name: str, *arguments: str) -> subprocess.Popen[str]:
    host, port = broker.stomp_address
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"STOMP_HOST": host, "STOMP_PORT": str(port)},
    )


def ran(broker: Broker, name: str, *arguments: str) -> str:
    """What a program prints that ends by itself, and well."""
    process = started(broker, name, *arguments)
    output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, output
    return output.rstrip("\n")


def read(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def stopped(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=WAIT_S)
    assert (output, process.returncode) == ("stopped\n", 0)


@pytest.mark.row("A5", "A3")
def test_orders_are_sent_in_one_transaction_and_shipped_one_by_one(broker: Broker) -> None:
    assert ran(broker, "send.py", "3") == "3 orders sent"
    listener = started(broker, "listen.py")
    assert read(listener, 4) == ["waiting for orders", *(f"shipping order {n}" for n in range(3))]
    stopped(listener)


def test_orders_of_kafkas_examples_on_the_same_broker_are_others() -> None:
    """A topic is a queue of its name, so the programs of two folders must not mean the same one."""
    with Broker(stomp_port=0, kafka_port=0) as both:
        program = [sys.executable, str(EXAMPLES.parent / "kafka" / "produce.py"), "2"]
        env = os.environ | {"KAFKA_BOOTSTRAP": both.kafka_bootstrap}
        subprocess.run(program, env=env, timeout=WAIT_S, check=True, stdout=subprocess.DEVNULL)
        assert ran(both, "send.py", "1") == "1 orders sent"
        listener = started(both, "listen.py")
        assert read(listener, 2) == ["waiting for orders", "shipping order 0"]
        stopped(listener)


@pytest.mark.row("A21", "A23", "A35")
def test_subscriber_gets_what_it_missed_and_nothing_else(broker: Broker) -> None:
    follower = started(broker, "durable_subscriber.py")
    assert read(follower, 1) == ["following"]
    assert ran(broker, "publish.py") == "published to news.weather"
    assert read(follower, 1) == ["/topic/news.weather: storm tonight"]
    stopped(follower)
    ran(broker, "publish.py", "news.sports", "1", "nothing new")
    ran(broker, "publish.py", "news.city", "3", "bridge closed", "1")
    follower = started(broker, "durable_subscriber.py")
    assert sorted(read(follower, 2)) == ["/topic/news.city: bridge closed", "following"]
    stopped(follower)
