"""What shovels move, where to, how many and under which properties (R143)."""

from __future__ import annotations

from typing import Any

import pika
import pytest

from pillarbox import Broker
from pillarbox.protocols.amqp091 import methods, wire
from tests.clients.raw_client import RawClient
from tests.shovel.site import PERSISTENT, Site

pytestmark = pytest.mark.row("R143")

COUNT = 2500
"""More than the usual prefetch."""

ODD = wire.Properties(
    content_type=b"\xff\xfe",
    headers={
        "double": 1.1,
        "float": wire.Float(0.5),
        "byte": wire.Byte(5),
        "short": wire.Short(5),
        "int": 5,
        "long": wire.Long(5),
        "unsigned": wire.UnsignedInt(5),
        "binary": wire.LongString(b"\xff\x00"),
        "bytes": b"\xff\x00",
        "time": wire.Timestamp(1 << 40),
        "decimal": wire.Decimal(2, 314),
        "nested": {"list": [1, "two", None, {"three": True}]},
        "zażółć": "gęślą",
    },
    delivery_mode=1,
    priority=200,
    correlation_id="c",
    reply_to="r",
    expiration="60000",
    message_id=b"\xc3",
    timestamp=(1 << 63) - 1,
    type="t",
    user_id="guest",
    app_id="a",
    cluster_id="",
)
"""Properties that client libraries change, or cannot read."""


def raw(url: str) -> RawClient:
    """A client that sends and shows bytes as they are, with channel 1 open."""
    address = pika.URLParameters(url)
    client = RawClient(address.host, address.port)
    client.open()
    client.send_bytes(methods.method_frame(1, methods.CHANNEL_OPEN, ""))
    client.receive()
    return client


def put(url: str, queue: str, properties: bytes, body: bytes) -> None:
    with raw(url) as client:
        client.send_bytes(methods.method_frame(1, methods.CONFIRM_SELECT, False))
        client.receive()
        client.send_bytes(methods.method_frame(1, methods.BASIC_PUBLISH, 0, "", queue, False, False))
        client.send_bytes(wire.content_frames(1, properties, body, 4096))
        client.receive()


def taken(url: str, queue: str) -> tuple[bytes, bytes]:
    """Properties and body of a message, as they come."""
    with raw(url) as client:
        client.send_bytes(methods.method_frame(1, methods.BASIC_GET, 0, queue, True))
        found = []
        while len(found) < 2 or sum(map(len, found[2:])) < wire.decode_header(found[1])[1]:
            head = client.receive_bytes(7)
            found.append(client.receive_bytes(int.from_bytes(head[3:7], "big")))
            client.receive_bytes(1)
        return wire.decode_header(found[1])[2], b"".join(found[2:])


@pytest.mark.parametrize("mode", ["on-confirm", "on-publish", "no-ack"])
@pytest.mark.parametrize("far", ["source", "destination", "neither", "both"])
def test_messages_are_moved_in_order(here: Site, there: Site, mode: str, far: str) -> None:
    source = there if far in ("source", "both") else here
    destination = there if far in ("destination", "both") else here
    source.fill("from", COUNT)
    here.shovel(
        src_uri=source.url if source is there else "amqp://",
        dest_uri=destination.url if destination is there else "amqp://",
        src_queue="from",
        dest_queue="to",
        ack_mode=mode,
    )
    here.until(lambda: destination.count("to") == COUNT)
    source.fill("from", 10, first=COUNT)
    here.until(lambda: destination.count("to") == COUNT + 10)
    assert destination.take_all("to") == list(range(COUNT + 10))
    here.until(lambda: source.api.get("queues/%2F/from?disable_stats=true&enable_queue_totals=true"))
    assert source.count("from") == 0
    assert here.status()["state"] == "running"


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_message_arrives_as_it_was_sent(here: Site, there: Site, size: int) -> None:
    """Also where it is of many frames, and of another size on the other side."""
    properties, body = wire.encode_properties(ODD), b"x" * size
    here.shovel(src_queue="from", dest_uri=f"{there.url}?frame_max=8192", dest_queue="to")
    here.until_state("running")
    put(here.url, "from", properties, body)
    here.until(lambda: there.count("to") == 1)
    assert taken(there.url, "to") == (properties, body)


