"""Delayed messages (R28) through pika, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from pillarbox import Broker, ManualClock
from pillarbox.protocols.amqp091.publishing import headers_of

Connect = Callable[[Broker], BlockingChannel]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a maker of channels that confirm; their connections are closed at the end."""
    made: list[pika.BlockingConnection] = []

    def make(broker: Broker) -> BlockingChannel:
        connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
        made.append(connection)
        channel = connection.channel()
        channel.confirm_delivery()
        return channel

    yield make
    for connection in made:
        # The broker may have stopped before.
        with suppress(pika.exceptions.AMQPError):
            connection.close()


def declare(channel: BlockingChannel, kind: str = "direct", key: str = "key") -> None:
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": kind})
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "later", key)


def send(channel: BlockingChannel, body: str, delay_ms: Any = None, *, key: str = "key", **more: Any) -> None:
    headers = {} if delay_ms is None else {"x-delay": delay_ms}
    properties = pika.BasicProperties(delivery_mode=2, headers=headers, **more)
    channel.basic_publish("later", key, body.encode(), properties, mandatory=True)


def get(channel: BlockingChannel) -> tuple[str, dict[str, Any]] | None:
    """Take one message: its body and headers."""
    method, properties, body = channel.basic_get("q", auto_ack=True)
    return None if method is None else (body.decode(), properties.headers or {})


def everything(channel: BlockingChannel) -> list[str]:
    found: list[str] = []
    while (one := get(channel)) is not None:
        found.append(one[0])
    return found


@pytest.mark.row("R28", "R61")
@pytest.mark.parametrize("memory", [False, True])
def test_delayed_messages_come_when_due(
    memory: bool, tmp_path: Path, clock: ManualClock, connect: Connect
) -> None:
    """R28: the confirm comes at once, the message later, with its header negated; no header, no delay."""
    with Broker(None if memory else str(tmp_path / "data"), clock=clock) as broker:
        channel = connect(broker)
        declare(channel)
        send(channel, "late", 5000)
        send(channel, "soon", "1000")
        send(channel, "now")
        send(channel, "never waits", -5)
        send(channel, "too long", 1 << 32)
        assert everything(channel) == ["now", "never waits", "too long"]
        broker.advance(999)
        assert get(channel) is None
        broker.advance(1)
        assert get(channel) == ("soon", {"x-delay": -1000})
        broker.advance(4000)
        assert get(channel) == ("late", {"x-delay": -5000})


@pytest.mark.row("R28")
def test_delayed_messages_survive_a_restart(tmp_path: Path, clock: ManualClock, connect: Connect) -> None:
    """R28: those that became due meanwhile come at once, in order, the others when they are due."""
    data = str(tmp_path / "data")
    with Broker(data, clock=clock) as broker:
        channel = connect(broker)
        declare(channel)
        for body, delay_ms in (("c", 3000), ("a", 1000), ("d", 60_000), ("b", 2000)):
            send(channel, body, delay_ms)
    clock.advance(10_000)
    with Broker(data, clock=clock) as broker:
        channel = connect(broker)
        assert [one for _ in range(3) for one in _wait_for_one(channel)] == ["a", "b", "c"]
        broker.advance(49_999)
        assert get(channel) is None
        broker.advance(1)
        assert _wait_for_one(channel) == ["d"]


def _wait_for_one(channel: BlockingChannel) -> list[str]:
    """Await a message, at most five seconds."""
    for method, _, body in channel.consume("q", auto_ack=False, inactivity_timeout=5):
        if method is None:
            return []
        channel.basic_ack(method.delivery_tag)
        channel.cancel()
        return [body.decode()]
    return []


@pytest.mark.row("R28", "R26", "R44")
def test_a_message_is_routed_when_it_is_due(clock: ManualClock, connect: Connect) -> None:
    """R28: by the bindings of that moment, its CC keys too; its time to live begins then."""
    with Broker(clock=clock) as broker:
        channel = connect(broker)
        declare(channel, "topic", "none")
        send(channel, "expires", 1000, key="a.b", expiration="500")
        channel.queue_bind("q", "later", "a.*")
        broker.advance(1000)
        broker.advance(499)
        assert get(channel) == ("expires", {"x-delay": -1000})


@pytest.mark.row("R28")
@pytest.mark.parametrize(
    ("repeat", "left"),
    [("9" * 25, (1 << 63) - 2), ("-" + "9" * 25, -1), (2, 0)],
    ids=["often", "ever", "two"],
)
def test_repetition_without_end_or_bound(
    repeat: Any, left: int, clock: ManualClock, connect: Connect
) -> None:
    """However often more a sender wants a message to come, each time it does."""
    with Broker(clock=clock) as broker:
        channel = connect(broker)
        declare(channel)
        headers = {"x-delay": 1000, "x-delay-period": 1000, "x-delay-repeat": repeat}
        properties = pika.BasicProperties(headers=headers)
        channel.basic_publish("later", "key", b"again", properties)
        for _ in range(2):
            broker.advance(1000)
            assert get(channel) == ("again", {"x-delay": -1000})
        assert get(channel) is None

        ((_, waiting),) = broker.call(
            lambda server: server.core.vhosts["/"].exchanges["later"].schedule.lane.first_due(1)
        )
        assert headers_of(waiting.properties)["x-delay-repeat"] == left


@pytest.mark.row("R28", "R27")
def test_mandatory_says_nothing_of_a_delayed_message(clock: ManualClock, connect: Connect) -> None:
    """R28: it is not returned, also if nothing takes it in the end; one without delay is."""
    with Broker(clock=clock) as broker:
        channel = connect(broker)
        declare(channel)
        send(channel, "nowhere", 10, key="unbound")
        with pytest.raises(pika.exceptions.UnroutableError):
            send(channel, "nowhere", key="unbound")
        broker.advance(10)
        assert get(channel) is None


@pytest.mark.row("R28", "R48")
def test_a_message_that_died_before_is_delayed_too(clock: ManualClock, connect: Connect) -> None:
    """R28: a consumer that publishes a dead letter anew for a later try, with its `x-death`."""
    with Broker(clock=clock) as broker:
        channel = connect(broker)
        declare(channel)
        headers = {"x-delay": 10, "x-death": [{"queue": "q", "reason": "rejected", "count": 1}]}
        channel.basic_publish("later", "key", b"again", pika.BasicProperties(headers=headers))
        assert get(channel) is None
        broker.advance(10)
        assert get(channel) == ("again", {**headers, "x-delay": -10})


@pytest.mark.row("R28", "406")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": "x-none"}, "unknown exchange type 'x-none'"),
    ],
)
def test_delayed_type_is_required(arguments: dict[str, str], text: str, connect: Connect) -> None:
    """R28: 406 for an exchange that does not say how it routes."""
    with Broker() as broker:
        channel = connect(broker)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
            channel.exchange_declare("later", "x-delayed-message", arguments=arguments)
        assert caught.value.reply_code == 406
        assert caught.value.reply_text == f"PRECONDITION_FAILED - {text}"
