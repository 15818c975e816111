"""What ActiveMQ's clients expect: its dialect of destinations, and its ways with messages."""

from __future__ import annotations

from collections.abc import Callable

import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.jms_destinations import matcher
from pillarbox.broker.returning import ENTRIES_AT_ONCE
from tests.protocols.stomp.talking import Talking

DLQ = "ActiveMQ.DLQ"


@pytest.fixture
def client(activemq: Broker, connected: Callable[..., Talking]) -> Talking:
    return connected(to=activemq)


def leave(client: Talking) -> None:
    client.done("DISCONNECT")


def cut(client: Talking) -> None:
    client.socket.close()


@pytest.mark.row("A1")
def test_host_of_connect_is_no_virtual_host(activemq: Broker) -> None:
    with Talking(activemq.stomp_address) as client:
        got = client.connect(host="localhost")
        assert got.headers["server"].startswith("ActiveMQ/")


@pytest.mark.row("A21")
@pytest.mark.parametrize("goes", [leave, cut])
def test_client_id_is_one_clients_until_it_goes(
    activemq: Broker, name: str, goes: Callable[[Talking], None]
) -> None:
    with Talking(activemq.stomp_address) as first, Talking(activemq.stomp_address) as second:
        assert first.connect(client_id=name).command == "CONNECTED"
        got = second.connect(client_id=name)
        host, port = first.socket.getsockname()
        said = f"Broker: localhost - Client: {name} already connected from tcp://{host}:{port}"
        assert (got.command, got.headers["message"], got.body.decode()) == ("ERROR", said, said)
        goes(first)
    assert_let_in(activemq, name)


@pytest.mark.row("A21")
def test_client_that_is_not_let_in_keeps_no_client_id(activemq: Broker, name: str) -> None:
    with Talking(activemq.stomp_address) as client:
        assert client.connect(client_id=name, heart_beat="no numbers").command == "ERROR"
    assert_let_in(activemq, name)


@pytest.mark.row("A21")
def test_in_rabbitmqs_dialect_client_ids_are_only_said(broker: Broker, name: str) -> None:
    with Talking(broker.stomp_address) as first, Talking(broker.stomp_address) as second:
        assert first.connect(client_id=name).command == second.connect(client_id=name).command == "CONNECTED"


def assert_let_in(activemq: Broker, client_id: str) -> None:
    """Somebody gets in under it, as soon as the broker knows that its former owner has gone."""
    for _ in range(1000):
        with Talking(activemq.stomp_address) as again:
            if again.connect(client_id=client_id).command == "CONNECTED":
                return
    raise AssertionError(f"{client_id} is never let go")


@pytest.mark.parametrize("destination", ["/queue/{}/a", "queue://{}/a"])
@pytest.mark.row("A2")
def test_names_of_queues_may_have_slashes(
    activemq: Broker, client: Talking, name: str, destination: str
) -> None:
    client.done("SEND", {"destination": destination.format(name)}, "x")
    assert activemq.queue(f"{name}/a").ready == 1


@pytest.mark.row("A3", "A33")
def test_message_that_was_refused_goes_to_the_dead_letter_queue(
    activemq: Broker, client: Talking, name: str
) -> None:
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    client.send(f"/queue/{name}", name, persistent="true")
    client.done("NACK", {"id": client.message().headers["ack"]})
    client.say("SUBSCRIBE", {"id": "dead", "destination": f"/queue/{DLQ}"})
    got = client.message()
    assert (got.body.decode(), got.headers["subscription"]) == (name, "dead")
    assert got.headers["x-first-death-queue"] == name


@pytest.mark.row("A32")
def test_message_that_expired_goes_to_the_dead_letter_queue(
    activemq: Broker, client: Talking, name: str
) -> None:
    client.done("SEND", {"destination": f"/queue/{name}", "expires": "1", "persistent": "true"}, name)
    client.say("SUBSCRIBE", {"id": "dead", "destination": f"/queue/{DLQ}"})
    assert client.message().body.decode() == name


