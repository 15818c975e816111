"""Producer flow control, and subscriptions that are slow (A40)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from pillarbox import Broker, ManualClock
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.protocols.stomp.policies import Policies, Policy
from tests.protocols.stomp.rig import without_socket
from tests.protocols.stomp.talking import Talking

LIMIT_BYTES = 10_000
BODY = "x" * 1000


def broker_of(**options: object) -> Iterator[Broker]:
    said = {"stomp_port": 0, "stomp_dialect": "activemq", "stomp_destination_limit": LIMIT_BYTES}
    with Broker(**(said | options)) as broker:
        yield broker


@pytest.fixture
def limited() -> Iterator[Broker]:
    yield from broker_of()


@pytest.fixture
def failing() -> Iterator[Broker]:
    yield from broker_of(stomp_send_fail_if_no_space=True)


@pytest.fixture
def impatient() -> Iterator[Broker]:
    yield from broker_of(clock=ManualClock(), stomp_slow_consumer="abort", stomp_destination_limit=0)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds, ten seconds at most."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end


def fill(client: Talking, name: str, count: int = 100) -> None:
    for number in range(count):
        client.send(f"/queue/{name}", f"{number} {BODY}")


@pytest.mark.row("A40")
def test_sender_waits_while_the_queue_is_full_and_loses_nothing(
    limited: Broker, connected: Callable[..., Talking], name: str
) -> None:
    """A40: others go on meanwhile, to other queues and from this one."""
    sender, other = connected(to=limited), connected(to=limited)
    fill(sender, name)
    sender.say("SEND", {"destination": f"/queue/{name}", "receipt": "last"}, "last")
    wait_for(lambda: name in queues(limited) and limited.queue(name).ready >= 9)
    other.done("SEND", {"destination": f"/queue/{name}-other"}, "y")
    assert limited.queue(name).ready == 9
    other.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    assert [other.message().body.split()[0] for _ in range(100)] == [b"%d" % n for n in range(100)]
    assert sender.read().headers == {"receipt-id": "last"}


def queues(broker: Broker) -> list[str]:
    return broker.call(lambda server: list(server.core.vhosts["/"].queues))


@pytest.mark.parametrize(
    "heads",
    [
        [b"destination:/queue/a\ncorrelation-id:%d" % number for number in range(20)],
        [b"destination:/queue/a,/queue/b", b"destination:/queue/a"] * 10,
    ],
)
@pytest.mark.row("A40")
def test_limit_counts_what_came_in_the_same_read_whatever_its_headers(heads: list[bytes]) -> None:
    connection = without_socket(is_activemq=True, policies=Policies(Policy(limit_bytes=500)))
    connection.receive(b"CONNECT\n\n\0" + b"".join(b"SEND\n%b\n\nx\0" % head for head in heads))
    queue = connection.core.vhosts["/"].queues["a"]
    assert queue.ready_count == 1 + 500 // (MESSAGE_BYTES + 1)
    assert connection.waiting


@pytest.mark.row("A40")
def test_what_is_out_counts_until_it_is_answered(
    limited: Broker, connected: Callable[..., Talking], name: str
) -> None:
    sender, reader = connected(to=limited), connected(to=limited)
    reader.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client"})
    fill(sender, name, 20)
    got = [reader.message() for _ in range(9)]
    reader.done("SEND", {"destination": f"/queue/{name}-other"}, "y")
    assert limited.queue(name).unacknowledged == 9
    reader.say("ACK", {"id": got[-1].headers["ack"]})
    assert reader.message().body.startswith(b"9 ")


@pytest.mark.row("A40")
def test_publisher_to_a_topic_waits_for_a_subscription_that_is_full(
    limited: Broker, connected: Callable[..., Talking], name: str
) -> None:
    sender, reader = connected(to=limited), connected(to=limited)
    prefetch = {"ack": "client", "activemq.prefetchSize": "1"}
    reader.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{name}"} | prefetch)
    for number in range(20):
        sender.send(f"/topic/{name}", f"{number} {BODY}")
    sender.say("SEND", {"destination": f"/topic/{name}", "receipt": "last"}, "last")
    for number in range(21):
        got = reader.message()
        assert got.body.startswith(b"last" if number == 20 else b"%d " % number)
        reader.say("ACK", {"id": got.headers["ack"]})
    assert sender.read().headers == {"receipt-id": "last"}


@pytest.mark.row("A40")
def test_full_queue_that_is_deleted_holds_nobody_up(
    limited: Broker, connected: Callable[..., Talking], name: str
) -> None:
    sender = connected(to=limited)
    fill(sender, name, 12)
    sender.say("SEND", {"destination": f"/queue/{name}-other", "receipt": "r"}, "last")
    wait_for(lambda: name in queues(limited) and limited.queue(name).ready >= 9)

    def delete(server: object) -> None:
        vhost = server.core.vhosts["/"]  # type: ignore[attr-defined]
        vhost.remove_queue(vhost.queues[name])

    limited.call(delete)
    assert sender.read().headers == {"receipt-id": "r"}


@pytest.mark.row("A40")
def test_what_a_client_had_sent_before_it_went_is_taken(
    limited: Broker, connected: Callable[..., Talking], name: str
) -> None:
    sender, reader = connected(to=limited), connected(to=limited)
    fill(sender, name, 30)
    wait_for(lambda: name in queues(limited) and limited.queue(name).ready >= 9)
    sender.socket.close()
    reader.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    assert [reader.message().body.split()[0] for _ in range(30)] == [b"%d" % n for n in range(30)]
    wait_for(lambda: limited.call(lambda server: len(server.core.sessions)) == 1)


@pytest.mark.row("A40", "A10")
def test_sender_is_refused_where_an_operator_wants_that(
    failing: Broker, connected: Callable[..., Talking], name: str
) -> None:
    """A40: `sendFailIfNoSpace`. The connection goes on, and so does the sender when there is room."""
    sender = connected(to=failing)
    for number in range(9):
        sender.done("SEND", {"destination": f"/queue/{name}"}, f"{number} {BODY}")
    got = sender.ask("SEND", {"destination": f"/queue/{name}"}, "one too many")
    assert got.command == "ERROR"
    assert got.headers["message"].startswith("Usage Manager Memory Limit reached")
    assert "receipt-id" in got.headers
    sender.done("SEND", {"destination": f"/queue/{name}-other"}, "y")
    sender.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    for _ in range(9):
        sender.message()
    sender.say("UNSUBSCRIBE", {"id": "s"})
    sender.done("SEND", {"destination": f"/queue/{name}"}, "room")


@pytest.mark.row("A40", "A10")
def test_sender_is_refused_during_an_alarm(
    failing: Broker, connected: Callable[..., Talking], name: str
) -> None:
    sender = connected(to=failing)
    failing.call(lambda server: server.core.set_alarm("disk", True))
    assert "low on disk" in sender.ask("SEND", {"destination": f"/queue/{name}"}, "x").headers["message"]
    failing.call(lambda server: server.core.set_alarm("disk", False))
    sender.done("SEND", {"destination": f"/queue/{name}"}, "x")


@pytest.mark.row("A40", "A8")
@pytest.mark.parametrize(
    ("limit", "left"), [("2", [8, 9]), ("0", list(range(1, 10))), ("-1", list(range(1, 10)))]
)
def test_slow_subscription_to_a_topic_loses_the_oldest(
    activemq: Broker, connected: Callable[..., Talking], name: str, limit: str, left: list[int]
) -> None:
    reader, sender = connected(to=activemq), connected(to=activemq)
    said = {"ack": "client-individual", "activemq.prefetchSize": "1"}
    said |= {"id": "s", "destination": f"/topic/{name}", "activemq.maximumPendingMessageLimit": limit}
    reader.done("SUBSCRIBE", said)
    for number in range(10):
        sender.done("SEND", {"destination": f"/topic/{name}"}, str(number))
    got = reader.message()
    assert got.body == b"0"
    for number in left:
        reader.say("ACK", {"id": got.headers["ack"]})
        got = reader.message()
        assert got.body == b"%d" % number
    reader.done("ACK", {"id": got.headers["ack"]})
    sender.done("SEND", {"destination": f"/topic/{name}"}, "next")
    assert reader.message().body == b"next"


@pytest.mark.row("A40", "A10")
def test_limit_of_what_may_wait_has_to_be_a_number(
    activemq: Broker, connected: Callable[..., Talking]
) -> None:
    said = {"id": "s", "destination": "/topic/x", "activemq.maximumPendingMessageLimit": "many"}
    assert connected(to=activemq).ask("SUBSCRIBE", said).headers["message"] == "Invalid header"


@pytest.mark.row("A40")
def test_operator_says_how_much_may_wait_for_a_subscription(
    connected: Callable[..., Talking], name: str
) -> None:
    """A40: and a client may only lower it; durable ones keep everything, as with ActiveMQ."""
    with Broker(stomp_port=0, stomp_dialect="activemq", stomp_pending_message_limit=1) as broker:
        reader = connected(to=broker, client_id="me")
        said = {"ack": "client-individual", "activemq.prefetchSize": "1", "destination": f"/topic/{name}"}
        more = {"activemq.maximumPendingMessageLimit": "3"}
        reader.done("SUBSCRIBE", {"id": "a", "x-queue-name": f"{name}a"} | said | more)
        durable = {"activemq.subscriptionName": "kept"}
        reader.done("SUBSCRIBE", {"id": "b", "x-queue-name": f"{name}b"} | said | durable)
        sender = connected(to=broker)
        for _ in range(5):
            sender.done("SEND", {"destination": f"/topic/{name}"}, "x")
        assert (broker.queue(f"{name}a").ready, broker.queue(f"{name}b").ready) == (1, 4)


@pytest.mark.row("A40")
def test_subscription_that_is_slow_for_long_ends_its_connection(
    impatient: Broker, connected: Callable[..., Talking], name: str
) -> None:
    """A40: what it has not answered comes back; who works, or for whom nothing waits, is not slow."""
    slow, idle, busy = (connected(to=impatient) for _ in range(3))
    reading = {"ack": "client-individual", "activemq.prefetchSize": "1"}
    for client, what in ((slow, "slow"), (idle, "idle"), (busy, "busy")):
        client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}{what}"} | reading)
    sender = connected(to=impatient)
    for what, count in (("slow", 2), ("idle", 1), ("busy", 5)):
        for number in range(count):
            sender.done("SEND", {"destination": f"/queue/{name}{what}"}, str(number))
    slow.message(), idle.message()
    for number in range(3):
        impatient.advance("11s")
        got = busy.message()
        assert got.body == b"%d" % number
        busy.say("ACK", {"id": got.headers["ack"]})
    busy.message()
    impatient.advance("11s")
    assert slow.error().headers["message"] == "Slow consumer"
    idle.done("SEND", {"destination": f"/queue/{name}"}, "still here")
    busy.done("SEND", {"destination": f"/queue/{name}"}, "still here")
    assert impatient.queue(f"{name}slow").ready == 2
