"""Operations of Artemis' beans: what people do to queues, addresses and connections over Jolokia (A81)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from bench.peers import await_true
from pillarbox import Broker
from pillarbox.ops.activemq.names import parse
from tests.activemq_http.test_artemis import DOMAIN, HOST, queue
from tests.messaging.scene import TIMEOUT_S, Stomp

pytestmark = pytest.mark.row("A81")
SERVER = f'{DOMAIN}:broker="0.0.0.0"'
TEXT, MAP, LONG = "java.lang.String", "java.util.Map", "long"


class Jolokia:
    """Somebody who calls operations."""

    def __init__(self, broker: Broker) -> None:
        self._port = broker.call(lambda server: server.operator_addresses["activemq-http"][0][1])

    def ask(self, request: dict[str, Any], user: str = "guest") -> dict[str, Any]:
        connection = HTTPConnection(HOST, self._port, timeout=60)
        known = {"Authorization": "Basic " + b64encode(f"{user}:{user}".encode()).decode()}
        connection.request("POST", "/console/jolokia/", json.dumps(request), known)
        answer = connection.getresponse()
        assert answer.status == 200
        found: dict[str, Any] = json.loads(answer.read())
        connection.close()
        return found

    def call(self, bean: str, operation: str, *arguments: Any) -> Any:
        found = self.ask({"type": "exec", "mbean": bean, "operation": operation, "arguments": arguments})
        assert found["status"] == 200, found
        return found["value"]

    def fault(self, bean: str, operation: str, *arguments: Any) -> str:
        found = self.ask({"type": "exec", "mbean": bean, "operation": operation, "arguments": arguments})
        assert found["status"] in (400, 500), found
        return str(found["error"])

    def read(self, bean: str, attribute: str) -> Any:
        return self.ask({"type": "read", "mbean": bean, "attribute": attribute}).get("value")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(stomp_port=0, activemq_http_port=0, profile="activemq:artemis") as running:
        yield running


@pytest.fixture
def jolokia(broker: Broker) -> Jolokia:
    return Jolokia(broker)


@pytest.fixture
def client(broker: Broker) -> Iterator[Stomp]:
    one = Stomp(broker)
    yield one
    one.connection.transport.disconnect_socket()


def fill(client: Stomp, name: str = "orders", count: int = 4) -> None:
    for number in range(count):
        said = {"persistent": "true", "n": str(number), "colour": ("blue", "red")[number % 2]}
        client.send(f"/queue/{name}", f"m{number}", **said)


ORDERS = queue("orders")


def bodies(jolokia: Jolokia, name: str = "orders") -> list[str]:
    return [each["text"] for each in jolokia.call(queue(name), "browse()")]


# --- looking -----------------------------------------------------------------------------------------------


def test_messages_are_listed_and_stay_as_they_are(jolokia: Jolokia, client: Stomp) -> None:
    fill(client, count=3)
    (first, *_) = listed = jolokia.call(ORDERS, f"listMessages({TEXT})", "")
    assert [each["n"] for each in listed] == ["0", "1", "2"]
    assert {name: first[name] for name in ("address", "durable", "priority", "expiration")} == {
        "address": "orders",
        "durable": True,
        "priority": 4,
        "expiration": 0,
    }
    assert json.loads(jolokia.call(ORDERS, "listMessagesAsJSON", None)) == listed
    (shown, *_) = jolokia.call(ORDERS, "browse()")
    assert (shown["text"], shown["type"], shown["StringProperties"]["n"]) == ("m0", 3, "0")
    assert (shown["messageID"], shown["redelivered"]) == (str(first["messageID"]), False)
    assert json.loads(jolokia.call(ORDERS, "peekFirstMessageAsJSON"))["n"] == "0"
    client.subscribe("/queue/orders")
    assert [frame.headers.get("redelivered", "false") for frame in client.got(3)] == ["false"] * 3
    assert jolokia.call(ORDERS, "peekFirstMessageAsJSON") is None


def test_pages_of_messages(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    pages = f"browse(int,int,{TEXT})"
    assert [each["text"] for each in jolokia.call(ORDERS, "browse(int,int)", 2, 3)] == ["m3"]
    assert [each["text"] for each in jolokia.call(ORDERS, pages, 2, 1, "n <> '0'")] == ["m2"]
    assert "pages begin at 1" in jolokia.fault(ORDERS, "browse(int,int)", 0, 10)
    assert "pages begin at 1" in jolokia.fault(ORDERS, "browse(int,int)", 1, 100_000)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 4),
        (None, 4),
        ("n = '2'", 1),
        ("AMQPriority = 4 AND AMQDurable = 'DURABLE'", 4),
        ("AMQDurable = 'NON_DURABLE'", 0),
        ("AMQSize = 2 AND JMSPriority = 4", 4),
        ("AMQTimestamp > 1000 AND AMQExpiration = 0", 4),
    ],
)
def test_messages_are_counted_by_filters(
    jolokia: Jolokia, client: Stomp, text: str | None, count: int
) -> None:
    fill(client)
    assert jolokia.call(ORDERS, f"countMessages({TEXT})", text) == count
    assert jolokia.call(ORDERS, "countMessages()") == 4


def test_messages_are_counted_by_a_property(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    by = f"countMessages({TEXT},{TEXT})"
    assert json.loads(jolokia.call(ORDERS, by, "n <> '0'", "colour")) == {"red": 2, "blue": 1}
    assert json.loads(jolokia.call(ORDERS, by, None, "none")) == {"null": 4}


# --- removing, moving --------------------------------------------------------------------------------------


def test_one_message_is_meant_by_its_number(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    jolokia.call(SERVER, "createAddress", "other", "ANYCAST")
    numbers = [each["messageID"] for each in jolokia.call(ORDERS, "browse()")]
    assert jolokia.call(ORDERS, "removeMessage", int(numbers[1])) is True
    assert jolokia.call(ORDERS, "removeMessage", int(numbers[1])) is False
    assert jolokia.call(ORDERS, f"moveMessage(long,{TEXT})", int(numbers[2]), "other") is True
    assert jolokia.call(ORDERS, "copyMessage", numbers[3], "other") is True
    assert (bodies(jolokia), bodies(jolokia, "other")) == (["m0", "m3"], ["m2", "m3"])
    assert [each["messageID"] for each in jolokia.call(ORDERS, "browse()")] == [numbers[0], numbers[3]]


def test_messages_are_removed_by_filters(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    assert jolokia.call(ORDERS, f"removeMessages({TEXT})", "n > '2'") == 1
    assert jolokia.call(ORDERS, f"removeMessages(int,{TEXT})", 500, "n = '0'") == 1
    assert bodies(jolokia) == ["m1", "m2"]
    assert jolokia.call(ORDERS, "removeAllMessages") == 2
    fill(client)
    assert jolokia.call(ORDERS, f"removeMessages({TEXT})", None) == 4


def test_messages_are_moved_by_filters(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    fill(client, "other", 1)
    assert jolokia.call(ORDERS, f"moveMessages({TEXT},{TEXT})", "n = '3'", "other") == 1
    in_steps = f"moveMessages(int,{TEXT},{TEXT},boolean,int)"
    assert jolokia.call(ORDERS, in_steps, 100, None, "other", False, 2) == 2
    assert (bodies(jolokia), bodies(jolokia, "other")) == (["m2"], ["m0", "m3", "m0", "m1"])
    fault = jolokia.fault(ORDERS, f"moveMessages({TEXT},{TEXT})", "", "nowhere")
    assert "AMQ229017: Queue nowhere does not exist" in fault
    assert bodies(jolokia) == ["m2"]


# --- dying, and back ---------------------------------------------------------------------------------------


def test_messages_die_and_come_back(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    assert jolokia.call(ORDERS, "sendMessagesToDeadLetterAddress", "n = '1'") == 1
    number = jolokia.call(ORDERS, "browse()")[0]["messageID"]
    assert jolokia.call(ORDERS, "sendMessageToDeadLetterAddress", int(number)) is True
    assert (bodies(jolokia), bodies(jolokia, "DLQ")) == (["m2", "m3"], ["m1", "m0"])
    assert jolokia.read(ORDERS, "MessagesKilled") == 2
    assert jolokia.call(queue("DLQ"), f"retryMessages({TEXT})", "n = '1'") == 1
    assert jolokia.call(queue("DLQ"), "retryMessages()") == 1
    assert (bodies(jolokia), bodies(jolokia, "DLQ")) == (["m2", "m3", "m1", "m0"], [])


def test_messages_are_made_to_expire(jolokia: Jolokia, client: Stomp) -> None:
    """With Artemis' dialect what expires is a dead letter as well."""
    fill(client)
    assert jolokia.call(ORDERS, "expireMessages", "n > '1'") == 2
    number = jolokia.call(ORDERS, "browse()")[0]["messageID"]
    assert jolokia.call(ORDERS, "expireMessage", int(number)) is True
    assert bodies(jolokia) == ["m1"]
    assert (jolokia.read(ORDERS, "MessagesExpired"), jolokia.read(ORDERS, "MessagesKilled")) == (3, 0)
    assert bodies(jolokia, "DLQ") == ["m2", "m3", "m0"]


