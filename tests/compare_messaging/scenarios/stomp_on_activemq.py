"""stomp.py with ActiveMQ's words."""

from __future__ import annotations

import contextlib
import queue
import re
import time
from typing import Any

import stomp

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


class Stranger(stomp.ConnectionListener):  # type: ignore[misc]
    """A connection that may be refused; keeps what it is told."""

    def __init__(self, case: Case, **headers: str) -> None:
        self._told: queue.Queue[tuple[dict[str, str], str]] = queue.Queue()
        self.connection = stomp.Connection12([(stomp_tools.HOST, case.port)], reconnect_attempts_max=1)
        self.connection.set_listener("", self)
        with contextlib.suppress(stomp.exception.ConnectFailedException):
            self.connection.connect("guest", "guest", wait=True, headers=headers)

    def heard(self) -> tuple[dict[str, str], str]:
        """Headers and body of the ERROR frame; or it was let in."""
        return self._told.get(timeout=stomp_tools.WAIT_S)

    def on_connected(self, frame: Any) -> None:
        self._told.put(({"message": "let in"}, ""))

    def on_error(self, frame: Any) -> None:
        self._told.put((frame.headers, frame.body))


@scenario("A21")
def client_id_is_taken(case: Case) -> None:
    """While somebody is connected under a client id, nobody else is let in under it."""
    who = case.name("client")
    first = Client(case, **{"client-id": who})
    headers, body = Stranger(case, **{"client-id": who}).heard()
    said, explained = (re.sub(r"tcp://[\w.:]*", "tcp://", text) for text in (headers["message"], body))
    case.saw("a second", said, headers["content-type"], said in explained)
    another = Client(case, **{"client-id": who + "-2"})
    another.send(f"/queue/{case.name('q')}", "x")
    case.saw("others", "are let in")
    another.leave()
    first.send(f"/queue/{case.name('q')}", "x")
    first.leave()
    while (again := Stranger(case, **{"client-id": who})).heard()[0]["message"] != "let in":
        # ActiveMQ takes a moment to let go of who has left.
        time.sleep(0.1)
    case.saw("it again", "is let in")
    again.connection.disconnect()


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


@scenario("A23")
def selectors_of_other_types(case: Case) -> None:
    """What is compared with TRUE or FALSE, or with a number that it does not spell; and literals of Java."""
    topic = f"/topic/{case.name('o')}"
    reader, writer = Client(case), Client(case)
    conditions = (
        "flag = TRUE",
        "flag <> TRUE",
        "kind <> 5",
        "NOT (kind = 5)",
        "kind = 5L OR kind = 0x7",
        "kind NOT BETWEEN 1 AND 3",
    )
    for number, condition in enumerate(conditions):
        reader.subscribe(topic, str(number), selector=condition)
        for kind, flag in (("5", "true"), ("x", "no"), ("7", "TRUE")):
            writer.send(topic, f"{kind} {flag}", kind=kind, flag=flag)
        writer.send(topic, "neither")
        reader.subscribe(topic, "end", selector="end = 'yes'")
        writer.send(topic, "the end", end="yes", kind="5", flag="true")
        found = []
        while "the end" not in found[-1:]:
            headers, body = reader.message()
            if headers["subscription"] == "end" or body != "the end":
                found.append(body)
        case.saw(condition, sorted(found[:-1]))
        reader.connection.unsubscribe(str(number))
        reader.connection.unsubscribe("end")
    reader.leave()
    writer.leave()


@scenario("A21", "A23")
def durable_subscription_with_another_selector(case: Case) -> None:
    """It begins anew."""
    topic, who = f"/topic/{case.name('d')}", case.name("client")
    writer = Client(case)
    for number, selector in enumerate(("", "k = 'a'", "k = 'a'", "k = 'b'", "")):
        reader = Client(case, **{"client-id": who})
        said = {"activemq.subscriptionName": "n"} | ({"selector": selector} if selector else {})
        reader.subscribe(topic, "1", **said)
        writer.send(topic, "the end", k="b" if "b" in selector else "a")
        found = []
        while "the end" not in found:
            found += reader.bodies(1)
        case.saw(selector, *found)
        reader.leave()
        for kind in "ab":
            writer.send(topic, f"{kind}{number}", k=kind, persistent="true")
    writer.leave()


@scenario("A26")
def subscriptions_to_several_destinations(case: Case) -> None:
    client = Client(case)
    names = [case.name(word) for word in ("one", "two")]
    for kind in ("queue", "topic"):
        client.subscribe(",".join(f"/{kind}/{name}" for name in names), kind)
        for name in names:
            client.send(f"/{kind}/{name}", name)
        got = [client.message() for _ in names]
        case.saw(
            kind, sorted([body, headers["destination"], headers["subscription"]] for headers, body in got)
        )
    client.leave()


