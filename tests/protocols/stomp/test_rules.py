"""Rules for destinations: what an operator may write, and that they count for clients of all protocols.

What STOMP clients see is compared with ActiveMQ: `tests/compare_messaging/scenarios/rules_on_activemq.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from pillarbox import Broker, Config, ManualClock
from pillarbox.broker import recovery
from pillarbox.config import ConfigError
from pillarbox.errors import StartupError
from pillarbox.protocols.stomp.rules import Composite, Kept, Place, Way, read_composite, read_kept
from tests.protocols.stomp.talking import Talking

WAIT_S = 20.0
RULES: dict[str, Any] = {
    "stomp_port": 0,
    "stomp_dialect": "activemq",
    "stomp_composite_destinations": (
        "/queue/all = /queue/one, /queue/two, /topic/three",
        "/topic/all += /queue/one",
        "/queue/circle.a += /queue/circle.b",
        "/queue/circle.b += /queue/circle.a",
        "/queue/full = /queue/small, /queue/one",
    ),
    "stomp_virtual_topics_select": True,
    "stomp_topics_keep": (
        "/topic/last.> = last",
        "/topic/many.> = 3",
        "/topic/timed.> = 60s",
        "/topic/sized.> = 1kB",
        "/topic/told.> = 2 always",
    ),
    "stomp_mirrored_queues": "Mirror.",
}


@pytest.fixture(scope="module")
def ruled() -> Iterator[Broker]:
    with Broker(**RULES) as running:
        yield running


@pytest.fixture
def client(ruled: Broker, connected: Callable[..., Talking]) -> Talking:
    return connected(to=ruled)


@pytest.fixture
def amqp(ruled: Broker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(ruled.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def got(amqp: Any, queue: str) -> list[bytes]:
    found = []
    while (one := amqp.basic_get(queue, auto_ack=True))[0] is not None:
        found.append(one[2])
    return found


# --- how they are written --------------------------------------------------------------------------------


@pytest.mark.row("A26")
@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("/queue/a = /queue/b", Composite(Place("queue", "a"), (Way(Place("queue", "b"), ""),), True)),
        ("topic://a.>+=queue://b", Composite(Place("topic", "a.>"), (Way(Place("queue", "b"), ""),), False)),
        (
            " /queue/a =/topic/b [n > 1, or 'x]' = y] ,/queue/c ",
            Composite(
                Place("queue", "a"),
                (Way(Place("topic", "b"), "n > 1, or 'x]' = y"), Way(Place("queue", "c"), "")),
                True,
            ),
        ),
        (
            "/queue/a/b = /queue/c-d_e",
            Composite(Place("queue", "a/b"), (Way(Place("queue", "c-d_e"), ""),), True),
        ),
    ],
)
def test_composite_destination_is_read(text: str, means: Composite) -> None:
    assert read_composite(text) == means


@pytest.mark.row("A26")
@pytest.mark.parametrize(
    "text",
    [
        *("", "/queue/a", "/queue/a =", "/queue/a = /queue/b,", "a = b", "/queue/ = /queue/b"),
        *("/queue/a = /queue/b.>", "/queue/a = /queue/b [n > 1", "/queue/a = /queue/b /queue/c"),
        *("/temp-queue/a = /queue/b", "/queue/a -> /queue/b", "/queue/a = /queue/b [x] [y]"),
    ],
)
def test_composite_destination_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_composite(text)
    with pytest.raises(ConfigError, match="stomp_composite_destinations"):
        Config(stomp_composite_destinations=(text or " ",))


@pytest.mark.row("A27")
@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("/topic/a.> = last", Kept("a.>", 1, None)),
        ("topic://a=7", Kept("a", 7, None)),
        ("/topic/a = 1m", Kept("a", None, 60_000)),
        ("/topic/a = 1m 30s always", Kept("a", None, 90_000, None, True)),
        ("/topic/a = 64KiB", Kept("a", None, None, 65_536)),
        ("/topic/a = 2 mb", Kept("a", None, None, 2_000_000)),
        ("/topic/a = last  always", Kept("a", 1, None, None, True)),
    ],
)
def test_what_topics_keep_is_read(text: str, means: Kept) -> None:
    assert read_kept(text) == means


@pytest.mark.row("A27")
@pytest.mark.parametrize(
    "text",
    [
        *("/topic/a", "/queue/a = last", "/topic/a = ", "/topic/a = 0", "/topic/a = 10001"),
        *("/topic/a = first", "/topic/a = 0s", "/topic/a = -1s", "/topic/a += 5"),
        *("/topic/a = 0B", "/topic/a = B", "/topic/a = always", "/topic/a = 5 sometimes"),
    ],
)
def test_what_topics_cannot_keep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_kept(text)
    with pytest.raises(ConfigError, match="stomp_topics_keep"):
        Config(stomp_topics_keep=(text,))


@pytest.mark.row("A26")
def test_selector_that_is_none_ends_the_start() -> None:
    rules = {**RULES, "stomp_composite_destinations": ("/queue/a = /queue/b [n >]",)}
    with pytest.raises(StartupError, match="stomp_composite_destinations"), Broker(**rules):
        pass


# --- what they do ----------------------------------------------------------------------------------------


@pytest.mark.row("A26")
def test_rules_count_for_amqp_before_a_client_of_stomp_has_come() -> None:
    with (
        Broker(**RULES) as broker,
        pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection,
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        for queue in ("one", "two"):
            channel.queue_declare(queue, durable=True)
        channel.queue_declare("three", exclusive=True)
        channel.queue_bind("three", "amq.topic", "three")
        channel.basic_publish("", "all", b"x", mandatory=True)
        assert [got(channel, queue) for queue in ("one", "two", "three")] == [[b"x"]] * 3
        channel.basic_publish("amq.topic", "all", b"y", mandatory=True)
        assert got(channel, "one") == [b"y"]


@pytest.mark.row("A26")
def test_message_that_was_passed_on_keeps_what_its_sender_said(amqp: Any) -> None:
    properties = pika.BasicProperties(headers={"n": 1, "t": "ü"}, content_type="text/plain", delivery_mode=2)
    amqp.basic_publish("", "all", b"x", properties)
    _, found, body = amqp.basic_get("two", auto_ack=True)
    assert (body, found.content_type, found.delivery_mode) == (b"x", "text/plain", 2)
    assert found.headers == {"n": 1, "t": "ü", "x-original-destination": "/queue/all"}
    got(amqp, "one")


@pytest.mark.row("A26", "A43")
def test_receipt_waits_for_what_is_passed_on_and_a_restart_finds_it(tmp_path: Path) -> None:
    with Broker(str(tmp_path), **RULES) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SEND", {"destination": "/queue/all", "persistent": "true"}, "x")
    with Broker(str(tmp_path), **RULES) as broker:
        assert [broker.queue(name).ready for name in ("one", "two")] == [1, 1]


@pytest.mark.row("A26", "A35")
def test_message_that_waits_is_passed_on_when_it_comes(tmp_path: Path) -> None:
    """Also after a restart."""
    clock = ManualClock()
    said = {"AMQ_SCHEDULED_DELAY": "60000", "persistent": "true"}
    with Broker(str(tmp_path), **RULES, clock=clock) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        for destination in ("/queue/all", "/topic/all"):
            client.done("SEND", {"destination": destination, **said}, destination)
        assert broker.call(lambda server: "one" in server.core.vhosts["/"].queues) is False
    with Broker(str(tmp_path), **RULES, clock=clock) as broker:
        broker.advance("61s")

        def ready(server: Any) -> list[int]:
            queues = server.core.vhosts["/"].queues
            return [queues[name].ready_count if name in queues else 0 for name in ("all", "one", "two")]

        # What waited is read from the disk first.
        deadline = time.monotonic() + WAIT_S
        while broker.call(ready) != [0, 2, 1] and time.monotonic() < deadline:
            pass
        assert broker.call(ready) == [0, 2, 1]


@pytest.mark.row("A26")
def test_circle_ends(ruled: Broker, client: Talking) -> None:
    client.done("SEND", {"destination": "/queue/circle.a"}, "x")
    assert [ruled.queue(f"circle.{name}").ready for name in "ab"] == [2, 1]
    client.done("SEND", {"destination": "/queue/circle.b"}, "x")
    assert [ruled.queue(f"circle.{name}").ready for name in "ab"] == [3, 3]


@pytest.mark.row("A26", "R47")
def test_queue_that_is_full_keeps_others_from_nothing(client: Talking, amqp: Any) -> None:
    amqp.queue_declare("small", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for body in (b"1", b"2"):
        amqp.basic_publish("", "full", body)
    assert [got(amqp, queue) for queue in ("small", "one")] == [[b"1"], [b"1", b"2"]]


@pytest.mark.row("A25")
def test_virtual_topic_looks_at_the_selectors_of_amqp_consumers_too(
    amqp: Any, client: Talking, name: str
) -> None:
    queue = f"Consumer.a.VirtualTopic.{name}"
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{queue}"})
    client.done("UNSUBSCRIBE", {"id": "s"})
    found: list[bytes] = []
    amqp.basic_consume(
        queue,
        lambda channel, method, properties, body: found.append(body),
        auto_ack=True,
        arguments={"x-selector": "kind = 'big'"},
    )
    for kind in ("small", "big"):
        client.done("SEND", {"destination": f"/topic/VirtualTopic.{name}", "kind": kind}, kind)
    amqp.connection.process_data_events(0.2)
    while not found:
        amqp.connection.process_data_events(1)
    assert found == [b"big"]
    assert amqp.queue_declare(queue, passive=True).method.message_count == 0


@pytest.mark.row("A27")
def test_mirror_gets_what_comes_by_amqp_and_nothing_of_temporary_queues(
    client: Talking, amqp: Any, name: str
) -> None:
    client.done("SUBSCRIBE", {"id": "m", "destination": "/topic/Mirror.>"})
    amqp.queue_declare(name)
    amqp.queue_declare(f"{name}x", exclusive=True)
    amqp.basic_publish("", f"{name}x", b"not told")
    amqp.basic_publish("", name, b"told")
    message = client.message()
    assert (message.body, message.headers["destination"]) == (b"told", f"/topic/Mirror.{name}")


@pytest.mark.row("A27")
def test_what_has_expired_is_not_recovered(client: Talking, name: str) -> None:
    topic = f"/topic/many.{name}"
    client.done("SEND", {"destination": topic, "expiration": "0"}, "gone")
    client.done("SEND", {"destination": topic}, "here")
    client.say("SUBSCRIBE", {"id": "s", "destination": topic, "activemq.retroactive": "true"})
    assert client.message().body == b"here"


@pytest.mark.row("A27")
def test_what_is_kept_for_a_time_goes_when_it_is_over(name: str) -> None:
    topic = f"/topic/timed.{name}"
    with Broker(**RULES, clock=ManualClock()) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SEND", {"destination": topic}, "old")
        broker.advance("50s")
        client.done("SEND", {"destination": topic}, "young")
        broker.advance("20s")
        client.say("SUBSCRIBE", {"id": "s", "destination": topic, "activemq.retroactive": "true"})
        assert client.message().body == b"young"


@pytest.mark.row("A27")
def test_memory_of_topics_is_counted_and_has_a_bound(
    ruled: Broker, client: Talking, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resident(server: Any) -> int:
        return int(server.core.changes.resident_bytes)

    monkeypatch.setattr(recovery, "TOPICS_MAX", 2)
    before = ruled.call(resident)
    client.done("SEND", {"destination": f"/topic/last.{name}.0"}, "x" * 10_000)
    assert ruled.call(resident) - before > 10_000
    client.done("SEND", {"destination": f"/topic/last.{name}.0"}, "x" * 20_000)
    assert 20_000 < ruled.call(resident) - before < 30_000
    for number in range(1, 4):
        client.done("SEND", {"destination": f"/topic/last.{name}.{number}"}, "x")
    assert ruled.call(resident) - before < 10_000


@pytest.mark.row("A27")
def test_subscription_that_lasts_gets_what_was_kept_when_it_is_made(
    ruled: Broker, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=ruled, client_id=name)
    topic = f"/topic/last.{name}"
    client.done("SEND", {"destination": topic}, "kept")
    said = {"destination": topic, "activemq.retroactive": "true", "activemq.subscriptionName": "s"}
    client.say("SUBSCRIBE", {"id": "1", **said})
    assert client.message().body == b"kept"
    client.done("UNSUBSCRIBE", {"id": "1"})
    client.done("SUBSCRIBE", {"id": "2", **said})
    client.send(topic, "new")
    assert client.message().body == b"new"


RETROACTIVE = {"activemq.retroactive": "true"}


def past(client: Talking, topic: str, count: int, **said: str) -> list[bytes]:
    """What a new subscription is given, before what is sent now."""
    client.done("SUBSCRIBE", {"id": "past", "destination": topic} | RETROACTIVE | said)
    client.send(topic, "now")
    got = [client.message().body for _ in range(count + 1)]
    assert got.pop() == b"now"
    client.done("UNSUBSCRIBE", {"id": "past"})
    return got


@pytest.mark.row("A27")
def test_topic_keeps_so_many_bytes(client: Talking, name: str) -> None:
    """A27: bodies and 150 bytes for each message; one that is larger is not kept at all."""
    for number in range(9):
        client.done("SEND", {"destination": f"/topic/sized.{name}"}, f"{number}".ljust(200))
    got = past(client, f"/topic/sized.{name}", 2)
    assert [body[:1] for body in got] == [b"7", b"8"]
    client.done("SEND", {"destination": f"/topic/sized.{name}.a"}, "x" * 1000)
    assert past(client, f"/topic/sized.{name}.a", 0) == []


@pytest.mark.row("A27")
def test_what_is_kept_for_all_is_told_to_those_that_do_not_ask(client: Talking, name: str) -> None:
    for number in range(3):
        for topic in (f"told.{name}", f"many.{name}"):
            client.done("SEND", {"destination": f"/topic/{topic}"}, f"{topic[0]}{number}")
    client.say("SUBSCRIBE", {"id": "t", "destination": f"/topic/told.{name}"})
    assert [client.message().body for _ in range(2)] == [b"t1", b"t2"]
    assert past(client, f"/topic/many.{name}", 0, **{"activemq.retroactive": "false"}) == []


@pytest.mark.row("A27")
def test_message_is_retained(ruled: Broker, connected: Callable[..., Talking], name: str) -> None:
    """A27: whoever is there gets it as any other; one without a body ends it. No rule is needed for that."""
    client, reader = connected(to=ruled), connected(to=ruled)
    topic = f"/topic/{name}"
    reader.done("SUBSCRIBE", {"id": "r", "destination": topic})
    for body in ("first", "second"):
        client.done("SEND", {"destination": topic, "ActiveMQ.Retain": "true", "n": "1"}, body)
    client.done("SEND", {"destination": topic, "ActiveMQ.Retain": "false"}, "passes")
    got = [reader.message() for _ in range(3)]
    assert [one.body for one in got] == [b"first", b"second", b"passes"]
    assert ["ActiveMQ.Retain" in one.headers for one in got] == [False, False, True]
    client.done("SUBSCRIBE", {"id": "does not ask", "destination": topic})
    client.say("SUBSCRIBE", {"id": "s", "destination": topic} | RETROACTIVE)
    kept = client.message()
    assert (kept.body, kept.headers["ActiveMQ.Retained"], kept.headers["n"]) == (b"second", "true", "1")
    assert (kept.headers["destination"], kept.headers["subscription"]) == (topic, "s")
    for identity in ("s", "does not ask"):
        client.done("UNSUBSCRIBE", {"id": identity})
    assert past(client, topic, 1) == [b"second"]
    client.done("SEND", {"destination": topic, "ActiveMQ.Retain": "true"})
    assert past(client, topic, 0) == []


@pytest.mark.row("A27", "A5")
def test_message_is_retained_when_it_is_committed(client: Talking, name: str) -> None:
    topic = f"/topic/{name}"
    for end, kept in (("ABORT", []), ("COMMIT", [b"x"])):
        client.say("BEGIN", {"transaction": end})
        client.send(topic, "x", **{"ActiveMQ.Retain": "true", "transaction": end})
        client.done(end, {"transaction": end})
        assert past(client, topic, len(kept)) == kept


@pytest.mark.row("A27")
def test_what_is_retained_comes_before_what_is_kept_and_to_lasting_subscriptions_again(
    ruled: Broker, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=ruled, client_id=name)
    topic = f"/topic/many.{name}"
    client.done("SEND", {"destination": topic, "ActiveMQ.Retain": "true"}, "retained")
    for body in "abc":
        client.done("SEND", {"destination": topic}, body)
    said = {"id": "d", "destination": topic, "activemq.subscriptionName": "mine"} | RETROACTIVE
    for wanted in ([b"retained", b"a", b"b", b"c"], [b"retained"]):
        client.done("SUBSCRIBE", said)
        client.send(f"{topic}.none", "not this")
        assert [client.message().body for _ in wanted] == wanted
        client.done("UNSUBSCRIBE", {"id": "d"})


@pytest.mark.row("A27")
def test_memory_of_what_is_retained_is_counted_and_has_a_bound(
    ruled: Broker, client: Talking, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resident(server: Any) -> int:
        return int(server.core.changes.resident_bytes)

    monkeypatch.setattr(recovery, "TOPICS_MAX", 2)
    before = ruled.call(resident)
    for size in (10_000, 20_000):
        client.done("SEND", {"destination": f"/topic/{name}", "ActiveMQ.Retain": "true"}, "x" * size)
        assert abs(ruled.call(resident) - before - size) < 9_000, "one of other tests may have gone"
    for number in range(3):
        client.done("SEND", {"destination": f"/topic/{name}.{number}", "ActiveMQ.Retain": "true"}, "x")
    assert ruled.call(resident) - before < 10_000


@pytest.mark.row("A27")
def test_only_topics_retain(ruled: Broker, client: Talking, name: str) -> None:
    client.done("SEND", {"destination": f"/queue/{name}", "ActiveMQ.Retain": "true"}, "x")
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    got = client.message()
    assert (got.body, got.headers["ActiveMQ.Retain"]) == (b"x", "true")


@pytest.mark.row("A26")
def test_dialect_of_rabbitmq_has_no_rules() -> None:
    with (
        Broker(**{**RULES, "stomp_dialect": "rabbitmq"}) as broker,
        Talking(broker.stomp_address) as client,
    ):
        client.connect()
        client.done("SEND", {"destination": "/queue/all"}, "x")
        assert broker.queue("all").ready == 1