def test_what_would_come_back_to_its_queue_dies_all_the_same(jolokia: Jolokia, client: Stomp) -> None:
    client.send("/queue/patient", "m", persistent="true", **{"x-redelivery-delay": "600000"})
    assert jolokia.call(queue("patient"), "sendMessagesToDeadLetterAddress", None) == 1
    assert bodies(jolokia, "DLQ") == ["m"]


def test_without_a_place_for_the_dead_nothing_is_lost(
    broker: Broker, jolokia: Jolokia, client: Stomp
) -> None:
    broker.call(lambda server: server.core.vhosts["/"].declare_queue(None, "bare"))
    fill(client, "bare", 1)
    assert "no dead-letter address" in jolokia.fault(queue("bare"), "sendMessagesToDeadLetterAddress", "")
    assert bodies(jolokia, "bare") == ["m0"]


# --- sending, pausing --------------------------------------------------------------------------------------

SEND = f"sendMessage({MAP},int,{TEXT},boolean,{TEXT},{TEXT})"


def test_messages_are_sent_to_queues_and_addresses(jolokia: Jolokia, client: Stomp) -> None:
    jolokia.call(SERVER, f"createQueue({TEXT},{TEXT},{TEXT})", "orders", "orders", "ANYCAST")
    assert jolokia.call(ORDERS, SEND, {"n": 1, "JMSCorrelationID": "c"}, 3, "hello", False, "u", "p")
    raw = b64encode(b"\xff\x00").decode()
    assert jolokia.call(ORDERS, f"{SEND[:-1]},boolean)", None, 4, raw, True, None, None, True)
    text, data = jolokia.call(ORDERS, "browse()")
    assert (text["text"], text["durable"], text["StringProperties"]) == (
        "hello",
        False,
        {"JMSCorrelationID": "c", "n": "1"},
    )
    assert (data["type"], data["BodyPreview"], data["durable"]) == (4, [-1, 0], True)
    assert "Base64" in jolokia.fault(ORDERS, SEND, {}, 4, "no base64!", True, "", "")
    client.subscribe("/topic/news")
    address = f'{SERVER},component=addresses,address="news"'
    assert jolokia.call(address, SEND, {"n": "2"}, 3, "to all", True, "", "")
    assert client.got(1)[0].body == "to all"


