"""Artemis' management by message, and its notifications (A86), with `--as activemq:artemis`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
import stomp

from pillarbox import Broker, ManualClock
from pillarbox.broker.auth import Permission
from tests.protocols.stomp.talking import Got, Talking

MANAGEMENT, NOTIFICATIONS = "activemq.management", "activemq.notifications"


@pytest.fixture(scope="module")
def artemis() -> Iterator[Broker]:
    with Broker(stomp_port=0, profile="activemq:artemis") as running:
        for name, tags in (("reader", ("monitoring",)), ("plain", ())):
            running.call(lambda server, name=name, tags=tags: _add_user(server.core, name, tags))
        yield running


def _add_user(core: Any, name: str, tags: tuple[str, ...]) -> None:
    core.add_user(name, name, tags)
    core.set_permission(Permission(name, "/", ".*", ".*", ".*"))


class Manager:
    """A client that gives orders and reads what comes of them."""

    def __init__(self, client: Talking, replies: str) -> None:
        self.client = client
        self.replies = replies
        client.done("SUBSCRIBE", {"id": "r", "destination": replies})
        self._count = 0

    def ask(self, resource: str, body: str = "", to: str = MANAGEMENT, **headers: str) -> Got:
        self._count += 1
        said = {f"_AMQ_{name}": value for name, value in headers.items()}
        own = {"reply-to": self.replies, "correlation-id": f"c{self._count}"}
        self.client.say("SEND", {"destination": to, "_AMQ_ResourceName": resource} | own | said, body)
        got = self.client.message()
        assert got.headers["correlation-id"] == f"c{self._count}"
        return got

    def get(self, resource: str, attribute: str) -> Any:
        return self._result(self.ask(resource, Attribute=attribute))

    def call(self, resource: str, operation: str, *parameters: Any) -> Any:
        body = json.dumps(parameters) if parameters else ""
        return self._result(self.ask(resource, body, OperationName=operation))

    def fails(self, resource: str, body: str = "", **headers: str) -> str:
        got = self.ask(resource, body, **headers)
        assert got.headers["_AMQ_OperationSucceeded"] == "false", got
        (text,) = json.loads(got.body)
        return str(text)

    @staticmethod
    def _result(got: Got) -> Any:
        assert got.headers["_AMQ_OperationSucceeded"] == "true", got
        if not got.body:
            return None
        (result,) = json.loads(got.body)
        return result


@pytest.fixture
def manager(artemis: Broker, connected: Callable[..., Talking]) -> Manager:
    return Manager(connected(to=artemis), "/temp-queue/replies")


def queues(broker: Broker) -> set[str]:
    return broker.call(lambda server: set(server.core.vhosts["/"].queues))


# --- management --------------------------------------------------------------------------------------------


@pytest.mark.row("A86")
def test_attributes_are_read_by_their_names(
    artemis: Broker, manager: Manager, connected: Callable[..., Talking], name: str
) -> None:
    """A86: of the broker, an address, a queue and a subscription; as attributes and as getters."""
    client = connected(to=artemis)
    for _ in range(3):
        client.done("SEND", {"destination": name, "destination-type": "ANYCAST"}, "x")
    client.done(
        "SUBSCRIBE", {"id": "s", "destination": f"{name}.t::{name}.s", "subscription-type": "MULTICAST"}
    )
    assert manager.get(f"queue.{name}", "messageCount") == 3
    assert manager.get(f"queue.{name}", "MessageCount") == 3
    assert manager.call(f"queue.{name}", "getMessageCount") == 3
    assert manager.call(f"queue.{name}", "isDurable") is True
    assert manager.get(f"queue.{name}.s", "routingType") == "MULTICAST"
    assert manager.get(f"queue.{name}.s", "address") == f"{name}.t"
    assert manager.get(f"queue.{name}.s", "consumerCount") == 1
    assert manager.get(f"address.{name}", "queueNames") == [name]
    assert manager.get(f"address.{name}.t", "queueNames") == [f"{name}.s"]
    assert name in manager.get("broker", "queueNames")
    assert manager.get("broker", "started") is True
    assert name in manager.call("broker", "getQueueNames", "ANYCAST")
    assert name not in manager.call("broker", "getQueueNames", "MULTICAST")


@pytest.mark.row("A86")
def test_queues_are_made_and_destroyed(artemis: Broker, manager: Manager, name: str) -> None:
    made = json.dumps({"name": f"{name}1", "address": f"{name}1", "routing-type": "ANYCAST"})
    for parameters in ((made,), (made, True)):
        told = json.loads(manager.call("broker", "createQueue", *parameters))
        assert (told["name"], told["routing-type"]) == (f"{name}1", "ANYCAST")
    assert manager.call("broker", "createQueue", f"{name}2", f"{name}2", "ANYCAST") is None
    assert manager.call("broker", "createQueue", f"{name}.t", f"{name}3", None, True, "MULTICAST") is None
    assert {f"{name}{number}" for number in (1, 2, 3)} <= queues(artemis)
    manager.client.done("SEND", {"destination": f"topic://{name}.t"}, "to all")
    assert artemis.queue(f"{name}3").ready == 1
    for number in (1, 2, 3):
        assert manager.call("broker", "destroyQueue", f"{name}{number}") is None
    assert not {f"{name}{number}" for number in (1, 2, 3)} & queues(artemis)


@pytest.mark.row("A86")
def test_messages_are_sent_counted_listed_moved_and_removed(
    artemis: Broker, manager: Manager, name: str
) -> None:
    manager.call("broker", "createQueue", name, name, "ANYCAST")
    manager.call("broker", "createQueue", f"{name}2", f"{name}2", "ANYCAST")
    for number in range(4):
        told = {"colour": "blue" if number else "red"}
        sent = manager.call(f"queue.{name}", "sendMessage", told, 3, f"{number}", True, "guest", "guest")
        assert sent.startswith("ID:")
    assert manager.call(f"queue.{name}", "countMessages") == 4
    assert manager.call(f"queue.{name}", "countMessages", "colour = 'red'") == 1
    listed = json.loads(manager.call(f"queue.{name}", "listMessagesAsJSON", None))
    assert [each["address"] for each in listed] == [name] * 4
    assert manager.call(f"queue.{name}", "removeMessages", "colour = 'red'") == 1
    assert manager.call(f"queue.{name}", "moveMessages", None, f"{name}2") == 3
    assert artemis.queue(f"{name}2").ready == 3
    assert manager.call(f"queue.{name}2", "removeAllMessages") == 3
    assert artemis.queue(f"{name}2").ready == 0


@pytest.mark.row("A86")
def test_queue_is_paused_and_resumed(
    artemis: Broker, manager: Manager, connected: Callable[..., Talking], name: str
) -> None:
    reader = connected(to=artemis)
    reader.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    manager.call(f"queue.{name}", "pause")
    manager.client.done("SEND", {"destination": f"/queue/{name}"}, "x")
    assert (artemis.queue(name).ready, manager.get(f"queue.{name}", "paused")) == (1, True)
    manager.call(f"queue.{name}", "resume")
    assert reader.message().body == b"x"


@pytest.mark.row("A86", "A10")
def test_what_is_not_there_is_told_in_the_reply(manager: Manager, name: str) -> None:
    manager.call("broker", "createQueue", name, name, "ANYCAST")
    asked: list[tuple[str, str, dict[str, str], str]] = [
        ("queue.none", "", {"Attribute": "messageCount"}, "Cannot find resource with name queue.none"),
        ("", "", {"OperationName": "pause"}, "Cannot find resource"),
        ("divert.x", "", {"OperationName": "pause"}, "Cannot find resource"),
        (f"queue.{name}", "", {"Attribute": "odd"}, "no getter method for odd"),
        (f"queue.{name}", "", {"OperationName": "odd"}, "no operation odd/0"),
        (f"queue.{name}", "[1]", {"OperationName": "removeMessages"}, "no operation removeMessages/1"),
        (f"queue.{name}", '["a ="]', {"OperationName": "removeMessages"}, "a ="),
        (f"queue.{name}", "{", {"OperationName": "pause"}, "no JSON"),
        (f"queue.{name}", "{}", {"OperationName": "pause"}, "must be a JSON array"),
        ("broker", '["{"]', {"OperationName": "createQueue"}, "configuration"),
        ("broker", f'["{name}","{name}","ODD"]', {"OperationName": "createQueue"}, "ODD"),
        ("broker", f'["{name}","{name}","ANYCAST"]', {"OperationName": "createQueue"}, "already exists"),
        ("broker", '["none"]', {"OperationName": "destroyQueue"}, "does not exist"),
    ]
    for resource, body, headers, words in asked:
        assert words in manager.fails(resource, body, **headers)


@pytest.mark.row("A86")
@pytest.mark.parametrize("destination", ["/queue/{}", "topic://{}", "jms.queue.{}", "{}"])
def test_order_is_never_delivered_and_its_receipt_comes_when_it_is_done(
    artemis: Broker, connected: Callable[..., Talking], name: str, destination: str
) -> None:
    """A86: without a `reply-to` there is no reply."""
    client = connected(to=artemis)
    made = {"destination": destination.format(MANAGEMENT), "_AMQ_ResourceName": "broker"}
    body = json.dumps([name, name, "ANYCAST"])
    client.say("SEND", made | {"_AMQ_OperationName": "createQueue", "receipt": "1"}, body)
    client.say("SEND", {"destination": f"/queue/{name}", "receipt": "2"}, "x")
    assert [client.read().headers["receipt-id"] for _ in range(2)] == ["1", "2"]
    assert artemis.queue(name).ready == 1
    assert MANAGEMENT not in queues(artemis)


@pytest.mark.row("A86", "A45")
def test_who_may_manage_has_the_tag_for_it(
    artemis: Broker, connected: Callable[..., Talking], name: str
) -> None:
    reader = Manager(connected(to=artemis, login="reader", passcode="reader"), "/temp-queue/r")
    assert reader.get("broker", "active") is True
    order = {"destination": MANAGEMENT, "_AMQ_ResourceName": "broker"}
    for user in ("reader", "plain"):
        client = connected(to=artemis, login=user, passcode=user)
        operation = (
            {"_AMQ_OperationName": "createQueue"} if user == "reader" else {"_AMQ_Attribute": "active"}
        )
        client.say("SEND", order | operation, json.dumps([name, name, "ANYCAST"]))
        assert "may not manage the broker" in client.error().body.decode()
    assert name not in queues(artemis)


@pytest.mark.row("A86", "A5")
def test_order_is_no_part_of_a_transaction(artemis: Broker, connected: Callable[..., Talking]) -> None:
    client = connected(to=artemis)
    client.done("BEGIN", {"transaction": "t"})
    client.say("SEND", {"destination": MANAGEMENT, "transaction": "t"})
    assert "cannot be undone" in client.read().body.decode()


@pytest.mark.row("A86")
def test_client_that_goes_meanwhile_disturbs_nobody(
    artemis: Broker, manager: Manager, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=artemis)
    order = {"destination": MANAGEMENT, "_AMQ_ResourceName": "broker", "reply-to": f"/queue/{name}"}
    client.say("SEND", order | {"_AMQ_Attribute": "addressNames", "receipt": "1"})
    client.socket.close()
    assert manager.get("broker", "started") is True


@pytest.mark.row("A86")
def test_elsewhere_that_address_is_a_queue_like_any_other(
    activemq: Broker, connected: Callable[..., Talking]
) -> None:
    client = connected(to=activemq)
    client.done("SEND", {"destination": f"/queue/{MANAGEMENT}"}, "x")
    assert activemq.queue(MANAGEMENT).ready == 1


@pytest.mark.row("A86", "A40")
def test_orders_need_no_room(connected: Callable[..., Talking], name: str) -> None:
    """A86: where queues have a limit, too, for which every destination is looked at before."""
    options = {"stomp_port": 0, "profile": "activemq:artemis", "stomp_destination_limit": 1000}
    with Broker(**options) as broker:
        manager = Manager(connected(to=broker), f"/queue/{name}")
        assert manager.get("broker", "started") is True
        assert MANAGEMENT not in queues(broker)


@pytest.mark.row("A86")
def test_stomp_py_manages(artemis: Broker, name: str) -> None:
    """A86: as somebody does it who has no Java."""
    got: list[tuple[str, str]] = []

    class Listener(stomp.ConnectionListener):  # type: ignore[misc]
        def on_message(self, frame: stomp.utils.Frame) -> None:
            got.append((frame.headers["_AMQ_OperationSucceeded"], frame.body))

    client = stomp.Connection12([artemis.stomp_address])
    client.set_listener("", Listener())
    client.connect("guest", "guest", wait=True)
    client.subscribe(f"/queue/{name}", "r")
    waiting = stomp.listener.WaitingListener("done")
    client.set_listener("waiting", waiting)
    client.send(
        MANAGEMENT,
        "",
        headers={"_AMQ_ResourceName": "broker", "_AMQ_Attribute": "started", "reply-to": f"/queue/{name}"},
        receipt="done",
    )
    waiting.wait_on_receipt()
    client.disconnect()
    assert got == [("true", "[true]")]


# --- notifications -----------------------------------------------------------------------------------------


def heard(client: Talking, count: int) -> list[dict[str, str]]:
    return [client.message().headers for _ in range(count)]


@pytest.fixture
def listener(artemis: Broker, connected: Callable[..., Talking]) -> Talking:
    """Whoever listens, and has heard of itself: of its queue, which is bound, and of its consumer."""
    client = connected(to=artemis)
    client.say("SUBSCRIBE", {"id": "n", "destination": NOTIFICATIONS})
    kinds = [each["_AMQ_NotifType"] for each in heard(client, 2)]
    assert kinds == ["BINDING_ADDED", "CONSUMER_CREATED"]
    return client


@pytest.mark.row("A86")
def test_queues_and_consumers_are_told_of(
    artemis: Broker, listener: Talking, connected: Callable[..., Talking], name: str
) -> None:
    other = connected(to=artemis, client_id="me")
    other.done("SEND", {"destination": f"/queue/{name}"}, "x")
    other.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "selector": "a = 1"})
    other.done("UNSUBSCRIBE", {"id": "s"})
    other.done("DISCONNECT")
    other.socket.close()
    told = heard(listener, 5)
    if told[1]["_AMQ_RoutingName"] == "DLQ":
        del told[1]
        told += heard(listener, 1)
    kinds = [each["_AMQ_NotifType"] for each in told]
    assert kinds == [
        "SESSION_CREATED",
        "BINDING_ADDED",
        "CONSUMER_CREATED",
        "CONSUMER_CLOSED",
        "SESSION_CLOSED",
    ]
    session, binding, created, closed, gone = told
    assert (session["_AMQ_User"], session["_AMQ_Client_ID"]) == ("guest", "me")
    assert session["_AMQ_Protocol_Name"] == "STOMP"
    assert session["_AMQ_SessionName"] == gone["_AMQ_SessionName"] == created["_AMQ_SessionName"]
    assert (binding["_AMQ_Address"], binding["_AMQ_RoutingName"]) == (name, name)
    assert (binding["_AMQ_Binding_Type"], binding["_AMQ_Distance"]) == ("0", "0")
    assert (created["_AMQ_Address"], created["_AMQ_ConsumerCount"]) == (name, "1")
    assert (created["_AMQ_FilterString"], created["_AMQ_User"]) == ("a = 1", "guest")
    assert created["_AMQ_RemoteAddress"].startswith("127.0.0.1:")
    assert closed["_AMQ_ConsumerCount"] == "0"
    assert all(int(each["_AMQ_NotifTimestamp"]) > 1_600_000_000_000 for each in told)
    artemis.call(
        lambda server: server.core.vhosts["/"].delete_queue(None, name, if_unused=False, if_empty=False)
    )
    (removed,) = heard(listener, 1)
    assert (removed["_AMQ_NotifType"], removed["_AMQ_Address"]) == ("BINDING_REMOVED", name)


@pytest.mark.row("A86")
def test_subscription_is_bound_at_the_address_of_its_topic(
    artemis: Broker, listener: Talking, connected: Callable[..., Talking], name: str
) -> None:
    other = connected(to=artemis)
    other.done("SUBSCRIBE", {"id": "s", "destination": f"topic://{name}"})
    other.done("UNSUBSCRIBE", {"id": "s"})
    told = heard(listener, 5)
    assert [(each["_AMQ_NotifType"], each["_AMQ_Address"]) for each in told] == [
        ("SESSION_CREATED", NOTIFICATIONS),
        ("BINDING_ADDED", name),
        ("CONSUMER_CREATED", name),
        ("CONSUMER_CLOSED", name),
        ("BINDING_REMOVED", name),
    ]
    assert told[1]["_AMQ_RoutingName"] == told[4]["_AMQ_RoutingName"] != name


@pytest.mark.row("A86")
def test_login_that_is_refused_is_told_of(artemis: Broker, listener: Talking) -> None:
    with Talking(artemis.stomp_address) as stranger:
        stranger.connect(login="mallory")
    (told,) = heard(listener, 1)
    assert told["_AMQ_NotifType"] == "SECURITY_AUTHENTICATION_VIOLATION"
    assert (told["_AMQ_User"], told["_AMQ_CertSubjectDN"]) == ("mallory", "unavailable")


@pytest.mark.row("A86")
def test_slow_consumer_is_told_of(connected: Callable[..., Talking], name: str) -> None:
    policies = {"stomp_slow_consumer": "warn", "stomp_slow_after_s": 5}
    with Broker(profile="activemq:artemis", stomp_port=0, clock=ManualClock(), **policies) as broker:
        listener, reader, sender = (connected(to=broker) for _ in range(3))
        listener.done(
            "SUBSCRIBE",
            {"id": "n", "destination": NOTIFICATIONS, "selector": "_AMQ_NotifType = 'CONSUMER_SLOW'"},
        )
        reader.done(
            "SUBSCRIBE", {"id": "s", "destination": name, "ack": "client", "consumer-window-size": "0"}
        )
        for number in range(2):
            sender.done("SEND", {"destination": name}, str(number))
        reader.message()
        for _ in range(4):
            broker.advance("3s")
        (told,) = heard(listener, 1)
        assert (told["_AMQ_NotifType"], told["_AMQ_Address"]) == ("CONSUMER_SLOW", name)


@pytest.mark.row("A86")
def test_clients_of_other_protocols_are_told_of_and_hear_it(
    artemis: Broker, listener: Talking, name: str
) -> None:
    """A86: a selector chooses, as with Artemis."""
    with pika.BlockingConnection(pika.URLParameters(artemis.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(f"{name}-n", durable=True)
        channel.queue_bind(f"{name}-n", "amq.topic", NOTIFICATIONS)
        channel.queue_declare(name)
        while True:
            method, properties, _ = channel.basic_get(f"{name}-n", auto_ack=True)
            if method is not None and properties.headers["_AMQ_RoutingName"] == name:
                break
        assert properties.headers["_AMQ_NotifType"] == "BINDING_ADDED"
        assert properties.headers["_AMQ_Distance"] == 0
        assert properties.delivery_mode == 2
    kinds = [listener.message().headers["_AMQ_NotifType"] for _ in range(3)]
    assert kinds[0] == "SESSION_CREATED"