@scenario("A3", "A8")
def what_is_out_when_a_subscription_ends(case: Case) -> None:
    """Others get it, but for what waits for a commit; whoever answers it later has done nothing wrong."""
    name = f"/queue/{case.name('o')}"
    client, other = Client(case), Client(case)
    client.subscribe(name, ack="client-individual")
    for number in range(3):
        client.send(name, str(number))
    got = [client.message()[0] for _ in range(3)]
    client.connection.begin("t")
    client.connection.ack(got[0]["ack"], transaction="t")
    client.connection.unsubscribe("s", headers={"receipt": "left"})
    client.receipt("left")
    other.subscribe(name)
    again = [other.message() for _ in range(2)]
    case.saw("again", [(body, headers["redelivered"]) for headers, body in again])
    client.answer(got[1])
    client.connection.commit("t")
    client.leave()
    case.saw("nothing else", other.nothing_is_left(name + "-other"))
    other.leave()


@scenario("A3", "A33")
def refusal_is_about_one_message(case: Case) -> None:
    """Also where answers are cumulative. Who answers twice is told, and goes on."""
    name = f"/queue/{case.name('r')}"
    client = Client(case)
    client.subscribe(name, ack="client")
    for number in range(3):
        client.send(name, str(number))
    got = [client.message()[0] for _ in range(3)]
    client.answer(got[2], "nack")
    client.answer(got[1])
    client.connection.ack(got[1]["ack"], receipt="again")
    case.saw("again", client.hear()[0])
    client.connection.unsubscribe("s")
    case.saw("nothing is left", client.nothing_is_left(name))
    client.leave()


@scenario("A32")
def over_when_it_comes(case: Case) -> None:
    client = Client(case)
    for kind in ("queue", "topic"):
        name = f"/{kind}/{case.name('e')}"
        client.subscribe(name, kind)
        client.send(name, "late", expires=str(int(time.time() * 1000) - 5000))
        client.send(name, "in time", expires=str(int(time.time() * 1000) + 60_000))
        case.saw(kind, client.bodies(1))
    client.leave()


@scenario("A25", "A24")
def queue_of_several_virtual_topics(case: Case) -> None:
    topic = f"VirtualTopic.{case.name('v')}"
    client = Client(case)
    client.subscribe(f"/queue/Consumer.A.{topic}.>")
    for name in ("a", "a.b"):
        client.send(f"/topic/{topic}.{name}", name)
    got = [client.message() for _ in range(2)]
    case.saw("got", [(body, headers["destination"]) for headers, body in got])
    client.leave()


@scenario("A2")
def options_of_destinations(case: Case) -> None:
    """They are none of the name."""
    client = Client(case)
    for kind in ("queue", "topic"):
        name = f"/{kind}/{case.name('o')}"
        client.subscribe(f"{name}?consumer.prefetchSize=1", kind)
        client.send(name, "plain")
        client.send(f"{name}?x=1", "with options")
        got = [client.message() for _ in range(2)]
        case.saw(kind, [(body, headers["destination"]) for headers, body in got])
    client.leave()


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


@scenario("A25")
def virtual_topics(case: Case) -> None:
    topic = f"VirtualTopic.{case.name('v')}"
    client = Client(case)
    for name in "AB":
        client.subscribe(f"/queue/Consumer.{name}.{topic}", name)
    client.subscribe(f"/topic/{topic}", "topic")
    client.send(f"/topic/{topic}", "x")
    got = [client.message() for _ in range(3)]
    names = ("subscription", "destination", "original-destination")
    case.saw("got", sorted([headers.get(name, "") for name in names] for headers, _ in got))
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


@scenario("A23")
def selectors_on_queues(case: Case) -> None:
    name = f"/queue/{case.name('q')}"
    writer = Client(case)
    for n in range(6):
        writer.send(name, str(n), n=n, kind="ab"[n % 2])
    even, big, rest = Client(case), Client(case), Client(case)
    even.subscribe(name, selector="kind = 'a'")
    case.saw("a", even.bodies(3))
    big.subscribe(name, selector="n > 2")
    case.saw("big", big.bodies(2))
    rest.subscribe(name)
    case.saw("rest", rest.bodies(1))
    writer.send(name, "to the rest", n=0, kind="b")
    case.saw("new", rest.bodies(1))
    for client in (writer, even, big, rest):
        client.leave()


