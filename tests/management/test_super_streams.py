"""Super streams over HTTP (R84): made, listed, used, refused and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.super_stream import PARTITIONS_MAX
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