def test_queues_and_addresses_are_paused(jolokia: Jolokia, client: Stomp) -> None:
    fill(client, count=1)
    jolokia.call(ORDERS, "pause()")
    client.subscribe("/queue/orders")
    assert (jolokia.read(ORDERS, "Paused"), client.listener.messages) == (True, [])
    jolokia.call(ORDERS, "resume()")
    client.got(1)
    address = f'{SERVER},component=addresses,address="orders"'
    jolokia.call(address, "pause()")
    assert jolokia.read(ORDERS, "Paused") is True
    jolokia.call(address, "resume()")
    assert "cannot be kept" in jolokia.fault(ORDERS, "pause(boolean)", True)
    jolokia.call(ORDERS, "pause(boolean)", False)
    fill(client, count=2)
    assert jolokia.call(address, "purge") == 2


# --- queues and addresses ----------------------------------------------------------------------------------


def test_queues_are_made_and_destroyed(jolokia: Jolokia, client: Stomp) -> None:
    create = f"createQueue({TEXT},{TEXT},boolean,{TEXT})"
    jolokia.call(SERVER, create, "orders", "orders", True, "ANYCAST")
    jolokia.call(SERVER, f"createQueue({TEXT},{TEXT})", "news", "all.news")
    client.send("/topic/news", "one")
    assert jolokia.read(queue("all.news", "news", "multicast"), "MessageCount") == 1
    assert "AMQ229019: Queue orders already exists on address orders" in jolokia.fault(
        SERVER, create, "orders", "orders", True, "ANYCAST"
    )
    assert jolokia.call(SERVER, "getQueueNames", "MULTICAST") == ["all.news"]
    client.subscribe("/queue/orders")
    assert "it has consumers = 1" in jolokia.fault(SERVER, f"destroyQueue({TEXT})", "orders")
    jolokia.call(SERVER, f"destroyQueue({TEXT},boolean)", "orders", True)
    jolokia.call(SERVER, f"destroyQueue({TEXT},boolean,boolean)", "all.news", False, True)
    assert jolokia.read(SERVER, "QueueNames") == ["DLQ"]
    assert "AMQ229017: Queue orders does not exist" in jolokia.fault(
        SERVER, f"destroyQueue({TEXT})", "orders"
    )


