"""Super streams over HTTP (R84): made, listed, used, refused and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.administration import remove_vhost
from pillarbox.broker.chores import at_once
from pillarbox.broker.core import Core
from pillarbox.broker.super_stream import PARTITIONS_MAX, adding_super_stream, deleting_super_stream
from pillarbox.errors import BrokerError
from tests.management.http import Client, client

pytestmark = pytest.mark.row("R84")

ALL = "stream/super-streams"
ONE = f"{ALL}/%2F/orders"


@pytest.fixture
def limited(broker: Broker, api: Client) -> Iterator[Client]:
    """The API as somebody who may configure and use what begins with `orders` and ends in 0 or nothing."""
    assert api.request("PUT", "users/clerk", {"password": "c", "tags": "management"}).status == 201
    rights = {"configure": "^orders(-0)?$", "write": ".*", "read": ".*"}
    assert api.request("PUT", "permissions/%2F/clerk", rights).status == 201
    with client(broker, "clerk", "c") as found:
        yield found


def queues(api: Client) -> dict[str, Any]:
    """Name → arguments."""
    return {one["name"]: one["arguments"] for one in api.get("queues")}


def test_partitions_by_number_take_what_is_published_under_their_key(broker: Broker, api: Client) -> None:
    assert api.request("PUT", ONE, {"partitions": 2, "arguments": {"max-age": "1h"}}).status == 204
    assert api.get(ALL) == [{"vhost": "/", "name": "orders", "partitions": ["orders-0", "orders-1"]}]
    kept = {"x-max-age": "1h", "x-queue-type": "stream"}
    assert queues(api) == {"orders-0": kept, "orders-1": kept}
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("orders", "1", b"x", mandatory=True)
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("orders", "2", b"x", mandatory=True)
    assert broker.queue("orders-1").ready == 1


@pytest.mark.parametrize("keys", ["south, north", ["south", "north"]], ids=["text", "list"])
def test_partitions_by_key_keep_their_order(api: Client, keys: Any) -> None:
    assert api.request("PUT", ONE, {"binding-keys": keys}).status == 204
    assert api.get(f"{ALL}/%2F")[0]["partitions"] == ["orders-south", "orders-north"]


def test_deleting_takes_the_partitions_and_nothing_else(api: Client) -> None:
    assert api.request("PUT", ONE, {"partitions": 2}).status == 204
    assert api.request("PUT", "queues/%2F/other", {"durable": True}).status == 201
    bound = {"arguments": {"x-stream-partition-order": "first"}}
    assert api.request("POST", "bindings/%2F/e/orders/q/other", bound).status == 201
    assert api.request("DELETE", ONE).status == 204
    assert (api.get(ALL), list(queues(api))) == ([], ["other"])
    assert api.request("GET", "exchanges/%2F/orders").status == 404
    assert api.request("DELETE", ONE).status == 404


def test_an_exchange_that_is_no_super_stream_is_not_deleted_as_one(api: Client) -> None:
    assert api.request("PUT", "exchanges/%2F/orders", {"type": "direct"}).status == 201
    assert api.request("DELETE", ONE).status == 404
    assert api.get("exchanges/%2F/orders")["name"] == "orders"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "partitions or binding-keys"),
        ({"partitions": 2, "binding-keys": "a"}, "partitions or binding-keys"),
        ({"partitions": 0}, "1 to 1000"),
        ({"partitions": PARTITIONS_MAX + 1}, "1 to 1000"),
        ({"partitions": "many"}, "int"),
        ({"binding-keys": " , "}, "1 to 1000"),
        ({"binding-keys": "a,b,a"}, "a key of its own"),
        ({"partitions": 2, "arguments": {"max-age": "soon"}}, "x-max-age"),
        ({"partitions": 2, "arguments": {"x-max-priority": 3}}, "x-max-priority"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_left_of_it(
    api: Client, body: dict[str, Any], complaint: str
) -> None:
    refused = api.request("PUT", ONE, body)
    assert refused.status == 400
    assert complaint in refused.document["reason"]
    assert (api.get(ALL), queues(api)) == ([], {})
    assert api.request("GET", "exchanges/%2F/orders").status == 404


def test_names_that_are_taken_are_refused(api: Client) -> None:
    assert api.request("PUT", "queues/%2F/orders-1", {"durable": True}).status == 201
    refused = api.request("PUT", ONE, {"partitions": 2})
    assert refused.document["reason"] == "there is already a queue 'orders-1' in vhost '/'"
    assert list(queues(api)) == ["orders-1"]


def test_a_limit_of_queues_that_ends_it_half_way_leaves_nothing(api: Client) -> None:
    assert api.request("PUT", "vhost-limits/%2F/max-queues", {"value": 1}).status == 204
    assert api.request("PUT", ONE, {"partitions": 2}).status == 400
    assert (api.get(ALL), queues(api)) == ([], {})


def test_rights_are_needed_for_the_exchange_and_each_partition(api: Client, limited: Client) -> None:
    assert limited.request("PUT", ONE, {"partitions": 2}).status == 401
    assert queues(api) == {}
    assert limited.request("PUT", ONE, {"partitions": 1}).status == 204
    assert limited.request("DELETE", ONE).status == 204
    assert api.request("PUT", ONE, {"partitions": 2}).status == 204
    assert limited.request("DELETE", ONE).status == 401
    assert list(queues(api)) == ["orders-0", "orders-1"]


# --- in steps: each partition is a unit of its own on the loop ---------------------------------------------


def test_super_stream_is_made_and_deleted_a_partition_a_step(broker: Broker) -> None:
    def run(core: Core) -> list[int]:
        vhost = core.vhosts["/"]
        made = [len(vhost.queues) for _ in adding_super_stream(vhost, "s", 3)]
        return made + [len(vhost.queues) for _ in deleting_super_stream(vhost, "s")]

    assert broker.call(lambda server: run(server.core)) == [1, 2, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("interferes", "text"),
    [
        ("exchange", "no exchange 's' in vhost 'other'"),
        ("vhost", "no exchange 's' in vhost 'other'"),
        ("partition", "inequivalent arg 'x-queue-type' for queue 's-1'"),
    ],
)
def test_super_stream_that_somebody_interferes_with_is_refused_and_leaves_nothing(
    broker: Broker, interferes: str, text: str
) -> None:
    """Between two steps others are served; what they have made stays theirs."""

    def run(core: Core) -> tuple[list[str], bool, int]:
        vhost = core.add_vhost("other")
        steps = adding_super_stream(vhost, "s", 3)
        next(steps)
        match interferes:
            case "exchange":
                vhost.delete_exchange("s")
            case "vhost":
                remove_vhost(core, "other")
            case _:
                vhost.declare_queue(None, "s-1", durable=True)
        with pytest.raises(BrokerError) as refused:
            at_once(steps)
        assert text in refused.value.text
        bindings = [key for kind, key in core.definitions if kind == "binding"]
        return list(vhost.queues), "s" in vhost.exchanges, len(bindings)

    left = ["s-1"] if interferes == "partition" else []
    assert broker.call(lambda server: run(server.core)) == (left, False, 0)


def test_super_stream_is_deleted_although_others_delete_parts_of_it_meanwhile(broker: Broker) -> None:
    def run(core: Core) -> dict[str, Any]:
        vhost = core.vhosts["/"]
        at_once(adding_super_stream(vhost, "s", 3))
        steps = deleting_super_stream(vhost, "s")
        next(steps)
        vhost.delete_queue(None, "s-1")
        vhost.delete_exchange("s")
        at_once(steps)
        return vhost.queues

    assert broker.call(lambda server: run(server.core)) == {}
