"""What an operator may say of destinations (`peers.RULES`), as STOMP clients of ActiveMQ see it: composite
destinations, virtual topics that look at selectors, mirrored queues, and topics that keep messages."""

from __future__ import annotations

from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq-rules"
PEER = "activemq-rules"

Seen = tuple[str, str, str | None]


def read(client: Client, count: int) -> list[tuple[dict[str, str], str]]:
    return [client.message() for _ in range(count)]


def seen(client: Client, count: int) -> list[Seen]:
    """What comes, in the order of its texts: each with its destinations."""
    got = read(client, count)
    return sorted(
        ((body, headers["destination"], headers.get("original-destination")) for headers, body in got),
        key=str,
    )


def reader(case: Case, *destinations: str) -> Client:
    client = Client(case)
    for destination in destinations:
        client.subscribe(destination, destination)
    return client


def left(client: Client, destination: str) -> str:
    """What the next message to a subscription is when one has been sent now."""
    client.send(destination, "the last", kind="small")
    return client.message()[1]


@scenario("A26")
def composite_queue(case: Case) -> None:
    client = reader(case, "/queue/comp.only", "/queue/comp.a", "/topic/comp.b")
    client.send("/queue/comp.only", "x", mine="yes")
    case.saw("got", seen(client, 2))
    case.saw("nothing else", left(client, "/queue/comp.a"))
    client.leave()


@scenario("A26")
def composite_queue_that_keeps_its_messages(case: Case) -> None:
    client = reader(case, "/queue/comp.both", "/queue/comp.a", "/queue/comp.big")
    for kind in ("small", "big"):
        client.send("/queue/comp.both", kind, kind=kind, persistent="true")
    case.saw("got", seen(client, 5))
    case.saw("nothing else", left(client, "/queue/comp.big"))
    client.leave()


@scenario("A26")
def composite_topic(case: Case) -> None:
    client = reader(case, "/topic/comp.topic", "/queue/comp.a", "/topic/comp.b")
    for kind in ("small", "big"):
        client.send("/topic/comp.topic", kind, kind=kind)
    case.saw("got", seen(client, 3))
    case.saw("nothing else", left(client, "/queue/comp.a"))
    client.leave()


@scenario("A26")
def composite_topic_that_keeps_its_messages(case: Case) -> None:
    client = reader(case, "/topic/comp.topic.both", "/queue/comp.a")
    client.send("/topic/comp.topic.both", "x")
    case.saw("got", seen(client, 2))
    client.leave()


@scenario("A26")
def composite_of_a_pattern(case: Case) -> None:
    client = reader(case, "/queue/comp.a")
    for name in ("/queue/comp.wild.one", "/queue/comp.wild.two.three"):
        client.send(name, name)
    case.saw("got", seen(client, 2))
    client.leave()


@scenario("A26")
def composite_in_a_transaction(case: Case) -> None:
    client = reader(case, "/queue/comp.a", "/topic/comp.b")
    client.connection.begin("t")
    client.connection.send("/queue/comp.only", "aborted", transaction="t")
    client.connection.abort("t")
    client.connection.begin("t")
    client.connection.send("/queue/comp.only", "committed", transaction="t")
    client.connection.commit("t", headers={"receipt": "done"})
    heard = client.hear()
    case.saw("got", heard[0], seen(client, 2))
    client.leave()


@scenario("A25")
def virtual_topics_that_look_at_selectors(case: Case) -> None:
    topic = f"VirtualTopic.{case.name('v')}"
    client = Client(case)
    client.subscribe(f"/queue/Consumer.A.{topic}", "a", selector="kind = 'big'")
    client.subscribe(f"/queue/Consumer.B.{topic}", "b")
    for kind in ("small", "big"):
        client.send(f"/topic/{topic}", kind, kind=kind)
    case.saw("got", seen(client, 3))
    for name in "ab":
        client.connection.unsubscribe(name)
    client.send(f"/topic/{topic}", "nobody is there", kind="big")
    client.subscribe(f"/queue/Consumer.A.{topic}", "again")
    case.saw("not that", left(client, f"/queue/Consumer.A.{topic}"))
    client.leave()


@scenario("A27")
def mirrored_queue(case: Case) -> None:
    name = case.name("m")
    client = reader(case, f"/queue/{name}", f"/topic/Mirror.{name}")
    client.send(f"/queue/{name}", "x", persistent="true")
    case.saw("got", seen(client, 2))
    client.leave()


