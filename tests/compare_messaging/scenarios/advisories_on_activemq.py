"""What ActiveMQ tells on its advisory topics, as a STOMP client sees it (A38).

Left out are ids, addresses, and the connection that made a queue or a topic which lasts longer.
"""

from __future__ import annotations

import json
import time
from typing import Any
from xml.etree import ElementTree

from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq"
PEER = "activemq"

TOPIC = "/topic/ActiveMQ.Advisory."
EVERY_HEADER = ("destination", "subscription", "type", "transformation", "priority", "expires", "timestamp")


class Watcher(Client):
    """A client that subscribes to advisories and reads their bodies."""

    def watch(self, topic: str, name: str = "w", **headers: str) -> None:
        self.subscribe(TOPIC + topic, name, **headers)

    def next(self, wanted: str) -> tuple[dict[str, str], str, dict[str, Any]]:
        """The next advisory in which this word is: its headers, the name of its structure, what that has."""
        while True:
            headers, body = self.message()
            if wanted in body or wanted in headers["destination"]:
                ((kind, told),) = json.loads(body).items()
                return headers, kind, told


def fields(told: dict[str, Any]) -> list[str]:
    return sorted(set(told) - {"connectionId"})


@scenario("A38")
def connections(case: Case) -> None:
    watcher = Watcher(case)
    watcher.watch("Connection")
    _, kind, told = watcher.next("ConnectionInfo")
    case.saw("itself", kind, told["userName"], told["password"])
    who = case.name("me")
    client = Client(case, **{"client-id": who})
    headers, kind, told = watcher.next(who)
    case.saw("came", kind, told["clientId"], told["userName"], sorted(told), sorted(told["connectionId"]))
    case.saw("headers", [each for each in EVERY_HEADER if each not in headers], headers["type"])
    case.saw("of the broker", sorted(name for name in headers if name.startswith("origin")))
    case.saw("as", headers["transformation"], headers["priority"], headers["destination"])
    client.leave()
    _, kind, gone = watcher.next(told["connectionId"]["value"])
    case.saw("went", kind, gone["objectId"]["@class"], gone["lastDeliveredSequenceId"], sorted(gone))
    watcher.leave()


@scenario("A38")
def queues(case: Case) -> None:
    name = case.name("q")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("Queue")
    client.subscribe(f"/queue/{name}-a")
    for end in "ab":
        client.send(f"/queue/{name}-{end}")
    for _ in range(2):
        _, kind, told = watcher.next(name)
        case.saw("made", kind, told["destination"], told["operationType"], told["timeout"], fields(told))
    client.leave()
    watcher.leave()


@scenario("A38")
def topics(case: Case) -> None:
    name = case.name("t")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("Topic")
    client.subscribe(f"/topic/{name}.a")
    client.send(f"/topic/{name}.b")
    client.subscribe(f"/topic/{name}.c.*", "wild")
    for _ in range(3):
        _, kind, told = watcher.next(name)
        case.saw("made", kind, told["destination"], told["operationType"], fields(told))
    client.leave()
    watcher.leave()


@scenario("A38")
def temporary_destinations(case: Case) -> None:
    watcher, client = Watcher(case), Client(case)
    watcher.watch("TempQueue", "q")
    watcher.watch("TempTopic", "t")
    client.subscribe("/temp-queue/a", "1")
    client.subscribe("/temp-topic/a", "2")
    found = {}
    for _ in range(2):
        headers, kind, told = watcher.next("DestinationInfo")
        found[told["destination"]["string"]] = headers["subscription"]
        case.saw("made", headers["destination"], kind, told["destination"]["@class"], told["operationType"])
        case.saw("whose", sorted(told.get("connectionId", {})))
    client.leave()
    gone = [watcher.next("DestinationInfo") for _ in range(2)]
    case.saw("gone", sorted((told["destination"]["@class"], told["operationType"]) for _, _, told in gone))
    case.saw("the same", {told["destination"]["string"] for _, _, told in gone} == set(found))
    watcher.leave()


@scenario("A38")
def consumers_of_queues(case: Case) -> None:
    name = case.name("c")
    watcher, client = Watcher(case), Client(case)
    watcher.watch(f"Consumer.Queue.{name}")
    client.subscribe(f"/queue/{name}", "1")
    headers, kind, told = watcher.next(name)
    case.saw("plain", kind, headers["consumerCount"], told["destination"], sorted(told))
    shown = ("prefetchSize", "browser", "exclusive", "priority", "noLocal", "retroactive", "dispatchAsync")
    case.saw("says", [told[each] for each in shown], sorted(told["consumerId"]))
    said = {"activemq.prefetchSize": "7", "activemq.priority": "3", "activemq.exclusive": "true"}
    client.subscribe(f"/queue/{name}", "2", selector="n > 3", **said)
    headers, _, second = watcher.next(name)
    case.saw("more", headers["consumerCount"], second["selector"], [second[each] for each in shown])
    for number, consumer in (("1", told), ("2", second)):
        client.connection.unsubscribe(number)
        headers, kind, gone = watcher.next(name)
        case.saw("gone", kind, headers["consumerCount"], gone["objectId"]["@class"])
        gone["objectId"].pop("@class")
        case.saw("the same", gone["objectId"] == consumer["consumerId"])
    client.leave()
    watcher.leave()


