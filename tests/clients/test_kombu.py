"""kombu: producers, consumers, SimpleQueue, pidbox, and QoS by its own logic of product and version."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from typing import Any

import amqp
import kombu
import pytest
from broker_target import Target
from kombu.pidbox import Mailbox
from kombu.pools import connections, producers

WAIT_S = 15.0


@pytest.fixture
def connection(broker: Target) -> Iterator[kombu.Connection]:
    with kombu.Connection(broker.url()) as made:
        yield made


def receive(connection: kombu.Connection, seen: list[Any], count: int) -> None:
    """Let kombu drain events until `count` messages were seen."""
    while len(seen) < count:
        connection.drain_events(timeout=WAIT_S)


@pytest.mark.row("R60", "R63", "R66")
@pytest.mark.parametrize("serializer", ["json", "pickle", "raw"])
def test_producer_and_consumer(connection: kombu.Connection, name: str, serializer: str) -> None:
    """R60: bodies by serializer, content type and encoding in the properties."""
    payload: Any = b"raw bytes" if serializer == "raw" else {"order": 7, "items": ["a", "ü"]}
    queue = kombu.Queue(name, kombu.Exchange(name, "direct", auto_delete=True), name, auto_delete=True)
    seen: list[Any] = []

    def work(body: Any, message: kombu.Message) -> None:
        seen.append((body, message.headers.get("h")))
        message.ack()

    with connection.Consumer(queue, callbacks=[work], accept=["json", "pickle", "application/data"]):
        producer = connection.Producer(serializer=None if serializer == "raw" else serializer)
        options = (
            {"content_type": "application/data", "content_encoding": "binary"} if serializer == "raw" else {}
        )
        producer.publish(
            payload, exchange=queue.exchange, routing_key=name, declare=[queue], headers={"h": 1}, **options
        )
        receive(connection, seen, 1)
    assert seen == [(payload, 1)]


@pytest.mark.row("R22")
@pytest.mark.parametrize("kind", ["direct", "topic", "fanout", "headers"])
def test_exchange_kinds(connection: kombu.Connection, name: str, kind: str) -> None:
    """R22: kombu declares every kind, and its queues are bound with keys or arguments."""
    exchange = kombu.Exchange(name, kind, auto_delete=True)
    arguments = {"x-match": "any", "colour": "red"} if kind == "headers" else None
    key = "news.#" if kind == "topic" else "news"
    queue = kombu.Queue(name, exchange, key, binding_arguments=arguments, exclusive=True)
    bound = queue(connection.default_channel)
    bound.declare()
    producer = connection.Producer(exchange=exchange)
    producer.publish("x", routing_key="news", headers={"colour": "red"})
    seen: list[Any] = []
    with connection.Consumer(queue, callbacks=[lambda body, _: seen.append(body)], no_ack=True):
        receive(connection, seen, 1)
    assert seen == ["x"]


@pytest.mark.row("R67", "R42")
def test_simple_queue(connection: kombu.Connection, name: str) -> None:
    """R67, R42: SimpleQueue consumes, counts by passive declare and clears by purge."""
    with connection.SimpleQueue(name, queue_opts={"auto_delete": True}) as queue:
        for n in range(5):
            queue.put({"n": n})
        message = queue.get(timeout=WAIT_S)
        assert message.payload == {"n": 0}
        message.ack()
        queue.clear()
        assert len(queue) == 0


@pytest.mark.row("R61", "R27")
def test_confirmed_publish(broker: Target, name: str) -> None:
    """R61: transport option confirm_publish waits for basic.ack; the message then counts."""
    options = {"confirm_publish": True}
    with kombu.Connection(broker.url(), transport_options=options) as connection:
        queue = kombu.Queue(name, exclusive=True, durable=False)(connection.default_channel)
        queue.declare()
        producer = connection.Producer()
        for n in range(1, 11):
            producer.publish(str(n), routing_key=name, timeout=WAIT_S)
            assert queue.queue_declare(passive=True).message_count == n


@pytest.mark.row("R47", "R61")
def test_nacked_publish_raises(broker: Target, name: str) -> None:
    """R47: reject-publish becomes py-amqp's MessageNacked."""
    with kombu.Connection(broker.url(), transport_options={"confirm_publish": True}) as connection:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        kombu.Queue(name, queue_arguments=arguments, exclusive=True)(connection.default_channel).declare()
        producer = connection.Producer()
        producer.publish("1", routing_key=name, timeout=WAIT_S)
        with pytest.raises(amqp.exceptions.MessageNacked):
            producer.publish("2", routing_key=name, timeout=WAIT_S)


