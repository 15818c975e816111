"""No answer leaves before what it speaks of is on the disk: ways that are not those of a simple confirm.

The disk refuses to sync, so whatever is answered as done was answered too early.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

import pillarbox.app.server
from pillarbox import Broker
from tests.protocols.stomp.talking import Talking

from .test_faults import PERSISTENT, Server

STREAM = {"x-queue-type": "stream"}


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(pillarbox.app.server, "Server", Server)
    rules = {"stomp_dialect": "activemq", "stomp_composite_destinations": ("/queue/all = /queue/one",)}
    with Broker(str(tmp_path / "data"), stomp_port=0, **rules) as running:
        with pika.BlockingConnection(pika.URLParameters(running.amqp_url)) as connection:
            channel = connection.channel()
            channel.queue_declare("all", durable=True)
            channel.queue_declare("one", durable=True)
            channel.queue_declare("s", durable=True, arguments=STREAM)
            channel.confirm_delivery()
            for queue in ("one", "s"):
                channel.basic_publish("", queue, b"before", PERSISTENT)
        yield running


@pytest.fixture
def stomp(broker: Broker) -> Iterator[Talking]:
    with Talking(broker.stomp_address) as client:
        client.connect()
        yield client


def fail(broker: Broker) -> None:
    broker.server.files.fail("sync", errno.EIO)  # type: ignore[attr-defined]


@pytest.mark.row("R62", "A26")
def test_commit_of_what_a_rule_passes_on_waits_for_it(broker: Broker) -> None:
    channel = pika.BlockingConnection(pika.URLParameters(broker.amqp_url)).channel()
    channel.tx_select()
    channel.basic_publish("", "all", b"x", PERSISTENT)
    fail(broker)
    with pytest.raises(pika.exceptions.AMQPConnectionError, match="INTERNAL_ERROR"):
        channel.tx_commit()


@pytest.mark.row("A4", "R80")
@pytest.mark.parametrize("last", ["COMMIT", "BEGIN", "DISCONNECT"])
def test_receipt_of_any_frame_waits_for_what_was_sent_to_streams(
    broker: Broker, stomp: Talking, last: str
) -> None:
    stomp.done("BEGIN", {"transaction": "t"})
    fail(broker)
    headers = {"destination": "/queue/s", "persistent": "true"}
    if last == "COMMIT":
        headers["transaction"] = "t"
    stomp.say("SEND", headers, b"x")
    got = stomp.ask(last, {"transaction": "t" if last == "COMMIT" else "other"})
    assert got.command == "ERROR"
    assert b"Input/output error" in got.body
