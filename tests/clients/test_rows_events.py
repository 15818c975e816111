"""The event exchange (R75). Names are those that RabbitMQ 3.10.8 with its plugin told of such deeds; what its
headers have beside, or otherwise, is not compared here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission

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


def names(events: list[Event]) -> list[str]:
    return [name for name, _ in events]


@pytest.mark.row("R75")
def test_what_clients_declare_and_delete_is_told(broker: Broker) -> None:
    watcher = Watcher(broker)
    channel = pika.BlockingConnection(pika.URLParameters(broker.amqp_url)).channel()
    assert names(watcher.told()) == ["user.authentication.success", "connection.created", "channel.created"]
    channel.exchange_declare("e", "topic", durable=True)
    channel.queue_declare("q", durable=True, arguments={"x-max-length": 5})
    channel.queue_bind("q", "e", "a.*", {"k": 1})
    tag = channel.basic_consume("q", lambda *said: None)
    by = {"user_who_performed_action": "guest"}
    binding = {
        "source_name": "e", "source_kind": "exchange", "destination_name": "q", "destination_kind": "queue",
        "routing_key": "a.*", "arguments": {"k": 1}, "vhost": "/", **by,
    }  # fmt: skip
    assert watcher.told() == [
        (
            "exchange.created",
            {"name": "e", "type": "topic", "durable": True, "auto_delete": False, "internal": False,
             "arguments": {}, "vhost": "/", **by},
        ),
        (
            "queue.created",
            {"name": "q", "durable": True, "auto_delete": False, "exclusive": False,
             "arguments": {"x-max-length": 5}, "vhost": "/", **by},
        ),
        ("binding.created", binding),
        (
            "consumer.created",
            {"consumer_tag": tag, "queue": "q", "exclusive": False, "ack_required": True, "prefetch_count": 0,
             "arguments": {}, "vhost": "/", **by},
        ),
    ]  # fmt: skip
    channel.basic_cancel(tag)
    channel.queue_unbind("q", "e", "a.*", {"k": 1})
    channel.queue_delete("q")
    channel.exchange_delete("e")
    assert watcher.told() == [
        ("consumer.deleted", {"consumer_tag": tag, "queue": "q", "vhost": "/", **by}),
        ("binding.deleted", binding),
        ("queue.deleted", {"name": "q", "vhost": "/", **by}),
        ("exchange.deleted", {"name": "e", "vhost": "/", **by}),
    ]
    channel.connection.close()
    assert names(watcher.told()) == ["channel.closed", "connection.closed"]


@pytest.mark.row("R75")
def test_what_administrators_do_is_told(broker: Broker) -> None:
    watcher = Watcher(broker)

    def deeds(server: Any) -> None:
        from pillarbox.broker import administration

        core = server.core
        core.add_user("u", "p", ("monitoring",))
        core.add_user("u", "p2", ("monitoring",))
        core.add_vhost("v")
        core.set_permission(Permission("u", "v", ".*", ".*", ".*"))
        administration.put_global_parameter(core, "g", {"a": 1})
        administration.remove_global_parameter(core, "g")
        administration.remove_user(core, "u")
        core.set_alarm("memory", True)
        core.set_alarm("memory", False)

    broker.call(deeds)
    told = [(name, headers) for name, headers in watcher.told() if not name.startswith("exchange.")]
    assert names(told) == [
        "user.created", "user.tags.set", "user.password.changed", "user.tags.set", "vhost.created",
        "permission.created", "parameter.set", "parameter.cleared", "user.deleted", "permission.deleted",
        "alarm.set", "alarm.cleared",
    ]  # fmt: skip
    by_name = dict(told)
    assert by_name["user.tags.set"]["tags"] == ["monitoring"]
    assert by_name["permission.created"]["configure"] == ".*"
    assert by_name["parameter.set"]["value"] == {"a": 1}


@pytest.mark.row("R75")
def test_a_refused_login_is_told_and_a_pattern_chooses(broker: Broker) -> None:
    watcher = Watcher(broker, "user.authentication.*")
    wrong = pika.URLParameters(broker.amqp_url)
    wrong.credentials = pika.PlainCredentials("guest", "wrong")
    with contextlib.suppress(pika.exceptions.AMQPError):
        pika.BlockingConnection(wrong)
    ((name, headers),) = watcher.told()
    assert name == "user.authentication.failure"
    assert headers["auth_mechanism"] == "PLAIN"


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
