"""Artemis' addresses, routing types and shared subscriptions (A2, A22), with `--as activemq:artemis`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker, ManualClock
from pillarbox.broker.auth import Permission
from tests.protocols.stomp.talking import Talking

WAIT_S = 20.0


@pytest.fixture(scope="module")
def artemis() -> Iterator[Broker]:
    with Broker(stomp_port=0, profile="activemq:artemis") as running:
        yield running


@pytest.fixture
def client(artemis: Broker, connected: Callable[..., Talking]) -> Talking:
    return connected(to=artemis)


def queues(broker: Broker) -> set[str]:
    return broker.call(lambda server: set(server.core.vhosts["/"].queues))


@pytest.mark.row("A1")
def test_client_is_told_who_answers(artemis: Broker) -> None:
    with Talking(artemis.stomp_address) as client:
        assert client.connect(host="anything").headers["server"].startswith("ActiveMQ-Artemis/")


@pytest.mark.row("A2")
@pytest.mark.parametrize(
    ("destination", "more"),
    [
        ("{}", {"destination-type": "ANYCAST"}),
        ("/queue/{}", {}),
        ("anycast://{}", {}),
        ("jms.queue.{}", {}),
        ("/topic/{}", {"destination-type": "ANYCAST"}),
    ],
)
def test_anycast_address_is_a_queue(
    artemis: Broker, client: Talking, name: str, destination: str, more: dict[str, str]
) -> None:
    """A2: a header goes before a prefix."""
    client.done("SEND", {"destination": destination.format(name)} | more, "x")
    assert artemis.queue(name).ready == 1
    client.say("SUBSCRIBE", {"id": "s", "destination": name, "subscription-type": "ANYCAST"})
    got = client.message()
    assert (got.body, "destination-type" in got.headers) == (b"x", False)


@pytest.mark.row("A2")
@pytest.mark.parametrize(
    ("destination", "more"),
    [("{}", {}), ("{}", {"destination-type": "MULTICAST"}), ("/topic/{}", {}), ("multicast://{}", {})],
)
def test_multicast_address_is_a_topic(
    artemis: Broker, connected: Callable[..., Talking], name: str, destination: str, more: dict[str, str]
) -> None:
    """A2: also one of which nobody says what it is."""
    readers = [connected(to=artemis) for _ in range(2)]
    for reader in readers:
        reader.done("SUBSCRIBE", {"id": "s", "destination": name, "subscription-type": "MULTICAST"})
    readers[0].send(destination.format(name), "x", **more)
    assert [reader.message().body for reader in readers] == [b"x", b"x"]
    assert name not in queues(artemis)


@pytest.mark.row("A2")
def test_name_alone_is_the_queue_that_is_there(artemis: Broker, client: Talking, name: str) -> None:
    client.done("SEND", {"destination": name, "destination-type": "ANYCAST"}, "1")
    client.done("SEND", {"destination": name}, "2")
    assert artemis.queue(name).ready == 2


@pytest.mark.row("A2")
def test_operator_says_what_a_name_alone_is(connected: Callable[..., Talking], name: str) -> None:
    options = {"stomp_default_routing_type": "anycast", "stomp_anycast_prefixes": ("q/",)}
    with Broker(stomp_port=0, profile="activemq:artemis", **options) as broker:
        client = connected(to=broker)
        client.done("SEND", {"destination": name}, "1")
        client.done("SEND", {"destination": f"q/{name}"}, "2")
        client.done("SEND", {"destination": f"/queue/{name}"}, "to an address of this very name")
        assert broker.queue(name).ready == 2
        assert f"/queue/{name}" in queues(broker)


@pytest.mark.row("A2", "A10")
@pytest.mark.parametrize(
    ("destination", "more", "message"),
    [
        ("x", {"destination-type": "BOTH"}, "Invalid header"),
        ("::q", {}, "Invalid destination"),
        ("a::", {}, "Invalid destination"),
        ("/queue/", {}, "Invalid destination"),
    ],
)
def test_address_that_is_none_is_refused(
    client: Talking, destination: str, more: dict[str, str], message: str
) -> None:
    got = client.ask("SEND", {"destination": destination} | more)
    assert (got.command, got.headers["message"]) == ("ERROR", message)


@pytest.mark.row("A22")
def test_queue_of_a_multicast_address_is_shared(
    artemis: Broker, connected: Callable[..., Talking], name: str
) -> None:
    """A22: each message goes to one of those that share it, and to every other subscription."""
    shared, other = [connected(to=artemis) for _ in range(2)], connected(to=artemis)
    for reader in shared:
        said = {"id": "s", "destination": f"{name}.a::{name}-all", "subscription-type": "MULTICAST"}
        reader.done("SUBSCRIBE", said)
    other.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{name}.a"})
    for number in range(6):
        other.send(f"{name}.b", "another address")
        other.send(f"{name}.a", str(number))
    assert [other.message().body for _ in range(6)] == [b"%d" % number for number in range(6)]
    got = [[int(reader.message().body) for _ in range(3)] for reader in shared]
    assert sorted(got) == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.row("A22", "A2")
def test_shared_queue_keeps_messages_while_nobody_reads(
    artemis: Broker, connected: Callable[..., Talking], client: Talking, name: str
) -> None:
    """A22: and it may be sent to by itself."""
    reader = connected(to=artemis)
    where = {"destination": f"multicast://{name}::{name}-all"}
    reader.done("SUBSCRIBE", {"id": "s"} | where)
    reader.done("DISCONNECT")
    client.done("SUBSCRIBE", {"id": "other", "destination": f"/topic/{name}"})
    client.done("SEND", where, "to the queue alone")
    client.send(f"/topic/{name}", "to all")
    assert client.message().body == b"to all"
    again = connected(to=artemis)
    again.say("SUBSCRIBE", {"id": "s"} | where)
    assert [again.message().body for _ in range(2)] == [b"to the queue alone", b"to all"]


@pytest.mark.row("A2", "A10")
def test_queue_belongs_to_one_address(client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "a", "destination": f"{name}.a::{name}"})
    client.done("SUBSCRIBE", {"id": "again", "destination": f"{name}.a::{name}"})
    for destination in (f"{name}.b::{name}", f"/queue/{name}.a::{name}"):
        got = client.ask("SUBSCRIBE", {"id": "b", "destination": destination})
        assert got.headers["message"] == "Invalid destination"


@pytest.mark.row("A2")
def test_queue_of_an_anycast_address(artemis: Broker, client: Talking, name: str) -> None:
    client.done("SEND", {"destination": f"{name}::{name}", "destination-type": "ANYCAST"}, "x")
    assert artemis.queue(name).ready == 1
    client.say("SUBSCRIBE", {"id": "s", "destination": f"{name}::{name}"})
    assert client.message().body == b"x"


def ready(broker: Broker, *names: str) -> list[int]:
    return [broker.queue(name).ready for name in names]


@pytest.fixture
def shared(artemis: Broker, client: Talking, name: str) -> str:
    """An anycast address with two queues, of which neither has its name."""
    for number in (1, 2):
        said = {"destination": f"{name}::{name}.{number}", "subscription-type": "ANYCAST"}
        client.done("SUBSCRIBE", {"id": str(number)} | said)
        client.done("UNSUBSCRIBE", {"id": str(number)})
    return name


@pytest.mark.row("A2")
def test_queues_of_an_anycast_address_take_turns(
    artemis: Broker, connected: Callable[..., Talking], shared: str
) -> None:
    """A2: so does the queue of its name, which the first SEND makes; also where each client sends once."""
    for body in "abcdef":
        connected(to=artemis).done("SEND", {"destination": f"/queue/{shared}"}, body)
    assert ready(artemis, shared, f"{shared}.1", f"{shared}.2") == [2, 2, 2]
    reader = connected(to=artemis)
    reader.say("SUBSCRIBE", {"id": "s", "destination": f"{shared}::{shared}.1"})
    got = [reader.message() for _ in range(2)]
    assert [int(b"abcdef".index(one.body)) % 3 for one in got] == [0, 0]
    assert {one.headers["destination"] for one in got} == {f"/queue/{shared}"}


@pytest.mark.row("A2")
def test_queue_that_is_read_goes_before_others(
    artemis: Broker, connected: Callable[..., Talking], client: Talking, shared: str
) -> None:
    """A2: as long as its readers want the message."""
    reader = connected(to=artemis)
    where = {"destination": f"{shared}::{shared}.2", "selector": "size > 1"}
    reader.done("SUBSCRIBE", {"id": "s", "ack": "client"} | where)
    for size in (1, 2, 3):
        client.done("SEND", {"destination": f"/queue/{shared}", "size": str(size)}, str(size))
    assert [reader.message().body for _ in range(2)] == [b"2", b"3"]
    assert sum(ready(artemis, shared, f"{shared}.1")) == 1


@pytest.mark.row("A2")
def test_name_alone_goes_to_the_queues_that_an_anycast_address_has(
    artemis: Broker, client: Talking, name: str
) -> None:
    """A2: nobody has said that it is to have one of its own name."""
    client.done("SEND", {"destination": f"anycast://{name}/a::{name}.1"}, "x")
    for _ in range(2):
        client.done("SEND", {"destination": f"{name}/a"}, "x")
    assert (ready(artemis, f"{name}.1"), f"{name}/a" in queues(artemis)) == ([3], False)
    client.say("SUBSCRIBE", {"id": "s", "destination": f"{name}/a::{name}.1"})
    assert [client.message().headers["destination"] for _ in range(3)][1:] == [f"/queue/{name}/a"] * 2


@pytest.mark.row("A2")
def test_message_to_one_queue_of_an_address_goes_there_alone(
    artemis: Broker, client: Talking, shared: str
) -> None:
    client.done("SEND", {"destination": f"/queue/{shared}"}, "x")
    before = ready(artemis, shared, f"{shared}.1", f"{shared}.2")
    for queue in (shared, f"{shared}.1"):
        client.done("SEND", {"destination": f"{shared}::{queue}"}, "x")
    after = ready(artemis, shared, f"{shared}.1", f"{shared}.2")
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 0]


@pytest.mark.row("A2")
def test_queue_that_comes_later_gets_its_share(
    artemis: Broker, connected: Callable[..., Talking], client: Talking, name: str
) -> None:
    """A2: who has sent to the address before hears of it, and of its end."""
    send = {"destination": f"/queue/{name}"}
    for _ in range(2):
        client.done("SEND", send, "before")
    other = connected(to=artemis)
    said = {"destination": f"{name}::{name}.more", "destination-type": "ANYCAST"}
    other.done("SEND", said | {"auto-delete": "true"}, "first")
    for _ in range(4):
        client.done("SEND", send, "after")
    assert ready(artemis, name, f"{name}.more") == [4, 3]
    artemis.call(lambda server: server.core.vhosts["/"].delete_queue(None, f"{name}.more"))
    for _ in range(2):
        client.done("SEND", send, "alone")
    assert ready(artemis, name) == [6]


@pytest.mark.row("A2", "A5")
def test_turns_within_a_transaction(artemis: Broker, client: Talking, shared: str) -> None:
    client.say("BEGIN", {"transaction": "t"})
    for _ in range(6):
        client.send(f"/queue/{shared}", "x", transaction="t")
    client.done("COMMIT", {"transaction": "t"})
    assert ready(artemis, shared, f"{shared}.1", f"{shared}.2") == [2, 2, 2]


@pytest.mark.row("A2", "A35")
def test_turns_of_messages_that_come_later_and_after_a_restart(tmp_path: Path, name: str) -> None:
    clock = ManualClock()
    options = {"stomp_port": 0, "profile": "activemq:artemis", "clock": clock}
    names = (name, f"{name}.1")
    with Broker(str(tmp_path), **options) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SEND", {"destination": f"anycast://{name}::{name}.1", "persistent": "true"}, "x")
        for _ in range(4):
            said = {"destination": f"anycast://{name}", "AMQ_SCHEDULED_DELAY": "60000", "persistent": "true"}
            client.done("SEND", said, "later")
        assert ready(broker, *names) == [0, 1]
    with Broker(str(tmp_path), **options) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        broker.advance("61s")
        deadline = time.monotonic() + WAIT_S
        while ready(broker, *names) != [2, 3] and time.monotonic() < deadline:
            pass
        assert ready(broker, *names) == [2, 3]
        for _ in range(2):
            client.done("SEND", {"destination": name}, "a name alone is the address that is there")
        assert ready(broker, *names) == [3, 4]


@pytest.mark.row("A2", "A10")
def test_queue_belongs_to_one_anycast_address(client: Talking, shared: str) -> None:
    for destination in (f"anycast://{shared}.other::{shared}.1", f"multicast://{shared}::{shared}.1"):
        got = client.ask("SEND", {"destination": destination}, "x")
        assert got.headers["message"] == "Invalid destination"


@pytest.mark.row("A2")
def test_who_may_not_read_an_address_cannot_take_its_messages(
    connected: Callable[..., Talking], name: str
) -> None:
    with Broker(stomp_port=0, profile="activemq:artemis") as broker:

        def allow(server: Any) -> None:
            server.core.add_user("thief", "p")
            server.core.set_permission(Permission("thief", "/", "own", ".*", "own|pillarbox[.]anycast"))

        broker.call(allow)
        client = connected(to=broker, login="thief", passcode="p")
        got = client.ask("SUBSCRIBE", {"id": "s", "destination": f"anycast://{name}::own"})
        assert got.headers["message"] == "access_refused"
        assert "own" not in queues(broker)


@pytest.mark.row("A2", "A26", "A27")
def test_rules_count_for_an_address_with_several_queues(connected: Callable[..., Talking]) -> None:
    rules = {"stomp_composite_destinations": ("/queue/a = /queue/b",), "stomp_mirrored_queues": "Mirror."}
    with Broker(stomp_port=0, profile="activemq:artemis", **rules) as broker:
        client = connected(to=broker)
        client.done("SUBSCRIBE", {"id": "m", "destination": "/topic/Mirror.c"})
        for destination in ("anycast://a::a.1", "/queue/a", "anycast://c::c.1", "/queue/c"):
            client.send(destination, destination)
        assert client.message().body == b"/queue/c"
        assert ready(broker, "a", "a.1", "b") == [0, 1, 1]
        assert sum(ready(broker, "c", "c.1")) == 2


@pytest.mark.row("A27")
def test_retroactive_address_gives_every_new_queue_what_it_has_kept(
    connected: Callable[..., Talking], name: str
) -> None:
    """A27: also a shared one, which gets it once."""
    with Broker(
        stomp_port=0, profile="activemq:artemis", stomp_topics_keep=("/topic/prices.> = 2",)
    ) as broker:
        client = connected(to=broker)
        for body in "abc":
            client.done("SEND", {"destination": "prices.x"}, body)
        for number, destination in enumerate(("/topic/prices.x", "prices.x::all")):
            client.say("SUBSCRIBE", {"id": str(number), "destination": destination})
            assert [client.message().body for _ in range(2)] == [b"b", b"c"]
        client.done("SUBSCRIBE", {"id": "again", "destination": "prices.x::all"})
        assert ready(broker, "all") == [0]


@pytest.mark.row("A27")
def test_ring_keeps_the_newest_and_forgets_the_others(artemis: Broker, client: Talking, name: str) -> None:
    """A27: by a policy or an argument; they are no dead letters, whatever else dies there."""
    artemis.set_policy(name, f"^{name}a$", {"max-length": 3})
    before = artemis.queue("DLQ").ready if "DLQ" in queues(artemis) else 0
    for queue, more in ((f"{name}a", {}), (f"{name}b", {"x-max-length": "3"})):
        for body in "12345":
            client.done("SEND", {"destination": f"/queue/{queue}"} | more, body)
        client.say("SUBSCRIBE", {"id": queue, "destination": f"/queue/{queue}"})
        assert [client.message().body for _ in range(3)] == [b"3", b"4", b"5"]
    assert artemis.queue("DLQ").ready == before


@pytest.mark.row("A27")
@pytest.mark.parametrize("by_policy", [False, True])
def test_last_value_of_each_key_waits(artemis: Broker, client: Talking, name: str, by_policy: bool) -> None:
    more = {} if by_policy else {"x-last-value-key": "symbol"}
    if by_policy:
        artemis.set_policy(name, f"^{name}$", {"last-value-key": "symbol"})
    for symbol, price in (("A", "1"), ("B", "2"), ("A", "3")):
        client.done("SEND", {"destination": f"/queue/{name}", "symbol": symbol} | more, price)
    client.done("SEND", {"destination": f"/queue/{name}"}, "none")
    assert artemis.queue(name).ready == 3
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    assert [client.message().body for _ in range(3)] == [b"2", b"3", b"none"]


@pytest.mark.row("A27")
@pytest.mark.parametrize("ack", ["auto", "client", "client-individual"])
def test_queue_that_is_not_destructive_shows_everybody_everything(
    artemis: Broker, connected: Callable[..., Talking], client: Talking, name: str, ack: str
) -> None:
    """A27: whoever acknowledges does no harm."""
    artemis.set_policy(name, f"^{name}$", {"non-destructive": True, "last-value-key": "symbol"})
    client.done("SEND", {"destination": f"/queue/{name}", "symbol": "A"}, "1")
    readers = [connected(to=artemis) for _ in range(2)]
    for reader in readers:
        reader.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": ack})
        got = reader.message()
        assert got.body == b"1"
        if ack != "auto":
            for command in ("ACK", "NACK"):
                reader.say(command, {"id": got.headers["ack"]})
    client.done("SEND", {"destination": f"/queue/{name}", "symbol": "A"}, "2")
    for reader in readers:
        assert reader.message().body == b"2"
        reader.done("DISCONNECT")
    assert (artemis.queue(name).ready, artemis.queue(name).unacknowledged) == (1, 0)
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "selector": "symbol = 'A'"})
    assert client.message().body == b"2"


@pytest.mark.row("A21", "A8")
def test_durable_subscriber_has_artemis_own_name(
    artemis: Broker, connected: Callable[..., Talking], name: str
) -> None:
    reader = connected(to=artemis, client_id=name)
    reader.done("SUBSCRIBE", {"id": "s", "destination": name, "durable-subscriber-name": "mine"})
    assert f"{name}.mine" in queues(artemis)


@pytest.mark.row("A3")
def test_what_is_refused_is_forgotten(artemis: Broker, client: Talking, name: str) -> None:
    """A3: Artemis takes a NACK for an ACK."""
    said = {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"}
    client.done("SUBSCRIBE", said | {"consumer-window-size": "0"})
    for body in ("poison", "good"):
        client.send(f"/queue/{name}", body)
    client.say("NACK", {"id": client.message().headers["ack"]})
    got = client.message()
    assert (got.body, artemis.queue(name).unacknowledged, artemis.queue("DLQ").ready) == (b"good", 1, 0)


@pytest.mark.row("A35", "A7")
def test_message_comes_at_the_moment_that_its_sender_says(
    connected: Callable[..., Talking], name: str
) -> None:
    with Broker(stomp_port=0, profile="activemq:artemis", clock=ManualClock()) as broker:
        client = connected(to=broker)
        client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
        now_ms = broker.call(lambda server: server.core.changes.now_ms)
        for moment_ms in (now_ms + 60_000, now_ms - 1):
            said = {"destination": f"/queue/{name}", "_AMQ_SCHED_DELIVERY": str(moment_ms)}
            client.say("SEND", said, str(moment_ms - now_ms))
        assert client.message().body == b"-1"
        broker.advance("61s")
        assert client.message().body == b"60000"
