"""R75: the firehose, compared with what RabbitMQ 3.10.8 writes for the same messages. A real client reads it.

Bytes of headers as that broker sends them: `trace_on`, the publishes below, `basic.get` from the trace queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from pillarbox import Broker
from pillarbox.errors import BrokerError, Reason

PROPERTIES = pika.BasicProperties(
    content_type="text/plain",
    content_encoding="enc",
    headers={"a": 1, "CC": ["k.cc"], "BCC": ["k.bcc"]},
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    reply_to="r",
    expiration="60000",
    message_id="m",
    timestamp=1_700_000_000,
    type="ty",
    user_id="guest",
    app_id="app",
    cluster_id="clu",
)
TRACED = [
    ("exchange_name", "amq.topic"),
    ("routing_keys", ["k.1", "k.cc", "k.bcc"]),
    (
        "properties",
        [
            ("cluster_id", "clu"),
            ("app_id", "app"),
            ("user_id", "guest"),
            ("type", "ty"),
            ("timestamp", 1_700_000_000),
            ("message_id", "m"),
            ("expiration", "60000"),
            ("reply_to", "r"),
            ("correlation_id", "c"),
            ("priority", 3),
            ("delivery_mode", 2),
            ("headers", [("a", 1), ("CC", ["k.cc"])]),
            ("content_encoding", "enc"),
            ("content_type", "text/plain"),
        ],
    ),
    ("node", "pillarbox@localhost"),
]
"""What 3.10.8 writes of these properties, in its order."""

Trace = tuple[str, list[tuple[str, Any]], bytes]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


class Site:
    """A channel to work with, and one that reads the firehose."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        parameters = pika.URLParameters(broker.amqp_url)
        self.connections = [pika.BlockingConnection(parameters) for _ in range(2)]
        self.channel, self.reader = (connection.channel() for connection in self.connections)
        self.reader.queue_declare("traces")
        self.reader.queue_bind("traces", "amq.rabbitmq.trace", "#")
        self.channel.queue_declare("q")
        self.channel.queue_bind("q", "amq.topic", "k.#")
        self.channel.confirm_delivery()

    def trace(self, on: bool) -> None:
        self.broker.call(lambda server: server.core.set_tracing("/", on))

    def traces(self) -> list[Trace]:
        """Everything that the firehose has said."""
        self.channel.queue_declare("q", passive=True)
        found = []
        while (got := self.reader.basic_get("traces", auto_ack=True))[0] is not None:
            method, properties, body = got
            assert method.exchange == "amq.rabbitmq.trace"
            found.append((method.routing_key, ordered(properties.headers), body))
        return found

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


@pytest.fixture
def site(broker: Broker) -> Iterator[Site]:
    site = Site(broker)
    yield site
    site.close()


def ordered(table: dict[str, Any]) -> list[tuple[str, Any]]:
    """A table with the order in which it was written."""
    return [(name, ordered(value) if isinstance(value, dict) else value) for name, value in table.items()]


def about(channel: BlockingChannel) -> list[tuple[str, Any]]:
    """What the firehose says of this channel."""
    port = channel.connection._impl._transport._sock.getsockname()[1]
    server = channel.connection._impl._transport._sock.getpeername()[1]
    return [
        ("vhost", "/"),
        ("connection", f"127.0.0.1:{port} -> 127.0.0.1:{server}"),
        ("channel", int(channel.channel_number)),
        ("user", "guest"),
    ]


@pytest.mark.row("R75")
def test_publishes_and_gets_are_copied_as_rabbitmq_copies_them(site: Site) -> None:
    site.trace(True)
    site.channel.basic_publish("amq.topic", "k.1", b"hello", PROPERTIES)
    method, _, _ = site.channel.basic_get("q")
    site.channel.basic_nack(method.delivery_tag)
    site.channel.basic_get("q", auto_ack=True)
    said = about(site.channel)
    assert site.traces() == [
        ("publish.amq.topic", [*TRACED, *said, ("routed_queues", ["q"])], b"hello"),
        ("deliver.q", [*TRACED, ("redelivered", 0), *said], b"hello"),
        ("deliver.q", [*TRACED, ("redelivered", 1), *said], b"hello"),
    ]


