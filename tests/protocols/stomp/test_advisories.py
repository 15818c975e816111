"""What ActiveMQ's own topics tell of clients of all protocols, and what they do not cost (A38).

What they look like is compared with ActiveMQ: `tests/compare_messaging/scenarios/advisories_on_activemq.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from pillarbox import Broker
from pillarbox.broker import advisories
from pillarbox.broker.auth import Permission
from pillarbox.errors import StartupError
from pillarbox.protocols.stomp.options import ADVISORIES
from tests.protocols.stomp.talking import Got, Talking

TOPIC = "/topic/ActiveMQ.Advisory."


@pytest.fixture
def client(activemq: Broker, connected: Callable[..., Talking]) -> Talking:
    return connected(to=activemq)


def listen(client: Talking, name: str, destination: str) -> None:
    """Subscribe, and overlook what was there before."""
    do(client, "SUBSCRIBE", {"id": name, "destination": destination})


def do(client: Talking, command: str, headers: dict[str, str]) -> None:
    """Say something, and overlook what comes before its receipt."""
    client.say(command, headers | {"receipt": "done"})
    while client.read().command != "RECEIPT":
        pass


def about(client: Talking, wanted: str) -> tuple[Got, str, dict[str, Any]]:
    """The next advisory in which this word is, and what its body has."""
    while True:
        got = client.message()
        if wanted in got.body.decode():
            ((kind, told),) = json.loads(got.body).items()
            return got, kind, told


@pytest.mark.row("A38")
def test_queues_of_amqp_clients_are_told(activemq: Broker, client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "q", "destination": f"{TOPIC}Queue"})
    client.done("SUBSCRIBE", {"id": "t", "destination": f"{TOPIC}TempQueue"})
    client.done("SUBSCRIBE", {"id": "c", "destination": f"{TOPIC}Consumer.Queue.{name}"})
    with pika.BlockingConnection(pika.URLParameters(activemq.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True)
        channel.queue_declare(f"{name}x", exclusive=True)
        channel.basic_consume(name, lambda *got: None)
        channel.queue_delete(name)
    told = []
    for _ in range(6):
        got, kind, body = about(client, "")
        told.append((got.headers["subscription"], kind, body.get("operationType")))
    assert sorted(told, key=str) == [
        ("c", "ConsumerInfo", None),
        ("c", "RemoveInfo", None),
        ("q", "DestinationInfo", 0),
        ("q", "DestinationInfo", 1),
        ("t", "DestinationInfo", 0),
        ("t", "DestinationInfo", 1),
    ]


@pytest.mark.row("A38")
def test_whoever_asks_for_all_topics_of_amqp_gets_no_advisories(
    activemq: Broker, client: Talking, name: str
) -> None:
    client.done("SUBSCRIBE", {"id": "q", "destination": f"{TOPIC}Queue"})
    with pika.BlockingConnection(pika.URLParameters(activemq.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, exclusive=True)
        channel.queue_bind(name, "amq.topic", "#")
        client.send(f"/queue/{name}1")
        about(client, f"{name}1")
        assert channel.basic_get(name)[0] is None


@pytest.mark.row("A38")
def test_nothing_is_watched_when_nobody_listens_any_more(activemq: Broker, name: str) -> None:
    def is_watched(server: Any) -> bool:
        vhost = server.core.vhosts["/"]
        return server.core.advisories.is_heard(vhost)

    with Talking(activemq.stomp_address) as client:
        client.connect()
        client.done("SUBSCRIBE", {"id": "q", "destination": f"{TOPIC}Queue"})
        assert activemq.call(is_watched)
        do(client, "UNSUBSCRIBE", {"id": "q"})
        do(client, "SEND", {"destination": f"/queue/{name}"})
        assert not activemq.call(is_watched)


@pytest.mark.row("A38")
def test_dialect_of_rabbitmq_has_none(broker: Broker, connected: Callable[..., Talking], name: str) -> None:
    client = connected()
    client.done("SUBSCRIBE", {"id": "q", "destination": f"{TOPIC}Queue"})
    client.done("SEND", {"destination": f"/queue/{name}"})
    client.send(f"{TOPIC}Queue", "a topic like any other")
    assert client.message().body == b"a topic like any other"


@pytest.mark.row("A38", "A21")
def test_durable_subscription_hears_of_what_happens_while_it_is_away(name: str, tmp_path: Path) -> None:
    """Also after a restart, before any client of STOMP has come."""
    said = {"id": "q", "destination": f"{TOPIC}Queue", "activemq.subscriptionName": "s"}
    with (
        Broker(str(tmp_path), stomp_port=0, stomp_dialect="activemq") as broker,
        Talking(broker.stomp_address) as client,
    ):
        client.connect(client_id="me")
        client.done("SUBSCRIBE", said)
    with Broker(str(tmp_path), stomp_port=0, stomp_dialect="activemq") as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            connection.channel().queue_declare(name)
        with Talking(broker.stomp_address) as client:
            client.connect(client_id="me")
            client.say("SUBSCRIBE", said)
            _, kind, told = about(client, name)
            assert (kind, told["destination"]["string"]) == ("DestinationInfo", name)


@pytest.mark.row("A38", "A45")
def test_who_may_not_read_them_gets_none(activemq: Broker, name: str) -> None:
    activemq.call(lambda server: server.core.add_user(name, name))
    read = "^(amq.topic|stomp-.*|q.*)$"
    activemq.call(lambda server: server.core.set_permission(Permission(name, "/", ".*", ".*", read)))
    with Talking(activemq.stomp_address) as client:
        client.connect(login=name, passcode=name)
        client.done("SUBSCRIBE", {"id": "all", "destination": "/topic/>"})
        client.done("SEND", {"destination": f"/queue/{name}"}, "x")
        client.send(f"/topic/{name}", "x")
        assert client.message().body == b"x"
        client.say("SUBSCRIBE", {"id": "q", "destination": f"{TOPIC}Queue"})
        assert client.error().headers["message"] == "access_refused"


@pytest.mark.row("A38")
def test_nobody_can_send_any(activemq: Broker, client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "q", "destination": f"{TOPIC}Queue"})
    client.send(f"{TOPIC}Queue", f'{{"DestinationInfo":{{"x":"{name}"}}}}')
    client.send(f"/queue/{name}")
    assert about(client, name)[2]["destination"]["string"] == name


@pytest.mark.row("A38")
def test_names_of_topics_that_are_known_have_a_bound(
    activemq: Broker, client: Talking, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advisories, "TOPICS_MAX", 2)
    client.done("SUBSCRIBE", {"id": "t", "destination": f"{TOPIC}Topic"})
    for number in range(4):
        client.send(f"/topic/{name}.{number}")
    for number in range(4):
        assert about(client, f"{name}.{number}")[1] == "DestinationInfo"


@pytest.mark.row("A38")
def test_queue_of_a_virtual_topic_is_a_queue(activemq: Broker, client: Talking, name: str) -> None:
    queue = f"Consumer.a.VirtualTopic.{name}"
    listen(client, "q", f"{TOPIC}Queue")
    listen(client, "c", f"{TOPIC}Consumer.>")
    client.say("SUBSCRIBE", {"id": "x", "destination": f"/queue/{queue}"})
    found = {about(client, queue)[0].headers["destination"] for _ in range(2)}
    assert found == {f"{TOPIC}Queue", f"{TOPIC}Consumer.Queue.{queue}"}


@pytest.mark.row("A38")
@pytest.mark.parametrize(
    ("name", "may"),
    [
        (">", True),
        ("ActiveMQ.>", True),
        ("*.*.Queue", True),
        ("ActiveMQ.Advisory.Queue", True),
        ("ActiveMQ.*", False),
        ("*", False),
        ("ActiveMQ.Agent", False),
        ("orders.>", False),
        ("ActiveMQ.Advisory", False),
    ],
)
def test_which_topics_may_be_advisories(name: str, may: bool) -> None:
    assert advisories.may_be_told(name) is may


# --- those that ActiveMQ has off by default ------------------------------------------------------------


@pytest.fixture(scope="module")
def telling() -> Iterator[Broker]:
    """A broker that tells everything."""
    chosen = ADVISORIES
    limits: dict[str, Any] = {"stomp_destination_limit": 10_000, "stomp_slow_after_s": 1}
    with Broker(stomp_port=0, stomp_dialect="activemq", stomp_advisories=chosen, **limits) as running:
        yield running


@pytest.mark.row("A38")
def test_what_others_send_to_queues_and_topics_is_told(
    telling: Broker, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=telling)
    client.done("SUBSCRIBE", {"id": "d", "destination": f"{TOPIC}MessageDelivered.>"})
    with pika.BlockingConnection(pika.URLParameters(telling.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name)
        channel.basic_publish("", name, b"x", pika.BasicProperties(message_id="mine"))
        channel.basic_publish("amq.topic", f"{name}.t", b"x")
        channel.basic_publish("", f"{name}.none", b"x")
        channel.basic_publish("", name, b"y")
    told = [about(client, name)[0].headers for _ in range(3)]
    assert [got["orignalDestination"] for got in told] == [
        f"queue://{name}",
        f"topic://{name}.t",
        f"queue://{name}",
    ]
    assert [got.get("orignalMessageId") for got in told] == ["mine", None, None]


@pytest.mark.row("A38")
@pytest.mark.parametrize("kind", ["MessageConsumed", "MessageDispatched"])
def test_what_clients_of_amqp_get_and_settle_is_told(
    telling: Broker, connected: Callable[..., Talking], name: str, kind: str
) -> None:
    client = connected(to=telling)
    client.done("SUBSCRIBE", {"id": "d", "destination": f"{TOPIC}{kind}.Queue.{name}"})
    with pika.BlockingConnection(pika.URLParameters(telling.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name)
        for number in range(6):
            channel.basic_publish("", name, b"x", pika.BasicProperties(message_id=str(number)))
        channel.basic_nack(channel.basic_get(name)[0].delivery_tag)
        channel.basic_get(name, auto_ack=True)
        channel.basic_ack(channel.basic_get(name)[0].delivery_tag)
        channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)  # As with ActiveMQ.
        got = []
        for method, properties, _ in channel.consume(name):
            got.append((method.delivery_tag, properties.message_id))
            if len(got) == 3:
                channel.basic_ack(got[1][0], multiple=True)
                channel.basic_ack(got[2][0])
                break
        channel.cancel()
    # Message 0 was given back once.
    expected = list("012345" if kind == "MessageConsumed" else "0012345")
    assert [about(client, name)[0].headers["orignalMessageId"] for _ in expected] == expected


@pytest.mark.row("A38")
def test_advisories_tell_nothing_of_advisories(
    telling: Broker, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=telling)
    client.done("SUBSCRIBE", {"id": "all", "destination": f"{TOPIC}>"})
    client.done("SUBSCRIBE", {"id": "q", "destination": f"/queue/{name}"})
    client.send(f"/queue/{name}", "x")
    found = []
    while len(found) < 6:
        got = client.message()
        if name in got.body.decode() or name in got.headers["destination"]:
            found.append(got.headers["destination"].removeprefix(TOPIC))
    client.send(f"/queue/{name}", "last")
    assert sorted(found) == [
        "/queue/" + name,
        f"Consumer.Queue.{name}",
        f"MessageConsumed.Queue.{name}",
        f"MessageDelivered.Queue.{name}",
        f"MessageDispatched.Queue.{name}",
        "Queue",
    ]


@pytest.mark.row("A38", "A40")
def test_subscription_loses_what_is_told_and_keeps_the_rest(
    telling: Broker, connected: Callable[..., Talking], name: str
) -> None:
    watcher, client = connected(to=telling), connected(to=telling)
    watcher.done("SUBSCRIBE", {"id": "d", "destination": f"{TOPIC}MessageDiscarded.Topic.{name}.>"})
    said = {"destination": f"/topic/{name}.*", "ack": "client", "activemq.prefetchSize": "1"}
    client.done("SUBSCRIBE", {"id": "t", "activemq.maximumPendingMessageLimit": "2"} | said)
    for number in range(5):
        client.send(f"/topic/{name}.{number % 2}", str(number))
    told = [about(watcher, name)[0].headers for _ in range(2)]
    assert [(got["orignalDestination"], got["discardedCount"]) for got in told] == [
        (f"topic://{name}.1", "1"),
        (f"topic://{name}.0", "2"),
    ]
    got = client.message()
    assert got.body == b"0"
    client.say("ACK", {"id": got.headers["ack"]})
    assert client.message().body == b"3"


@pytest.mark.row("A38", "A45")
def test_who_may_write_nothing_subscribes_all_the_same(telling: Broker, name: str) -> None:
    telling.call(lambda server: server.core.add_user(name, name))
    telling.call(lambda server: server.core.set_permission(Permission(name, "/", ".*", "^stomp-.*", ".*")))
    with Talking(telling.stomp_address) as client:
        client.connect(login=name, passcode=name)
        said = {"destination": f"/topic/{name}", "activemq.maximumPendingMessageLimit": "2"}
        client.done("SUBSCRIBE", {"id": "t"} | said)


@pytest.mark.row("A38", "A40")
def test_full_queue_is_told_in_xml(telling: Broker, connected: Callable[..., Talking], name: str) -> None:
    watcher, client = connected(to=telling), connected(to=telling)
    for kind in ("FULL", "FastProducer"):
        wanted = {"destination": f"{TOPIC}{kind}.Queue.{name}", "transformation": "jms-xml"}
        watcher.done("SUBSCRIBE", {"id": kind} | wanted)
    for _ in range(12):
        client.send(f"/queue/{name}", "x" * 1000)
    told = {got.headers["subscription"]: got for got in (watcher.message(), watcher.message())}
    assert told["FULL"].body == b"<null/>"
    assert told["FULL"].headers["usageName"] == f"Main:memory:queue://{name}:memory"
    assert told["FastProducer"].body.startswith(b"<ProducerInfo>")


@pytest.mark.row("A38", "A40")
def test_slow_subscription_is_told_and_goes_on(
    telling: Broker, connected: Callable[..., Talking], name: str
) -> None:
    watcher, client = connected(to=telling), connected(to=telling)
    watcher.done("SUBSCRIBE", {"id": "s", "destination": f"{TOPIC}SlowConsumer.Queue.{name}"})
    said = {"destination": f"/queue/{name}", "ack": "client", "activemq.prefetchSize": "1"}
    client.done("SUBSCRIBE", {"id": "q"} | said)
    for number in range(3):
        client.send(f"/queue/{name}", str(number))
    got = client.message()
    assert about(watcher, name)[1] == "ConsumerInfo"
    client.say("ACK", {"id": got.headers["ack"]})
    assert client.message().body == b"1"


@pytest.mark.row("A38")
def test_they_are_told_only_if_an_operator_wants_them(activemq: Broker, client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "all", "destination": f"{TOPIC}>"})
    client.send(f"/queue/{name}", "x")
    client.send(f"/queue/{name}x", "x")
    assert about(client, name)[0].headers["destination"] == f"{TOPIC}Queue"
    assert about(client, f"{name}x")[0].headers["destination"] == f"{TOPIC}Queue"


@pytest.mark.row("A38")
def test_name_that_is_none_of_them_is_refused() -> None:
    with pytest.raises(StartupError, match="stomp_advisories"):
        Broker(stomp_port=0, stomp_advisories=("MessageRead",)).start()


@pytest.mark.row("A38", "A21")
def test_started_broker_is_the_master(tmp_path: Path) -> None:
    """As with ActiveMQ, whoever subscribes later does not hear of it."""
    said = {"id": "m", "destination": f"{TOPIC}MasterBroker", "activemq.subscriptionName": "s"}
    for is_first in (True, False):
        with (
            Broker(str(tmp_path), stomp_port=0, stomp_dialect="activemq") as broker,
            Talking(broker.stomp_address) as client,
        ):
            client.connect(client_id="me")
            client.say("SUBSCRIBE", said | {"receipt": "done"})
            frames = [client.read() for _ in range(1 if is_first else 2)]
            assert [frame.command for frame in frames].count("MESSAGE") == (0 if is_first else 1)
            assert [frame.body for frame in frames if frame.command == "MESSAGE"] in ([], [b'{"null":""}'])


@pytest.fixture
def durable(activemq: Broker, connected: Callable[..., Talking], name: str) -> Callable[[str], Talking]:
    """Makes clients with a durable subscription to a topic, which may come again."""

    def subscribed(who: str) -> Talking:
        client = connected(to=activemq, client_id=f"{name}{who}")
        said = {"activemq.subscriptionName": "n", "ack": "client-individual"}
        client.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{name}"} | said)
        return client

    return subscribed


def told_until(watcher: Talking, client: Talking, name: str) -> list[tuple[str, str, str]]:
    """The advisories of a name up to one that is provoked, and the dead letters that come with them."""
    client.done("SEND", {"destination": f"/queue/{name}-end", "expires": "1", "persistent": "true"}, "end")
    found = []
    ends = 0
    while ends < 3:
        got = watcher.message()
        if got.headers["subscription"] == "dead":
            told = "letter", got.headers["original-destination"], got.body.decode()
        else:
            ((_, message),) = json.loads(got.body).items()
            told = (
                got.headers["destination"].removeprefix(TOPIC),
                message["destination"]["@class"],
                str(message["priority"]),
            )
        ends += f"{name}-end" in str(told)
        if name in str(told) and f"{name}-end" not in str(told):
            found.append(told)
    return sorted((kind.replace(name, "X"), where.replace(name, "X"), what) for kind, where, what in found)


@pytest.fixture
def deaths(activemq: Broker, connected: Callable[..., Talking]) -> Talking:
    """Hears of all messages that expire and die, and gets the dead letters."""
    watcher = connected(to=activemq)
    watcher.done("SUBSCRIBE", {"id": "e", "destination": f"{TOPIC}Expired.>"})
    watcher.done("SUBSCRIBE", {"id": "d", "destination": f"{TOPIC}MessageDLQd.>"})
    do(watcher, "SUBSCRIBE", {"id": "dead", "destination": "/queue/ActiveMQ.DLQ"})
    return watcher


EXPIRED_P = ("Expired.Topic.X", "ActiveMQTopic", "7")
DEAD_P = ("MessageDLQd.Topic.X", "ActiveMQTopic", "7")


@pytest.mark.row("A38", "A33", "A32")
def test_message_that_expires_in_durable_subscriptions_dies_once(
    deaths: Talking, client: Talking, durable: Callable[[str], Talking], name: str
) -> None:
    """As with ActiveMQ, however many of them have it; and what is not persistent is no dead letter."""
    for who in "ab":
        durable(who).done("DISCONNECT")
    soon = str(int(time.time() * 1000) + 200)
    for priority, persistent in (("7", "true"), ("3", "false")):
        said = {"expires": soon, "priority": priority, "persistent": persistent}
        client.done("SEND", {"destination": f"/topic/{name}"} | said, f"{name} {priority}")
    while time.time() * 1000 <= int(soon) + 5:
        client.done("SEND", {"destination": f"/queue/{name}-tick"})
    for who in "ab":
        durable(who)
    assert told_until(deaths, client, name) == [
        ("Expired.Topic.X", "ActiveMQTopic", "3"),
        EXPIRED_P,
        DEAD_P,
        ("letter", "/topic/X", f"{name} 7"),
    ]


@pytest.mark.row("A38", "A33")
def test_message_that_durable_subscriptions_refuse_dies_once(
    deaths: Talking, client: Talking, durable: Callable[[str], Talking], name: str
) -> None:
    readers = [durable(who) for who in "ab"]
    plain = readers[0]
    plain.done("SUBSCRIBE", {"id": "plain", "destination": f"/topic/{name}", "ack": "client-individual"})
    for _ in range(2):
        # Two that are alike are two.
        client.done("SEND", {"destination": f"/topic/{name}", "persistent": "true", "priority": "7"}, name)
    for reader, count in zip(readers, (4, 2), strict=True):
        for got in [reader.message() for _ in range(count)]:
            reader.done("NACK", {"id": got.headers["ack"]})
    assert told_until(deaths, client, name) == [
        DEAD_P,
        DEAD_P,
        ("letter", "/topic/X", name),
        ("letter", "/topic/X", name),
    ]


@pytest.mark.row("A38", "A32")
def test_message_that_is_no_dead_letter_expires_all_the_same(
    deaths: Talking, client: Talking, name: str
) -> None:
    client.done("SEND", {"destination": f"/queue/{name}", "expires": "1", "priority": "3"}, name)
    assert told_until(deaths, client, name) == [("Expired.Queue.X", "ActiveMQQueue", "3")]


@pytest.mark.row("A38", "A40")
def test_slow_consumers_and_full_queues_of_amqp_are_told(
    telling: Broker, connected: Callable[..., Talking], name: str
) -> None:
    watcher = connected(to=telling)
    for kind in ("FULL", "SlowConsumer"):
        watcher.done("SUBSCRIBE", {"id": kind, "destination": f"{TOPIC}{kind}.Queue.{name}"})
    with pika.BlockingConnection(pika.URLParameters(telling.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
        channel.confirm_delivery()
        for _ in range(2):
            channel.basic_publish("", name, b"x")
        with pytest.raises(pika.exceptions.NackError):
            channel.basic_publish("", name, b"too much")
        got = watcher.message()
        assert (got.headers["subscription"], got.headers["usageCount"]) == ("FULL", "2")
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(name, lambda *got: None)
        connection.process_data_events()
        _, kind, told = about(watcher, name)
        assert (kind, told["prefetchSize"]) == ("ConsumerInfo", 1)
