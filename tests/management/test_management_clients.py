"""Programs that were written for RabbitMQ's management API, run unchanged (R120)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import amqpstorm
import amqpstorm.management
import pika
import pytest
from flower.utils.broker import Broker as FlowerBroker

from pillarbox import Broker
from pillarbox.broker.administration import put_vhost
from pillarbox.broker.auth import Permission

pytestmark = pytest.mark.row("R120")
WAIT_S = 60
RABBITMQADMIN = shutil.which("rabbitmqadmin")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(management_port=0) as broker:
        yield broker


# --- rabbitmqadmin, the Python one of RabbitMQ's package ----------------------------------------------------


class Admin:
    def __init__(self, broker: Broker) -> None:
        self.port = broker.management_url.rpartition(":")[2]

    def run(self, *arguments: str, status: int = 0) -> str:
        assert RABBITMQADMIN is not None
        command = [sys.executable, RABBITMQADMIN, "-P", self.port, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
        assert done.returncode == status, (arguments, done)
        return done.stdout + done.stderr

    def list(self, *arguments: str) -> Any:
        return json.loads(self.run("-f", "raw_json", "list", *arguments))


@pytest.fixture
def admin(broker: Broker) -> Admin:
    if RABBITMQADMIN is None:
        assert "CI" not in os.environ, "Debian's package rabbitmq-server is not installed"
        pytest.skip("no rabbitmqadmin command (on Debian: apt-get install rabbitmq-server)")
    return Admin(broker)


def test_rabbitmqadmin_declares_publishes_gets_and_deletes(admin: Admin, broker: Broker) -> None:
    assert admin.run("declare", "queue", "name=q", "durable=true") == "queue declared\n"
    admin.run("declare", "exchange", "name=e", "type=topic")
    admin.run("declare", "binding", "source=e", "destination=q", "routing_key=a.*")
    assert admin.run("publish", "exchange=e", "routing_key=a.b", "payload=hello") == "Message published\n"
    assert "NOT routed" in admin.run("publish", "exchange=e", "routing_key=none", "payload=hello")
    assert broker.queue("q").ready == 1
    assert "hello" in admin.run("get", "queue=q", "ackmode=ack_requeue_true")
    admin.run("purge", "queue", "name=q")
    assert broker.queue("q").ready == 0
    (found,) = [one for one in admin.list("bindings") if one["source"] == "e"]
    place = f"properties_key={found['properties_key']}"
    admin.run("delete", "binding", "source=e", "destination_type=queue", "destination=q", place)
    admin.run("delete", "exchange", "name=e")
    admin.run("delete", "queue", "name=q")
    assert admin.list("queues") == []
    assert "Not found" in admin.run("delete", "queue", "name=q", status=1)


@pytest.mark.parametrize(
    "what",
    [
        "users",
        "vhosts",
        "connections",
        "exchanges",
        "bindings",
        "permissions",
        "channels",
        "consumers",
        "queues",
        "policies",
        "operator_policies",
        "nodes",
        "parameters",
        "vhost_limits",
    ],
)
def test_rabbitmqadmin_lists_everything_as_a_table(admin: Admin, what: str) -> None:
    shown = admin.run("list", what)
    assert shown.startswith("+--") or shown == "No items\n"


def test_rabbitmqadmin_administers(admin: Admin, tmp_path: Path) -> None:
    admin.run("declare", "vhost", "name=v")
    admin.run("declare", "user", "name=u", "password=p", "tags=management")
    admin.run("declare", "permission", "vhost=v", "user=u", "configure=.*", "write=.*", "read=.*")
    admin.run("declare", "policy", "name=p", "pattern=^a", 'definition={"max-length":3}')
    admin.run("declare", "vhost_limit", "vhost=v", "name=max-queues", "value=9")
    file = tmp_path / "definitions.json"
    admin.run("export", str(file))
    admin.run("delete", "policy", "name=p")
    admin.run("delete", "user", "name=u")
    admin.run("import", str(file))
    assert {user["name"] for user in admin.list("users")} == {"guest", "u"}
    assert [policy["definition"] for policy in admin.list("policies")] == [{"max-length": 3}]
    assert admin.list("vhost_limits") == [{"vhost": "v", "value": {"max-queues": 9}}]
    assert "3.13" in admin.run("show", "overview")


def test_rabbitmqadmin_closes_a_connection(admin: Admin, broker: Broker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    (found,) = admin.list("connections")
    admin.run("close", "connection", f"name={found['name']}")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(WAIT_S)


# --- amqpstorm's client of the management API ---------------------------------------------------------------


@pytest.fixture
def api(broker: Broker) -> amqpstorm.management.ManagementApi:
    return amqpstorm.management.ManagementApi(broker.management_url, "guest", "guest")


def test_amqpstorm_declares_publishes_and_gets(api: Any) -> None:
    api.queue.declare("q", virtual_host="/", durable=True)
    api.exchange.declare("e", "topic", virtual_host="/")
    api.queue.bind("q", "e", "k", virtual_host="/")
    assert api.basic.publish("hello", "k", exchange="e", virtual_host="/") == {"routed": True}
    (message,) = api.basic.get("q", virtual_host="/", requeue=False, to_dict=False)
    assert message.body == "hello"
    assert [queue["name"] for queue in api.queue.list()] == ["q"]
    assert len(api.queue.bindings("q")) == 2
    api.queue.purge("q")
    api.queue.unbind("q", "e", "k")
    api.exchange.delete("e")
    api.queue.delete("q")
    assert api.queue.list() == []


def test_amqpstorm_administers(api: Any) -> None:
    api.virtual_host.create("v")
    api.user.create("u", "p", tags="management")
    api.user.set_permission("u", "v", configure_regex=".*", write_regex=".*", read_regex=".*")
    assert api.user.get_permission("u", "v")["user"] == "u"
    assert {user["name"] for user in api.user.list()} == {"guest", "u"}
    assert api.aliveness_test("/") == {"status": "ok"}
    assert api.whoami()["name"] == "guest"
    assert api.overview()["management_version"]
    assert api.nodes()[0]["running"] is True
    assert api.healthchecks.get()["status"] == "ok"
    api.user.delete("u")
    api.virtual_host.delete("v")
    with pytest.raises(amqpstorm.management.ApiError, match=r"(?i)not.found"):
        api.virtual_host.get("v")


def test_amqpstorm_sees_and_closes_connections(api: Any, broker: Broker) -> None:
    connection = amqpstorm.UriConnection(broker.amqp_url)
    connection.channel().queue.declare("q")
    (found,) = api.connection.list()
    assert found["client_properties"]["platform"]
    assert [channel["number"] for channel in api.channel.list()] == [1]
    api.connection.close(found["name"])
    while connection.is_open:
        """Its own thread reads what the broker says."""
    with pytest.raises(amqpstorm.AMQPError):
        connection.check_for_errors()


def test_amqpstorm_is_told_of_a_wrong_password(broker: Broker) -> None:
    api = amqpstorm.management.ManagementApi(broker.management_url, "guest", "wrong")
    with pytest.raises(amqpstorm.management.ApiError, match="401 Client Error: Unauthorized"):
        api.whoami()


# --- Flower ------------------------------------------------------------------------------------------------


def test_flower_reads_the_lengths_of_queues(broker: Broker) -> None:
    """Its page of queues asks the management API."""
    broker.call(lambda server: put_vhost(server.core, "work"))
    everything = Permission("guest", "work", ".*", ".*", ".*")
    broker.call(lambda server: server.core.set_permission(everything))
    url = broker.amqp_url.replace("%2F", "work")
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for name, count in (("celery", 2), ("other", 0)):
        channel.queue_declare(name)
        for _ in range(count):
            channel.basic_publish("", name, b"x")
    channel.queue_declare("celery", passive=True)
    flower = FlowerBroker(url, http_api=f"{broker.management_url}/api/")
    found = asyncio.run(flower.queues(["celery", "none"]))
    assert [(queue["name"], queue["messages"]) for queue in found] == [("celery", 2)]
    connection.close()