def test_queues_are_made_by_their_configuration(broker: Broker, jolokia: Jolokia) -> None:
    by_json = f"createQueue({TEXT})"
    config = {"name": "q", "routing-type": "ANYCAST", "ring-size": 5, "exclusive": True, "max-consumers": -1}
    told = json.loads(jolokia.call(SERVER, by_json, json.dumps(config)))
    assert (told["address"], told["durable"], told["routing-type"]) == ("q", True, "ANYCAST")
    arguments = broker.call(lambda server: dict(server.core.vhosts["/"].queues["q"].arguments))
    assert (arguments["x-max-length"], arguments["x-single-active-consumer"]) == (5, True)
    jolokia.call(SERVER, f"createQueue({TEXT},boolean)", json.dumps(config), True)
    assert "already exists" in jolokia.fault(SERVER, by_json, json.dumps(config))


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ("{", "failed to parse"),
        ("[1]", "failed to parse"),
        ({}, "has to have a name"),
        ({"name": "n", "routing-type": "UNICAST"}, "Invalid routing type"),
        ({"name": "n", "last-value": True}, "'last-value' of a queue can only be false"),
        ({"name": "n", "filter-string": "a = 1"}, "'filter-string'"),
        ({"name": "n", "colour": "red"}, "'colour' is nothing"),
        ({"name": "n", "ring-size": "many"}, "Cannot convert many"),
        ({"name": "n", "address": "a", "routing-type": "ANYCAST"}, "one queue here, of its own name"),
        ({"name": "amq.x"}, "reserved"),
    ],
)
def test_queue_that_cannot_be_is_not_made(jolokia: Jolokia, config: Any, fault: str) -> None:
    text = config if isinstance(config, str) else json.dumps(config)
    assert fault in jolokia.fault(SERVER, f"createQueue({TEXT})", text)
    assert set(jolokia.read(SERVER, "QueueNames")) <= {"DLQ"}


def test_addresses_are_made_and_deleted(jolokia: Jolokia, client: Stomp) -> None:
    told = jolokia.call(SERVER, "createAddress", "orders", "ANYCAST")
    assert told.startswith("Address [name=orders, routingTypes={ANYCAST}")
    assert jolokia.call(SERVER, "getAddressInfo", "orders") == told
    assert "AMQ229204: Address already exists: orders" in jolokia.fault(
        SERVER, "createAddress", "orders", "ANYCAST,MULTICAST"
    )
    assert "queue=orders" in jolokia.call(SERVER, "listBindingsForAddress", "orders")
    client.subscribe("/topic/news")
    assert jolokia.call(SERVER, f"listAddresses({TEXT})", "|") == "DLQ|news|orders"
    assert "AMQ229205: Address orders has bindings" in jolokia.fault(
        SERVER, f"deleteAddress({TEXT})", "orders"
    )
    jolokia.call(SERVER, f"deleteAddress({TEXT},boolean)", "orders", True)
    assert "AMQ229203: Address Does Not Exist: orders" in jolokia.fault(
        SERVER, f"deleteAddress({TEXT},boolean)", "orders", True
    )


