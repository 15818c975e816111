"""Connections, channels and consumers: who sees which, and closing one. Row R114."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from tests.management.http import client

pytestmark = pytest.mark.row("R114")

USERS = {"watcher": ("monitoring",), "manager": ("management",), "plain": ()}


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(management_port=0) as broker:

        def prepare(server: Any) -> None:
            for name, tags in USERS.items():
                server.core.add_user(name, "secret", tags)
            server.core.add_vhost("own/place")
            server.core.set_permission(Permission("manager", "own/place", ".*", ".*", ".*"))

        broker.call(prepare)
        yield broker


def connected(broker: Broker, user: str = "guest", vhost: str = "/") -> pika.BlockingConnection:
    login = pika.PlainCredentials(user, "guest" if user == "guest" else "secret")
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.amqp_port, vhost, login))


def test_user_with_tag_management_sees_its_own_connections_and_virtual_hosts(broker: Broker) -> None:
    with connected(broker) as theirs, connected(broker, "manager", "own/place") as own:
        theirs.channel().queue_declare("theirs")
        own.channel().queue_declare("own")
        with client(broker, "manager", "secret") as api:
            assert [one["user"] for one in api.get("connections")] == ["manager"]
            assert [one["user"] for one in api.get("channels")] == ["manager"]
            assert [one["name"] for one in api.get("queues")] == ["own"]
            assert [one["name"] for one in api.get("queues/own%2Fplace")] == ["own"]
            overview = api.get("overview")
            assert (overview["object_totals"]["connections"], overview["object_totals"]["queues"]) == (1, 1)
            assert "listeners" not in overview
            for path in ("queues/%2F", "queues/%2F/theirs", "exchanges/%2F/amq.topic", "vhosts/%2F/channels"):
                reply = api.request("GET", path)
                assert (reply.status, reply.document) == (
                    401,
                    {
                        "error": "not_authorised",
                        "reason": "User not authorised to access virtual host",
                    },
                )
            assert api.request("GET", "nodes").document["reason"] == "Not monitor user"
        with client(broker, "watcher", "secret") as api:
            assert {one["user"] for one in api.get("connections")} == {"guest", "manager"}
            assert {one["name"] for one in api.get("queues")} == {"own", "theirs"}
            assert api.get("queues/%2F/theirs")["name"] == "theirs"


@pytest.mark.row("R13")
def test_name_that_a_client_gives_its_connection_is_shown(broker: Broker) -> None:
    properties = {"connection_name": "orders service"}
    parameters = pika.ConnectionParameters("127.0.0.1", broker.amqp_port, client_properties=properties)
    with pika.BlockingConnection(parameters), client(broker) as api:
        (shown,) = api.get("connections")
        assert shown["user_provided_name"] == "orders service"
        assert shown["client_properties"]["connection_name"] == "orders service"


def test_unknown_virtual_host_is_not_found(broker: Broker) -> None:
    with client(broker) as api:
        for path in ("queues/none", "exchanges/none", "bindings/none", "queues/none/q"):
            assert api.request("GET", path).status == 404


def test_connection_is_closed_with_the_reason_that_was_given(broker: Broker) -> None:
    connection = connected(broker)
    with client(broker) as api:
        name = api.get("connections")[0]["name"]
        path = f"connections/{quote(name, safe='')}"
        assert api.request("DELETE", path, headers={"X-Reason": "tidying up"}).status == 204
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            connection.process_data_events(time_limit=60)
        assert (caught.value.reply_code, caught.value.reply_text) == (320, "CONNECTION_FORCED - tidying up")
        assert api.request("DELETE", path).status == 404


def test_nobody_closes_the_connection_of_another_user(broker: Broker) -> None:
    with connected(broker) as connection, client(broker, "manager", "secret") as api:
        name = broker.call(lambda server: next(iter(server.core.sessions)).head.client_facts().name)
        for method in ("GET", "DELETE"):
            assert api.request(method, f"connections/{quote(name, safe='')}").status == 401
        connection.process_data_events(time_limit=0)
        assert connection.is_open


def test_user_with_tag_monitoring_sees_connections_of_others_and_closes_its_own(broker: Broker) -> None:
    """As RabbitMQ's `is_authorized_user` has it: to close somebody else's takes an administrator."""
    broker.call(lambda server: server.core.set_permission(Permission("watcher", "/", ".*", ".*", ".*")))
    with connected(broker) as theirs, client(broker, "watcher", "secret") as api:
        own = connected(broker, "watcher")
        names = {one["user"]: quote(one["name"], safe="") for one in api.get("connections")}
        assert api.get(f"connections/{names['guest']}")["user"] == "guest"
        for path in (f"connections/{names['guest']}", "connections/username/guest"):
            refused = api.request("DELETE", path)
            assert (refused.status, refused.document["reason"]) == (
                401,
                "User not authorised to access object",
            )
        theirs.process_data_events(time_limit=0)
        assert theirs.is_open
        assert api.request("DELETE", f"connections/{names['watcher']}").status == 204
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            own.process_data_events(time_limit=60)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=str,
)
def test_page_of_another_site_changes_nothing(broker: Broker, headers: dict[str, str]) -> None:
    with connected(broker) as connection, client(broker) as api:
        name = api.get("connections")[0]["name"]
        reply = api.request("DELETE", f"connections/{quote(name, safe='')}", headers=headers)
        assert (reply.status, reply.document["error"]) == (403, "forbidden")
        connection.process_data_events(time_limit=0)
        assert connection.is_open


def test_page_of_this_site_may_ask(broker: Broker) -> None:
    connection = connected(broker)
    with client(broker) as api:
        name = api.get("connections")[0]["name"]
        headers = {"Origin": broker.management_url, "Sec-Fetch-Site": "same-origin"}
        assert api.request("DELETE", f"connections/{quote(name, safe='')}", headers=headers).status == 204
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(time_limit=60)


def test_all_connections_of_a_user_are_closed(broker: Broker) -> None:
    with client(broker) as api, connected(broker) as kept:
        closed = connected(broker, "manager", "own/place")
        assert len(api.get("connections/username/manager")) == 1
        assert api.request("DELETE", "connections/username/manager").status == 204
        assert api.get("connections/username/manager") == []
        assert [one["user"] for one in api.get("connections")] == ["guest"]
        assert kept.is_open
        assert closed.is_open, "the client has not looked yet"


def test_body_that_is_too_large_is_refused_before_it_is_read(broker: Broker) -> None:
    with client(broker) as api:
        headers = {"Content-Length": str(10**12)}
        reply = api.request("DELETE", "connections/username/nobody", headers=headers)
        assert (reply.status, reply.document["error"]) == (413, "payload_too_large")


def test_sessions_of_a_connection_that_does_not_use_amqp_1_are_refused(broker: Broker) -> None:
    with connected(broker), client(broker) as api:
        (one,) = api.get("connections")
        reply = api.request("GET", f"connections/{quote(one['name'], safe='')}/sessions")
        assert reply.status == 400
        assert reply.document == {"error": "bad_request", "reason": "connection does not use AMQP 1.0"}
        assert api.request("GET", "connections/none/sessions").status == 404
        with client(broker, "manager", "secret") as other:
            assert other.request("GET", f"connections/{quote(one['name'], safe='')}/sessions").status == 401


def test_bytes_that_a_client_does_not_take_are_shown(broker: Broker) -> None:
    parameters = pika.URLParameters(broker.amqp_url)
    parameters.client_properties = {"connection_name": "idle"}
    idle = pika.BlockingConnection(parameters)
    body = bytes(1 << 20)
    with connected(broker) as sender, client(broker) as api:
        publisher = sender.channel()
        publisher.confirm_delivery()
        publisher.queue_declare("bodies", durable=True)
        idle.channel().basic_consume("bodies", lambda *_: None, auto_ack=True)
        for _ in range(16):
            publisher.basic_publish("", "bodies", body)
        pending = {one.get("user_provided_name"): one["send_pend"] for one in api.get("connections")}
        assert pending["idle"] > len(body)
        assert pending[None] == 0
