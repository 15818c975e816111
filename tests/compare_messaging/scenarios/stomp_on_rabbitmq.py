"""stomp.py with RabbitMQ's words."""

from __future__ import annotations

import stomp

from tests.compare_messaging import stomp_tools
from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import HOST, Client
from tests.transcripts.registry import scenario

SHARED = stomp_tools
PROTOCOL = "stomp"
PEER = "rabbitmq"


@scenario("R142", "A2")
def name_without_a_slash(case: Case) -> None:
    """It is a queue."""
    name = case.name("n")
    client = Client(case)
    client.subscribe(name)
    client.send(name, "by its name")
    client.send(f"/queue/{name}", "as a queue")
    got = [client.message() for _ in range(2)]
    case.saw("got", [(body, headers["destination"]) for headers, body in got])
    client.leave()


@scenario("R142")
def refused_and_put_back(case: Case) -> None:
    name = f"/queue/{case.name('n')}"
    client = Client(case)
    client.subscribe(name, ack="client-individual")
    client.send(name, "again")
    headers, _ = client.message()
    client.answer(headers, "nack")
    headers, body = client.message()
    case.saw("again", body, headers["redelivered"])
    client.answer(headers, "nack", requeue="false")
    client.leave()
    other = Client(case)
    case.saw("dropped", other.nothing_is_left(name))
    other.leave()


@scenario("R142")
def exchanges(case: Case) -> None:
    client = Client(case)
    client.subscribe("/exchange/amq.topic/a.#", "1")
    client.subscribe("/exchange/amq.fanout", "2")
    client.send("/exchange/amq.topic/a.b", "topic")
    headers, body = client.message()
    case.saw("topic", body, headers["destination"])
    client.send("/exchange/amq.fanout", "fanout")
    headers, body = client.message()
    case.saw("fanout", body, headers["destination"])
    client.leave()


@scenario("R142")
def durable_topic(case: Case) -> None:
    topic = f"/topic/{case.name('d')}"
    said = {"durable": "true", "auto-delete": "false"}
    name = case.name("mine")
    first = Client(case)
    first.subscribe(topic, name, **said)
    first.leave()
    writer = Client(case)
    writer.send(topic, "while nobody was here")
    again = Client(case)
    again.subscribe(topic, name, **said)
    case.saw("waited", again.bodies(1))
    again.connection.unsubscribe(name, headers={"durable": "true", "receipt": "gone"})
    again.receipt("gone")
    writer.send(topic, "too late")
    again.subscribe(topic, name, **said)
    writer.send(topic, "in time")
    case.saw("anew", again.bodies(1))
    again.connection.unsubscribe(name, headers={"durable": "true"})
    again.leave()
    writer.leave()


@scenario("R142")
def request_and_reply(case: Case) -> None:
    name = f"/queue/{case.name('q')}"
    server, client = Client(case), Client(case)
    server.subscribe(name)
    client.send(name, "question", reply_to="/temp-queue/answers")
    headers, body = server.message()
    server.send(headers["reply-to"], f"answer to {body}")
    headers, body = client.message()
    case.saw("answer", body, headers["subscription"], headers.get("reply-to"))
    server.leave()
    client.leave()


@scenario("R142")
def prefetch(case: Case) -> None:
    name = f"/queue/{case.name('p')}"
    client = Client(case)
    client.subscribe(name, ack="client-individual", **{"prefetch-count": "2"})
    for number in range(4):
        client.send(name, str(number))
    first = client.message()
    second = client.message()
    case.saw("two", first[1], second[1], client.messages.empty())
    client.answer(first[0])
    case.saw("third", client.bodies(1))
    client.leave()


@scenario("R142")
def queue_arguments(case: Case) -> None:
    name = f"/queue/{case.name('l')}"
    client = Client(case)
    client.subscribe(name, ack="client-individual", **{"x-max-length": "2", "prefetch-count": "1"})
    for number in range(5):
        client.send(name, str(number))
    got = []
    for _ in range(3):
        headers, body = client.message()
        got.append(body)
        client.answer(headers)
    case.saw("the newest two, and the one that was out", got)
    client.leave()


@scenario("R142")
def a_wrong_password(case: Case) -> None:
    connection = stomp.Connection12([(HOST, case.port)], reconnect_attempts_max=1, vhost="/")
    try:
        connection.connect("guest", "wrong", wait=True)
        case.saw("let in")
    except stomp.exception.ConnectFailedException:
        case.saw("refused")
