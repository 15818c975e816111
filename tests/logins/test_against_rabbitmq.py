"""The same clients and the same HTTP service, with a real RabbitMQ in between and with Pillarbox (R8).

Both ask the same questions in the same order, and refuse in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError

from bench.peers import RabbitMQ
from pillarbox import Broker
from tests.logins.service import Fields, Service, password_of

pytestmark = pytest.mark.row("R8")

Seen = list[tuple[str, str, list[tuple[str, Fields]]]]
"""What was done, how it ended, and what the service was asked."""


def rules(service: Service) -> None:
    service.say("allow Administrator  management", "user", username="boss", password=password_of("boss"))
    service.say((500, "no"), "user", username="broken")
    service.say("maybe", "user", username="odd")
    service.deny("vhost", username="outsider")
    service.deny("resource", name="secret")
    service.deny("topic", routing_key="secret")


def connect(port: int, user: str, password: str | None = None) -> Any:
    credentials = pika.PlainCredentials(user, password_of(user) if password is None else password)
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, "/", credentials))


def log_in(port: int, user: str, password: str | None) -> None:
    connect(port, user, password).close()


def publish(channel: Any, exchange: str, key: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"x")


ACTS: dict[str, Callable[[Any], object]] = {
    "declare": lambda channel: channel.queue_declare("q", durable=True),
    "declare with dead letters": lambda channel: channel.queue_declare(
        "d", durable=True, arguments={"x-dead-letter-exchange": "dlx"}
    ),
    "declare passively": lambda channel: channel.queue_declare("q", passive=True),
    "declare secret": lambda channel: channel.queue_declare("secret", durable=True),
    "declare exchange": lambda channel: channel.exchange_declare("t", "topic"),
    "declare exchange with alternate": lambda channel: channel.exchange_declare(
        "u", "fanout", arguments={"alternate-exchange": "ae"}
    ),
    "bind": lambda channel: channel.queue_bind("q", "t", "a.#"),
    "bind secret": lambda channel: channel.queue_bind("q", "t", "secret"),
    "bind exchange": lambda channel: channel.exchange_bind("u", "t", "b"),
    "publish": lambda channel: publish(channel, "", "q"),
    "publish to topic": lambda channel: publish(channel, "t", "a.b"),
    "publish secret": lambda channel: publish(channel, "t", "secret"),
    "get": lambda channel: channel.basic_get("q"),
    "consume": lambda channel: channel.basic_consume("q", print),
    "unbind": lambda channel: channel.queue_unbind("q", "t", "a.#"),
    "purge": lambda channel: channel.queue_purge("q"),
    "delete": lambda channel: channel.queue_delete("q"),
    "delete exchange": lambda channel: channel.exchange_delete("t"),
}


def scenario(port: int, service: Service) -> Iterator[tuple[str, str, list[tuple[str, Fields]]]]:
    service.take()
    for user, password in (
        *((name, None) for name in ("boss", "broken", "odd", "outsider")),
        ("boss", "wrong"),
        ("boss", ""),
        ("a b&c=ö", None),
    ):
        how = outcome(partial(log_in, port, user, password))
        yield f"login {user} {password}", how, service.take()
    for name, act in ACTS.items():
        # A connection each: RabbitMQ remembers for a channel what was allowed, Pillarbox for a connection.
        connection = connect(port, "alice")
        service.take()
        yield name, outcome(partial(do, connection, act)), service.take()
        if connection.is_open:
            connection.close()


def do(connection: Any, act: Callable[[Any], object]) -> None:
    channel = connection.channel()
    act(channel)
    channel.close()


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except AMQPError as error:
        return repr(error)
    return "done"


def test_questions_and_refusals_are_those_of_rabbitmq(service: Service) -> None:
    if missing := RabbitMQ.missing():
        pytest.skip(missing)
    rules(service)
    options = service.options()
    paths = [
        f"auth_http.{kind}_path = {options[f'auth_http_{kind}_path']}"
        for kind in ("user", "vhost", "resource", "topic")
    ]
    config = ["auth_backends.1 = http", *paths]
    with RabbitMQ(plugins=("rabbitmq_auth_backend_http",), config=config) as peer:
        theirs: Seen = list(scenario(peer.amqp_port, service))
    with Broker(**options) as broker:
        ours: Seen = list(scenario(broker.amqp_port, service))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other
