"""stomp.py with ActiveMQ's words."""

from __future__ import annotations

from tests.compare_messaging import stomp_tools
from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

SHARED = stomp_tools
PROTOCOL = "stomp-activemq"
PEER = "activemq"


@scenario("R142")
def durable_subscription(case: Case) -> None:
    topic = f"/topic/{case.name('d')}"
    who = case.name("client")
    said = {"activemq.subscriptionName": "mine"}
    first = Client(case, **{"client-id": who})
    first.subscribe(topic, "1", **said)
    first.leave()
    writer = Client(case)
    writer.send(topic, "while nobody was here", persistent="true")
    again = Client(case, **{"client-id": who})
    again.subscribe(topic, "1", **said)
    case.saw("waited", again.bodies(1))
    again.connection.unsubscribe("1", headers={"receipt": "left"})
    again.receipt("left")
    again.connection.send_frame("UNSUBSCRIBE", {"id": "1", "receipt": "gone", **said})
    again.receipt("gone")
    writer.send(topic, "too late", persistent="true")
    again.subscribe(topic, "2", **said)
    writer.send(topic, "in time", persistent="true")
    case.saw("anew", again.bodies(1))
    again.leave()
    writer.leave()


@scenario("R142")
def selectors(case: Case) -> None:
    topic = f"/topic/{case.name('s')}"
    conditions = (
        "n > 3",
        "n BETWEEN 2 AND 4 AND kind = 'a'",
        "kind IN ('a', 'b') AND NOT n = 1",
        "kind LIKE 'a%' OR n = 5",
        "missing IS NULL AND n <= 1",
        "kind LIKE '_'",
    )
    reader, writer = Client(case), Client(case)
    for number, condition in enumerate(conditions):
        reader.subscribe(topic, str(number), selector=condition)
        for n in range(6):
            writer.send(topic, str(n), n=n, kind="ab"[n % 2])
        writer.send(topic, "end", n=5 if "5" in condition or ">" in condition else 1, kind="a", end="yes")
        reader.subscribe(topic, "end", selector="end = 'yes'")
        writer.send(topic, "the end", end="yes")
        found = []
        while not found or found[-1] != "the end":
            found += reader.bodies(1)
        case.saw(condition, sorted(body for body in found if body.isdecimal()))
        reader.connection.unsubscribe(str(number))
        reader.connection.unsubscribe("end")
    reader.leave()
    writer.leave()


@scenario("R142")
def refused_is_a_dead_letter(case: Case) -> None:
    name = f"/queue/{case.name('n')}"
    dead = Client(case)
    dead.subscribe("/queue/ActiveMQ.DLQ", "dead")
    client = Client(case)
    client.subscribe(name, ack="client-individual")
    client.send(name, "poison", persistent="true")
    headers, _ = client.message()
    client.answer(headers, "nack")
    case.saw("dead", dead.bodies(1))
    client.leave()
    dead.leave()


@scenario("R142")
def wildcards(case: Case) -> None:
    root = case.name("w").replace("-", "")
    client = Client(case)
    for number, pattern in enumerate((">", "*.b", "a.>")):
        client.subscribe(f"/topic/{root}.{pattern}", str(number))
        for topic in ("a", "a.b", "a.b.c", "c.b"):
            client.send(f"/topic/{root}.{topic}", topic)
        found = client.bodies({">": 4, "*.b": 2, "a.>": 3}[pattern])
        case.saw(pattern, sorted(found))
        client.connection.unsubscribe(str(number))
    client.leave()


@scenario("R142")
def composite_destinations(case: Case) -> None:
    names = [case.name(word) for word in ("one", "two")]
    client = Client(case)
    for name in names:
        client.subscribe(f"/queue/{name}", name)
    client.send(f"/queue/{names[0]},/queue/{names[1]}", "to both")
    case.saw("got", client.bodies(2))
    client.leave()


@scenario("R142")
def prefetch(case: Case) -> None:
    name = f"/queue/{case.name('p')}"
    client = Client(case)
    client.subscribe(name, ack="client-individual", **{"activemq.prefetchSize": "2"})
    for number in range(4):
        client.send(name, str(number))
    first = client.message()
    second = client.message()
    case.saw("two", first[1], second[1], client.messages.empty())
    client.answer(first[0])
    case.saw("third", client.bodies(1))
    client.leave()