@pytest.mark.row("R66", "R48")
def test_reject_and_requeue(connection: kombu.Connection, name: str) -> None:
    """R66, R48: requeue comes back redelivered; reject goes to the dead-letter exchange."""
    dead = kombu.Queue(
        f"{name}-dead", kombu.Exchange(f"{name}-dlx", "fanout", auto_delete=True), exclusive=True
    )
    dead(connection.default_channel).declare()
    arguments = {"x-dead-letter-exchange": f"{name}-dlx"}
    queue = kombu.Queue(name, queue_arguments=arguments, exclusive=True)
    queue(connection.default_channel).declare()
    connection.Producer().publish("x", routing_key=name)
    seen: list[Any] = []

    def work(body: Any, message: kombu.Message) -> None:
        seen.append(message.delivery_info["redelivered"])
        if len(seen) == 1:
            message.requeue()
        else:
            message.reject()

    letters: list[Any] = []

    def bury(body: Any, message: kombu.Message) -> None:
        letters.append(message.headers["x-death"][0]["reason"])
        message.ack()

    with connection.Consumer(queue, callbacks=[work]), connection.Consumer(dead, callbacks=[bury]):
        receive(connection, letters, 1)
    assert (seen, letters) == ([False, True], ["rejected"])


@pytest.mark.row("R65", "T1", "T3")
def test_qos_semantics_follow_product_and_version(connection: kombu.Connection, name: str) -> None:
    """T1: kombu treats the broker as a RabbitMQ whose prefetch is per consumer unless global is asked for."""
    connection.ensure_connection(max_retries=1)
    transport = connection.transport
    properties = connection.connection.server_properties
    assert properties["product"] == "RabbitMQ"
    assert transport.qos_semantics_matches_spec(connection.connection) is False
    queue = kombu.Queue(name, exclusive=True)
    queue(connection.default_channel).declare()
    for n in range(5):
        connection.Producer().publish(n, routing_key=name)
    channel = connection.channel()
    seen: list[kombu.Message] = []
    consumer = kombu.Consumer(channel, queue, callbacks=[lambda _, message: seen.append(message)])
    consumer.qos(prefetch_count=2, apply_global=True)
    with consumer:
        receive(connection, seen, 2)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.2)
        assert len(seen) == 2
        seen[1].channel.basic_ack(seen[1].delivery_tag, multiple=True)
        receive(connection, seen, 4)


@pytest.mark.row("R50", "R60")
def test_priorities(broker: Target, name: str) -> None:
    """R50: kombu's max_priority and the priority of a message."""
    with kombu.Connection(broker.url(), transport_options={"confirm_publish": True}) as connection:
        queue = kombu.Queue(name, max_priority=10, exclusive=True)(connection.default_channel)
        queue.declare()
        producer = connection.Producer()
        for priority in (1, 9, 5):
            producer.publish(priority, routing_key=name, priority=priority)
        assert [queue.get(no_ack=True).payload for _ in range(3)] == [9, 5, 1]


@pytest.mark.row("R41", "R45", "R44")
def test_queue_options(connection: kombu.Connection, name: str) -> None:
    """R44, R45, R46: expires, message_ttl and max_length in seconds and counts, as kombu translates them."""
    queue = kombu.Queue(name, expires=60.0, message_ttl=30.0, max_length=2)(connection.default_channel)
    queue.declare()
    queue.declare()
    for n in range(4):
        connection.Producer().publish(n, routing_key=name)
    assert [queue.get(no_ack=True).payload for _ in range(2)] == [2, 3]
    queue.delete()


