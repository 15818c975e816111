"""Clients that log in with tokens: unmodified, over sockets and HTTP (R8)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from pillarbox import Broker, ManualClock
from pillarbox.config import Config, ConfigError
from pillarbox.errors import StartupError
from pillarbox.profiles import DEFAULT
from tests.management.http import Client
from tests.oauth.issuer import AUDIENCE, FULL, token, write_keys

pytestmark = pytest.mark.row("R8")

Connect = Callable[..., Any]


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Of the default profile, unless a test is parametrized with another one."""
    options = {
        "auth_backends": ("oauth2", "internal"),
        "oauth_resource_server_id": AUDIENCE,
        "oauth_keys": (write_keys(tmp_path),),
        "profile": getattr(request, "param", DEFAULT),
    }
    with Broker(clock=ManualClock(), management_port=0, **options) as running:
        yield running


@pytest.fixture
def connect(broker: Broker) -> Iterator[Connect]:
    made = []

    def make(password: str, user: str = "") -> Any:
        credentials = pika.PlainCredentials(user, password)
        parameters = pika.ConnectionParameters("127.0.0.1", broker.amqp_port, "/", credentials, heartbeat=0)
        made.append(pika.BlockingConnection(parameters))
        return made[-1]

    yield make
    for connection in made:
        if connection.is_open:
            connection.close()


def later_s(broker: Broker, seconds: int = 60) -> float:
    return broker.call(lambda server: server.clock.now_ms()) / 1000 + seconds


def closes(connection: Any) -> tuple[int, str]:
    def listen() -> None:
        for _ in range(100):
            connection.process_data_events(10)

    with pytest.raises(ConnectionClosedByBroker) as closed:
        listen()
    return closed.value.reply_code, closed.value.reply_text


def test_token_is_the_password_and_its_scopes_are_the_rights(broker: Broker, connect: Connect) -> None:
    """The name that the client gives does not matter: the token knows better."""
    connection = connect(token("configure:*/own-*", "read:*/own-*", expires_s=later_s(broker)), "whoever")
    channel = connection.channel()
    channel.queue_declare("own-1")
    text = "ACCESS_REFUSED - access to queue 'other' in vhost '/' refused for user 'robot'"
    with pytest.raises(ChannelClosedByBroker) as refused:
        channel.queue_declare("other")
    assert (refused.value.reply_code, refused.value.reply_text) == (403, text)


def test_password_of_a_user_is_taken_as_before(connect: Connect) -> None:
    assert connect("guest", "guest").channel().is_open


def test_token_that_is_not_believed_is_a_failed_login(
    broker: Broker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    expired = token(*FULL, expires_s=later_s(broker, -1))
    with pytest.raises(ProbableAuthenticationError, match=r"\(403\) 'ACCESS_REFUSED - Login was refused"):
        connect(expired)
    with pytest.raises(ProbableAuthenticationError):
        connect("a.b.c")
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "Provided JWT token has expired at timestamp" in told[0]
    assert told[1].endswith("provided token is invalid")
    assert not any(part in caplog.text for part in expired.split("."))


def test_token_without_a_right_in_the_virtual_host_does_not_enter(broker: Broker, connect: Connect) -> None:
    with pytest.raises(ProbableAccessDeniedError, match="access to vhost '/' refused for user 'robot'"):
        connect(token("read:elsewhere/*", "tag:administrator", expires_s=later_s(broker)))


def test_connection_ends_with_its_token(broker: Broker, connect: Connect) -> None:
    connection = connect(token(*FULL, expires_s=later_s(broker)))
    broker.advance("59s")
    connection.process_data_events(0)
    assert connection.is_open
    broker.advance("2s")
    assert closes(connection) == (320, "CONNECTION_FORCED - credential expired")


def test_another_token_keeps_the_connection_and_brings_its_own_rights(
    broker: Broker, connect: Connect
) -> None:
    connection = connect(token(*FULL, expires_s=later_s(broker)))
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"routed and kept in the cache")
    connection.update_secret(
        token("read:*/*", "configure:*/*", expires_s=later_s(broker, 600)), "renewed in time"
    )
    broker.advance("70s")
    assert channel.queue_declare("q", passive=True).method.message_count == 1
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker, match=r"access to exchange 'amq\.default'"):
        channel.basic_publish("", "q", b"not any more")
    broker.advance("10m")
    assert closes(connection)[0] == 320


