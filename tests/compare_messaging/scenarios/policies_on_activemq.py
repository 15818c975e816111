"""What destinations bear by an operator's policies (`peers.POLICIES`), as STOMP clients of ActiveMQ see it:
which messages a slow subscription to a topic loses, and what becomes of what is sent to a full queue."""

from __future__ import annotations

import time

from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq-policies"
PEER = "activemq-policies"


def flood(case: Case, topic: str, *said: dict[str, str]) -> None:
    """What a subscription gets that has one message out while these come."""
    reader, sender = Client(case), Client(case)
    reader.subscribe(topic, ack="client-individual", **{"activemq.prefetchSize": "1"})
    sender.send(topic, "out")
    first, _ = reader.message()
    for number, headers in enumerate(said):
        # Of messages of one millisecond ActiveMQ takes any for the newest.
        time.sleep(0.005)
        sender.send(topic, str(number), **headers)
    got = []
    headers = first
    for _ in range(2):
        reader.answer(headers)
        headers, body = reader.message()
        got.append(body)
    case.saw("got", got)
    reader.answer(headers)
    sender.send(topic, "the last")
    case.saw("nothing else", reader.message()[1])
    reader.leave()
    sender.leave()


@scenario("A40")
def oldest_gives_way(case: Case) -> None:
    flood(case, "/topic/plain.a", *[{"priority": each} for each in "9141"])


@scenario("A40")
def lowest_priority_gives_way(case: Case) -> None:
    flood(case, "/topic/ranked.a", *[{"priority": each} for each in "5194"])
    flood(case, "/topic/ranked.b", *[{"priority": each} for each in "2222"])
    flood(case, "/topic/ranked.c", *[{"priority": each} for each in "9876543"])


@scenario("A40")
def superseded_gives_way(case: Case) -> None:
    flood(case, "/topic/prices.a", *[{"symbol": each} for each in "aabb"])
    flood(case, "/topic/prices.b", *[{"symbol": each} for each in "abc"])
    flood(case, "/topic/prices.c", {"symbol": "a"}, {}, {"symbol": "b"})
    flood(case, "/topic/prices.d", {}, {}, {})


@scenario("A40")
def sender_to_a_full_queue_waits(case: Case) -> None:
    sender, reader, name = Client(case), Client(case), "/queue/full.block"
    count = 12
    for number in range(count):
        said = {"receipt": str(number), "persistent": "false"}
        sender.connection.send(name, f"{number} {'x' * 10_000}", headers=said)
    reader.send("/queue/full.other", "others go on")
    reader.subscribe(name)
    case.saw("got", [text.partition(" ")[0] for text in reader.bodies(count)])
    case.saw("heard", [sender.hear() for _ in range(count)])
    sender.leave()
    reader.leave()
