"""The XML that plugins of Nagios and Telegraf read from ActiveMQ's console, parsed as they do (A82)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from xml.etree import ElementTree

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import User, hash_password
from tests.messaging.scene import scene

pytestmark = pytest.mark.row("A82")
HOST = "127.0.0.1"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with scene(activemq_http_port=0) as running:
        yield running


def ask(broker: Broker, name: str, user: str = "guest", method: str = "GET") -> tuple[int, str, bytes]:
    port = broker.call(lambda server: server.operator_addresses["activemq-http"][0][1])
    connection = HTTPConnection(HOST, port, timeout=60)
    known = {"Authorization": "Basic " + b64encode(f"{user}:{user}".encode()).decode()}
    connection.request(method, f"/admin/xml/{name}.jsp", None, known)
    answer = connection.getresponse()
    found = answer.status, answer.headers.get("content-type", ""), answer.read()
    connection.close()
    return found


def read(broker: Broker, name: str) -> ElementTree.Element:
    status, kind, body = ask(broker, name)
    assert (status, kind.partition(";")[0]) == (200, "text/xml")
    return ElementTree.fromstring(body)


def test_queues(broker: Broker) -> None:
    found = {each.attrib["name"]: each for each in read(broker, "queues").iter("queue")}
    assert set(found) == {"orders", "ActiveMQ.DLQ"}
    assert found["orders"].find("stats").attrib == {  # type: ignore[union-attr]
        "size": "3",
        "consumerCount": "1",
        "enqueueCount": "3",
        "dequeueCount": "0",
    }
    assert found["orders"].findtext("feed/rss") == "queueBrowse/orders?view=rss&feedType=rss_2.0"


def test_topics(broker: Broker) -> None:
    found = {each.attrib["name"]: each.find("stats").attrib for each in read(broker, "topics").iter("topic")}  # type: ignore[union-attr]
    assert set(found) == {"news.sport", "plant.*.heat", "plant.>"}
    told = {"size": "2", "consumerCount": "3", "enqueueCount": "2", "dequeueCount": "4"}
    assert found["news.sport"] == told
    assert found["plant.>"] == {"consumerCount": "1"}, "the rest is not known"


def test_subscribers(broker: Broker) -> None:
    found = {each.attrib["clientId"]: each for each in read(broker, "subscribers").iter("subscriber")}
    assert set(found) == {"billing", "audit", "sensor 1"}, "durable ones"
    billing, audit = found["billing"].attrib, found["audit"].attrib
    assert (billing["subscriptionName"], billing["active"], billing["connectionId"]) == (
        "all",
        "no",
        "NOTSET",
    )
    assert (audit["destinationName"], audit["active"]) == ("news.sport", "yes")
    assert audit["selector"] == "colour = 'red'"
    assert found["billing"].find("stats").attrib == {  # type: ignore[union-attr]
        "pendingQueueSize": "2",
        "dispatchedQueueSize": "0",
        "dispatchedCounter": "0",
        "enqueueCounter": "2",
        "dequeueCounter": "0",
    }


def test_any_name_makes_good_xml(broker: Broker) -> None:
    """Names of AMQP queues may have characters that no XML has."""
    name = "a<b>&\"'\x00\x1f\ufffe\n\U0001f4ee"
    broker.call(lambda server: server.core.vhosts["/"].declare_queue(None, name))
    names = {each.attrib["name"] for each in read(broker, "queues").iter("queue")}
    assert any(each.startswith("a<b>&\"'\ufffd") and each.endswith("\U0001f4ee") for each in names), names


def test_who_may(broker: Broker) -> None:
    for name, tags in (("watcher", ("monitoring",)), ("nobody", ())):
        user = User(name, hash_password(name, b"salt"), tags=tags)
        broker.call(lambda server, user=user: server.core.put_user(user))
    assert ask(broker, "queues", "watcher")[0] == 200
    assert ask(broker, "queues", "nobody")[0] == 403
    assert ask(broker, "queues", "stranger")[0] == 401
    assert ask(broker, "queues", method="POST")[0] == 405
    assert ask(broker, "connections")[0] == 404
