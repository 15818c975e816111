"""The event exchange (R75), beside what `tests/compare_events` compares with RabbitMQ."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker
from pillarbox.app.server import Server
from pillarbox.broker import administration, vhost
from pillarbox.broker.policy import Policy

Event = tuple[str, dict[str, Any]]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(event_exchange=True) as running:
        yield running


class Watcher:
    """A queue of events, and what was told since it was asked last."""

    def __init__(self, broker: Broker, pattern: str = "#") -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
        self.channel = self.connection.channel()
        self.channel.queue_declare("watch", exclusive=True)
        self.channel.queue_bind("watch", "amq.rabbitmq.event", pattern)
        self.told()

    def told(self) -> list[Event]:
        events: list[Event] = []
        while True:
            method, properties, body = self.channel.basic_get("watch", auto_ack=True)
            if method is None:
                return events
            assert body == b""
            assert properties.delivery_mode == 2
            headers = properties.headers
            assert headers.pop("timestamp_in_ms") // 1000 == properties.timestamp
            events.append((method.routing_key, headers))


@pytest.mark.row("R75")
def test_a_pattern_chooses(broker: Broker) -> None:
    watcher = Watcher(broker, "user.authentication.*")
    wrong = pika.URLParameters(broker.amqp_url)
    wrong.credentials = pika.PlainCredentials("guest", "wrong")
    with contextlib.suppress(pika.exceptions.AMQPError):
        pika.BlockingConnection(wrong)
    ((name, headers),) = watcher.told()
    assert name == "user.authentication.failure"
    assert "".join(map(chr, headers["error"])) == "user 'guest' - invalid credentials"


@pytest.mark.row("R75")
def test_what_belongs_together_has_one_process_id(broker: Broker) -> None:
    watcher = Watcher(broker)
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.queue_declare("own", exclusive=True)
    channel.basic_consume("own", lambda *said: None)
    connection.close()
    told = dict(watcher.told())
    pid = told["connection.created"]["pid"]
    assert re.fullmatch(r"<pillarbox@localhost\.\d+\.\d+\.0>", pid)
    assert told["queue.created"]["owner_pid"] == told["channel.created"]["connection"] == pid
    assert told["connection.closed"]["pid"] == pid
    pid = told["channel.created"]["pid"]
    assert told["consumer.created"]["channel"] == told["channel.closed"]["pid"] == pid


@pytest.mark.row("R75")
def test_who_asked_is_told_of_what_is_done_in_parts(broker: Broker) -> None:
    """A policy reaches many queues over some ticks."""
    watcher = Watcher(broker, "queue.policy.updated")
    channel = watcher.connection.channel()
    count = 2 * vhost.GOVERNED_AT_ONCE + 1
    for number in range(count):
        channel.queue_declare(f"q-{number}", exclusive=True)

    def deeds(server: Any) -> None:
        server.core.events.acting = "operator"
        server.core.vhosts["/"].put_policy(Policy("/", "p", "^q-", {"max-length": 5}))

    broker.call(deeds)
    told = []
    while len(told) < count:
        told += watcher.told()
    assert {headers["user_who_performed_action"] for _, headers in told} == {"operator"}


@pytest.mark.row("R75")
def test_who_deletes_a_topic_is_told(broker: Broker) -> None:
    watcher = Watcher(broker, "queue.deleted")

    def deeds(server: Any) -> None:
        server.core.events.acting = "operator"
        topics = server.core.vhosts["/"].topics
        for name, partitions in (("alone", 1), ("many", 3)):
            topics.delete(topics.create(name, partitions, {}, {}))

    broker.call(deeds)
    told = watcher.told()
    assert [headers["name"] for _, headers in told] == ["alone", "many-0", "many-1", "many-2"]
    assert {headers["user_who_performed_action"] for _, headers in told} == {"operator"}


@pytest.mark.row("R75")
@pytest.mark.parametrize(
    "value", [1 << 63, 1e300, {"k" * 300: 1}, "x" * 100_000, [[]] * 200, {"a": {"b": [None, {}]}}]
)
def test_a_value_that_no_header_can_have_does_no_harm(broker: Broker, value: Any) -> None:
    watcher = Watcher(broker)
    broker.call(lambda server: administration.put_global_parameter(server.core, "g", value))
    ((name, headers),) = watcher.told()
    assert (name, headers["name"]) == ("parameter.set", "g")
    assert headers["value"]


def test_without_the_option_there_is_no_such_exchange() -> None:
    with Broker() as broker:
        channel = pika.BlockingConnection(pika.URLParameters(broker.amqp_url)).channel()
        with pytest.raises(
            pika.exceptions.ChannelClosedByBroker, match=r"no exchange 'amq\.rabbitmq\.event'"
        ):
            channel.exchange_declare("amq.rabbitmq.event", passive=True)


def test_what_is_bound_to_events_is_bound_after_a_restart(tmp_path: Any) -> None:
    for turn in range(2):
        with (
            Broker(str(tmp_path), event_exchange=True) as broker,
            pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection,
        ):
            channel = connection.channel()
            if not turn:
                channel.queue_declare("kept", durable=True)
                channel.queue_bind("kept", "amq.rabbitmq.event", "queue.created")
            channel.queue_declare(f"new-{turn}")
            assert channel.queue_declare("kept", passive=True).method.message_count == turn + 1


@pytest.mark.row("R75", "R97")
def test_parameter_is_told_without_its_value(broker: Broker) -> None:
    """Which may have passwords in it: whoever may bind a queue need not be who may see those."""
    watcher = Watcher(broker, "parameter.*")
    value = {"src-uri": "amqp://:secret@/", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}

    def change(server: Server) -> None:
        parameters, vhost = server.core.parameters, server.core.vhosts["/"]
        parameters.components["shovel"].put(vhost, "s", value, None)
        parameters.remove(vhost, "shovel", "s")
        server.ticker.begin()

    broker.call(change)
    told = watcher.told()
    assert [name for name, _ in told] == ["parameter.set", "parameter.cleared"]
    for _, details in told:
        assert {key: details[key] for key in ("component", "name", "vhost")} == {
            "component": "shovel",
            "name": "s",
            "vhost": "/",
        }
        assert "secret" not in str(details)