@pytest.mark.parametrize(
    ("broker", "ends"), [("rabbitmq:3.13", False), ("rabbitmq:4.3", True)], indirect=["broker"]
)
def test_consumer_without_the_right_to_read_ends_with_the_renewal_where_it_does_in_rabbitmq(
    broker: Broker, connect: Connect, ends: bool
) -> None:
    """Since 4.2.6: basic.cancel, while the consumer of the other queue goes on and deliveries stay out."""
    connection = connect(token(*FULL, expires_s=later_s(broker)))
    channel, told, got = connection.channel(), [], []
    channel.add_on_cancel_callback(lambda method: told.append(method.method.consumer_tag))
    for name in ("own-1", "taken"):
        channel.queue_declare(name, durable=True)
        channel.basic_publish("", name, b"before")
        channel.basic_consume(name, lambda *delivery: got.append(delivery[3]), consumer_tag=f"of {name}")
    while len(got) < 2:
        connection.process_data_events(1)
    connection.update_secret(token("read:*/own-*", "write:*/*", expires_s=later_s(broker, 600)), "fewer")
    for name in ("taken", "own-1"):
        channel.basic_publish("", name, b"after " + name.encode())
    while b"after own-1" not in got:
        connection.process_data_events(1)
    assert told == (["of taken"] if ends else [])
    assert (b"after taken" in got) is not ends
    taken = broker.queue("taken")
    assert (taken.consumers, taken.ready, taken.unacknowledged) == ((0, 1, 1) if ends else (1, 0, 2))


@pytest.mark.parametrize("claims", [{"sub": "another"}, {"expires_s": 1}, {"aud": "another"}], ids=str)
def test_token_of_another_or_of_no_use_is_refused_as_renewal(
    broker: Broker, connect: Connect, claims: dict[str, Any]
) -> None:
    connection = connect(token(*FULL, expires_s=later_s(broker)))
    with pytest.raises(ConnectionClosedByBroker) as refused:
        connection.update_secret(token(*FULL, **{"expires_s": later_s(broker), **claims}), "")
    text = "NOT_ALLOWED - New secret was refused by one of the backends"
    assert (refused.value.reply_code, refused.value.reply_text) == (530, text)


def test_management_takes_tokens_as_bearer_and_as_password(broker: Broker) -> None:
    """Messages over HTTP meet the token's rights too."""
    text = token(*FULL, "tag:administrator", expires_s=later_s(broker), sub="api")
    client = Client(broker.management_url, "any", text)
    assert client.get("whoami")["name"] == "api"
    client.headers = {"Authorization": f"Bearer {text}"}
    assert client.get("whoami") == {"name": "api", "tags": ["administrator"]}
    assert client.request("PUT", "queues/%2F/q", {"durable": True}).status == 201
    message = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}
    assert client.request("POST", "exchanges/%2F/amq.default/publish", message).document == {"routed": True}
    assert client.request("PUT", "vhosts/new", {}).status == 201
    assert client.get("permissions") == [
        {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    ]
    reader = token("read:*/*", "tag:management", expires_s=later_s(broker))
    client.headers = {"Authorization": f"Bearer {reader}"}
    refused = client.request("POST", "exchanges/%2F/amq.default/publish", message)
    assert "403 ACCESS_REFUSED - access to exchange 'amq.default'" in refused.document["reason"]
    assert client.request("PUT", "vhosts/other", {}).status == 401
    for wrong in ("Bearer x", "Bearer ", f"Bearer {token(expires_s=1)}", "Bearer \xff.\xff.\xff"):
        client.headers = {"Authorization": wrong}
        assert client.request("GET", "whoami").status == 401
    client.close()


def test_without_the_backend_a_token_is_a_wrong_password() -> None:
    with Broker(management_port=0) as broker:
        client = Client(broker.management_url)
        client.headers = {"Authorization": f"Bearer {token(*FULL, expires_s=1 << 40)}"}
        assert client.request("GET", "whoami").status == 401
        client.close()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"auth_backends": ("dummy",)}, "auth_backends must be of internal, oauth2, .* not dummy"),
        ({"auth_backends": ()}, "auth_backends must name one at least"),
        ({"auth_backends": ("oauth2",)}, 'auth_backends "oauth2" needs oauth_resource_server_id'),
        (
            {"auth_backends": ("oauth2",), "oauth_resource_server_id": "x"},
            'auth_backends "oauth2" needs oauth_keys or oauth_issuer',
        ),
    ],
    ids=str,
)
def test_configuration_that_lets_nobody_in_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Config(**options)


def test_missing_keys_stop_the_start_and_keys_that_cannot_be_fetched_do_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options: dict[str, Any] = {"auth_backends": ("oauth2",), "oauth_resource_server_id": "x"}
    with pytest.raises(StartupError, match=r"cannot read /missing\.json"):
        Broker(oauth_keys=("/missing.json",), **options).start()
    with Broker(oauth_keys=("http://127.0.0.1:1/keys",), **options):
        pass
    assert "the keys for tokens cannot be fetched" in caplog.text
