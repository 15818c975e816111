"""Advisories that ActiveMQ has off by default, as STOMP clients see them where they are on (A38)."""

from __future__ import annotations

from tests.compare_messaging.case import Case
from tests.compare_messaging.scenarios.advisories_on_activemq import Watcher
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq-watched"
PEER = "activemq-watched"


@scenario("A38")
def delivered(case: Case) -> None:
    name = case.name("d")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("MessageDelivered.>")
    for kind in ("queue", "topic"):
        client.send(f"/{kind}/{name}", "body", persistent="true", priority="7", type="t", correlation_id="c")
        headers, structure, told = watcher.next(name)
        case.saw(kind, headers["destination"], headers["orignalDestination"], headers["transformation"])
        shown = ("destination", "persistent", "priority", "type", "correlationId")
        case.saw("says", structure, [told[each] for each in shown], "content" in told)
    client.subscribe(f"/queue/{name}")
    client.bodies(1)
    client.leave()
    watcher.leave()


@scenario("A38")
def without_consumers(case: Case) -> None:
    name = case.name("n")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("NoConsumer.>")
    for kind in ("topic", "queue"):
        client.send(f"/{kind}/{name}", "kept", persistent="true")
        client.send(f"/{kind}/{name}", f"wanted by nobody: {kind}", mine="yes", priority="3")
        client.subscribe(f"/{kind}/{name}", kind)
        client.send(f"/{kind}/{name}", "wanted")
    client.send(f"/topic/{name}.last", "the last")
    while True:
        headers, body = watcher.message()
        if name in headers["destination"]:
            shown = ("destination", "mine", "priority", "type", "transformation", "originBrokerName")
            case.saw("told", body, [headers.get(each) for each in shown])
        if body == "the last":
            break
    client.leave()
    watcher.leave()


@scenario("A38")
def consumed(case: Case) -> None:
    name = case.name("c")
    watcher, client = Watcher(case), Client(case)
    watcher.watch("MessageConsumed.>")
    client.subscribe(f"/topic/{name}", "t")
    client.send(f"/topic/{name}", "nobody is told")
    client.bodies(1)
    client.subscribe(f"/queue/{name}", "a", "auto")
    client.send(f"/queue/{name}", "auto", priority="2")
    client.bodies(1)
    watched = [watcher.next(name)]
    client.connection.unsubscribe("a")
    client.subscribe(f"/queue/{name}", "c", "client-individual")
    for number in range(3):
        client.send(f"/queue/{name}", str(number), priority=str(number))
    got = [client.message()[0] for _ in range(3)]
    client.answer(got[1])
    client.answer(got[0], "nack")
    client.answer(got[2])
    watched += [watcher.next(name) for _ in range(2)]
    for headers, structure, told in watched:
        case.saw("told", headers["destination"], headers["orignalDestination"], structure, told["priority"])
    client.leave()
    watcher.leave()


@scenario("A38", "A40")
def discarded_of_a_slow_subscription(case: Case) -> None:
    name = case.name("s")
    watcher, client, writer = Watcher(case), Client(case), Client(case)
    watcher.watch("MessageDiscarded.>", "discarded")
    watcher.watch("SlowConsumer.>", "slow")
    client.subscribe(f"/topic/{name}", "1", "client", **{"activemq.prefetchSize": "2"})
    for number in range(12):
        writer.send(f"/topic/{name}", str(number))
    case.saw("first", client.bodies(2))
    found = [watcher.next(name) for _ in range(6)]
    slow = [each for each in found if each[0]["subscription"] == "slow"]
    for headers, structure, told in slow:
        case.saw("slow", headers["destination"], "consumerId" in headers, structure, told["prefetchSize"])
    for headers, structure, told in found:
        if headers["subscription"] == "discarded":
            case.saw("lost", headers["destination"], headers["orignalDestination"], headers["discardedCount"])
            case.saw("says", structure, told["destination"], "consumerId" in headers)
    for each in (client, writer, watcher):
        each.leave()


@scenario("A38", "A40")
def full(case: Case) -> None:
    name = case.name("f")
    watcher, writer = Watcher(case), Client(case)
    watcher.watch("FULL.>", "full")
    watcher.watch("FastProducer.>", "fast")
    for _ in range(60):
        writer.connection.send(f"/queue/{name}", "x" * 1000)
    seen = {}
    while len(seen) < 2:
        headers, structure, told = watcher.next(name)
        shown = "usageName" if headers["subscription"] == "full" else "producerId"
        fields = sorted(told) if told else told
        value = headers[shown] if shown == "usageName" else shown in headers
        seen[headers["subscription"]] = [headers["destination"], value, structure, fields]
    for what, found in sorted(seen.items()):
        case.saw(what, *found)
    reader = Client(case)
    reader.subscribe(f"/queue/{name}")
    case.saw("all of them", len(reader.bodies(60)))
    for each in (reader, writer, watcher):
        each.leave()
