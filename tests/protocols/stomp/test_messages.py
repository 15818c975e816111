"""Sending, subscribing, acknowledging and transactions over STOMP, in RabbitMQ's dialect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from pillarbox import Broker, ManualClock
from tests.protocols.stomp.talking import Got, Talking

VERSIONS = ("1.0", "1.1", "1.2")


def answer(client: Talking, command: str, message: Got, **headers: str) -> None:
    """ACK or NACK, as the version of the connection wants it."""
    if client.version == "1.2":
        named = {"id": message.headers["ack"]}
    else:
        named = {
            "message-id": message.headers["message-id"],
            "subscription": message.headers["subscription"],
        }
    client.done(command, named | headers)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.row("A1", "A2", "A6", "A20", "R142")
def test_what_is_sent_to_a_queue_is_delivered(
    connected: Callable[..., Talking], name: str, version: str
) -> None:
    client = connected(version)
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    client.send(f"/queue/{name}", "body", content_type="text/plain", colour="blue")
    got = client.message()
    assert got.body == b"body"
    assert got.headers["subscription"] == "s"
    assert got.headers["destination"] == f"/queue/{name}"
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["colour"] == "blue"
    assert got.headers["redelivered"] == "false"
    assert "ack" not in got.headers
    assert not {"receipt", "persistent", "transaction"} & got.headers.keys()


@pytest.mark.row("A20", "R142")
def test_queue_is_durable_and_outlives_its_users(broker: Broker, client: Talking, name: str) -> None:
    client.done("SEND", {"destination": f"/queue/{name}"}, "kept")
    client.done("DISCONNECT")
    queue = broker.call(lambda server: server.core.vhosts["/"].queues[name])
    assert (queue.durable, queue.auto_delete, queue.ready_count) == (True, False, 1)


@pytest.mark.row("R142")
def test_arguments_of_a_queue_are_headers(broker: Broker, client: Talking, name: str) -> None:
    headers = {"destination": f"/queue/{name}", "x-max-length": "2", "x-overflow": "drop-head"}
    for body in ("a", "b", "c"):
        client.done("SEND", headers, body)
    assert broker.queue(name).ready == 2
    arguments = broker.call(lambda server: server.core.vhosts["/"].queues[name].arguments)
    assert arguments == {"x-max-length": 2, "x-overflow": "drop-head"}


@pytest.mark.row("R142")
def test_queue_that_is_there_is_used_as_it_is(broker: Broker, client: Talking, name: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as amqp:
        amqp.channel().queue_declare(name, arguments={"x-max-length": 5})
        client.done("SEND", {"destination": f"/queue/{name}"}, "a")
        client.done("SEND", {"destination": f"/amq/queue/{name}"}, "b")
        assert broker.queue(name).ready == 2


@pytest.mark.row("R142", "A2")
def test_name_of_a_queue_may_have_anything_in_it(client: Talking, name: str) -> None:
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}%2Fö%25"})
    client.send(f"/queue/{name}%2Fö%25", "x")
    assert client.message().headers["destination"] == f"/queue/{name}%2F%C3%B6%25"


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("/topic/{}.*", "/topic/{}.a", True),
        ("/topic/{}.*", "/topic/{}.a.b", False),
        ("/topic/{}.#", "/topic/{}.a.b", True),
        ("/topic/{}.>", "/topic/{}.a.b", True),
        ("topic://{}.a", "/topic/{}.a", True),
        ("topic://{}.a", "topic://{}.a", True),
        ("/exchange/amq.topic/{}.a", "/topic/{}.a", True),
    ],
)
@pytest.mark.row("A2", "A24", "R142")
def test_topics(client: Talking, name: str, pattern: str, key: str, matches: bool) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": pattern.format(name)})
    client.say("SUBSCRIBE", {"id": "last", "destination": f"/queue/{name}"})
    client.send(key.format(name), "x")
    client.send(f"/queue/{name}", "x")
    if matches:
        assert client.message().headers["subscription"] == "s"
    assert client.message().headers["subscription"] == "last"


@pytest.mark.row("R142")
def test_exchanges(broker: Broker, client: Talking, name: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as amqp:
        amqp.channel().exchange_declare(name, "direct")
        client.say("SUBSCRIBE", {"id": "s", "destination": f"/exchange/{name}/k"})
        client.send(f"/exchange/{name}/other", "lost")
        client.send(f"/exchange/{name}/k", "found")
        got = client.message()
        assert (got.body, got.headers["destination"]) == (b"found", f"/exchange/{name}/k")


@pytest.mark.row("R142")
def test_exchange_that_looks_at_headers(broker: Broker, client: Talking, name: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as amqp:
        channel = amqp.channel()
        channel.exchange_declare(name, "headers")
        channel.queue_declare(name)
        channel.queue_bind(name, name, arguments={"colour": "blue"})
        client.done("SEND", {"destination": f"/exchange/{name}", "colour": "red"}, "no")
        client.done("SEND", {"destination": f"/exchange/{name}", "colour": "blue"}, "yes")
        assert channel.basic_get(name, auto_ack=True)[2] == b"yes"
        assert broker.queue(name).ready == 0


@pytest.mark.row("R142", "A9")
def test_subscription_to_a_topic_has_a_queue_that_goes_with_it(broker: Broker, client: Talking) -> None:
    def queues() -> set[str]:
        return broker.call(lambda server: set(server.core.vhosts["/"].queues))

    before = queues()
    client.done("SUBSCRIBE", {"id": "s", "destination": "/topic/a"})
    [made] = queues() - before
    assert made.startswith("stomp-subscription-")
    client.done("UNSUBSCRIBE", {"id": "s"})
    assert queues() == before


@pytest.mark.row("A21", "R142", "A9")
def test_durable_subscription_of_rabbitmq_keeps_messages(
    connected: Callable[..., Talking], name: str
) -> None:
    headers = {"id": "s", "destination": f"/topic/{name}", "durable": "true", "auto-delete": "false"}
    first = connected()
    first.done("SUBSCRIBE", headers)
    first.done("DISCONNECT")
    client = connected()
    client.done("SEND", {"destination": f"/topic/{name}"}, "while away")
    client.say("SUBSCRIBE", headers)
    assert client.message().body == b"while away"
    client.done("UNSUBSCRIBE", {"id": "s", "durable": "true", "destination": f"/topic/{name}"})
    client.done("SEND", {"destination": f"/topic/{name}"}, "gone")
    client.say("SUBSCRIBE", headers)
    client.send(f"/topic/{name}", "after")
    assert client.message().body == b"after"


@pytest.mark.row("A21", "A9")
def test_durable_subscription_of_activemq_is_known_by_client_and_name(
    connected: Callable[..., Talking], name: str
) -> None:
    headers = {"id": "s", "destination": f"/topic/{name}", "activemq.subscriptionName": "news"}
    first = connected(client_id=name)
    first.done("SUBSCRIBE", headers)
    first.done("DISCONNECT")
    client = connected(client_id=name)
    client.done("SEND", {"destination": f"/topic/{name}"}, "while away")
    client.say("SUBSCRIBE", headers | {"id": "another"})
    assert client.message().body == b"while away"
    client.done("UNSUBSCRIBE", {"id": "another"})
    client.done("SEND", {"destination": f"/topic/{name}"}, "still kept")
    client.done("UNSUBSCRIBE", {"activemq.subscriptionName": "news"})
    client.done("SEND", {"destination": f"/topic/{name}"}, "lost")
    client.say("SUBSCRIBE", headers)
    client.send(f"/topic/{name}", "after")
    assert client.message().body == b"after"


@pytest.mark.row("R142")
def test_subscription_may_name_its_queue(broker: Broker, client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": "/topic/a", "x-queue-name": name})
    assert broker.queue(name).consumers == 1


# --- acknowledging -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.row("A3", "R142")
def test_client_acknowledges_all_up_to_a_message(
    broker: Broker, connected: Callable[..., Talking], name: str, version: str
) -> None:
    client = connected(version)
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client"})
    for number in range(4):
        client.send(f"/queue/{name}", str(number))
    got = [client.message() for _ in range(4)]
    answer(client, "ACK", got[2])
    assert broker.queue(name).unacknowledged == 1
    client.done("DISCONNECT")
    second = connected(version)
    second.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    again = second.message()
    assert (again.body, again.headers["redelivered"]) == (b"3", "true")


@pytest.mark.row("A3")
def test_client_acknowledges_within_one_subscription(broker: Broker, client: Talking, name: str) -> None:
    for which in "ab":
        client.done("SUBSCRIBE", {"id": which, "destination": f"/queue/{name}{which}", "ack": "client"})
    got = {}
    for which in "abab":
        client.send(f"/queue/{name}{which}", "x")
        got[which] = client.message()
    answer(client, "ACK", got["b"])
    assert broker.queue(f"{name}a").unacknowledged == 2
    assert broker.queue(f"{name}b").unacknowledged == 0
    answer(client, "ACK", got["a"])
    assert broker.queue(f"{name}a").unacknowledged == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.row("A3", "R142")
def test_individual_acknowledgement_is_of_one_message(
    broker: Broker, connected: Callable[..., Talking], name: str, version: str
) -> None:
    client = connected(version)
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    for number in range(3):
        client.send(f"/queue/{name}", str(number))
    got = [client.message() for _ in range(3)]
    answer(client, "ACK", got[1])
    assert broker.queue(name).unacknowledged == 2


@pytest.mark.row("A3", "R142")
def test_message_that_was_refused_comes_back(client: Talking, name: str) -> None:
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    client.send(f"/queue/{name}", "x")
    first = client.message()
    client.say("NACK", {"id": first.headers["ack"]})
    assert client.message().headers["redelivered"] == "true"


@pytest.mark.row("A3", "R142")
def test_message_that_was_refused_for_good_is_gone(broker: Broker, client: Talking, name: str) -> None:
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    client.send(f"/queue/{name}", "x")
    client.done("NACK", {"id": client.message().headers["ack"], "requeue": "false"})
    assert (broker.queue(name).ready, broker.queue(name).unacknowledged) == (0, 0)


@pytest.mark.row("A3", "A10")
def test_second_acknowledgement_of_a_message_is_an_error(client: Talking, name: str) -> None:
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    client.send(f"/queue/{name}", "x")
    got = client.message()
    answer(client, "ACK", got)
    assert client.ask("ACK", {"id": got.headers["ack"]}).headers["message"] == "precondition_failed"


@pytest.mark.parametrize("header", ["prefetch-count", "activemq.prefetchSize"])
@pytest.mark.row("A8", "A30", "T13", "R142")
def test_prefetch_counts_messages(broker: Broker, client: Talking, name: str, header: str) -> None:
    for number in range(5):
        client.done("SEND", {"destination": f"/queue/{name}"}, str(number))
    reading = {"ack": "client-individual", header: "2"}
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"} | reading)
    got = [client.message(), client.message()]
    assert (broker.queue(name).unacknowledged, broker.queue(name).ready) == (2, 3)
    client.say("ACK", {"id": got[0].headers["ack"]})
    assert client.message().body == b"2"


@pytest.mark.row("T13")
def test_prefetch_of_nothing_is_refused(client: Talking, name: str) -> None:
    headers = {"id": "s", "destination": f"/queue/{name}", "activemq.prefetchSize": "0"}
    assert client.ask("SUBSCRIBE", headers).headers["message"] == "Invalid header"


@pytest.mark.parametrize("header", ["x-priority", "activemq.priority"])
@pytest.mark.row("A30", "A8")
def test_consumer_of_higher_priority_is_served_first(
    connected: Callable[..., Talking], name: str, header: str
) -> None:
    low, high = connected(), connected()
    low.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    high.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", header: "5"})
    low.send(f"/queue/{name}", "x")
    assert high.message().body == b"x"


@pytest.mark.row("A10", "R142")
def test_subscriber_is_told_that_its_queue_is_gone(broker: Broker, client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as amqp:
        amqp.channel().queue_delete(name)
    got = client.read()
    assert got.command == "ERROR"
    assert got.headers["message"] == "Server cancelled subscription"
    assert got.headers["subscription"] == "s"
    client.done("BEGIN", {"transaction": "t"})


# --- transactions ------------------------------------------------------------------------------------


@pytest.mark.row("A5")
def test_transaction_takes_effect_at_its_commit(broker: Broker, client: Talking, name: str) -> None:
    client.done("BEGIN", {"transaction": "t"})
    client.done("SEND", {"destination": f"/queue/{name}", "transaction": "t"}, "x")
    assert broker.queue(name).ready == 0
    client.done("COMMIT", {"transaction": "t"})
    assert broker.queue(name).ready == 1


@pytest.mark.row("A5")
def test_transaction_that_is_aborted_was_none(broker: Broker, client: Talking, name: str) -> None:
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client"})
    client.send(f"/queue/{name}", "x")
    got = client.message()
    client.done("BEGIN", {"transaction": "t"})
    client.done("SEND", {"destination": f"/queue/{name}", "transaction": "t"}, "y")
    client.done("ACK", {"id": got.headers["ack"], "transaction": "t"})
    client.done("ABORT", {"transaction": "t"})
    assert (broker.queue(name).ready, broker.queue(name).unacknowledged) == (0, 1)
    client.done("ACK", {"id": got.headers["ack"]})
    assert broker.queue(name).unacknowledged == 0


@pytest.mark.row("A5")
def test_acknowledgement_waits_for_the_commit(broker: Broker, client: Talking, name: str) -> None:
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client"})
    client.send(f"/queue/{name}", "x")
    got = client.message()
    client.done("BEGIN", {"transaction": "t"})
    client.done("ACK", {"id": got.headers["ack"], "transaction": "t"})
    assert broker.queue(name).unacknowledged == 1
    client.done("COMMIT", {"transaction": "t"})
    assert broker.queue(name).unacknowledged == 0


@pytest.mark.row("A5")
def test_several_transactions_may_be_open(broker: Broker, client: Talking, name: str) -> None:
    for each in "ab":
        client.done("BEGIN", {"transaction": each})
        client.done("SEND", {"destination": f"/queue/{name}", "transaction": each}, each)
    client.done("ABORT", {"transaction": "a"})
    client.done("COMMIT", {"transaction": "b"})
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    assert client.message().body == b"b"


@pytest.mark.row("A5", "A10")
def test_transactions_have_a_bound(client: Talking) -> None:
    for number in range(16):
        client.done("BEGIN", {"transaction": str(number)})
    assert client.ask("BEGIN", {"transaction": "one more"}).headers["message"] == "Bad transaction"


# --- replies -----------------------------------------------------------------------------------------


@pytest.mark.row("A36", "R142")
def test_reply_comes_to_the_temporary_queue_of_the_request(
    connected: Callable[..., Talking], name: str
) -> None:
    server, client = connected(), connected()
    server.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    client.send(f"/queue/{name}", "ping", reply_to="/temp-queue/answers", correlation_id="7")
    request = server.message()
    assert request.headers["reply-to"].startswith("/reply-queue/")
    server.send(request.headers["reply-to"], "pong", correlation_id=request.headers["correlation-id"])
    reply = client.message()
    assert reply.body == b"pong"
    assert reply.headers["subscription"] == "/temp-queue/answers"
    assert reply.headers["correlation-id"] == "7"


@pytest.mark.row("A36")
def test_temporary_topic_is_the_connections_own(connected: Callable[..., Talking]) -> None:
    client, other = connected(), connected()
    for one in (client, other):
        one.done("SUBSCRIBE", {"id": "s", "destination": "/temp-topic/mine"})
    client.send("/temp-topic/mine", "client's")
    assert client.message().body == b"client's"
    other.send("/temp-topic/mine", "other's")
    assert other.message().body == b"other's"


# --- what messages carry -----------------------------------------------------------------------------


@pytest.mark.row("A43", "T12", "A7")
def test_persistent_message_outlives_a_restart_and_a_transient_one_does_not(
    tmp_path: object, name: str
) -> None:
    with Broker(str(tmp_path), stomp_port=0) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SEND", {"destination": f"/queue/{name}"}, "transient")
        client.done("SEND", {"destination": f"/queue/{name}", "persistent": "true"}, "persistent")
    with Broker(str(tmp_path), stomp_port=0) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        assert broker.queue(name).ready == 1
        client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
        got = client.message()
        assert (got.body, got.headers["persistent"]) == (b"persistent", "true")


@pytest.mark.row("A31", "A7")
def test_higher_priority_comes_first(client: Talking, name: str) -> None:
    for priority in ("1", "9", "5"):
        headers = {"destination": f"/queue/{name}", "priority": priority, "x-max-priority": "10"}
        client.done("SEND", headers, priority)
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    assert [client.message().headers["priority"] for _ in range(3)] == ["9", "5", "1"]


@pytest.mark.row("A32", "A7")
@pytest.mark.parametrize("header", ["expires", "expiration"])
def test_message_expires(name: str, header: str) -> None:
    clock = ManualClock()
    with Broker(stomp_port=0, clock=clock) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        until = "1000" if header == "expiration" else str(clock.now_ms() + 1000)
        client.done("SEND", {"destination": f"/queue/{name}", header: until}, "short")
        assert broker.queue(name).ready == 1
        broker.advance("2s")
        assert broker.queue(name).ready == 0


@pytest.mark.row("A7", "A10")
def test_publisher_is_told_that_a_full_queue_refuses(client: Talking, name: str) -> None:
    headers = {"destination": f"/queue/{name}", "x-max-length": "1", "x-overflow": "reject-publish"}
    client.done("SEND", headers, "fits")
    assert client.ask("SEND", headers, "does not").headers["message"] == "Message rejected"


@pytest.mark.row("R142")
def test_stream_is_read_from_where_the_subscriber_says(client: Talking, name: str) -> None:
    headers = {"destination": f"/queue/{name}", "x-queue-type": "stream"}
    for number in range(3):
        client.done("SEND", headers, str(number))
    reading = {"ack": "client", "prefetch-count": "10", "x-stream-offset": "offset=1"}
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/amq/queue/{name}"} | reading)
    got = client.message()
    assert (got.body, got.headers["x-stream-offset"]) == (b"1", "1")


@pytest.mark.row("A35")
@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_scheduled_message_comes_when_its_delay_is_over(name: str, kind: str) -> None:
    with Broker(stomp_port=0, clock=ManualClock()) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SUBSCRIBE", {"id": "s", "destination": f"/{kind}/{name}"})
        headers = {"destination": f"/{kind}/{name}", "AMQ_SCHEDULED_DELAY": "60000"}
        client.done("SEND", headers, "late")
        client.send(f"/{kind}/{name}", "at once")
        assert client.message().body == b"at once"
        broker.advance("61s")
        got = client.message()
        assert (got.body, got.headers["destination"]) == (b"late", f"/{kind}/{name}")


@pytest.mark.row("A35", "A7")
def test_scheduled_message_may_come_again(name: str) -> None:
    with Broker(stomp_port=0, clock=ManualClock()) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
        said = {"AMQ_SCHEDULED_DELAY": "10000", "AMQ_SCHEDULED_PERIOD": "2000", "AMQ_SCHEDULED_REPEAT": "2"}
        client.done("SEND", {"destination": f"/queue/{name}"} | said, "again")
        jobs = set()
        for wait in ("11s", "3s", "3s"):
            broker.advance(wait)
            got = client.message()
            jobs.add(got.headers["scheduledJobId"])
            assert not [header for header in got.headers if header.startswith(("AMQ_", "x-delay-"))]
        assert len(jobs) == 1
        broker.advance("1h")
        client.send(f"/queue/{name}", "no more")
        assert client.message().body == b"no more"


@pytest.mark.row("A35")
def test_message_comes_at_the_minutes_of_a_cron_entry_also_after_a_restart(name: str, tmp_path: Path) -> None:
    clock = ManualClock()
    for turn in range(2):
        with Broker(tmp_path, stomp_port=0, clock=clock) as broker, Talking(broker.stomp_address) as client:
            client.connect()
            client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
            if not turn:
                said = {"AMQ_SCHEDULED_CRON": "*/5 * * * *", "persistent": "true"}
                client.done("SEND", {"destination": f"/queue/{name}"} | said, "tick")
            for _ in range(3):
                broker.advance("5m")
                assert client.message().body == b"tick"
                client.send(f"/queue/{name}", "nothing between")
                assert client.message().body == b"nothing between"


@pytest.mark.row("A35", "A10")
@pytest.mark.parametrize(
    ("header", "value", "message"),
    [
        ("AMQ_SCHEDULED_DELAY", "soon", "Invalid header"),
        ("AMQ_SCHEDULED_CRON", "* * * *", "Invalid header"),
        ("AMQ_SCHEDULED_CRON", "0 0 31 2 *", "Invalid header"),
        ("AMQ_SCHEDULED_PERIOD", "-", "Invalid header"),
        ("AMQ_SCHEDULED_REPEAT", "3", "Invalid header"),
    ],
)
def test_schedule_that_is_not_understood_is_refused(
    client: Talking, name: str, header: str, value: str, message: str
) -> None:
    assert client.ask("SEND", {"destination": f"/queue/{name}", header: value}).headers["message"] == message


@pytest.mark.parametrize("ack", ["auto", "client", "client-individual"])
@pytest.mark.row("A23", "A8")
def test_subscription_to_a_topic_gets_what_meets_its_selector(
    broker: Broker, client: Talking, name: str, ack: str
) -> None:
    headers = {"id": "s", "destination": f"/topic/{name}", "x-queue-name": name, "selector": "n > 2"}
    client.done("SUBSCRIBE", headers | {"ack": ack, "prefetch-count": "1"})
    for number in (1, 3, 2, 4):
        client.send(f"/topic/{name}", str(number), n=str(number))
    got = client.message()
    assert got.body == b"3"
    if ack != "auto":
        client.say("ACK", {"id": got.headers["ack"]})
    got = client.message()
    assert got.body == b"4"
    if ack != "auto":
        client.done("ACK", {"id": got.headers["ack"]})
    assert (broker.queue(name).ready, broker.queue(name).unacknowledged) == (0, 0)


@pytest.mark.row("A23", "A10")
def test_selector_that_is_wrong_is_refused(client: Talking, name: str) -> None:
    headers = {"id": "s", "destination": f"/topic/{name}", "selector": "n >"}
    got = client.ask("SUBSCRIBE", headers)
    assert got.headers["message"] == "precondition_failed"
    assert b"cannot be read" in got.body


@pytest.mark.row("A23")
def test_subscription_to_a_queue_leaves_to_others_what_it_does_not_want(
    broker: Broker, client: Talking, name: str
) -> None:
    for n in range(4):
        client.send(f"/queue/{name}", str(n), n=str(n))
    headers = {"id": "s", "destination": f"/queue/{name}", "selector": "n > 1", "ack": "client-individual"}
    client.say("SUBSCRIBE", headers)
    got = [client.message() for _ in range(2)]
    assert [one.body for one in got] == [b"2", b"3"]
    client.done("ACK", {"id": got[0].headers["ack"]})
    client.say("NACK", {"id": got[1].headers["ack"]})
    assert client.message().headers["redelivered"] == "true"
    client.say("SUBSCRIBE", {"id": "all", "destination": f"/queue/{name}"})
    assert [client.message().body for _ in range(2)] == [b"0", b"1"]
    client.done("UNSUBSCRIBE", {"id": "s"})
    assert (broker.queue(name).ready, broker.queue(name).unacknowledged) == (0, 1)


@pytest.mark.row("A23", "A10")
def test_selector_on_a_queue_that_is_wrong_is_refused(client: Talking, name: str) -> None:
    headers = {"id": "s", "destination": f"/queue/{name}", "selector": "n >"}
    assert client.ask("SUBSCRIBE", headers).headers["message"] == "precondition_failed"


@pytest.mark.row("A29", "A8")
def test_exclusive_consumer_gets_everything_while_it_is_there(client: Talking, name: str) -> None:
    destination = f"/queue/{name}"
    client.done("SUBSCRIBE", {"id": "plain", "destination": destination})
    client.done("SUBSCRIBE", {"id": "sole", "destination": destination, "activemq.exclusive": "true"})
    for _ in range(2):
        client.send(destination)
    assert {client.message().headers["subscription"] for _ in range(2)} == {"sole"}
    client.done("UNSUBSCRIBE", {"id": "sole"})
    client.send(destination)
    assert client.message().headers["subscription"] == "plain"


@pytest.mark.row("A8")
def test_subscription_may_want_nothing_that_its_own_client_sends(
    client: Talking, connected: Callable[..., Talking], name: str
) -> None:
    headers = {"id": "s", "destination": f"/topic/{name}", "activemq.noLocal": "true"}
    client.send(f"/topic/{name}", "before: its route is known")
    client.done("SUBSCRIBE", headers)
    client.done("SEND", {"destination": f"/topic/{name}"}, "mine")
    connected().send(f"/topic/{name}", "another's")
    assert client.message().body == b"another's"


@pytest.mark.row("A23", "A29")
def test_consumer_of_amqp_may_have_a_selector_and_be_the_only_one(
    broker: Broker, client: Talking, name: str
) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True)
        for n in range(4):
            client.done("SEND", {"destination": f"/queue/{name}", "n": str(n)}, str(n))
        found = []
        for arguments in ({"x-selector": "n > 1"}, {"x-single-active-consumer": True}):
            for method, _, body in channel.consume(
                name, auto_ack=True, arguments=arguments, inactivity_timeout=10
            ):
                assert method is not None, "nothing came"
                found.append(body)
                if len(found) % 2 == 0:
                    break
            channel.cancel()
        assert found == [b"2", b"3", b"0", b"1"]


@pytest.mark.row("A37", "A8", "A6")
@pytest.mark.parametrize("ack", ["auto", "client"])
def test_browser_sees_everything_and_takes_nothing(
    broker: Broker, client: Talking, name: str, ack: str
) -> None:
    for n in range(3):
        client.send(f"/queue/{name}", str(n), n=str(n))
    headers = {"id": "looks", "destination": f"/queue/{name}", "browser": "true", "selector": "n > 0"}
    client.say("SUBSCRIBE", headers | {"ack": ack})
    got = [client.message() for _ in range(2)]
    assert [one.body for one in got] == [b"1", b"2"]
    end = client.message()
    assert (end.headers["browser"], end.headers["subscription"], end.body) == ("end", "looks", b"")
    if ack != "auto":
        client.done("ACK", {"id": got[1].headers["ack"]})
    client.done("UNSUBSCRIBE", {"id": "looks"})
    assert (broker.queue(name).ready, broker.queue(name).unacknowledged) == (3, 0)


@pytest.mark.row("A37")
def test_consumer_of_amqp_that_browses_is_cancelled_at_the_end(
    broker: Broker, client: Talking, name: str
) -> None:
    for n in range(3):
        client.done("SEND", {"destination": f"/queue/{name}"}, str(n))
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        found = [
            body
            for _, _, body in channel.consume(
                name, auto_ack=True, arguments={"x-browse": True}, inactivity_timeout=10
            )
        ]
    assert found == [b"0", b"1", b"2"]
    assert broker.queue(name).ready == 3


@pytest.mark.row("A5")
@pytest.mark.parametrize("says_so", [True, False])
def test_what_was_answered_in_an_open_transaction_comes_back_when_the_client_goes(
    broker: Broker, client: Talking, connected: Callable[..., Talking], name: str, says_so: bool
) -> None:
    held = broker.call(lambda server: server.core.changes.resident_bytes)
    other = connected()
    other.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", "ack": "client-individual"})
    for number in range(2):
        client.send(f"/queue/{name}", str(number))
    got = [other.message() for _ in range(2)]
    other.done("BEGIN", {"transaction": "t"})
    for one in got:
        answer(other, "ACK", one, transaction="t")
    other.done("SEND", {"destination": f"/queue/{name}", "transaction": "t"}, "never committed")
    if says_so:
        other.done("DISCONNECT")
    other.socket.close()
    client.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    assert [client.message().body for _ in range(2)] == [b"0", b"1"]
    queue = broker.queue(name)
    assert (queue.ready, queue.unacknowledged) == (0, 0)
    assert broker.call(lambda server: server.core.changes.resident_bytes) == held


@pytest.mark.row("A8")
@pytest.mark.parametrize("header", ["activemq.noLocal", "no-local"])
def test_queue_keeps_what_its_reader_sends_and_does_not_want(
    client: Talking, connected: Callable[..., Talking], name: str, header: str
) -> None:
    """It is for topics: whoever else reads the queue would miss it."""
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}", header: "true"})
    client.send(f"/queue/{name}", "mine")
    assert client.message().body == b"mine"


@pytest.mark.row("A8")
def test_subscription_that_wants_nothing_of_its_own_is_forgotten_with_its_end(
    client: Talking, name: str
) -> None:
    headers = {"id": "s", "destination": f"/topic/{name}", "durable": "true", "auto-delete": "false"}
    client.done("SUBSCRIBE", headers | {"no-local": "true"})
    client.done("UNSUBSCRIBE", {"id": "s"})
    client.done("SUBSCRIBE", headers)
    client.send(f"/topic/{name}", "mine")
    assert client.message().body == b"mine"


@pytest.mark.row("A10", "A21")
@pytest.mark.parametrize("wrong", [{"selector": "n >"}, {"x-priority": "high"}])
def test_subscription_that_is_wrong_leaves_no_queue_behind(
    broker: Broker, client: Talking, name: str, wrong: dict[str, str]
) -> None:
    said = {"id": "s", "destination": f"/topic/{name}", "x-queue-name": name, "durable": "true"}
    assert client.ask("SUBSCRIBE", said | wrong).command == "ERROR"
    assert not broker.call(lambda server: name in server.core.vhosts["/"].queues)


@pytest.mark.row("A32", "A7")
@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_message_whose_time_was_over_when_it_came_reaches_nobody(
    client: Talking, name: str, kind: str
) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/{kind}/{name}"})
    client.send(f"/{kind}/{name}", "late", expires="1000")
    client.send(f"/{kind}/{name}", "in time")
    assert client.message().body == b"in time"


@pytest.mark.row("R142", "R82")
def test_stream_is_read_from_a_moment_and_by_its_filter(client: Talking, name: str) -> None:
    stream = {"destination": f"/queue/{name}", "x-queue-type": "stream"}
    for number, value in enumerate("aab-"):
        filtered = {} if value == "-" else {"x-stream-filter-value": value}
        client.done("SEND", stream | filtered, str(number))
    reading = stream | {"ack": "client", "prefetch-count": "10"}

    def read(count: int, **headers: str) -> list[bytes]:
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        client.done("SUBSCRIBE", {"id": "s"} | reading | wanted)
        found = [client.message().body for _ in range(count)]
        client.done("UNSUBSCRIBE", {"id": "s"})
        return found

    assert read(4, x_stream_offset="timestamp=1000") == [b"0", b"1", b"2", b"3"]
    assert read(3, x_stream_offset="first", x_stream_filter="a,b") == [b"0", b"1", b"2"]
    wanted = {"x_stream_filter": "b", "x_stream_match_unfiltered": "true"}
    assert read(2, x_stream_offset="first", **wanted) == [b"2", b"3"]


@pytest.mark.row("A5", "A32")
def test_time_of_a_message_ends_at_its_moment_whenever_the_commit_comes(name: str) -> None:
    clock = ManualClock()
    with Broker(stomp_port=0, clock=clock) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
        client.done("BEGIN", {"transaction": "t"})
        now_ms = clock.now_ms()
        for later_ms in (500, 5000):
            moment = str(now_ms + later_ms)
            client.done(
                "SEND", {"destination": f"/queue/{name}", "expires": moment, "transaction": "t"}, moment
            )
        clock.advance(1000)
        client.say("COMMIT", {"transaction": "t"})
        got = client.message()
        assert got.body.decode() == str(now_ms + 5000)
        assert got.headers["expiration"] == "4000"


@pytest.mark.row("A9", "R142")
def test_durable_subscription_with_a_queue_of_another_name_takes_that_along(
    broker: Broker, client: Talking, name: str
) -> None:
    said = {"id": "s", "destination": f"/topic/{name}", "durable": "true", "auto-delete": "false"}
    client.done("SUBSCRIBE", said | {"x-queue-name": name})
    client.done("UNSUBSCRIBE", {"id": "s", "durable": "true"})
    assert not broker.call(lambda server: name in server.core.vhosts["/"].queues)


@pytest.mark.row("A2", "R142")
def test_name_without_a_slash_is_a_queue(client: Talking, name: str) -> None:
    """As with RabbitMQ 3.10."""
    client.done("SUBSCRIBE", {"id": "s", "destination": name})
    client.send(name, "by its name")
    client.send(f"/queue/{name}", "as a queue")
    got = [client.message() for _ in range(2)]
    assert [one.body for one in got] == [b"by its name", b"as a queue"]
    assert {one.headers["destination"] for one in got} == {f"/queue/{name}"}
    assert client.ask("SEND", {"destination": f"/{name}"}).headers["message"] == "Unknown destination"