@scenario("A38")
def consumers_of_topics(case: Case) -> None:
    name = case.name("t")
    watcher, client = Watcher(case), Client(case, **{"client-id": case.name("me")})
    watcher.watch("Consumer.Topic.>")
    client.subscribe(f"/topic/{name}", "1")
    client.subscribe(f"/topic/{name}", "2")
    for _ in range(2):
        headers, kind, told = watcher.next(name)
        case.saw("came", kind, headers["destination"], headers["consumerCount"], told["destination"])
    case.saw("says", told["prefetchSize"], sorted(told))
    client.subscribe(f"/topic/{name}.*", "3")
    headers, kind, told = watcher.next(name)
    case.saw("pattern", headers["destination"], headers["consumerCount"], told["destination"])
    client.connection.unsubscribe("2")
    headers, kind, told = watcher.next(name)
    case.saw("gone", kind, headers["destination"], headers["consumerCount"])
    client.leave()
    watcher.leave()


@scenario("A38")
def what_was_there_before(case: Case) -> None:
    name = case.name("b")
    client = Client(case)
    client.subscribe(f"/queue/{name}", "1")
    client.subscribe(f"/topic/{name}", "2")
    client.subscribe("/temp-queue/x", "3")
    watcher = Watcher(case)
    for kind in ("Queue", "Topic", f"Consumer.Queue.{name}", f"Consumer.Topic.{name}", "Consumer.Queue.>"):
        watcher.watch(kind, kind)
        headers, structure, told = watcher.next(name)
        case.saw("was there", structure, headers["destination"], told["destination"]["@class"])
        case.saw("how many", headers.get("consumerCount"), told.get("operationType"))
        watcher.connection.unsubscribe(kind)
    another = Watcher(case)
    another.watch("TempQueue")
    _, structure, told = another.next("ActiveMQTempQueue")
    case.saw("temporary", structure, told["operationType"])
    for each in (client, watcher, another):
        each.leave()


@scenario("A38")
def dead_letters(case: Case) -> None:
    name = case.name("d")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("MessageDLQd.>", "dead")
    watcher.watch("Expired.Queue.>", "expired")
    client.subscribe(f"/queue/{name}", ack="client-individual")
    client.send(f"/queue/{name}", "poison", persistent="true", priority="7")
    headers, _ = client.message()
    client.answer(headers, "nack")
    headers, _, told = watcher.next(name)
    case.saw("refused", headers["destination"], headers["subscription"], told["destination"])
    case.saw("says", told["persistent"], told["priority"], "content" in told)
    moment = str(int(time.time() * 1000) + 300)
    client.send(f"/queue/{name}-old", "old", persistent="true", expires=moment)
    time.sleep(0.5)
    client.subscribe(f"/queue/{name}-old", "2")
    for _ in range(2):
        headers, _, told = watcher.next(f"{name}-old")
        case.saw("expired", headers["destination"], headers["subscription"], told["destination"])
        case.saw("when", str(told["expiration"]) == moment)
    # Others look at the same queue of dead letters.
    client.subscribe("/queue/ActiveMQ.DLQ", "dead")
    client.bodies(2)
    client.leave()
    watcher.leave()


DURABLE = {"activemq.subscriptionName": "n"}


def told_of(watcher: Watcher, client: Client, case: Case, name: str) -> None:
    """What is told of a topic, and which dead letters there are, until something else expires."""
    moment = str(int(time.time() * 1000) + 300)
    client.send(f"/queue/{name}-end", f"{name}-end", persistent="true", expires=moment)
    time.sleep(1)
    client.subscribe(f"/queue/{name}-end", "end")
    told, letters = [], []
    while True:
        headers, _, message = watcher.next(name)
        if f"{name}-end" in headers["destination"]:
            break
        where = message["destination"]
        told.append([headers["destination"], where["@class"], message["persistent"], message["priority"]])
    while (got := client.message())[1] != f"{name}-end":
        if name in got[1]:
            letters.append([got[1], got[0]["original-destination"]])
    case.saw("told", *sorted(told, key=str))
    case.saw("letters", *sorted(letters))