def dead_letters(client: Talking, queue: str, **more: str) -> list[str]:
    """What becomes a dead letter of a message that expires in this queue, and of one that is refused."""
    client.done("SEND", {"destination": f"/queue/{queue}", "expires": "1"} | more, "late")
    reading = {"id": "s", "destination": f"/queue/{queue}", "ack": "client-individual"}
    client.done("SUBSCRIBE", reading)
    client.send(f"/queue/{queue}", "poison", **more)
    client.done("NACK", {"id": client.message().headers["ack"]})
    client.done("UNSUBSCRIBE", {"id": "s"})
    client.done("SEND", {"destination": f"/queue/{DLQ}"}, "end")
    client.say("SUBSCRIBE", {"id": "dead", "destination": f"/queue/{DLQ}"})
    found = []
    while (got := client.message()).body != b"end":
        found.append(got.body.decode())
    client.done("UNSUBSCRIBE", {"id": "dead"})
    return found


@pytest.mark.row("A32", "A33")
def test_transient_message_is_no_dead_letter(activemq: Broker, client: Talking, name: str) -> None:
    """A32: whatever it dies of; the frame that makes a queue may say otherwise, and a policy goes before."""
    assert dead_letters(client, f"{name}a") == []
    assert dead_letters(client, f"{name}a", persistent="true") == ["late", "poison"]
    said = {"x-dead-letter-transient": "true"}
    assert dead_letters(client, f"{name}b", **said) == ["late", "poison"]
    activemq.set_policy(name, f"^{name}a$", {"dead-letter-transient": True, "dead-letter-expired": False})
    assert dead_letters(client, f"{name}a") == ["poison"]
    activemq.clear_policy(name)
    assert dead_letters(client, f"{name}a") == []


@pytest.mark.row("A32")
def test_operator_says_what_becomes_of_what_expires(connected: Callable[..., Talking], name: str) -> None:
    """A32: `processExpired` and `processNonPersistent`."""
    options = {"stomp_process_expired": False, "stomp_process_non_persistent": True}
    with Broker(stomp_port=0, stomp_dialect="activemq", **options) as broker:
        client = connected(to=broker)
        assert dead_letters(client, name) == ["poison"]
        assert dead_letters(client, name, persistent="true") == ["poison"]


@pytest.mark.row("A25")
def test_queue_of_a_virtual_topic_gets_what_the_topic_gets(
    activemq: Broker, client: Talking, name: str
) -> None:
    for consumer in "ab":
        headers = {"id": consumer, "destination": f"/queue/Consumer.{consumer}.VirtualTopic.{name}"}
        client.done("SUBSCRIBE", headers)
    client.send(f"/topic/VirtualTopic.{name}", "x")
    got = {client.message().headers["subscription"] for _ in range(2)}
    assert got == {"a", "b"}


@pytest.mark.row("A21")
def test_durable_subscription_that_is_made_for_another_topic_is_a_new_one(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=activemq, client_id=name)
    headers = {"id": "s", "activemq.subscriptionName": "news"}
    client.done("SUBSCRIBE", headers | {"destination": f"/topic/{name}.a"})
    client.done("UNSUBSCRIBE", {"id": "s"})
    client.done("SEND", {"destination": f"/topic/{name}.a"}, "old")
    client.done("SUBSCRIBE", headers | {"destination": f"/topic/{name}.b"})
    client.send(f"/topic/{name}.a", "not any more")
    client.send(f"/topic/{name}.b", "new")
    assert client.message().body == b"new"