@scenario("A23")
def passed_over_and_given_back(case: Case) -> None:
    name = f"/queue/{case.name('b')}"
    writer = Client(case)
    for n in range(4):
        writer.send(name, str(n), n=n)
    first = Client(case)
    first.subscribe(name, ack="client-individual", selector="n > 1")
    case.saw("had", first.bodies(2))
    first.leave()
    second = Client(case)
    second.subscribe(name, ack="client-individual")
    got = [second.message() for _ in range(4)]
    case.saw("again", [body for headers, body in got if headers.get("redelivered") == "true"])
    case.saw("nothing is lost", sorted(body for _, body in got))
    second.leave()
    writer.leave()


@scenario("A28")
def message_groups(case: Case) -> None:
    name = f"/queue/{case.name('g')}"
    readers = [Client(case) for _ in range(2)]
    for reader in readers:
        reader.subscribe(name)
    writer = Client(case)
    for n in range(8):
        writer.send(name, f"{'ab'[n % 2]}{n}", JMSXGroupID="ab"[n % 2])
    got = [[reader.message() for _ in range(4)] for reader in readers]
    case.saw("of one group each", sorted([body for _, body in one] for one in got))
    for client in (*readers, writer):
        client.leave()


@scenario("A28")
def group_is_closed(case: Case) -> None:
    name = f"/queue/{case.name('c')}"
    readers = [Client(case) for _ in range(2)]
    for number, reader in enumerate(readers):
        reader.subscribe(name, f"{number}")
    writer = Client(case)
    for n, number in enumerate((1, 2, -1, 1, 2)):
        writer.send(name, str(n), JMSXGroupID="g", JMSXGroupSeq=number)
    writer.send(name, "other", JMSXGroupID="h")
    case.saw("both had some", len([reader.message() for reader in readers]))
    for client in (*readers, writer):
        client.leave()


@scenario("A28")
def group_goes_over_when_its_consumer_goes(case: Case) -> None:
    name = f"/queue/{case.name('o')}"
    first, writer = Client(case), Client(case)
    first.subscribe(name, ack="client-individual")
    writer.send(name, "1", JMSXGroupID="g")
    headers, _ = first.message()
    first.answer(headers)
    second = Client(case)
    second.subscribe(name)
    writer.send(name, "2", JMSXGroupID="g")
    case.saw("sticks", first.bodies(1))
    first.leave()
    case.saw("goes over", second.bodies(1))
    second.leave()
    writer.leave()


@scenario("A29")
def exclusive_consumers(case: Case) -> None:
    name = f"/queue/{case.name('x')}"
    writer = Client(case)
    readers = [Client(case) for _ in range(3)]
    readers[0].subscribe(name, "plain")
    readers[1].subscribe(name, "first", **{"activemq.exclusive": "true"})
    readers[2].subscribe(name, "second", **{"activemq.exclusive": "true"})
    for n in range(3):
        writer.send(name, str(n))
    case.saw("first", readers[1].bodies(3))
    readers[1].leave()
    for n in range(3):
        writer.send(name, str(n))
    case.saw("second", readers[2].bodies(3))
    readers[2].leave()
    writer.send(name, "left")
    case.saw("plain", readers[0].bodies(1))
    for client in (readers[0], writer):
        client.leave()


@scenario("A29")
def exclusive_consumer_of_higher_priority(case: Case) -> None:
    name = f"/queue/{case.name('y')}"
    writer = Client(case)
    readers = [Client(case) for _ in range(2)]
    readers[0].subscribe(name, "low", **{"activemq.exclusive": "true", "activemq.priority": "1"})
    writer.send(name, "0")
    case.saw("low", readers[0].bodies(1))
    readers[1].subscribe(name, "high", **{"activemq.exclusive": "true", "activemq.priority": "5"})
    writer.send(name, "1")
    case.saw("high", readers[1].bodies(1))
    for client in (*readers, writer):
        client.leave()


@scenario("A8")
def no_local(case: Case) -> None:
    topic = f"/topic/{case.name('l')}"
    client, other = Client(case), Client(case)
    client.subscribe(topic, **{"activemq.noLocal": "true"})
    client.send(topic, "mine")
    other.send(topic, "another's")
    case.saw("got", client.bodies(1))
    client.leave()
    other.leave()


