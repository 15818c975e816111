"""R48: SIGKILL while messages die: afterwards every one of them is in exactly one queue."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pika
import pytest

from bench.peers import HOST

from .rounds import LAUNCHER, Broker

ROUNDS = 6
MESSAGES = 300
SMALL = {"SMALL_SEGMENT": "20000", "SMALL_CHECKPOINT": "100000", "SMALL_RECORDS": "200"}
LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
QUEUES: dict[str, dict[str, Any]] = {
    "work": LETTERS,
    "short": {**LETTERS, "x-max-length": 20},
    "dead": {},
}


def connect(broker: Broker) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters(HOST, broker.amqp_port))


def publish(channel: Any, queue: str, first: int) -> None:
    persistent = pika.BasicProperties(delivery_mode=2)
    for number in range(first, first + MESSAGES):
        channel.basic_publish("", queue, str(number).encode(), persistent)


def drain(channel: Any) -> Counter[int]:
    """How often each message is there."""
    found: Counter[int] = Counter()
    for name in QUEUES:
        while True:
            _, _, body = channel.basic_get(name, auto_ack=True)
            if body is None:
                break
            found[int(body)] += 1
    return found


@pytest.mark.row("R48", "R46")
def test_broker_killed_while_messages_die_has_each_of_them_once(tmp_path: Path) -> None:
    """Rejected ones, and those that a length limit drops; small segments, so checkpoints are under way."""
    chance = random.Random(48)
    broker = Broker(env=SMALL, command=(sys.executable, str(LAUNCHER)), data=tmp_path)
    died = 0
    with broker:
        for number in range(ROUNDS):
            channel = connect(broker).channel()
            channel.confirm_delivery()
            for name, arguments in QUEUES.items():
                channel.queue_declare(name, durable=True, arguments=arguments)
            publish(channel, "work", number * 2 * MESSAGES)
            publish(channel, "short", (number * 2 + 1) * MESSAGES)
            rejecting = connect(broker).channel()
            last = 0
            for _ in range(chance.randrange(MESSAGES)):
                method, _, _ = rejecting.basic_get("work")
                last = method.delivery_tag
            rejecting.basic_nack(last, multiple=True, requeue=False)
            broker.kill()
            broker.start()
            connection = connect(broker)
            channel = connection.channel()
            died += channel.queue_declare("dead", passive=True).method.message_count
            found = drain(channel)
            connection.close()
            first = number * 2 * MESSAGES
            assert found == dict.fromkeys(range(first, first + 2 * MESSAGES), 1)
    assert died >= ROUNDS * (MESSAGES - 20)
