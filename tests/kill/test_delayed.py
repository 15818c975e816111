"""R28: SIGKILL while delayed messages wait and fire: each comes once afterwards, and none before its time."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

import pika
import pytest

from bench.peers import HOST

from .rounds import LAUNCHER, Broker

ROUNDS = 2
MESSAGES = 250
DELAY_MAX_MS = 500
PATIENCE_S = 20
SMALL = {"SMALL_SEGMENT": "20000", "SMALL_CHECKPOINT": "100000", "SMALL_RECORDS": "100"}


def connect(broker: Broker) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters(HOST, broker.amqp_port))


@pytest.mark.row("R28")
@pytest.mark.parametrize("budget", ["1MiB", "128MiB"])
def test_broker_killed_while_messages_wait_fires_each_of_them_once(budget: str, tmp_path: Path) -> None:
    """R28: some have fired by then, some wait; small segments, so checkpoints are under way."""
    chance = random.Random(28)
    options = [f"--memory-budget={budget}"]
    broker = Broker(options=options, env=SMALL, command=(sys.executable, str(LAUNCHER)), data=tmp_path)
    fired = 0
    due_s: dict[int, float] = {}
    with broker:
        for _ in range(ROUNDS):
            channel = connect(broker).channel()
            channel.confirm_delivery()
            arguments = {"x-delayed-type": "fanout"}
            channel.exchange_declare("later", "x-delayed-message", durable=True, arguments=arguments)
            channel.queue_declare("due", durable=True)
            channel.queue_bind("due", "later")
            first = len(due_s)
            for number in range(first, first + MESSAGES):
                delay_ms = chance.randint(1, DELAY_MAX_MS)
                due_s[number] = time.time() + delay_ms / 1000
                headers = {"x-delay": delay_ms}
                properties = pika.BasicProperties(delivery_mode=2, headers=headers)
                channel.basic_publish("later", "", str(number).encode(), properties)
            broker.kill()
            broker.start()
            connection = connect(broker)
            channel = connection.channel()
            fired += channel.queue_declare("due", passive=True).method.message_count
            found: Counter[int] = Counter()
            for method, _, body in channel.consume("due", auto_ack=True, inactivity_timeout=PATIENCE_S):
                assert method is not None, f"{MESSAGES - found.total()} messages never come"
                number = int(body)
                assert time.time() >= due_s[number], "it came before its time"
                found[number] += 1
                if found.total() == MESSAGES:
                    break
            connection.close()
            # One that came twice is too many here, or a stranger in the next round.
            assert found == dict.fromkeys(range(first, first + MESSAGES), 1)
        connection = connect(broker)
        assert connection.channel().queue_declare("due", passive=True).method.message_count == 0
        connection.close()
    assert fired
