"""Numbers that a client asks for by a message to `ActiveMQ.Statistics.*` (A39).

Their names are compared with ActiveMQ: `tests/compare_messaging/scenarios/statistics_on_activemq.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.protocols.stomp import statistics
from tests.protocols.stomp.talking import Got, Talking

Told = dict[str, object]


@pytest.fixture(scope="module")
def counted() -> Iterator[Broker]:
    with Broker(stomp_port=0, stomp_dialect="activemq", stomp_statistics=True) as running:
        yield running


@pytest.fixture
def client(counted: Broker, connected: Callable[..., Talking]) -> Talking:
    client = connected(to=counted)
    wanted = {"destination": "/temp-queue/numbers", "transformation": "jms-json"}
    client.done("SUBSCRIBE", {"id": "numbers"} | wanted)
    return client


def told(got: Got) -> Told:
    """What a map message says."""
    assert (got.headers["transformation"], got.headers["type"]) == ("jms-map-json", "Advisory")
    found = msgspec.json.decode(got.body)["map"]
    values: Told = {}
    for entry in found["entry"] if found else ():
        if isinstance(entry["string"], list):
            name, values[name] = entry["string"]
        else:
            values[entry["string"]] = next(value for kind, value in entry.items() if kind != "string")
    return values


def ask(client: Talking, what: str, *, of: str = "queue", **more: str) -> list[Told]:
    """All that is answered before a message that is sent behind the question."""
    reply = {"reply-to": "/temp-queue/numbers"}
    client.say("SEND", {"destination": f"/{of}/ActiveMQ.Statistics.{what}"} | reply | more)
    client.send("/temp-queue/numbers", "end")
    found = []
    while (got := client.message()).body != b"end":
        assert got.headers.get("correlation-id") == (
            None if what == "Subscription" else more.get("correlation-id")
        )
        found.append(told(got))
    return found


@pytest.mark.row("A39")
def test_queue_is_told_of_as_it_stands(counted: Broker, client: Talking, name: str) -> None:
    for _ in range(4):
        client.done("SEND", {"destination": f"/queue/{name}"}, "12345")
    with pika.BlockingConnection(pika.URLParameters(counted.amqp_url)) as connection:
        channel = connection.channel()
        channel.basic_get(name, auto_ack=True)
        channel.basic_get(name)
        (found,) = ask(client, f"Destination.{name}", **{"correlation-id": "c1"})
    shown = ("size", "enqueueCount", "dequeueCount", "dispatchCount", "inflightCount", "consumerCount")
    assert [found[each] for each in shown] == [3, 4, 1, 2, 1, 0]
    assert (found["destinationName"], found["memoryUsage"]) == (f"queue://{name}", 15)
    assert (found["averageMessageSize"], found["brokerName"]) == (5, "localhost")


@pytest.mark.row("A39", "A32")
def test_expired_messages_are_counted(client: Talking, name: str) -> None:
    client.done("SEND", {"destination": f"/queue/{name}", "expires": "1"}, "x")
    client.done("SEND", {"destination": f"/queue/{name}"}, "y")
    (found,) = ask(client, f"Destination.{name}")
    assert (found["size"], found["expiredCount"]) == (1, 1)


@pytest.mark.row("A39")
def test_wildcards_and_the_end_of_the_list(client: Talking, name: str) -> None:
    for end in "ab":
        client.send(f"/queue/{name}.{end}")
    found = ask(client, f"Destination.{name}.*")
    assert sorted(str(each["destinationName"]) for each in found) == [f"queue://{name}.{end}" for end in "ab"]
    found = ask(client, f"Destination{statistics.END_OF_LIST}.{name}.*")
    assert [bool(each) for each in found] == [True, True, False]
    assert ask(client, f"Destination.{name}.none") == []


@pytest.mark.row("A39")
def test_topic_is_told_of_with_its_subscribers(client: Talking, name: str) -> None:
    for number in "12":
        client.done("SUBSCRIBE", {"id": number, "destination": f"/topic/{name}", "ack": "client"})
    client.send(f"/topic/{name}", "123")
    client.message(), client.message()
    (found,) = ask(client, f"Destination.{name}", of="topic")
    shown = ("destinationName", "consumerCount", "inflightCount")
    assert [found[each] for each in shown] == [f"topic://{name}", 2, 2]
    assert ask(client, f"Destination.{name}") == []


@pytest.mark.row("A39")
def test_broker_is_told_of_as_a_whole(client: Talking, name: str) -> None:
    (before,) = ask(client, "Broker")
    client.send(f"/queue/{name}", "x")
    (after,) = ask(client, "Broker")
    assert int(str(after["size"])) == int(str(before["size"])) + 1
    assert str(after["stomp"]).startswith("stomp://127.0.0.1:")


@pytest.mark.row("A39")
def test_subscriptions_are_told_of_one_by_one(client: Talking, name: str) -> None:
    said = {"destination": f"/queue/{name}", "ack": "client", "activemq.prefetchSize": "3"}
    client.done("SUBSCRIBE", {"id": "q", "selector": "n > 1", "activemq.exclusive": "true"} | said)
    client.done("SUBSCRIBE", {"id": "t", "destination": f"/topic/{name}.t"})
    found = {str(each["destinationName"]): each for each in ask(client, "Subscription")}
    one = found[name]
    assert (one["prefetchSize"], one["selector"], one["exclusive"]) == (3, "n > 1", True)
    assert one["clientId"] == one["connectionId"]
    assert found[f"{name}.t"]["prefetchSize"] == 32_767


@pytest.mark.row("A39")
def test_answer_is_xml_unless_json_is_wanted(client: Talking) -> None:
    client.done("SUBSCRIBE", {"id": "plain", "destination": "/topic/numbers"})
    client.send("/queue/ActiveMQ.Statistics.Broker", **{"reply-to": "/topic/numbers"})
    got = client.message()
    assert got.headers["transformation"] == "jms-map-xml"
    assert got.body.startswith(
        b"<map>\n  <entry>\n    <string>brokerName</string>\n    <string>localhost</string>"
    )


@pytest.mark.row("A39")
def test_question_without_reply_to_is_a_message(client: Talking) -> None:
    client.done("SEND", {"destination": "/queue/ActiveMQ.Statistics.Broker"}, "to whom?")
    client.done("SUBSCRIBE", {"id": "q", "destination": "/queue/ActiveMQ.Statistics.Broker"})
    assert client.message().body == b"to whom?"


@pytest.mark.row("A39")
def test_nobody_is_answered_unless_it_is_switched_on(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=activemq)
    client.done(
        "SEND", {"destination": "/queue/ActiveMQ.Statistics.Broker", "reply-to": f"/queue/{name}"}, "x"
    )
    client.done("SUBSCRIBE", {"id": "q", "destination": "/queue/ActiveMQ.Statistics.Broker"})
    assert client.message().body == b"x"


@pytest.mark.row("A39", "A45")
def test_who_may_not_read_them_is_refused(counted: Broker, name: str) -> None:
    counted.call(lambda server: server.core.add_user(name, name))
    counted.call(lambda server: server.core.set_permission(Permission(name, "/", ".*", ".*", "^[^A].*")))
    with Talking(counted.stomp_address) as client:
        client.connect(login=name, passcode=name)
        client.send("/queue/ActiveMQ.Statistics.Broker", **{"reply-to": f"/queue/{name}"})
        assert client.error().headers["message"] == "access_refused"


@pytest.mark.row("A39")
def test_many_queues_are_told_of_over_some_ticks(
    client: Talking, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the receipt waits until all are; a client that goes meanwhile disturbs nobody."""
    monkeypatch.setattr(statistics, "STEP_QUEUES", 2)
    for number in range(9):
        client.send(f"/queue/{name}.{number}")
    said = {
        "destination": f"/queue/ActiveMQ.Statistics.Destination.{name}.>",
        "reply-to": "/temp-queue/numbers",
    }
    client.say("SEND", said | {"receipt": "done"})
    commands = [client.read().command for _ in range(10)]
    assert sorted(commands) == ["MESSAGE"] * 9 + ["RECEIPT"]
    client.say("SEND", said)
    client.say("DISCONNECT")


@pytest.mark.row("A39")
def test_many_questions_at_once_are_answered_in_order(client: Talking, name: str) -> None:
    said = f"destination:/queue/ActiveMQ.Statistics.Destination.{name}\nreply-to:/temp-queue/numbers\n"
    client.done("SEND", {"destination": f"/queue/{name}"}, "x")
    frames = [f"SEND\n{said}correlation-id:{number}\n\n\0" for number in range(500)]
    client.socket.sendall("".join(frames).encode())
    assert [client.message().headers["correlation-id"] for _ in frames] == [str(n) for n in range(500)]
