"""R80: SIGKILL while messages enter a stream and a queue together, and while dead letters move into a stream.

What moves is appended before it is settled: afterwards a message may be in both places, and never in none.
"""

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

ROUNDS = 3
MESSAGES = 100
PATIENCE_S = 20
SMALL = {"SMALL_SEGMENT": "20000", "SMALL_CHECKPOINT": "100000", "SMALL_RECORDS": "100"}
QUEUES: dict[str, dict[str, Any]] = {
    "work": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "log"},
    "copy": {},
    "log": {"x-queue-type": "stream"},
}


def connect(broker: Broker) -> Any:
    """A channel of a connection of its own."""
    return pika.BlockingConnection(pika.ConnectionParameters(HOST, broker.amqp_port)).channel()


def publish(channel: Any, exchange: str, key: str, numbers: range) -> None:
    for number in numbers:
        channel.basic_publish(exchange, key, str(number).encode(), pika.BasicProperties(delivery_mode=2))


def drain(channel: Any, queue: str) -> list[int]:
    found = []
    while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
        found.append(int(body))
    return found


def read(channel: Any, stream: str) -> list[int]:
    """Everything that is in a stream."""
    found: list[int] = []
    count = channel.queue_declare(stream, passive=True, durable=True).method.message_count
    channel.basic_qos(prefetch_count=100)
    arguments = {"x-stream-offset": "first"}
    while len(found) < count:
        for method, _, body in channel.consume(stream, arguments=arguments, inactivity_timeout=PATIENCE_S):
            assert method is not None, f"{count - len(found)} records never come"
            channel.basic_ack(method.delivery_tag)
            found.append(int(body))
            if len(found) == count:
                break
    channel.cancel()
    return found


@pytest.mark.row("R80", "R48")
def test_broker_killed_while_messages_enter_a_stream_loses_none_of_them(tmp_path: Path) -> None:
    """Confirmed ones are in both, of the others the first in each, and every dead letter is somewhere."""
    chance = random.Random(80)
    broker = Broker(env=SMALL, command=(sys.executable, str(LAUNCHER)), data=tmp_path)
    moved = 0
    kept: set[int] = set()
    with broker:
        for round_number in range(ROUNDS):
            first = round_number * 3 * MESSAGES
            to_both, hurried, to_work = (
                range(first + part * MESSAGES, first + (part + 1) * MESSAGES) for part in range(3)
            )
            channel, hasty = connect(broker), connect(broker)
            channel.confirm_delivery()
            channel.exchange_declare("both", "fanout", durable=True)
            for name, arguments in QUEUES.items():
                channel.queue_declare(name, durable=True, arguments=arguments)
            for name in ("copy", "log"):
                channel.queue_bind(name, "both")
            publish(channel, "both", "", to_both)
            publish(channel, "", "work", to_work)
            tags = [channel.basic_get("work")[0].delivery_tag for _ in range(chance.randrange(2, MESSAGES))]
            channel.basic_nack(tags[len(tags) // 2], multiple=True, requeue=False)
            # Its answer says that those are dying.
            channel.queue_declare("work", passive=True)
            publish(hasty, "both", "", hurried)
            channel.basic_nack(tags[-1], multiple=True, requeue=False)
            broker.kill()
            broker.start()
            channel = connect(broker)
            log = read(channel, "log")
            copies, waiting = drain(channel, "copy"), drain(channel, "work")
            channel.connection.close()
            assert [number for number in log if number in to_both] == list(to_both)
            assert copies[:MESSAGES] == list(to_both)
            for late in (copies[MESSAGES:], [number for number in log if number in hurried]):
                assert late == list(hurried[: len(late)])
            assert set(to_work) == set(waiting) | {number for number in log if number in to_work}
            assert max(Counter(log).values()) == 1
            assert kept <= set(log), "the stream has forgotten something"
            kept = set(log)
            moved += sum(number in to_work for number in log)
    assert moved