def test_message_that_nobody_may_have_sent_goes_through_locally(here: Site, broker: Broker) -> None:
    """A `user_id` stays: the shovel of this broker vouches for it."""
    here.fill("from", 0)
    broker.call(lambda server: server.core.add_user("alice", "alice"))
    here.api.request("PUT", "permissions/%2F/alice", {"configure": ".*", "write": ".*", "read": ".*"})
    put_as = here.url.replace("guest:guest", "alice:alice")
    connection = pika.BlockingConnection(pika.URLParameters(put_as))
    connection.channel().basic_publish("", "from", b"0", pika.BasicProperties(user_id="alice"))
    connection.close()
    here.shovel(src_queue="from", dest_queue="to")
    here.until(lambda: here.count("to") == 1)
    with here.channel() as channel:
        _, properties, _ = channel.basic_get("to")
        assert properties.user_id == "alice"


def test_headers_and_properties_are_added(here: Site) -> None:
    """What RabbitMQ 3.10.8 was seen to write."""
    wanted = {"delivery_mode": 2, "content_type": "text/x", "timestamp": 17, "priority": 3, "app_id": "z"}
    keys: dict[str, Any] = {"add_forward_headers": True, "dest_add_timestamp_header": True}
    here.shovel(
        "one",
        src_uri=here.url + "?heartbeat=7",
        src_queue="a",
        dest_queue="b",
        dest_publish_properties=wanted,
        **keys,
    )
    here.shovel("two", src_queue="b", dest_exchange="amq.fanout", add_forward_headers=True)
    here.until_state("running", "one")
    here.until_state("running", "two")
    with here.channel() as channel:
        queue = channel.queue_declare("").method.queue
        channel.queue_bind(queue, "amq.fanout")
        sent = pika.BasicProperties(delivery_mode=1, headers={"k": 15}, message_id="m")
        channel.basic_publish("", "a", b"0", sent)
        here.until(lambda: here.count(queue) == 1)
        _, properties, _ = channel.basic_get(queue, auto_ack=True)
    shown = here.url.replace("guest:guest@", "")
    headers = properties.headers
    assert isinstance(headers.pop("x-shovelled-timestamp"), int)
    assert headers == {
        "k": 15,
        "x-shovelled": [
            {
                "shovelled-by": here.api.get("cluster-name")["name"],
                "shovel-type": "dynamic",
                "shovel-name": name,
                "shovel-vhost": "/",
                **more,
            }
            for name, more in {
                "two": {
                    "src-uri": "amqp://",
                    "dest-uri": "amqp://",
                    "src-queue": "b",
                    "dest-exchange": "amq.fanout",
                },
                "one": {"src-uri": shown, "dest-uri": "amqp://", "src-queue": "a", "dest-queue": "b"},
            }.items()
        ],
    }
    assert properties.message_id == "m"
    assert {name: getattr(properties, name) for name in wanted} == wanted


def test_message_keeps_exchange_and_key_where_nothing_else_is_said(here: Site, there: Site) -> None:
    with there.channel() as channel:
        channel.queue_declare("log", durable=True)
        channel.queue_bind("log", "amq.topic", "a.#")
    here.shovel(src_exchange="amq.topic", src_exchange_key="a.*", dest_uri=there.url)
    here.until_state("running")
    with here.channel() as channel:
        channel.basic_publish("amq.topic", "a.1", b"1", PERSISTENT)
        channel.basic_publish("amq.topic", "b.1", b"2", PERSISTENT)
        channel.basic_publish("amq.topic", "a.3", b"3", PERSISTENT)
    here.until(lambda: there.count("log") == 2)
    with there.channel() as channel:
        keys = [channel.basic_get("log")[0].routing_key for _ in range(2)]
    assert keys == ["a.1", "a.3"]
    (temporary,) = [queue for queue in here.api.get("queues") if queue["name"].startswith("amq.gen-")]
    assert temporary["exclusive"]