@scenario("A38", "A33")
def dead_letters_of_topics(case: Case) -> None:
    """One of a message that several durable subscriptions have refused, and none that a plain one has."""
    name = case.name("t")
    readers = [Client(case, **{"client-id": case.name(who)}) for who in "ab"]
    watcher, client = Watcher(case), Client(case)
    watcher.watch("MessageDLQd.>", "dead")
    for reader in readers:
        reader.subscribe(f"/topic/{name}", "s", "client-individual", **DURABLE)
    plain = Client(case)
    plain.subscribe(f"/topic/{name}", "plain", "client-individual")
    for persistent in ("true", "false"):
        client.send(f"/topic/{name}", f"{name} {persistent}", persistent=persistent, priority="7")
    for reader in (plain, *readers):
        for _ in range(2):
            reader.answer(reader.message()[0], "nack")
    client.subscribe("/queue/ActiveMQ.DLQ", "letters")
    told_of(watcher, client, case, name)
    for each in (*readers, plain, watcher, client):
        each.leave()


@scenario("A38", "A32")
def expired_in_durable_subscriptions(case: Case) -> None:
    """Each message is told once, however many of them have it."""
    name = case.name("t")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("MessageDLQd.>", "dead")
    watcher.watch("Expired.>", "expired")

    def subscribe(who: str) -> None:
        reader = Client(case, **{"client-id": case.name(who)})
        reader.subscribe(f"/topic/{name}", "s", **DURABLE)
        time.sleep(0.5)
        reader.leave()

    for who in "ab":
        subscribe(who)
    moment = str(int(time.time() * 1000) + 300)
    for persistent in ("true", "false"):
        client.send(f"/topic/{name}", f"{name} {persistent}", persistent=persistent, expires=moment)
    time.sleep(0.6)
    for who in "ab":
        subscribe(who)
    client.subscribe("/queue/ActiveMQ.DLQ", "letters")
    told_of(watcher, client, case, name)
    watcher.leave()
    client.leave()


def shape(element: ElementTree.Element) -> list[Any]:
    """What an element is called, and its attributes and texts, but for numbers, ids and addresses."""
    left_out = ("value", "commandId", "connectionId", "clientId", "clientIp")
    said = "..." if element.tag in left_out else element.text
    # Who has made a destination that lasts longer is not told here.
    parts = [part for part in element if (element.tag, part.tag) != ("DestinationInfo", "connectionId")]
    of_parts = [shape(part) for part in parts]
    return [element.tag, element.attrib, of_parts if of_parts else said]


@scenario("A38", "A11")
def in_xml(case: Case) -> None:
    name, who = case.name("x"), case.name("me")
    watcher = Watcher(case)
    for topic, wanted in (
        ("Connection", "jms-xml"),
        ("Queue", "jms-advisory-xml"),
        ("Consumer.>", "jms-map-xml"),
        ("TempTopic", "jms-json"),
    ):
        watcher.watch(topic, topic, transformation=wanted)
    client = Client(case, **{"client-id": who})
    client.subscribe(f"/queue/{name}", "1", selector="a > 3 AND b <> 'x'")
    client.subscribe("/temp-topic/t", "2")
    client.connection.unsubscribe("1")
    client.leave()
    found: dict[str, list[Any]] = {}
    while len(found) < 5:
        headers, body = watcher.message()
        if not any(word in body for word in (who, name, "TempTopic", "RemoveInfo")):
            continue
        is_json = body.startswith("{")
        what = next(iter(json.loads(body))) if is_json else body[1 : body.index(">")]
        key = f"{headers['subscription']} {what}"
        if "RemoveInfo" not in key or "Consumer.Queue" in headers["destination"]:
            told = sorted(json.loads(body)[what]) if is_json else shape(ElementTree.fromstring(body))
            if not (what == "ConsumerInfo" and name not in body):
                found[key] = [headers["transformation"], told]
    for key, told in sorted(found.items()):
        case.saw(key, told)
    watcher.leave()


@scenario("A38")
def all_of_them(case: Case) -> None:
    for number, topic in enumerate(("/topic/ActiveMQ.Advisory.>", "/topic/*.Advisory.Queue", "/topic/>")):
        name = case.name(f"a{number}")
        watcher, client = Watcher(case), Client(case)
        watcher.subscribe(topic)
        client.send(f"/queue/{name}")
        headers, kind, told = watcher.next(name)
        case.saw(topic, headers["destination"], kind, told["operationType"])
        client.leave()
        watcher.leave()


@scenario("A38")
def producers_of_stomp_are_not_told(case: Case) -> None:
    name = case.name("p")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("Producer.>", "p")
    watcher.watch("NoConsumer.>", "n")
    watcher.watch("Queue", "q")
    client.send(f"/topic/{name}")
    client.send(f"/queue/{name}")
    headers, _, _ = watcher.next(name)
    case.saw("first", headers["subscription"])
    client.leave()
    watcher.leave()
