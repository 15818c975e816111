"""Artemis' addresses, routing types and shared subscriptions (A2, A22), with `--as activemq:artemis`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pillarbox import Broker, ManualClock
from tests.protocols.stomp.talking import Talking


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