def test_key_of_the_destination_takes_the_place_of_the_messages_own(here: Site) -> None:
    with here.channel() as channel:
        channel.queue_declare("log", durable=True)
        channel.queue_bind("log", "amq.direct", "new")
    here.fill("from", 3)
    here.shovel(src_queue="from", dest_exchange="amq.direct", dest_exchange_key="new")
    here.until(lambda: here.count("log") == 3)


def test_queues_are_made_with_their_arguments_and_taken_as_they_are(here: Site) -> None:
    quorum, short = {"x-queue-type": "quorum"}, {"x-max-length": 5}
    with here.channel() as channel:
        channel.queue_declare("there before", durable=False, arguments=short)
    here.shovel("one", src_queue="from", dest_queue="to", src_queue_args=quorum, dest_queue_args=short)
    here.until_state("running", "one")
    here.shovel("two", src_queue="from", dest_queue="there before", dest_queue_args=quorum)
    here.until_state("running", "two")
    found = {queue["name"]: queue for queue in here.api.get("queues")}
    assert found["from"]["arguments"] == quorum
    assert found["to"]["arguments"] == short
    assert (found["there before"]["durable"], found["there before"]["arguments"]) == (False, short)


def test_stream_is_copied_from_its_beginning(here: Site) -> None:
    here.fill("log", 50, **{"x-queue-type": "stream"})
    here.shovel(src_queue="log", dest_queue="to", src_consumer_args={"x-stream-offset": "first"})
    here.until(lambda: here.count("to") == 50)
    assert here.take_all("to") == list(range(50))


# --- how many --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["on-confirm", "on-publish", "no-ack"])
def test_shovel_goes_when_the_queue_is_moved(here: Site, there: Site, mode: str) -> None:
    here.fill("from", COUNT)
    here.shovel(
        src_queue="from",
        dest_uri=there.url,
        dest_queue="to",
        src_delete_after="queue-length",
        ack_mode=mode,
    )
    here.until_gone()
    assert there.take_all("to") == list(range(COUNT))
    assert here.count("from") == 0


@pytest.mark.parametrize("mode", ["on-confirm", "on-publish"])
def test_shovel_goes_when_so_many_are_moved(here: Site, mode: str) -> None:
    here.fill("from", COUNT)
    here.shovel(src_queue="from", dest_queue="to", delete_after=1200, ack_mode=mode)
    here.until_gone()
    assert here.take_all("to") == list(range(1200))
    assert here.take_all("from") == list(range(1200, COUNT))


@pytest.mark.parametrize("after", [0, "queue-length"])
def test_shovel_with_nothing_to_move_goes_at_once(here: Site, after: int | str) -> None:
    if after == 0:
        here.fill("from", 1)
    here.shovel(src_queue="from", dest_queue="to", src_delete_after=after)
    here.until_gone()
    assert here.count("from") == (after == 0)


def test_no_message_is_dropped_that_comes_beyond_the_number(here: Site, there: Site) -> None:
    """With `no-ack` a queue gives more than was asked for, at once; all of it is moved."""
    here.fill("from", 10)
    with here.channel() as channel:
        here.shovel(
            src_queue="from", dest_uri=there.url, dest_queue="to", ack_mode="no-ack",
            src_delete_after="queue-length",
        )  # fmt: skip
        for number in range(10, 200):
            channel.basic_publish("", "from", str(number).encode(), PERSISTENT)
    here.until_gone()
    assert there.take_all("to") + here.take_all("from") == list(range(200))
