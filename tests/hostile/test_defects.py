"""A defect of ours ends one connection, with a traceback in the log; nobody else is disturbed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from pamqp import commands

from pillarbox import Broker
from pillarbox.protocols.amqp091.channel import Channel
from pillarbox.protocols.amqp091.connection import Connection
from tests.clients.raw_client import RawClient
from tests.hostile.mistakes import demand_one_report, fails_where
from tests.hostile.neighbour import undisturbed

QUEUE = "poisoned"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as broker, undisturbed("127.0.0.1", broker.amqp_port):
        yield broker


@pytest.fixture
def victim(broker: Broker) -> Iterator[RawClient]:
    with RawClient("127.0.0.1", broker.amqp_port) as client:
        client.open()
        client.open_channel()
        client.send(commands.Queue.Declare(queue=QUEUE), 1)
        client.expect(commands.Queue.DeclareOk, 1)
        yield client


def has_poisoned(connection: Connection) -> bool:
    """Is it the victim's?"""
    return any(channel.last_queue == QUEUE for channel in connection.channels.values())


def demand_closed(client: RawClient) -> None:
    closing = client.expect(commands.Connection.Close)
    assert (closing.reply_code, closing.reply_text) == (
        320,
        "CONNECTION_FORCED - the broker has a defect, see its log",
    )
    client.send(commands.Connection.CloseOk())


def test_delivery_that_cannot_be_written(
    broker: Broker, victim: RawClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost: the next consumer has it, and what is published goes on being stored."""
    fails_where(
        monkeypatch, Channel, "_deliver_ends", lambda channel, consumer, address: consumer.queue.name == QUEUE
    )
    victim.publish(QUEUE, b"body")
    victim.send(commands.Basic.Consume(queue=QUEUE), 1)
    victim.expect(commands.Basic.ConsumeOk, 1)
    demand_closed(victim)
    demand_one_report(caplog)
    with RawClient("127.0.0.1", broker.amqp_port) as other:
        other.open()
        other.open_channel()
        other.send(commands.Basic.Get(queue=QUEUE), 1)
        got = other.expect(commands.Basic.GetOk, 1)
        assert (got.redelivered, got.message_count) == (True, 0)


def test_confirm_that_cannot_be_written(
    victim: RawClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails_where(monkeypatch, Channel, "confirm", lambda channel, first, last: channel.last_queue == QUEUE)
    victim.send(commands.Confirm.Select(), 1)
    victim.expect(commands.Confirm.SelectOk, 1)
    victim.publish(QUEUE, b"body")
    closing = victim.expect(commands.Connection.Close)
    assert (closing.reply_code, closing.reply_text) == (
        541,
        "INTERNAL_ERROR - the broker has a defect, see its log",
    )
    demand_one_report(caplog)


@pytest.mark.parametrize("method", ["take_output", "tick"])
def test_output_and_deadlines(
    broker: Broker,
    victim: RawClient,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is written, and whether the peer still lives, is looked at for one connection after the other."""
    fails_where(monkeypatch, Connection, method, lambda connection, *_: has_poisoned(connection))
    victim.send(commands.Basic.Get(queue=QUEUE), 1)
    broker.call(lambda server: server.ticker.check_deadlines())
    with contextlib.suppress(EOFError, ConnectionResetError):
        victim.expect(commands.Basic.GetEmpty, 1)
        victim.receive()
    demand_one_report(caplog)
