"""Limits of virtual hosts, users, channels; virtual hosts with a mind of their own (R15, R90, R97)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, ProbableAccessDeniedError

from pillarbox import Broker
from pillarbox.broker import administration
from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core
from pillarbox.broker.quotas import USER, VHOST

Connect = Callable[..., Any]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(consumer_max_per_channel=2) as running:
        yield running


@pytest.fixture
def connect(broker: Broker) -> Iterator[Connect]:
    made = []

    def make(vhost: str = "/", user: str = "guest", password: str = "guest") -> Any:
        credentials = pika.PlainCredentials(user, password)
        connection = pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", broker.amqp_port, vhost, credentials)
        )
        made.append(connection)
        return connection

    yield make
    for connection in made:
        if connection.is_open:
            connection.close()


def do(broker: Broker, change: Callable[[Core], Any]) -> Any:
    """What an operator does."""
    return broker.call(lambda server: change(server.core))


def make_vhost(core: Core, name: str, user: str = "guest", **options: Any) -> None:
    administration.put_vhost(core, name, **options)
    core.set_permission(Permission(user, name, ".*", ".*", ".*"))


def listen(connection: Any) -> None:
    """Take what the broker sends, until that is a close, but not for ever."""
    for _ in range(100):
        connection.process_data_events(10)


def reason_of(connection: Any) -> tuple[int, str]:
    """Why the broker closes this connection."""
    with pytest.raises(ConnectionClosedByBroker) as caught:
        listen(connection)
    return caught.value.reply_code, caught.value.reply_text


@pytest.mark.row("R15", "530")
@pytest.mark.parametrize("limit", [0, 1])
def test_connections_of_a_virtual_host_are_limited(broker: Broker, connect: Connect, limit: int) -> None:
    if limit:
        connect()
    do(broker, lambda core: core.quotas.put(VHOST, "/", {"max-connections": limit}))
    text = f"access to vhost '/' refused for user 'guest': connection limit ({limit}) is reached"
    with pytest.raises(ProbableAccessDeniedError) as caught:
        connect()
    assert f'(530) "NOT_ALLOWED - {text}"' in str(caught.value)
    do(broker, lambda core: core.quotas.put(VHOST, "/", {"max-connections": -1}))
    assert connect().is_open


@pytest.mark.row("R15", "530")
def test_connections_of_a_user_are_limited(broker: Broker, connect: Connect) -> None:
    do(broker, lambda core: make_vhost(core, "other"))
    do(broker, lambda core: core.quotas.put(USER, "guest", {"max-connections": 1}))
    connect()
    with pytest.raises(ProbableAccessDeniedError) as caught:
        connect("other")
    text = "connection refused for user 'guest': user connection limit (1) is reached"
    assert f'(530) "NOT_ALLOWED - {text}"' in str(caught.value)


@pytest.mark.row("R15", "530")
def test_channels_of_a_user_are_limited(broker: Broker, connect: Connect) -> None:
    """Over all its connections; the connection that asks for one too many is closed, others are not."""
    first, second = connect(), connect()
    do(broker, lambda core: core.quotas.put(USER, "guest", {"max-channels": 2}))
    channel = first.channel()
    first.channel()
    with pytest.raises(ConnectionClosedByBroker) as caught:
        second.channel()
    assert (caught.value.reply_code, caught.value.reply_text) == (
        530,
        "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed "
        "user limit of (2)",
    )
    channel.queue_declare("q")


@pytest.mark.row("R15", "406")
def test_queues_of_a_virtual_host_are_limited(broker: Broker, connect: Connect) -> None:
    connection = connect()
    connection.channel().queue_declare("a")
    do(broker, lambda core: core.quotas.put(VHOST, "/", {"max-queues": 1}))
    connection.channel().queue_declare("a")
    with pytest.raises(ChannelClosedByBroker) as caught:
        connection.channel().queue_declare("b")
    assert (caught.value.reply_code, caught.value.reply_text) == (
        406,
        "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached",
    )
    connection.channel().queue_delete("a")
    connection.channel().queue_declare("b")


@pytest.mark.row("R15", "530")
def test_consumers_of_a_channel_are_limited(connect: Connect) -> None:
    channel = connect().channel()
    channel.queue_declare("q")
    for _ in range(2):
        channel.basic_consume("q", lambda *_: None)
    with pytest.raises(ConnectionClosedByBroker) as caught:
        channel.basic_consume("q", lambda *_: None)
    assert (caught.value.reply_code, caught.value.reply_text) == (
        530,
        "NOT_ALLOWED - reached maximum (2) of consumers per channel",
    )


@pytest.mark.row("R90")
def test_removed_virtual_host_takes_everything_with_it(broker: Broker, connect: Connect) -> None:
    do(broker, lambda core: make_vhost(core, "v"))
    connection, other = connect("v"), connect()
    connection.channel().queue_declare("q", durable=True)
    assert do(broker, lambda core: administration.remove_vhost(core, "v"))
    assert reason_of(connection) == (320, "CONNECTION_FORCED - vhost 'v' is deleted")
    with pytest.raises(ProbableAccessDeniedError, match="vhost v not found"):
        connect("v")
    do(broker, lambda core: make_vhost(core, "v"))
    with pytest.raises(ChannelClosedByBroker, match="no queue 'q'"):
        connect("v").channel().queue_declare("q", passive=True)
    other.channel().queue_declare("q")
    assert not do(broker, lambda core: administration.remove_vhost(core, "nowhere"))


@pytest.mark.row("R91", "R92")
def test_removed_user_is_sent_away(broker: Broker, connect: Connect) -> None:
    do(broker, lambda core: core.add_user("joe", "secret"))
    do(broker, lambda core: core.set_permission(Permission("joe", "/", ".*", ".*", ".*")))
    connection = connect(user="joe", password="secret")
    channel = connection.channel()
    do(broker, lambda core: administration.remove_permission(core, "joe", "/"))
    with pytest.raises(ChannelClosedByBroker) as caught:
        channel.queue_declare("b")
    assert (
        caught.value.reply_text == "ACCESS_REFUSED - access to queue 'b' in vhost '/' refused for user 'joe'"
    )
    assert do(broker, lambda core: administration.remove_user(core, "joe"))
    assert reason_of(connection) == (320, "CONNECTION_FORCED - user 'joe' is deleted")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        connect(user="joe", password="secret")


@pytest.mark.row("R43")
def test_queue_without_a_type_is_what_its_virtual_host_says(broker: Broker, connect: Connect) -> None:
    """Where it can be: a queue that is not durable, or exclusive, stays classic."""
    do(broker, lambda core: make_vhost(core, "v", default_queue_type="quorum"))
    connection = connect("v")
    channel = connection.channel()
    channel.queue_declare("durable", durable=True)
    channel.queue_declare("durable", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare("transient")
    channel.queue_declare("", exclusive=True)
    with pytest.raises(ChannelClosedByBroker, match="inequivalent arg 'x-queue-type'"):
        channel.queue_declare("durable", durable=True, arguments={"x-queue-type": "classic"})
    kinds = do(broker, lambda core: {q.name: q.kind for q in core.vhosts["v"].queues.values()})
    assert (kinds["durable"], kinds["transient"]) == ("quorum", "classic")


@pytest.mark.row("R97")
def test_name_of_the_cluster_is_a_global_parameter(broker: Broker, connect: Connect) -> None:
    do(broker, lambda core: administration.put_global_parameter(core, "cluster_name", "letters"))
    assert connect()._impl.server_properties["cluster_name"] == "letters"
    assert do(broker, lambda core: administration.remove_global_parameter(core, "cluster_name"))
    assert connect()._impl.server_properties["cluster_name"] != "letters"