@scenario("A27")
def topics_that_keep_messages(case: Case) -> None:
    name = case.name("k").replace("-", "")
    writer = Client(case)
    for topic in ("last", "count", "timed", "none"):
        for each in "xy":
            for n in range(4):
                writer.send(f"/topic/{topic}.{name}.{each}", str(n), n=n)
    client = Client(case)
    said = {"activemq.retroactive": "true"}
    for topic, counts in (("last", (1, 2)), ("count", (2, 4)), ("timed", (4, 8))):
        for pattern, count in zip((f"{name}.x", f"{name}.*"), counts, strict=True):
            client.subscribe(f"/topic/{topic}.{pattern}", "s", **said)
            got = [client.message() for _ in range(count)]
            case.saw(
                topic, sorted((headers["destination"].rpartition(".")[2], body) for headers, body in got)
            )
            client.connection.unsubscribe("s")
    client.subscribe(f"/topic/none.{name}.x", "none", **said)
    client.subscribe(f"/topic/count.{name}.x", "plain")
    writer.send(f"/topic/none.{name}.x", "now")
    writer.send(f"/topic/count.{name}.x", "now")
    case.saw("no more", client.bodies(2))
    for each in (client, writer):
        each.leave()


@scenario("A27")
def retroactive_with_a_selector_or_durable(case: Case) -> None:
    name = case.name("r")
    writer = Client(case)
    for n in range(4):
        writer.send(f"/topic/count.{name}", str(n), kind="ab"[n % 2])
    client = Client(case, **{"client-id": case.name("me")})
    said = {"activemq.retroactive": "true"}
    client.subscribe(f"/topic/count.{name}", "s", selector="kind = 'b'", **said)
    case.saw("chosen", client.bodies(1))
    client.connection.unsubscribe("s")
    said["activemq.subscriptionName"] = "mine"
    client.subscribe(f"/topic/count.{name}", "d", **said)
    case.saw("durable", client.bodies(2))
    for each in (client, writer):
        each.leave()


RETROACTIVE = {"activemq.retroactive": "true"}


def past(client: Client, topic: str, count: int, **said: str) -> list[tuple[str, str | None]]:
    """What a new subscription is given, and the first that is sent then; who says that it was retained."""
    client.subscribe(topic, "past", **said)
    client.send(topic, "now")
    got = [client.message() for _ in range(count + 1)]
    client.connection.unsubscribe("past")
    return [(body[:8].strip(), headers.get("ActiveMQ.Retained")) for headers, body in got]


@scenario("A27")
def topics_that_keep_so_many_bytes(case: Case) -> None:
    topic = f"/topic/sized.{case.name('s')}"
    client = Client(case)
    for n in range(5):
        client.send(topic, str(n).ljust(3000))
    case.saw("kept", past(client, topic, 2, **RETROACTIVE))
    client.send(f"{topic}.large", "x" * 20_000)
    case.saw("too large", past(client, f"{topic}.large", 0, **RETROACTIVE))
    client.leave()


@scenario("A27")
def topics_that_tell_everybody(case: Case) -> None:
    topic = f"/topic/told.{case.name('t')}"
    client = Client(case)
    for n in range(4):
        client.send(topic, str(n))
    case.saw("told", past(client, topic, 2))
    client.leave()


@scenario("A27")
def retained_messages(case: Case) -> None:
    topic = f"/topic/{case.name('r')}"
    client = Client(case)
    client.subscribe(topic, "there")
    for retain in ("true", "TRUE", "false"):
        client.send(topic, retain, **{"ActiveMQ.Retain": retain})
    got = read(client, 3)
    case.saw("there", [(body, headers.get("ActiveMQ.Retain")) for headers, body in got])
    client.connection.unsubscribe("there")
    case.saw("asks", past(client, topic, 1, **RETROACTIVE))
    case.saw("does not ask", past(client, topic, 0))
    for n in range(3):
        client.send(f"/topic/count.{topic[7:]}", str(n), **({"ActiveMQ.Retain": "true"} if n == 0 else {}))
    case.saw("and kept", past(client, f"/topic/count.{topic[7:]}", 3, **RETROACTIVE))
    client.leave()


@scenario("A27")
def retained_messages_for_a_durable_subscription(case: Case) -> None:
    topic = f"/topic/{case.name('d')}"
    client = Client(case, **{"client-id": case.name("me")})
    client.send(topic, "retained", **{"ActiveMQ.Retain": "true"})
    said = {**RETROACTIVE, "activemq.subscriptionName": "mine"}
    for _ in range(2):
        case.saw("comes", past(client, topic, 1, **said))
    client.leave()


@scenario("A27")
def retained_messages_in_a_transaction(case: Case) -> None:
    topic = f"/topic/{case.name('t')}"
    client = Client(case)
    for end in ("abort", "commit"):
        client.connection.begin(end)
        client.connection.send(topic, end, headers={"ActiveMQ.Retain": "true"}, transaction=end)
        getattr(client.connection, end)(end, headers={"receipt": end})
        client.receipt(end)
        case.saw(end, past(client, topic, int(end == "commit"), **RETROACTIVE))
    client.leave()
