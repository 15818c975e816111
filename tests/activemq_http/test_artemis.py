"""Artemis' beans, asked for as KEDA's scaler and monitors do (A81)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import pytest

from pillarbox import Broker
from pillarbox.broker.exchange import ANYCAST
from tests.messaging.scene import deaths, scene

pytestmark = pytest.mark.row("A81")
HOST = "127.0.0.1"
DOMAIN = "org.apache.activemq.artemis"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with scene(activemq_http_port=0) as running:
        yield running


def ask(broker: Broker, request: str) -> Any:
    port = broker.call(lambda server: server.operator_addresses["activemq-http"][0][1])
    connection = HTTPConnection(HOST, port, timeout=60)
    known = {"Authorization": "Basic " + b64encode(b"guest:guest").decode()}
    connection.request("GET", f"/console/jolokia/{quote(request, safe='/:,=!*')}", None, known)
    answer = connection.getresponse()
    assert answer.status == 200
    found = json.loads(answer.read())
    connection.close()
    return found


def queue(name: str, address: str = "", routing: str = "anycast", server: str = "0.0.0.0") -> str:
    return (
        f'{DOMAIN}:broker="{server}",component=addresses,address="{address or name}",subcomponent=queues,'
        f'routing-type="{routing}",queue="{name}"'
    )


def test_what_kedas_scaler_asks_for(broker: Broker) -> None:
    """Whatever its users call the broker."""
    for server in ("0.0.0.0", "artemis-1"):
        found = ask(broker, f"read/{queue('orders', server=server)}/MessageCount")
        assert (found["status"], found["value"]) == (200, 3)
    assert ask(broker, f"read/{queue('none')}/MessageCount")["status"] == 404
    assert ask(broker, f"read/{queue('orders', routing='multicast')}/MessageCount")["status"] == 404


def test_queues_addresses_and_the_broker(broker: Broker) -> None:
    wanted = "MessageCount,DeliveringCount,ConsumerCount,MessagesAdded,MessagesAcknowledged,RoutingType"
    assert ask(broker, f"read/{queue('orders')}/{wanted}")["value"] == {
        "MessageCount": 3,
        "DeliveringCount": 1,
        "ConsumerCount": 1,
        "MessagesAdded": 3,
        "MessagesAcknowledged": 0,
        "RoutingType": "ANYCAST",
    }
    billing = queue("billing.all", "news.sport", "multicast")
    assert ask(broker, f"read/{billing}/MessageCount")["value"] == 2
    address = f'{DOMAIN}:broker="0.0.0.0",component=addresses,address="news.sport"'
    assert ask(broker, f"read/{address}/MessageCount,QueueCount,RoutingTypes")["value"] == {
        "MessageCount": 2,
        "QueueCount": 3,
        "RoutingTypes": ["MULTICAST"],
    }
    server = ask(broker, f'read/{DOMAIN}:broker="0.0.0.0"')["value"]
    assert server["ConnectionCount"] == 4
    assert {"orders", "news.sport"} <= set(server["AddressNames"])


def test_what_died_and_what_waits_to_be_tried_again(broker: Broker) -> None:
    deaths(broker)
    wanted = "MessagesExpired,MessagesKilled,ScheduledCount"
    for name, counts in (("short", (1, 1, 0)), ("patient", (0, 0, 2))):
        found = ask(broker, f"read/{queue(name)}/{wanted}")["value"]
        assert tuple(found[each] for each in wanted.split(",")) == counts


def test_they_are_found_by_patterns_and_listed(broker: Broker) -> None:
    """What monitors ask that know no name: `org.apache.activemq.artemis:*`, and all anycast queues."""
    found = ask(broker, f"search/{DOMAIN}:*")["value"]
    pattern = f'{DOMAIN}:broker=*,subcomponent=queues,routing-type="anycast",*'
    read = ask(broker, f"read/{pattern}/MessageCount")["value"]
    assert sorted(each["MessageCount"] for each in read.values()) == [0, 3]
    assert set(read) < set(found)
    listed = ask(broker, f"list/{DOMAIN}")["value"]
    assert set(listed) == {name.partition(":")[2] for name in found}


def test_names_with_special_characters(broker: Broker) -> None:
    name = 'a,"b"=c:d\\'
    broker.call(lambda server: server.core.vhosts["/"].declare_queue(None, name))
    beans = ask(broker, f"search/{DOMAIN}:*")["value"]
    found = [bean for bean in beans if ",queue=" in bean and "=c:d" in bean]
    assert [ask(broker, f"read/{bean}/Name")["value"] for bean in found] == [name]


def test_queues_of_an_address_are_seen_there(broker: Broker) -> None:
    def share(server: Any) -> None:
        vhost = server.core.vhosts["/"]
        exchange = vhost.declare_exchange(ANYCAST, "x-anycast", durable=True)
        vhost.declare_queue(None, "orders.more")
        for name in ("orders", "orders.more"):
            vhost.bind(exchange, vhost.queues[name], "orders", {})

    broker.call(share)
    found = ask(broker, f"read/{queue('orders.more', 'orders')}/Address,MessageCount")
    assert found["value"] == {"Address": "orders", "MessageCount": 0}
    assert ask(broker, f"read/{queue('orders.more')}/MessageCount")["status"] == 404
    address = f'{DOMAIN}:broker="0.0.0.0",component=addresses,address="orders"'
    assert ask(broker, f"read/{address}/QueueNames")["value"] == ["orders", "orders.more"]
