"""/api/destinations, /api/subscribers, /api/scheduled: what real clients have made is told as it is (A82)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.auth import User, hash_password
from tests.management.http import Client, client
from tests.messaging.scene import Stomp, scene

pytestmark = pytest.mark.row("A82")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with scene(management_port=0) as running:
        yield running


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


def by_name(documents: list[dict[str, Any]], name: str = "name") -> dict[str, dict[str, Any]]:
    return {each[name]: each for each in documents}


def test_queues_and_topics_are_told_apart(api: Client) -> None:
    found = by_name(api.get("destinations"))
    assert {name: each["kind"] for name, each in found.items()} == {
        "orders": "queue",
        "ActiveMQ.DLQ": "queue",
        "news.sport": "topic",
        "plant.*.heat": "topic",
        "plant.>": "topic",
    }
    orders = found["orders"]
    assert {name: orders[name] for name in ("pending", "in_flight", "consumers", "enqueued")} == {
        "pending": 3,
        "in_flight": 1,
        "consumers": 1,
        "enqueued": 3,
    }
    assert (orders["dispatched"], orders["dequeued"], orders["durable"]) == (1, 0, True)
    news = found["news.sport"]
    assert (news["consumers"], news["enqueued"]) == (3, 2)
    assert news["pending"] == 2, "what waits for the one who is offline"
    assert found["plant.>"]["pending"] is None, "whoever has two filters says not by which a message came"
    assert [each["name"] for each in api.get("destinations/%2F?kind=queue")] == ["ActiveMQ.DLQ", "orders"]
    assert api.get("destinations?kind=topic&page=1&name=news&sort=pending")["filtered_count"] == 1


def test_subscribers_active_and_offline(api: Client) -> None:
    found = {(each["client_id"], each["subscription"]): each for each in api.get("subscribers")}
    assert set(found) == {("billing", "all"), ("audit", "red"), ("", ""), ("sensor 1", "")}
    billing, audit = found["billing", "all"], found["audit", "red"]
    assert (billing["active"], billing["durable"], billing["pending"]) == (False, True, 2)
    assert (billing["destination"], billing["protocol"], billing["connection"]) == ("news.sport", None, None)
    assert (audit["active"], audit["durable"], audit["selector"]) == (True, True, "colour = 'red'")
    assert (audit["protocol"], audit["user"], audit["pending"]) == ("STOMP 1.2", "guest", 0)
    unnamed = found["", ""]
    assert (unnamed["active"], unnamed["durable"], unnamed["dequeued"]) == (True, False, 2)
    sensor = found["sensor 1", ""]
    assert (sensor["active"], sorted(sensor["topics"])) == (False, ["plant.*.heat", "plant.>"])
    (one,) = api.get("destinations/%2F/topic/plant.%3E")["subscriber_details"]
    assert one["client_id"] == "sensor 1"


def test_what_is_not_there(api: Client) -> None:
    for path in ("topic/none", "queue/none", "queue/audit.red", "exchange/orders"):
        assert api.request("GET", f"destinations/%2F/{path}").status == 404, path
    assert api.request("GET", "destinations?kind=exchange").status == 400
    assert api.request("GET", "destinations/none").status == 404


def test_a_message_is_sent_with_headers(broker: Broker, api: Client) -> None:
    told = {"headers": {"colour": "red", "n": 1}, "priority": 7, "correlation_id": "c", "type": "t"}
    reply = api.request("POST", "destinations/%2F/queue/fresh", {"body": "ü", **told})
    assert (reply.status, reply.document) == (200, {"routed": True})
    reader = Stomp(broker)
    reader.subscribe("/queue/fresh")
    (frame,) = reader.got(1)
    assert (frame.body, frame.headers["colour"], frame.headers["n"]) == ("ü", "red", "1")
    assert (frame.headers["correlation-id"], frame.headers["type"], frame.headers["priority"]) == (
        "c",
        "t",
        "7",
    )
    assert api.request("POST", "destinations/%2F/topic/unheard", {"body": "x"}).document == {"routed": False}
    assert api.request("POST", "destinations/%2F/topic/news.sport", {"body": "x"}).document == {
        "routed": True
    }
    assert by_name(api.get("destinations"))["news.sport"]["pending"] == 3


@pytest.mark.parametrize(
    "body",
    [{"priority": 10}, {"priority": "x"}, {"time_to_live": -1}, {"headers": {"a": []}}, {"colour": 1}, []],
)
def test_a_message_that_makes_no_sense_is_refused(api: Client, body: Any) -> None:
    assert api.request("POST", "destinations/%2F/queue/fresh", body).status == 400
    assert "fresh" not in by_name(api.get("destinations"))


def test_messages_that_wait_are_told(broker: Broker, api: Client) -> None:
    """Sent over STOMP and here, to a queue and to a topic: when each is due, and where it goes."""
    began_ms = int(time.time() * 1000)
    sender = Stomp(broker)
    sender.send("/queue/later", "x" * 10, AMQ_SCHEDULED_DELAY="600000", persistent="true")
    delayed = {"body": "yy", "headers": {"AMQ_SCHEDULED_DELAY": 60_000}}
    assert api.request("POST", "destinations/%2F/queue/soon", delayed).document == {"routed": True}
    assert api.request("POST", "destinations/%2F/topic/news.sport", delayed).document == {"routed": True}
    found = by_name(api.get("scheduled"))
    queues = found["pillarbox.scheduled.queue"]
    assert (queues["waiting"], queues["bytes"]) == (2, 12)
    soon, later = queues["next"]
    assert (soon["destination"], soon["size"], later["destination"]) == ("soon", 2, "later")
    assert 55_000 <= soon["due"] - began_ms <= 90_000 < later["due"] - began_ms
    assert queues["next_due"] == soon["due"]
    assert found["pillarbox.scheduled.topic"]["waiting"] == 1
    assert by_name(api.get("destinations"))["soon"]["pending"] == 0


def test_who_sees_what(broker: Broker, api: Client) -> None:
    def add(server: Any) -> None:
        server.core.add_vhost("other")
        for name, tags in (("ann", ("management",)), ("watcher", ("monitoring",)), ("nobody", ())):
            server.core.put_user(User(name, hash_password(name, b"salt"), tags=tags))

    broker.call(add)
    api.request("PUT", "permissions/other/ann", {"configure": ".*", "write": ".*", "read": ".*"})
    with (
        client(broker, "ann", "ann") as ann,
        client(broker, "watcher", "watcher") as watcher,
        client(broker, "nobody", "nobody") as nobody,
    ):
        assert ann.get("destinations") == ann.get("subscribers") == []
        assert ann.request("GET", "destinations/%2F").status == 401
        assert ann.request("POST", "destinations/%2F/queue/orders", {"body": "x"}).status == 401
        assert len(watcher.get("subscribers")) == 4
        assert nobody.request("GET", "destinations").status == 401


def test_queues_of_others_are_where_they_belong(broker: Broker, api: Client) -> None:
    """An AMQP queue that is bound to amq.topic is a subscriber; of a virtual topic, and a log, are none."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.queue_declare("reports", durable=True)
    channel.queue_bind("reports", "amq.topic", "#")
    channel.queue_declare("log", durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_declare("", exclusive=True)
    reader = Stomp(broker)
    reader.subscribe("/queue/Consumer.a.VirtualTopic.b")
    found = by_name(api.get("destinations"))
    assert {"reports", "log"}.isdisjoint(found)
    assert found["Consumer.a.VirtualTopic.b"]["kind"] == "queue"
    assert (found["VirtualTopic.b"]["kind"], found["VirtualTopic.b"]["consumers"]) == ("topic", 0)
    assert [each["temporary"] for name, each in found.items() if name.startswith("amq.gen-")] == [True]
    assert found[">"]["consumers"] == 1
    assert by_name(api.get("subscribers"), "subscription")["reports"]["destination"] == ">"
    name = quote("Consumer.a.VirtualTopic.b", safe="")
    assert api.get(f"destinations/%2F/queue/{name}")["consumers"] == 1
    connection.close()


def test_protocols_are_told_to_everybody(api: Client) -> None:
    assert {"amqp", "stomp", "mqtt"} <= set(api.get("protocols"))
    assert "kafka" not in api.get("protocols")


def test_what_waits_on_the_disk_alone_is_told_after_a_restart(tmp_path: Path) -> None:
    """When it is due is known without reading it; where it goes, perhaps not."""
    ports = {"stomp_port": 0, "management_port": 0}
    with Broker(str(tmp_path), **ports) as broker:
        sender = Stomp(broker)
        for _ in range(30):
            sender.send("/queue/later", "x" * 10, AMQ_SCHEDULED_DELAY="6000000", persistent="true")
    with Broker(str(tmp_path), **ports) as broker, client(broker) as found:
        (schedule,) = found.get("scheduled")
        assert (schedule["waiting"], len(schedule["next"])) == (30, 20)
        due = [each["due"] for each in schedule["next"]]
        assert due == sorted(due)
        assert due[0] == schedule["next_due"] > time.time() * 1000 + 5_000_000
        assert {each["destination"] for each in schedule["next"]} <= {"later", None}
        assert by_name(found.get("destinations"))["later"]["pending"] == 0
