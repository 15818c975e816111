"""Delayed retry (R53), on a clock that the test moves: what a client sees of it, in both profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker_target import Target
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import Pika, closes_channel, consume, publish, ready, wait_until

from pillarbox import Broker, ManualClock

Connect = Callable[[Broker], BlockingChannel]

RETRY = {
    "x-queue-type": "quorum",
    "x-delayed-retry-type": "all",
    "x-delayed-retry-min": 1000,
    "x-delayed-retry-max": 2500,
}


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that opens a channel of its own to a broker."""
    factories = []

    def open_channel(broker: Broker) -> BlockingChannel:
        factories.append(Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port)))
        return factories[-1].channel()

    yield open_channel
    for factory in factories:
        factory.close()


def declare(channel: BlockingChannel, **arguments: Any) -> None:
    channel.queue_declare("q", durable=True, arguments=RETRY | arguments)


@pytest.mark.row("R53", "R52", "T3")
@pytest.mark.parametrize("profile", ["rabbitmq:3.13", "rabbitmq:4.3"])
def test_rejected_message_is_held_longer_each_time(profile: str, connect: Connect) -> None:
    """basic.reject counts as a failure in both; nobody sees the message while it is held."""
    with Broker(clock=ManualClock(), profile=profile) as broker:
        channel = connect(broker)
        declare(channel)
        publish(channel, "q", b"retry")
        received = consume(channel, "q", auto_ack=False)
        for times, delay_ms in enumerate((1000, 2000, 2500, 2500), 1):
            received.wait(times)
            channel.basic_reject(received.methods[-1].delivery_tag, requeue=True)
            assert ready(channel, "q") == 0
            held = broker.queue("q")
            assert (held.ready, held.unacknowledged, held.delayed) == (0, 0, 1)
            broker.advance(delay_ms - 1)
            assert ready(channel, "q") == 0
            assert len(received.methods) == times
            broker.advance(1)
        received.wait(5)
        assert received.methods[-1].redelivered
        assert received.properties[-1].headers["x-delivery-count"] == 4


@pytest.mark.row("R53", "R52", "T3")
def test_given_back_without_a_failure_waits_the_minimum_in_4_3(connect: Connect) -> None:
    """RabbitMQ 4.3: basic.nack does not raise the delivery count, so the delay does not grow."""
    with Broker(clock=ManualClock(), profile="rabbitmq:4.3") as broker:
        channel = connect(broker)
        declare(channel)
        publish(channel, "q", b"retry")
        for times in range(3):
            method, properties, _ = channel.basic_get("q")
            assert method is not None
            assert (properties.headers or {}) == ({"x-acquired-count": times} if times else {})
            channel.basic_nack(method.delivery_tag, requeue=True)
            assert channel.basic_get("q")[0] is None
            broker.advance(1000)


@pytest.mark.row("R53")
def test_messages_of_a_channel_that_goes_are_held_if_failures_are(connect: Connect) -> None:
    with Broker(clock=ManualClock()) as broker:
        channel, other = connect(broker), connect(broker)
        declare(channel, **{"x-delayed-retry-type": "failed"})
        publish(channel, "q", b"0", b"1")
        for _ in range(2):
            other.basic_get("q")
        other.connection.close()
        wait_until(channel, lambda: broker.queue("q").delayed == 2)
        broker.advance(1000)
        assert consume(channel, "q").wait(2).bodies == [b"0", b"1"]


@pytest.mark.row("R53", "R40")
def test_held_messages_wait_on_after_a_restart(tmp_path: Path, connect: Connect) -> None:
    """They come back held, until the same moment, and time goes on while the broker is down."""
    clock = ManualClock()
    with Broker(str(tmp_path / "data"), clock=clock) as broker:
        channel = connect(broker)
        declare(channel)
        channel.confirm_delivery()
        publish(channel, "q", b"retry", delivery_mode=2)
        method, _, _ = channel.basic_get("q")
        assert method is not None
        channel.basic_nack(method.delivery_tag, requeue=True)
        assert channel.basic_get("q")[0] is None
    clock.advance(600)
    with Broker(str(tmp_path / "data"), clock=clock) as broker:
        received = consume(connect(broker), "q")
        broker.advance(399)
        assert (broker.queue("q").ready, broker.queue("q").delayed) == (0, 1)
        broker.advance(1)
        assert received.wait(1).methods[0].redelivered
        assert received.properties[0].headers == {"x-delivery-count": 1}


@pytest.mark.row("R53", "406")
def test_wrong_value_closes_the_channel(connect: Connect) -> None:
    with Broker() as broker:
        for key, value, problem in (
            ("x-delayed-retry-type", "sometimes", "invalid_delayed_retry_type"),
            ("x-delayed-retry-min", 0, "{value_zero,0}"),
            ("x-delayed-retry-max", -5, "{value_negative,-5}"),
        ):
            text = f"PRECONDITION_FAILED - invalid arg '{key}' for queue 'q' in vhost '/': {problem}"
            with closes_channel(406, text):
                declare(connect(broker), **{key: value})
