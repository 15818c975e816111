"""What destinations bear, by pattern: limits, what happens beyond, evictions, slow receivers (A40)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import stomp

from bench.peers import await_true
from pillarbox import Broker, ManualClock
from pillarbox.config import ConfigError
from pillarbox.protocols.stomp.policies import Policies, Policy
from pillarbox.protocols.stomp.rules import read_bearing
from tests.protocols.stomp.talking import Talking

pytestmark = pytest.mark.row("A40")
BODY = "x" * 1000
READING = {"ack": "client-individual", "activemq.prefetchSize": "1"}


def broker_of(*rows: str, **options: Any) -> Broker:
    return Broker(
        **({"stomp_port": 0, "stomp_dialect": "activemq", "stomp_destination_policies": rows} | options)
    )


# --- rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/queue/a = limit 1MiB, full fail", {"limit_bytes": 1 << 20, "full": "fail"}),
        ("queue://a.> = full page", {"full": "page"}),
        ("/topic/a = pending 10, evict oldest", {"pending_max": 10, "evict": "oldest", "evict_by": ""}),
        ("/topic/a = pending any", {"pending_max": -1}),
        ("/topic/a=evict superseded symbol", {"evict": "superseded", "evict_by": "symbol"}),
        ("/topic/a = slow warn, slow-after 1m 30s", {"slow": "warn", "slow_after_ms": 90_000}),
    ],
)
def test_row_says(text: str, says: dict[str, Any]) -> None:
    assert read_bearing(text).says == says


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = limit 1", "does not begin with /queue/NAME"),
        ("/queue/a limit 1", "does not begin with"),
        ("/queue/a += limit 1", "there has to be ="),
        ("/queue/a = ", "does not begin with one of limit"),
        ("/queue/a = size 1", "does not begin with one of limit"),
        ("/queue/a = limit much", "no size"),
        ("/queue/a = full wait", "none of block, fail, drop, page"),
        ("/queue/a = pending 5", "for subscriptions to topics"),
        ("/topic/a = pending -2", "no number of messages"),
        ("/topic/a = pending 5, evict superseded", "the name of a header"),
        ("/topic/a = evict newest", "none of oldest"),
        ("/topic/a = evict oldest first", "none of oldest"),
        ("/topic/a = slow kill", "none of ignore, warn, abort"),
        ("/topic/a = slow-after 10ms", "no time of at least 1s"),
        ("/topic/a = slow-after 5", "no time of at least 1s"),
    ],
)
def test_row_that_is_wrong_is_refused_at_the_start(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_bearing(text)
    with pytest.raises(ConfigError, match="stomp_destination_policies"):
        broker_of(text).start()


def test_each_setting_is_that_of_the_most_exact_row() -> None:
    rows = (
        "/queue/> = limit 1, full drop, slow warn",
        "/queue/orders.eu = limit 4",
        "/queue/orders.* = limit 3, full fail",
        "/queue/orders.> = limit 2",
        "/topic/orders.eu = limit 9",
    )
    for order in (rows, rows[::-1]):
        policies = Policies(Policy(pending_max=7), map(read_bearing, order))
        found = {name: policies.of("queue", name) for name in ("x", "orders.eu", "orders.us", "orders.a.b")}
        assert [(one.limit_bytes, one.full) for one in found.values()] == [
            (1, "drop"),
            (4, "fail"),
            (3, "fail"),
            (2, "drop"),
        ]
        assert {(one.slow, one.pending_max) for one in found.values()} == {("warn", 7)}
        assert policies.of("topic", "orders.eu") == Policy(limit_bytes=9, pending_max=7)
    assert (policies.limit, policies.watch) == (True, True)
    idle = Policies(Policy(), [read_bearing("/topic/a = pending 5, slow ignore")])
    assert (idle.limit, idle.watch) == (False, False)


# --- what is full ------------------------------------------------------------------------------------------


def test_limits_and_what_happens_beyond_them_are_those_of_each_destination(
    connected: Callable[..., Talking],
) -> None:
    rows = (
        "/queue/> = limit 3000",
        "/queue/fail.> = full fail",
        "/queue/drop.* = full drop",
        "/queue/page = full page",
        "/queue/large = limit 1MiB",
    )
    with broker_of(*rows) as broker:
        client, blocked = connected(to=broker), connected(to=broker)
        for number in range(6):
            for name in ("drop.a", "page", "large"):
                client.done("SEND", {"destination": f"/queue/{name}"}, f"{number}{BODY}")
        assert [broker.queue(name).ready for name in ("drop.a", "page", "large")] == [3, 6, 6]
        for number in range(3):
            client.done("SEND", {"destination": "/queue/fail.a.b"}, f"{number}{BODY}")
        got = client.ask("SEND", {"destination": "/queue/fail.a.b"}, "one too many")
        assert got.headers["message"].startswith("Usage Manager Memory Limit reached")
        for number in range(4):
            blocked.send("/queue/block", f"{number}{BODY}")
        blocked.say("SEND", {"destination": "/queue/large", "receipt": "last"}, "x")
        client.done("SUBSCRIBE", {"id": "s", "destination": "/queue/block"})
        assert [client.message().body[:1] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
        assert blocked.read().headers == {"receipt-id": "last"}


def test_what_is_dropped_is_answered_in_order(
    connected: Callable[..., Talking],
) -> None:
    with broker_of("/queue/full = limit 1000, full drop") as broker:
        client = connected(to=broker)
        for number, name in enumerate(("full", "full", "other", "full")):
            client.say("SEND", {"destination": f"/queue/{name}", "receipt": str(number)}, BODY)
        assert [client.read().headers["receipt-id"] for _ in range(4)] == ["0", "1", "2", "3"]
        assert (broker.queue("full").ready, broker.queue("other").ready) == (1, 1)


def test_topic_is_full_when_one_of_its_subscriptions_is(connected: Callable[..., Talking]) -> None:
    with broker_of("/topic/news.* = limit 2000, full drop") as broker:
        slow, quick, sender = (connected(to=broker) for _ in range(3))
        slow.done("SUBSCRIBE", {"id": "s", "destination": "/topic/news.>"} | READING)
        quick.done("SUBSCRIBE", {"id": "s", "destination": "/topic/news.sport"})
        for number in range(5):
            sender.done("SEND", {"destination": "/topic/news.sport"}, f"{number}{BODY}")
            sender.done("SEND", {"destination": "/topic/other"}, BODY)
        assert [quick.message().body[:1] for _ in range(2)] == [b"0", b"1"]
        got = slow.message()
        slow.say("ACK", {"id": got.headers["ack"]})
        assert slow.message().body[:1] == b"1"


def test_artemis_says_it_in_its_words(connected: Callable[..., Talking]) -> None:
    with Broker(
        stomp_port=0,
        profile="activemq:artemis",
        stomp_destination_policies=("/queue/a = limit 1000, full fail",),
    ) as broker:
        client = connected(to=broker)
        sent = {"destination": "a", "destination-type": "ANYCAST"}
        client.done("SEND", sent, BODY)
        assert client.ask("SEND", sent, BODY).headers["message"] == 'AMQ229102: Address "a" is full.'


def test_unmodified_client_is_told_and_goes_on() -> None:
    """stomp.py, which takes a connection with an ERROR frame for one that goes on."""

    class Listener(stomp.ConnectionListener):
        def __init__(self) -> None:
            self.errors: list[str] = []
            self.receipts: list[str] = []

        def on_error(self, frame: Any) -> None:
            self.errors.append(frame.headers["message"])

        def on_receipt(self, frame: Any) -> None:
            self.receipts.append(frame.headers["receipt-id"])

    with broker_of("/queue/a = limit 1000, full fail") as broker:
        client, listener = stomp.Connection12([broker.stomp_address]), Listener()
        client.set_listener("", listener)
        client.connect("guest", "guest", wait=True)
        for name in ("a", "a", "b"):
            client.send(f"/queue/{name}", BODY, receipt=name)
        await_true(lambda: "b" in listener.receipts, 20, "the last receipt")
        assert len(listener.errors) == 1
        assert (broker.queue("a").ready, broker.queue("b").ready) == (1, 1)
        client.disconnect()


# --- what waits for subscriptions --------------------------------------------------------------------------


def flood(connected: Callable[..., Talking], broker: Broker, topic: str, *said: dict[str, str]) -> list[str]:
    """What a subscription gets that reads one message and waits while these come."""
    reader, sender = connected(to=broker), connected(to=broker)
    reader.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{topic}"} | READING)
    for number, headers in enumerate(({}, *said)):
        sender.done("SEND", {"destination": f"/topic/{topic}"} | headers, str(number))
    found = []
    for _ in range(3):
        got = reader.message()
        found.append(got.body.decode())
        reader.say("ACK", {"id": got.headers["ack"]})
    return found


def test_what_gives_way_is_said_for_each_topic(connected: Callable[..., Talking]) -> None:
    rows = (
        "/topic/> = pending 2",
        "/topic/ranked.> = evict lowest-priority",
        "/topic/prices.* = evict superseded symbol",
    )
    with broker_of(*rows) as broker:
        ranks = [{"priority": each} for each in ("5", "1", "9", "4")]
        assert flood(connected, broker, "plain", *ranks) == ["0", "3", "4"]
        assert flood(connected, broker, "ranked.a", *ranks) == ["0", "1", "3"]
        symbols = [{"symbol": each} for each in ("a", "b", "b")]
        assert flood(connected, broker, "prices.x", *symbols) == ["0", "1", "3"]


# --- who is slow -------------------------------------------------------------------------------------------


def test_slow_subscriptions_meet_what_their_destination_says(
    connected: Callable[..., Talking],
) -> None:
    """And others hear of it."""
    rows = ("/queue/strict = slow abort, slow-after 5s", "/topic/mild.* = slow warn, slow-after 5s")
    with broker_of(*rows, clock=ManualClock()) as broker:
        heard: list[str] = []
        broker.call(
            lambda server: server.core.events.read(
                "consumer.slow", lambda vhost, consumer: heard.append(consumer.head.destination)
            )
        )
        places = ("/queue/strict", "/topic/mild.a", "/queue/free")
        readers = [connected(to=broker) for _ in places]
        sender = connected(to=broker)
        for reader, place in zip(readers, places, strict=True):
            reader.done("SUBSCRIBE", {"id": "s", "destination": place} | READING)
            for number in range(2):
                sender.done("SEND", {"destination": place}, str(number))
            reader.message()
        for _ in range(4):
            broker.advance("3s")
        assert readers[0].error().headers["message"] == "Slow consumer"
        for reader in readers[1:]:
            reader.done("SEND", {"destination": "/queue/x"}, "still here")
        assert heard == ["/queue/strict", "/topic/mild.a"]


def test_others_hear_that_a_destination_is_full(connected: Callable[..., Talking]) -> None:
    with broker_of("/queue/a = limit 1000, full drop") as broker:
        heard: list[tuple[str, str]] = []
        broker.call(
            lambda server: server.core.events.read(
                "destination.full", lambda vhost, queue, *said: heard.append((queue.name, said[-1]))
            )
        )
        client = connected(to=broker)
        for _ in range(3):
            client.done("SEND", {"destination": "/queue/a"}, BODY)
        assert heard == [("a", "drop")] * 2
