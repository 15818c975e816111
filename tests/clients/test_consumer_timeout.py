"""Deliveries that stay unanswered too long (R54), on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pamqp import commands
from raw_client import RawClient

from pillarbox import Broker, ManualClock

TEXT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: {} ms. "
    "This timeout value can be configured, see consumers doc guide to learn more"
)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(clock=ManualClock(), consumer_timeout_s=1800) as running:
        yield running


@pytest.fixture
def client(broker: Broker) -> Iterator[RawClient]:
    with RawClient("127.0.0.1", broker.amqp_port) as client:
        client.open()
        client.open_channel()
        yield client


def declare(client: RawClient, queue: str, **arguments: object) -> None:
    client.send(commands.Queue.Declare(queue=queue, arguments=arguments), 1)
    client.expect(commands.Queue.DeclareOk, 1)


def receive_one(client: RawClient, queue: str) -> int:
    """Consume and get one delivery, with its content; return its tag."""
    client.send(commands.Basic.Consume(queue=queue), 1)
    client.expect(commands.Basic.ConsumeOk, 1)
    client.publish(queue, b"slow")
    tag = client.expect(commands.Basic.Deliver, 1).delivery_tag
    client.receive()
    client.receive()
    return tag


def await_answer(client: RawClient) -> None:
    """Return when the broker has processed all that was sent; the channel is open."""
    client.send(commands.Basic.Qos(prefetch_count=0), 1)
    client.expect(commands.Basic.QosOk, 1)


@pytest.mark.row("R54", "406")
def test_unanswered_delivery_closes_the_channel(broker: Broker, client: RawClient) -> None:
    """R54: 406 with RabbitMQ's words, blamed on no method; the delivery goes back to its queue."""
    declare(client, "q")
    receive_one(client, "q")
    broker.advance("29m")
    await_answer(client)
    broker.advance("2m")
    assert client.expect_channel_close() == (406, TEXT.format(1_800_000), 0, 0)
    assert broker.queue("q").ready == 1
    assert broker.queue("q").consumers == 0


@pytest.mark.row("R54")
def test_answered_delivery_does_not(broker: Broker, client: RawClient) -> None:
    declare(client, "q")
    client.send(commands.Basic.Ack(receive_one(client, "q")), 1)
    await_answer(client)
    for _ in range(4):
        broker.advance("30m")
        await_answer(client)


@pytest.mark.row("R54", "406")
def test_queue_has_a_limit_of_its_own(broker: Broker, client: RawClient) -> None:
    """R54: x-consumer-timeout in milliseconds, for basic.get as well."""
    declare(client, "q", **{"x-consumer-timeout": 120_000})
    client.publish("q", b"slow")
    client.send(commands.Basic.Get(queue="q"), 1)
    client.expect(commands.Basic.GetOk, 1)
    client.receive()
    client.receive()
    broker.advance("2m")
    assert client.expect_channel_close() == (406, TEXT.format(120_000), 0, 0)


@pytest.mark.row("R54", "R81")
def test_time_for_an_answer_to_a_stream_begins_with_its_delivery(broker: Broker, client: RawClient) -> None:
    """R54: however long ago the message was published."""
    client.send(commands.Queue.Declare(queue="s", durable=True, arguments={"x-queue-type": "stream"}), 1)
    client.expect(commands.Queue.DeclareOk, 1)
    client.send(commands.Confirm.Select(), 1)
    client.expect(commands.Confirm.SelectOk, 1)
    client.publish("s", b"old")
    client.expect(commands.Basic.Ack, 1)
    broker.advance("2h")
    client.send(commands.Basic.Qos(prefetch_count=10), 1)
    client.expect(commands.Basic.QosOk, 1)
    client.send(commands.Basic.Consume(queue="s", arguments={"x-stream-offset": "first"}), 1)
    client.expect(commands.Basic.ConsumeOk, 1)
    client.expect(commands.Basic.Deliver, 1)
    client.receive()
    client.receive()
    broker.advance("29m")
    await_answer(client)
    broker.advance("2m")
    assert client.expect_channel_close()[0] == 406


@pytest.mark.row("R54")
def test_there_is_no_limit_unless_it_is_asked_for() -> None:
    """R54: off by default."""
    with (
        Broker(clock=ManualClock()) as broker,
        RawClient("127.0.0.1", broker.amqp_port) as client,
    ):
        client.open()
        client.open_channel()
        declare(client, "q")
        receive_one(client, "q")
        for _ in range(4):
            broker.advance("7d")
            await_answer(client)