@pytest.mark.row("R75")
def test_deliveries_to_consumers_are_copied_and_name_the_receiver(site: Site) -> None:
    site.trace(True)
    receiver = site.connections[1].channel(7)
    site.channel.basic_publish("", "q", b"x")
    assert next(receiver.consume("q"))[2] == b"x"
    traces = site.traces()
    assert [trace[0] for trace in traces] == ["publish.", "deliver.q"]
    assert traces[1][1][-5:] == [("redelivered", 0), *about(receiver)]
    receiver.cancel()


@pytest.mark.row("R75")
def test_unroutable_messages_are_copied_too(site: Site) -> None:
    """To the default exchange every key is a queue's name, as with RabbitMQ."""
    site.trace(True)
    site.channel.basic_publish("", "nowhere", b"lost")
    site.channel.basic_publish("amq.fanout", "nowhere", b"lost")
    assert [dict(trace[1])["routed_queues"] for trace in site.traces()] == [["nowhere"], []]


@pytest.mark.row("R75")
def test_what_no_header_can_tell_of_a_message_is_left_out(site: Site) -> None:
    """A time before 1970, which is one far ahead, and headers within headers up to the bound."""
    site.trace(True)
    deep: dict[str, Any] = {}
    for _ in range(128):
        deep = {"h": deep}
    site.channel.basic_publish("", "q", b"x", pika.BasicProperties(timestamp=(1 << 64) - 1, app_id="a"))
    site.channel.basic_publish("", "q", b"y", pika.BasicProperties(headers=deep, app_id="b"))
    assert next(site.channel.consume("q"))[2] == b"x"
    site.channel.cancel()
    told = [(trace[0], dict(dict(trace[1])["properties"])) for trace in site.traces()]
    assert told[:2] == [("publish.", {"app_id": "a"}), ("publish.", {"app_id": "b"})]
    assert ("deliver.q", {"app_id": "a"}) in told


@pytest.mark.row("R75")
def test_tracing_is_turned_on_and_off_for_channels_that_are_open(site: Site) -> None:
    site.channel.basic_publish("", "q", b"before")
    site.trace(True)
    site.channel.basic_publish("", "q", b"while")
    later = site.connections[0].channel()
    later.basic_publish("", "q", b"by a new channel")
    later.queue_declare("q", passive=True)
    site.trace(False)
    site.channel.basic_publish("", "q", b"after")
    assert [trace[2] for trace in site.traces()] == [b"while", b"by a new channel"]


@pytest.mark.row("R62", "R75")
def test_publishes_of_a_transaction_are_copied_when_they_are_made(site: Site) -> None:
    """Whatever becomes of it, and whether tracing or the transaction began first."""
    before, after = site.connections[0].channel(), site.connections[0].channel()
    before.tx_select()
    site.trace(True)
    after.tx_select()
    for channel in (before, after):
        channel.basic_publish("", "q", b"rolled back")
        channel.tx_rollback()
        channel.basic_publish("", "q", b"committed")
        channel.tx_commit()
    assert [trace[2] for trace in site.traces()] == [b"rolled back", b"committed"] * 2
    site.trace(False)
    before.basic_publish("", "q", b"not traced")
    before.tx_commit()
    assert site.traces() == []
    assert site.channel.queue_declare("q", passive=True).method.message_count == 3


@pytest.mark.row("R75")
def test_firehose_is_a_virtual_hosts_own(site: Site) -> None:
    def other(on: bool) -> None:
        site.broker.call(lambda server: server.core.add_vhost("other"))
        site.broker.call(lambda server: server.core.set_tracing("other", on))

    other(True)
    site.channel.basic_publish("", "q", b"x")
    assert site.traces() == []
    with pytest.raises(BrokerError) as refusal:
        site.broker.call(lambda server: server.core.set_tracing("missing", True))
    assert refusal.value.reason is Reason.NOT_FOUND