@scenario("A37")
def browsing(case: Case) -> None:
    name = f"/queue/{case.name('w')}"
    client = Client(case)
    for n in range(3):
        client.send(name, str(n), n=n)
    for selector in ("", "n > 0"):
        said = {"browser": "true"} | ({"selector": selector} if selector else {})
        client.subscribe(name, "looks", **said)
        seen = []
        while True:
            headers, body = client.message()
            if headers.get("browser"):
                break
            seen.append(body)
        shown = sorted(set(headers) - {"timestamp", "expires", "priority", "message-id"})
        case.saw("end", headers["browser"], headers.get("subscription"), body, shown)
        case.saw("seen", seen)
        client.connection.unsubscribe("looks")
    client.subscribe(name, "takes")
    case.saw("still there", client.bodies(3))
    client.leave()


@scenario("A37")
def browsing_what_is_out(case: Case) -> None:
    name = f"/queue/{case.name('o')}"
    client = Client(case)
    for n in range(3):
        client.send(name, str(n))
    client.subscribe(name, "takes", ack="client-individual", **{"activemq.prefetchSize": "1"})
    case.saw("out", client.bodies(1))
    other = Client(case)
    other.subscribe(name, "looks", ack="client", browser="true")
    seen = []
    while True:
        headers, body = other.message()
        if headers.get("browser"):
            break
        seen.append((body, "ack" in headers))
    case.saw("seen", seen)
    other.leave()
    client.leave()


@scenario("A35")
def repeated_schedules(case: Case) -> None:
    name = f"/queue/{case.name('r')}"
    client = Client(case)
    client.subscribe(name)
    said = {"AMQ_SCHEDULED_DELAY": "200", "AMQ_SCHEDULED_PERIOD": "200", "AMQ_SCHEDULED_REPEAT": "2"}
    client.send(name, "again", persistent="true", **said)
    got = [client.message() for _ in range(3)]
    case.saw("three", [body for _, body in got])
    case.saw("its job", ["scheduledJobId" in headers for headers, _ in got])
    case.saw("told", sorted(key for key in got[0][0] if key.startswith("AMQ_")))
    client.send(name, "last")
    case.saw("and no more", client.bodies(1))
    client.leave()


@scenario("A30")
def prefetch_of_topics(case: Case) -> None:
    topic = f"/topic/{case.name('p')}"
    reader, writer = Client(case), Client(case)
    reader.subscribe(topic, ack="client-individual")
    for n in range(1200):
        writer.connection.send(topic, str(n))
    writer.send(topic, "end")
    case.saw("more than a thousand", reader.bodies(1201)[-1])
    reader.leave()
    writer.leave()


@scenario("A6")
def headers_of_the_broker(case: Case) -> None:
    name = f"/queue/{case.name('h')}"
    client = Client(case)
    client.subscribe(name)
    client.send(name, "plain")
    headers, _ = client.message()
    names = ("destination", "expires", "message-id", "priority", "subscription", "timestamp")
    case.saw("plain", [each in headers for each in names], headers["priority"], headers["expires"])
    case.saw("a moment", len(headers["timestamp"]) == 13)
    client.send(name, "said", timestamp="5", priority="7", expires="0", persistent="true", type="t")
    headers, _ = client.message()
    case.saw("said", len(headers["timestamp"]), headers.get("priority"), headers.get("persistent"))
    case.saw("moment", headers["timestamp"], headers["type"])
    client.leave()


@scenario("A33")
def why_it_is_dead(case: Case) -> None:
    name = f"/queue/{case.name('d')}"
    dead = Client(case)
    dead.subscribe("/queue/ActiveMQ.DLQ", "dead")
    client = Client(case)
    client.subscribe(name, ack="client-individual")
    client.send(name, "poison", persistent="true", mine="yes")
    headers, _ = client.message()
    client.answer(headers, "nack")
    headers, body = dead.message()
    case.saw("dead", body, headers["mine"])
    case.saw("where from", headers["original-destination"] == name)
    case.saw("why", headers.get("dlqDeliveryFailureCause", "")[:60])
    client.leave()
    dead.leave()


@scenario("A24")
def wildcards_on_queues(case: Case) -> None:
    root = case.name("w").replace("-", "")
    client = Client(case)
    client.send(f"/queue/{root}.a", "before")
    client.subscribe(f"/queue/{root}.*", "all")
    client.send(f"/queue/{root}.a", "after")
    client.send(f"/queue/{root}.b", "made later")
    client.send(f"/queue/{root}.b.c", "another")
    got = [client.message() for _ in range(3)]
    case.saw("got", sorted((body, headers["destination"].rpartition(".")[2]) for headers, body in got))
    client.leave()


MANAGEMENT = "/topic/ActiveMQ.Scheduler.Management"


def waiting(client: Client, replies: str, **more: str) -> list[tuple[dict[str, str], str]]:
    """What waits, as the client is shown it."""
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="BROWSE", reply_to=replies, **more)
    client.send(replies, "end")
    found = []
    while (got := client.message())[1] != "end":
        found.append(got)
    return found