def test_queues_and_addresses_are_listed_in_pages(jolokia: Jolokia, client: Stomp) -> None:
    """As Artemis' console asks for them."""
    for name, count in (("a1", 1), ("a2", 3), ("b1", 2)):
        fill(client, name, count)
    lists = f"listQueues({TEXT},int,int)"

    def names(found: str) -> list[str]:
        return [each["name"] for each in json.loads(found)["data"]]

    wanted = json.dumps({"field": "name", "operation": "CONTAINS", "value": "a", "sortOrder": "asc"})
    found = jolokia.call(SERVER, lists, wanted, 1, 1)
    assert (names(found), json.loads(found)["count"]) == (["a1"], 2)
    shown = json.loads(found)["data"][0]
    assert (shown["messageCount"], shown["durable"], shown["routingType"]) == ("1", "true", "ANYCAST")
    fuller = {"field": "messageCount", "operation": "GREATER_THAN", "value": "1"}
    by_size = json.dumps(fuller | {"sortField": "messageCount", "sortOrder": "desc"})
    assert names(jolokia.call(SERVER, lists, by_size, -1, -1)) == ["a2", "b1"]
    assert names(jolokia.call(SERVER, lists, "", 2, 2)) == ["a2", "b1"]
    assert names(jolokia.call(SERVER, f"listAddresses({TEXT},int,int)", None, 1, 2)) == ["DLQ", "a1"]
    for bad in ("{", "[]", '{"field":"x","operation":"EQUALS"}', '{"field":"name","operation":"LIKE"}'):
        assert jolokia.fault(SERVER, lists, bad, 1, 10)


# --- connections -------------------------------------------------------------------------------------------


def test_connections_are_told_and_closed(broker: Broker, jolokia: Jolokia, client: Stomp) -> None:
    client.subscribe("/queue/orders", ack="client-individual")
    fill(client, count=2)
    client.got(2)
    (identity,) = jolokia.call(SERVER, "listConnectionIDs")
    (told,) = json.loads(jolokia.call(SERVER, "listConnectionsAsJSON"))
    assert (told["connectionID"], told["user"]) == (identity, "guest")
    (consumer,) = json.loads(jolokia.call(ORDERS, "listConsumersAsJSON"))
    assert (consumer["connectionID"], consumer["deliveringCount"]) == (identity, 2)
    assert json.loads(jolokia.call(SERVER, "listAllConsumersAsJSON")) == [consumer]
    assert json.loads(jolokia.call(SERVER, f"listConsumersAsJSON({TEXT})", "none")) == []
    assert jolokia.call(SERVER, "listRemoteAddresses()") == [told["clientAddress"]]
    assert jolokia.call(SERVER, "closeConsumerConnectionsForAddress", "none") is False
    assert jolokia.call(SERVER, "closeConnectionsForUser", "nobody") is False
    assert jolokia.call(SERVER, "closeConsumerConnectionsForAddress", "orders") is True
    await_true(lambda: jolokia.call(SERVER, "listConnectionIDs") == [], TIMEOUT_S, "the end")
    with_id = Stomp(broker)
    (identity,) = jolokia.call(SERVER, "listConnectionIDs")
    assert jolokia.call(SERVER, "closeConnectionWithID", identity) is True
    with_id.connection.transport.disconnect_socket()


# --- who may, and what is wrong ----------------------------------------------------------------------------


def test_operations_are_for_administrators(broker: Broker, jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    broker.call(lambda server: server.core.add_user("watcher", "watcher", ("monitoring",)))
    request = {"type": "exec", "mbean": ORDERS, "operation": "removeAllMessages", "arguments": []}
    assert jolokia.ask(request, "watcher")["status"] == 403
    assert jolokia.read(ORDERS, "MessageCount") == 4


def test_nonsense_is_told(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    assert "AMQ229020: Invalid filter: n =" in jolokia.fault(ORDERS, f"removeMessages({TEXT})", "n =")
    assert "is overloaded" in jolokia.fault(ORDERS, "countMessages", "")
    assert "No operation" in jolokia.fault(ORDERS, "explode")
    assert "Cannot convert" in jolokia.fault(ORDERS, f"moveMessages({TEXT},{TEXT})", 5, "orders")
    assert "Invalid number" in jolokia.fault(ORDERS, "removeAllMessages", 1)
    assert jolokia.call(ORDERS, "removeMessage", "no number") is False
    assert "Cannot convert" in jolokia.fault(ORDERS, SEND, {}, "text", "x", True, "", "")
    assert bodies(jolokia) == ["m0", "m1", "m2", "m3"]


def test_operations_are_listed(jolokia: Jolokia, client: Stomp) -> None:
    fill(client)
    listed = jolokia.ask({"type": "list", "path": DOMAIN})["value"]
    ops = listed[parse(ORDERS).canonical.partition(":")[2]]["op"]
    assert len(ops["browse"]) == 4
    assert [each["type"] for each in ops["removeMessage"]["args"]] == [LONG]
    assert "createQueue" in listed[SERVER.partition(":")[2]]["op"]
