"""Numbers that a client asks for by message, as STOMP clients of ActiveMQ get them (A39).

Of what depends on the machine, on the peer's own topics and on time, only the names and types are compared.
"""

from __future__ import annotations

import json
from typing import Any

from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq-watched"
PEER = "activemq-watched"

REPLIES = "/temp-queue/replies"
QUESTION = "ActiveMQ.Statistics."


class Asking(Client):
    """A client that gets answers."""

    def __init__(self, case: Case, **headers: str) -> None:
        super().__init__(case, **headers)
        self.subscribe(REPLIES, "replies", transformation="jms-map-json")

    def ask(self, what: str, kind: str = "queue", **more: str) -> None:
        said = {"reply-to": REPLIES, **more}
        self._sent += 1
        receipt = {"receipt": f"asked-{self._sent}"}
        self.connection.send(f"/{kind}/{QUESTION}{what}", "", headers=said | receipt)
        self.receipt(f"asked-{self._sent}")

    def told(self) -> tuple[dict[str, str], dict[str, tuple[str, Any]]]:
        """The next answer: its headers, and a type and a value for each name."""
        headers, body = self.message()
        found = json.loads(body)["map"]
        values: dict[str, tuple[str, Any]] = {}
        for entry in found["entry"] if found else ():
            if isinstance(entry["string"], list):
                name, value = entry["string"]
                values[name] = ("string", value)
            else:
                ((kind, value),) = ((kind, value) for kind, value in entry.items() if kind != "string")
                values[entry["string"]] = (kind, value)
        return headers, values


def types(values: dict[str, tuple[str, Any]]) -> list[tuple[str, str]]:
    return sorted((name, kind) for name, (kind, _) in values.items())


@scenario("A39")
def of_a_queue(case: Case) -> None:
    client, name = Asking(case), case.name("q")
    client.subscribe(f"/queue/{name}", "1", "client-individual")
    for number in range(3):
        client.send(f"/queue/{name}", str(number))
    got = [client.message() for _ in range(3)]
    client.answer(got[0][0])
    client.ask(f"Destination.{name}", **{"correlation-id": "c1"})
    headers, told = client.told()
    case.saw(
        "headers", [headers.get(each) for each in ("type", "correlation-id", "transformation", "priority")]
    )
    case.saw("types", types(told))
    shown = ("destinationName", "size", "enqueueCount", "dequeueCount", "dispatchCount", "inflightCount")
    case.saw("values", [told[each][1] for each in (*shown, "consumerCount", "producerCount", "expiredCount")])
    client.leave()


@scenario("A39")
def of_several_destinations(case: Case) -> None:
    client, name = Asking(case), case.name("w")
    for end in "ab":
        client.send(f"/queue/{name}.{end}")
    client.ask(f"Destination.{name}.*")
    case.saw("found", sorted(client.told()[1]["destinationName"][1] for _ in range(2)))
    client.ask(f"DestinationActiveMQ.Statistics.Destination.List.End.With.Null{name}.a")
    case.saw("ended", client.told()[1]["destinationName"][1], client.told()[1])
    client.ask(f"Destination.{name}.none")
    client.subscribe(f"/topic/{name}", "t")
    client.ask(f"Destination.{name}", "topic")
    case.saw("topic", client.told()[1]["destinationName"][1])
    client.leave()


@scenario("A39")
def of_the_broker(case: Case) -> None:
    client = Asking(case)
    for what in ("Broker", "BrokerX"):
        client.ask(what)
        headers, told = client.told()
        case.saw("broker", headers["type"], told["brokerName"][1], told["vm"][1], types(told))
    client.leave()


@scenario("A39")
def of_subscriptions(case: Case) -> None:
    client, name = Asking(case, **{"client-id": case.name("me")}), case.name("s")
    said = {"activemq.prefetchSize": "7", "activemq.exclusive": "true", "selector": "n > 3"}
    client.subscribe(f"/queue/{name}", "1", **said)
    client.subscribe(f"/topic/{name}", "2")
    client.ask("Subscription", **{"correlation-id": "c1"})
    found: list[tuple[dict[str, str], dict[str, tuple[str, Any]]]] = []
    while len(found) < 2:
        one = client.told()
        if one[1]["destinationName"][1] == name:
            found.append(one)
    for headers, told in found:
        shown = ("clientId", "prefetchSize", "exclusive", "retroactive", "slowConsumer", "sessionId")
        case.saw("subscription", headers.get("correlation-id"), [told[each][1] for each in shown])
        case.saw("types", types(told))
    client.leave()


@scenario("A39")
def what_is_no_question(case: Case) -> None:
    client = Client(case)
    for name in (f"{QUESTION}Broker", "activemq.statistics.broker"):
        said = {"reply-to": REPLIES} if name.islower() else {}
        client.send(f"/queue/{name}", "a message", **said)
        client.subscribe(f"/queue/{name}", name)
        case.saw(name, client.bodies(1))
    client.subscribe("/topic/answers", "plain")
    client.send(f"/queue/{QUESTION}Broker", **{"reply-to": "/topic/answers"})
    headers, body = client.message()
    case.saw("without a transformation", headers["transformation"], body[:20])
    client.leave()