@pytest.mark.row("A10", "A21")
def test_queue_has_no_durable_subscriptions(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    client = connected(to=activemq, client_id=name)
    headers = {"id": "s", "destination": f"/queue/{name}", "activemq.subscriptionName": "news"}
    assert client.ask("SUBSCRIBE", headers).headers["message"] == "Invalid Subscription"


@pytest.mark.row("A36")
def test_reply_comes_to_whoever_subscribed_to_the_temporary_queue(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    server, client = connected(to=activemq), connected(to=activemq)
    server.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    client.done("SUBSCRIBE", {"id": "replies", "destination": "/temp-queue/answers"})
    client.send(f"/queue/{name}", "ping", reply_to="/temp-queue/answers")
    server.send(server.message().headers["reply-to"], "pong")
    got = client.message()
    assert (got.body, got.headers["subscription"]) == (b"pong", "replies")


@pytest.mark.row("A30")
def test_subscription_has_a_thousand_deliveries_out_unless_it_says_otherwise(
    activemq: Broker, client: Talking, name: str
) -> None:
    for _ in range(1001):
        client.send(f"/queue/{name}", "x")
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client"})
    for _ in range(1000):
        client.message()
    assert (activemq.queue(name).unacknowledged, activemq.queue(name).ready) == (1000, 1)


@pytest.mark.parametrize("form", ["/queue/{0}a,/queue/{0}b,/topic/{0}", "/queue/{0}a,{0}b,topic://{0}"])
@pytest.mark.row("A26")
def test_message_goes_to_all_destinations_that_one_is_composed_of(
    activemq: Broker, client: Talking, name: str, form: str
) -> None:
    client.done("SUBSCRIBE", {"id": "t", "destination": f"/topic/{name}"})
    client.send(form.format(name), "x", receipt="r")
    assert {client.read().command for _ in range(2)} == {"MESSAGE", "RECEIPT"}
    assert [activemq.queue(f"{name}{which}").ready for which in "ab"] == [1, 1]


@pytest.mark.row("A26", "A10")
def test_destinations_in_one_have_a_bound(client: Talking, name: str) -> None:
    got = client.ask("SEND", {"destination": ",".join([f"/queue/{name}"] * 101)})
    assert got.headers["message"] == "Invalid destination"


@pytest.mark.row("A28", "A7")
def test_messages_of_a_group_go_to_one_consumer(
    activemq: Broker, connected: Callable[..., Talking], client: Talking, name: str
) -> None:
    readers = [connected(to=activemq) for _ in range(2)]
    for reader in readers:
        reader.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    for n in range(8):
        client.done("SEND", {"destination": f"/queue/{name}", "JMSXGroupID": "ab"[n % 2]}, "ab"[n % 2])
    got = [[reader.message() for _ in range(4)] for reader in readers]
    assert [{one.body for one in each} for each in got] == [{b"a"}, {b"b"}]
    first, *others = [one.headers.get("JMSXGroupFirstForConsumer") for one in got[0]]
    assert (first, *others) == ("true", None, None, None)


@pytest.mark.row("A28")
def test_group_ends_with_the_message_that_says_so(
    activemq: Broker, connected: Callable[..., Talking], client: Talking, name: str
) -> None:
    readers = [connected(to=activemq) for _ in range(2)]
    for reader in readers:
        reader.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    headers = {"destination": f"/queue/{name}", "JMSXGroupID": "g"}
    for number in ("1", "2", "-1", "1", "2"):
        client.done("SEND", headers | {"JMSXGroupSeq": number}, number)
    assert [readers[0].message().body for _ in range(3)] == [b"1", b"2", b"-1"]
    assert [readers[1].message().body for _ in range(2)] == [b"1", b"2"]


@pytest.mark.row("A30")
@pytest.mark.parametrize(("durable", "out"), [(False, 1100), (True, 100)])
def test_default_of_prefetch_is_that_of_the_kind_of_subscription(
    activemq: Broker, connected: Callable[..., Talking], name: str, durable: bool, out: int
) -> None:
    client = connected(to=activemq, client_id=name)
    headers = {"id": "s", "destination": f"/topic/{name}", "ack": "client-individual"}
    client.done("SUBSCRIBE", headers | ({"activemq.subscriptionName": "d"} if durable else {}))
    sender = connected(to=activemq)
    for _ in range(1100):
        sender.send(f"/topic/{name}")
    for _ in range(out):
        client.message()
    client.done("BEGIN", {"transaction": "nothing else comes before its receipt"})


@pytest.mark.row("A34")
def test_refused_message_is_redelivered_where_the_queue_has_a_policy_for_it(
    activemq: Broker, client: Talking, name: str
) -> None:
    headers = {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"}
    client.say("SUBSCRIBE", headers | {"x-redelivery-max": "1", "x-redelivery-delay": "1"})
    client.send(f"/queue/{name}", name, persistent="true")
    for again in ("false", "true"):
        got = client.message()
        assert got.headers["redelivered"] == again
        client.done("NACK", {"id": got.headers["ack"]})
    client.say("SUBSCRIBE", {"id": "dead", "destination": f"/queue/{DLQ}"})
    while (got := client.message()).body.decode() != name:
        pass
    assert got.headers["x-first-death-reason"] == "delivery_limit"


@pytest.mark.row("A33", "A6")
def test_dead_letter_tells_where_it_comes_from_and_why(activemq: Broker, client: Talking, name: str) -> None:
    said = {
        "destination": f"/queue/{name}",
        "expires": "1",
        "persistent": "true",
        "timestamp": "1700000000123",
    }
    client.done("SEND", said | {"persistent": "true"}, name)
    client.say("SUBSCRIBE", {"id": "dead", "destination": f"/queue/{DLQ}"})
    while (got := client.message()).body.decode() != name:
        pass
    assert got.headers["original-destination"] == f"/queue/{name}"
    assert got.headers["dlqDeliveryFailureCause"] == "Message Expired."
    assert (got.headers["timestamp"], got.headers["expires"]) == ("1700000000123", "0")


@pytest.mark.row("A33")
def test_policy_for_dead_letters_goes_before_the_shared_queue(
    activemq: Broker, client: Talking, name: str
) -> None:
    with pika.BlockingConnection(pika.URLParameters(activemq.amqp_url)) as connection:
        connection.channel().queue_declare(f"DLQ.{name}", durable=True)
    definition = {"dead-letter-exchange": "", "dead-letter-routing-key": f"DLQ.{name}"}
    activemq.set_policy(name, f"^{name}$", definition)
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    client.send(f"/queue/{name}", name, persistent="true")
    client.done("NACK", {"id": client.message().headers["ack"]})
    client.say("SUBSCRIBE", {"id": "dead", "destination": f"/queue/DLQ.{name}"})
    assert client.message().body.decode() == name


@pytest.mark.row("A24")
@pytest.mark.parametrize("ack", ["auto", "client", "client-individual"])
def test_subscription_may_stand_for_several_queues(
    activemq: Broker, client: Talking, connected: Callable[..., Talking], name: str, ack: str
) -> None:
    sender = connected(to=activemq)
    sender.done("SEND", {"destination": f"/queue/{name}.a"}, "a")
    client.done("SUBSCRIBE", {"id": "topic", "destination": f"/topic/{name}.t"})
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}.>", "ack": ack})
    got = [client.message()]
    for queue in ("b", "b.c"):
        sender.done("SEND", {"destination": f"/queue/{name}.{queue}"}, queue)
        got.append(client.message())
    assert [one.body for one in got] == [b"a", b"b", b"b.c"]
    assert [one.headers["destination"].rpartition("/")[2] for one in got] == [
        f"{name}.{queue}" for queue in ("a", "b", "b.c")
    ]
    for one in got if ack == "client-individual" else got[-1:]:
        if ack != "auto":
            client.done("ACK", {"id": one.headers["ack"]})
    states = [activemq.queue(f"{name}.{queue}") for queue in ("a", "b", "b.c")]
    assert [(state.ready, state.unacknowledged, state.consumers) for state in states] == [(0, 0, 1)] * 3
    client.done("UNSUBSCRIBE", {"id": "s"})
    sender.done("SEND", {"destination": f"/queue/{name}.d"}, "nobody's")
    sender.done("SEND", {"destination": f"/queue/{name}.a"}, "nobody's")
    assert [activemq.queue(f"{name}.{queue}").ready for queue in "ad"] == [1, 1]


@pytest.mark.row("A24")
def test_queue_of_a_topics_subscription_is_none_of_those_that_a_pattern_names(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    reader, client = connected(to=activemq), connected(to=activemq, client_id=name)
    reader.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}.>"})
    durable = {"id": "d", "destination": f"/topic/{name}.t", "activemq.subscriptionName": "news"}
    client.done("SUBSCRIBE", durable)
    client.done("UNSUBSCRIBE", {"id": "d"})
    client.done("SEND", {"destination": f"/topic/{name}.t"}, "kept")
    assert (activemq.queue(f"{name}.news").ready, activemq.queue(f"{name}.news").consumers) == (1, 0)


@pytest.mark.row("A24", "A10")
def test_several_queues_are_not_browsed_at_once(client: Talking, name: str) -> None:
    headers = {"id": "s", "destination": f"/queue/{name}.*", "browser": "true"}
    assert client.ask("SUBSCRIBE", headers).headers["message"] == "not_implemented"


@pytest.mark.row("A8", "A3")
def test_what_a_subscription_has_not_answered_goes_to_others_when_it_ends(
    activemq: Broker, client: Talking, connected: Callable[..., Talking], name: str
) -> None:
    reading = {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"}
    client.done("SUBSCRIBE", reading)
    for number in range(4):
        client.send(f"/queue/{name}", str(number))
    got = [client.message() for _ in range(4)]
    client.done("BEGIN", {"transaction": "t"})
    client.done("ACK", {"id": got[1].headers["ack"], "transaction": "t"})
    client.done("UNSUBSCRIBE", {"id": "s"})
    other = connected(to=activemq)
    other.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    again = [other.message() for _ in range(3)]
    assert [one.body for one in again] == [b"0", b"2", b"3"]
    assert {one.headers["redelivered"] for one in again} == {"true"}
    # Too late, and no fault of the client's.
    client.done("ACK", {"id": got[0].headers["ack"]})
    client.done("COMMIT", {"transaction": "t"})
    assert (activemq.queue(name).ready, activemq.queue(name).unacknowledged) == (0, 0)


@pytest.mark.row("A8", "A3")
def test_much_that_a_subscription_has_not_answered_goes_back_in_order(
    activemq: Broker, client: Talking, connected: Callable[..., Talking], name: str
) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client"})
    other = connected(to=activemq)
    count = 2 * ENTRIES_AT_ONCE
    for number in range(count):
        other.done("SEND", {"destination": f"/queue/{name}"}, str(number))
    for _ in range(count):
        client.message()
    client.done("UNSUBSCRIBE", {"id": "s"})
    client.done("BEGIN", {"transaction": "it goes on"})
    other.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    assert [int(other.message().body) for _ in range(count)] == list(range(count))


@pytest.mark.row("A3", "A33")
def test_refusal_is_about_one_message_where_answers_are_cumulative(
    activemq: Broker, client: Talking, name: str
) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client"})
    for number in range(3):
        client.send(f"/queue/{name}", str(number), persistent="true")
    got = [client.message() for _ in range(3)]
    client.done("NACK", {"id": got[2].headers["ack"]})
    assert activemq.queue(name).unacknowledged == 2
    client.done("ACK", {"id": got[1].headers["ack"]})
    assert activemq.queue(name).unacknowledged == 0


@pytest.mark.row("A3", "A10")
def test_who_answers_twice_is_told_and_goes_on(activemq: Broker, client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    client.send(f"/queue/{name}", "x")
    answer = {"id": client.message().headers["ack"]}
    client.done("ACK", answer)
    for command in ("ACK", "NACK"):
        assert client.ask(command, answer).headers["message"] == "Unexpected ACK received"
    client.done("BEGIN", {"transaction": "it goes on"})


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (">", ["", ".a", ".a.b", ".a.b.c", ".x.b"]),
        (">.>", ["", ".a", ".a.b", ".a.b.c", ".x.b"]),
        ("a.>", [".a", ".a.b", ".a.b.c"]),
        ("*.>", [".a", ".a.b", ".a.b.c", ".x.b"]),
        ("*.b.>", [".a.b", ".a.b.c", ".x.b"]),
        ("*.*", [".a.b", ".x.b"]),
        (">.b", []),
        ("a.>.c", []),
    ],
)
@pytest.mark.parametrize("kind", ["queue", "topic"])
@pytest.mark.row("A24")
def test_patterns_of_queues_and_topics_are_met_by_the_same_names(
    client: Talking, name: str, kind: str, pattern: str, names: list[str]
) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/{kind}/{name}.{pattern}"})
    client.done("SUBSCRIBE", {"id": "end", "destination": f"/{kind}/{name}-end"})
    for one in ("", ".a", ".a.b", ".a.b.c", ".x.b"):
        client.send(f"/{kind}/{name}{one}", one)
    client.send(f"/{kind}/{name}-end", "end")
    found = [client.message().body.decode() for _ in range(len(names) + 1)]
    assert sorted(found) == sorted([*names, "end"])
    assert list(map(matcher(pattern), ("a", "a.b", "a.b.c", "x.b"))) == [
        each in names for each in (".a", ".a.b", ".a.b.c", ".x.b")
    ]


@pytest.mark.row("A25")
def test_queue_may_get_what_several_virtual_topics_get(client: Talking, name: str) -> None:
    queue = f"/queue/Consumer.A.VirtualTopic.{name}.>"
    client.done("SUBSCRIBE", {"id": "s", "destination": queue})
    for one in ("a", "a.b"):
        client.send(f"/topic/VirtualTopic.{name}.{one}", one)
    got = [client.message() for _ in range(2)]
    assert [one.body for one in got] == [b"a", b"a.b"]
    assert {one.headers["destination"] for one in got} == {queue}


@pytest.mark.parametrize("kind", ["queue", "topic"])
@pytest.mark.row("A26")
def test_subscription_may_be_to_several_destinations(
    activemq: Broker, client: Talking, name: str, kind: str
) -> None:
    both = f"/{kind}/{name}a,/{kind}/{name}.b.*"
    client.done("SUBSCRIBE", {"id": "s", "destination": both, "ack": "client-individual"})
    for one in ("a", ".b.c"):
        client.send(f"/{kind}/{name}{one}", one)
    got = [client.message() for _ in range(2)]
    assert [(one.body.decode(), one.headers["destination"]) for one in got] == [
        ("a", f"/{kind}/{name}a"),
        (".b.c", f"/{kind}/{name}.b.c"),
    ]
    for one in got:
        client.done("ACK", {"id": one.headers["ack"]})
    client.done("UNSUBSCRIBE", {"id": "s"})
    client.done("SEND", {"destination": f"/{kind}/{name}a"}, "nobody is there")
    mixed = {"id": "m", "destination": f"/queue/{name}a,/topic/{name}b"}
    assert client.ask("SUBSCRIBE", mixed).headers["message"] == "not_implemented"


@pytest.mark.parametrize("kind", ["queue", "topic"])
@pytest.mark.row("A2")
def test_options_of_a_destination_are_none_of_its_name(client: Talking, name: str, kind: str) -> None:
    """As with ActiveMQ, which leaves it to its own clients to read them."""
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/{kind}/{name}?consumer.prefetchSize=1"})
    client.send(f"/{kind}/{name}", "plain")
    client.send(f"{kind}://{name}?priority=3", "with options")
    assert [client.message().body for _ in range(2)] == [b"plain", b"with options"]
    client.send(f"/{kind}/{name}", "x")
    assert client.message().headers["destination"] == f"/{kind}/{name}"