def serve_node(
    url: str, mailbox_name: str, number: int, started: threading.Event, stop: threading.Event
) -> None:
    """Answer `echo` on a mailbox until told to stop."""
    with kombu.Connection(url) as connection:
        node = Mailbox(mailbox_name, type="fanout")(connection).Node(f"node-{number}", state={})
        node.handlers["echo"] = lambda state, text: {"node": number, "text": text}
        listener = node.listen(channel=connection.channel())
        started.set()
        while not stop.is_set():
            with contextlib.suppress(socket.timeout):
                connection.drain_events(timeout=0.1)
        listener.cancel()


@pytest.mark.row("R40", "R22", "R45")
def test_pidbox_broadcast(broker: Target, connection: kombu.Connection, name: str) -> None:
    """R40, R45: Celery's remote control: a fanout mailbox, auto-delete and expiring reply queues."""
    stop = threading.Event()
    starts = [threading.Event() for _ in range(2)]
    threads = [
        threading.Thread(target=serve_node, args=(broker.url(), name, n, started, stop))
        for n, started in enumerate(starts)
    ]
    try:
        for thread, started in zip(threads, starts, strict=True):
            thread.start()
            assert started.wait(WAIT_S)
        mailbox = Mailbox(name, type="fanout")(connection)
        replies = mailbox._broadcast("echo", {"text": "hello"}, reply=True, timeout=WAIT_S, limit=2)
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)
    answers = sorted((reply for each in replies for reply in each.values()), key=lambda reply: reply["node"])
    assert answers == [{"node": 0, "text": "hello"}, {"node": 1, "text": "hello"}]


@pytest.mark.row("404", "406", "R40")
def test_errors_become_py_amqp_exceptions(connection: kombu.Connection, name: str) -> None:
    """1.2: NotFound and PreconditionFailed, which kombu counts as channel errors and recovers from."""
    with pytest.raises(amqp.exceptions.NotFound):
        kombu.Queue(name)(connection.channel()).queue_declare(passive=True)
    kombu.Queue(name, exclusive=True)(connection.default_channel).declare()
    with pytest.raises(amqp.exceptions.PreconditionFailed):
        kombu.Queue(name, exclusive=True, message_ttl=1.0)(connection.channel()).queue_declare()
    assert issubclass(amqp.exceptions.NotFound, connection.channel_errors)


@pytest.mark.row("R12")
def test_ensure_reconnects_and_publishes(broker: Target, name: str) -> None:
    """R12: a producer whose socket was cut connects again and sends what it had to send."""
    with kombu.Connection(broker.url()) as connection:
        queue = kombu.Queue(name, durable=True)(connection.default_channel)
        queue.declare()
        producer = connection.Producer()
        connection.connection.transport.sock.shutdown(socket.SHUT_RDWR)
        producer.publish("after", routing_key=name, retry=True, retry_policy={"max_retries": 3})
    with kombu.Connection(broker.url()) as other:
        queue = kombu.Queue(name, durable=True)(other.default_channel)
        assert queue.get(no_ack=True).payload == "after"
        queue.delete()


@pytest.mark.row("R3")
def test_pools_share_connections(broker: Target, name: str) -> None:
    """kombu's pools open several connections and channels and hand them back."""
    template = kombu.Connection(broker.url())
    with connections[template].acquire(block=True) as first:
        kombu.Queue(name, auto_delete=True)(first.default_channel).declare()
    for n in range(20):
        with producers[template].acquire(block=True) as producer:
            producer.publish(n, routing_key=name)
    with template as connection:
        queue = kombu.Queue(name, auto_delete=True)(connection.default_channel)
        got = list(itertools.islice(iter(lambda: queue.get(no_ack=True).payload, None), 20))
        assert got == list(range(20))
        queue.delete()
    connections[template].force_close_all()
    producers[template].force_close_all()


@pytest.mark.row("R4")
def test_heartbeat_check(broker: Target) -> None:
    """R4: kombu's heartbeat_check passes while the broker sends its heartbeats."""
    with kombu.Connection(broker.url(), heartbeat=1) as connection:
        connection.ensure_connection(max_retries=1)
        for _ in range(5):
            connection.heartbeat_check(rate=2)
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=0.5)
        assert connection.connected
