"""Artemis' addresses and what it gives queues, as STOMP clients see it.

Attributes of queues are said twice: Artemis has them by the names of addresses (`artemis/Artemis.java`),
Pillarbox takes them from the frame that makes a queue.
"""

from __future__ import annotations

import queue
import time

from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-artemis"
PEER = "artemis"

ANYCAST = {"subscription-type": "ANYCAST"}
TO_ANYCAST = {"destination-type": "ANYCAST"}
QUIET_S = 0.2
"""How long to wait for messages that are not to come."""


def heard(client: Client, count: int) -> list[str]:
    """So many messages, and any more that come."""
    found = client.bodies(count)
    while True:
        try:
            found.append(client.messages.get(timeout=QUIET_S)[1])
        except queue.Empty:
            return found


def taken(case: Case, destination: str, count: int, **said: str) -> list[str]:
    """What a subscription gets, before it ends."""
    client = Client(case)
    client.subscribe(destination, **said)
    found = heard(client, count)
    client.leave()
    return found


def made(case: Case, *destinations: str) -> None:
    """Make anycast queues."""
    client = Client(case)
    for destination in destinations:
        client.subscribe(destination, destination, **ANYCAST)
        client.connection.unsubscribe(destination)
    client.leave()
    time.sleep(0.2)


def sent(case: Case, destination: str, *bodies: str, **said: str) -> None:
    """Send, each by a client of its own."""
    for body in bodies:
        client = Client(case)
        client.send(destination, body, **said)
        client.leave()


@scenario("A2")
def anycast_queues_take_turns(case: Case) -> None:
    name = case.name("turns")
    queues = (f"{name}::{name}.x", f"{name}::{name}.y", f"{name}::{name}")
    made(case, *queues[:2])
    sent(case, f"/queue/{name}", *"abcdef")
    case.saw("each", sorted(taken(case, each, 2, **ANYCAST) for each in queues))


@scenario("A2")
def anycast_queue_that_is_read_comes_first(case: Case) -> None:
    name = case.name("read")
    made(case, f"{name}::{name}.x", f"{name}::{name}.y")
    reader = Client(case)
    reader.subscribe(f"{name}::{name}.y", selector="kind = 'big'", **ANYCAST)
    for kind, body in (("small", "1"), ("big", "2"), ("big", "3"), ("small", "4"), ("big", "5")):
        sent(case, f"/queue/{name}", body, kind=kind)
    case.saw("reader", heard(reader, 3))
    others = [taken(case, f"{name}::{each}", 1, **ANYCAST) for each in (name, f"{name}.x")]
    case.saw("others", sorted(others))
    reader.leave()


@scenario("A2")
def anycast_destinations(case: Case) -> None:
    name = case.name("where")
    made(case, f"{name}::{name}.x")
    client = Client(case)
    client.send(f"{name}::{name}.x", "to the queue", **TO_ANYCAST)
    client.send(name, "to the address alone")
    client.subscribe(f"{name}::{name}.x", **ANYCAST)
    case.saw("bodies", sorted(client.bodies(2)))
    client.leave()


@scenario("A27")
def ring(case: Case) -> None:
    name = f"ring.{case.name('r')}"
    sent(case, name, *"12345", **TO_ANYCAST, **{"x-max-length": "3"})
    case.saw("kept", taken(case, name, 3, **ANYCAST))
    case.saw("dead", taken(case, "DLQ", 0, **ANYCAST))


@scenario("A27")
def retroactive_address(case: Case) -> None:
    name = f"retro.{case.name('r')}"
    sent(case, f"/topic/{name}", *"abc")
    case.saw("new", taken(case, f"/topic/{name}", 2))
    for count in (2, 0):
        shared = taken(case, f"{name}::{name}.all", count, **{"subscription-type": "MULTICAST"})
        case.saw("shared", shared)


@scenario("A27")
def last_value(case: Case) -> None:
    name = f"last.{case.name('l')}"
    said = {**TO_ANYCAST, "x-last-value-key": "symbol"}
    for symbol, body in (("A", "1"), ("B", "2"), ("A", "3")):
        sent(case, name, body, symbol=symbol, **said)
    sent(case, name, "of none", **said)
    case.saw("kept", taken(case, name, 3, **ANYCAST))


@scenario("A27")
def last_value_while_somebody_has_the_one_before(case: Case) -> None:
    name = f"last.{case.name('o')}"
    said = {**TO_ANYCAST, "x-last-value-key": "symbol", "symbol": "A"}
    sent(case, name, "1", **said)
    reader = Client(case)
    reader.subscribe(name, ack="client", **ANYCAST, **{"consumer-window-size": "0"})
    case.saw("has", reader.bodies(1))
    sent(case, name, "2", **said)
    reader.leave()
    time.sleep(0.2)
    case.saw("kept", taken(case, name, 1, **ANYCAST))


@scenario("A27")
def queue_that_is_not_destructive(case: Case) -> None:
    name = f"show.{case.name('n')}"
    said = {**TO_ANYCAST, "x-last-value-key": "symbol", "x-non-destructive": "true"}
    for symbol, body in (("A", "1"), ("B", "2"), ("A", "3")):
        sent(case, name, body, symbol=symbol, **said)
    case.saw("first", taken(case, name, 2, **ANYCAST))
    case.saw("second", taken(case, name, 2, **ANYCAST))
    reader = Client(case)
    reader.subscribe(name, ack="client-individual", **ANYCAST)
    for headers, body in [reader.message() for _ in range(2)]:
        reader.answer(headers)
        case.saw("acknowledged", body)
    sent(case, name, "4", symbol="B", **said)
    case.saw("then", reader.bodies(1))
    reader.leave()
    case.saw("left", taken(case, name, 2, **ANYCAST))