@scenario("A35")
def scheduled_messages_are_browsed(case: Case) -> None:
    client = Client(case)
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVEALL")
    replies, name = f"/queue/{case.name('replies')}", f"/queue/{case.name('later')}"
    client.subscribe(replies)
    for delay in ("300000", "100000", "200000"):
        client.send(name, delay, AMQ_SCHEDULED_DELAY=delay, persistent="true", mine="yes", correlation_id="c")
    shown = waiting(client, replies)
    case.saw("by due time", [body for _, body in shown])
    headers = shown[0][0]
    case.saw("told", headers["type"], headers["mine"], headers["correlation-id"], headers.get("persistent"))
    case.saw("its schedule", headers.get("AMQ_SCHEDULED_DELAY"), headers["scheduledJobId"][:3])
    case.saw("where to", headers["destination"] == replies, headers["original-destination"] == name)
    now_ms = int(time.time() * 1000)
    stretch = {"ACTION_START_TIME": str(now_ms + 150_000), "ACTION_END_TIME": str(now_ms + 250_000)}
    case.saw("of a stretch", [body for _, body in waiting(client, replies, **stretch)])
    start = {"ACTION_START_TIME": str(now_ms + 150_000)}
    case.saw("of half a stretch", [body for _, body in waiting(client, replies, **start)])
    case.saw("still there", len(waiting(client, replies)))
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVEALL")
    client.leave()


@scenario("A35")
def scheduled_messages_are_removed(case: Case) -> None:
    client = Client(case)
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVEALL")
    replies, name = f"/queue/{case.name('replies')}", f"/queue/{case.name('later')}"
    client.subscribe(replies)
    for delay in ("100000", "200000", "300000", "400000"):
        client.send(name, delay, AMQ_SCHEDULED_DELAY=delay, persistent="true")
    first = waiting(client, replies)[0][0]
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVE", scheduledJobId=first["scheduledJobId"])
    case.saw("one is gone", [body for _, body in waiting(client, replies)])
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVE")
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="remove", scheduledJobId="no such job")
    client.send(MANAGEMENT, "no order")
    client.send("/queue/ActiveMQ.Scheduler.Management", "none either")
    case.saw("nothing else", [body for _, body in waiting(client, replies)])
    now_ms = int(time.time() * 1000)
    stretch = {"ACTION_START_TIME": str(now_ms + 150_000), "ACTION_END_TIME": str(now_ms + 350_000)}
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVEALL", **stretch)
    case.saw("a stretch is gone", [body for _, body in waiting(client, replies)])
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVEALL")
    case.saw("all are gone", [body for _, body in waiting(client, replies)])
    client.leave()


@scenario("A35")
def removed_job_never_comes(case: Case) -> None:
    client = Client(case)
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVEALL")
    replies, name = f"/queue/{case.name('replies')}", f"/queue/{case.name('again')}"
    client.subscribe(replies, "replies")
    client.subscribe(name)
    said = {"AMQ_SCHEDULED_DELAY": "200", "AMQ_SCHEDULED_PERIOD": "400", "AMQ_SCHEDULED_REPEAT": "1000"}
    client.send(name, "again", persistent="true", **said)
    headers, body = client.message()
    case.saw("came", body)
    client.send(MANAGEMENT, AMQ_SCHEDULER_ACTION="REMOVE", scheduledJobId=headers["scheduledJobId"])
    client.send(name, "after two periods", AMQ_SCHEDULED_DELAY="800")
    case.saw("and no more", client.bodies(1))
    client.leave()


@scenario("A32", "A33")
def transient_messages_are_no_dead_letters(case: Case) -> None:
    dead, client = Client(case), Client(case)
    dead.subscribe("/queue/ActiveMQ.DLQ", "dead")
    name = f"/queue/{case.name('e')}"
    soon_ms = int(time.time() * 1000) + 100
    for persistent in ("false", "true"):
        client.send(name, f"late {persistent}", persistent=persistent, expires=str(soon_ms))
    while time.time() * 1000 <= soon_ms + 1:
        client.send(f"{name}-other", "tick")
    client.subscribe(name, "s", ack="client-individual")
    case.saw("expired", [dead.message()[1]])
    for persistent in ("false", "true"):
        client.send(name, f"poison {persistent}", persistent=persistent)
        client.answer(client.message()[0], "nack")
    case.saw("refused", [dead.message()[1]])
    client.send("/queue/ActiveMQ.DLQ", "the last", persistent="false")
    case.saw("nothing else", [dead.message()[1]])
    client.leave()
    dead.leave()
