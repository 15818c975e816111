"""A little shop on any broker: queues, producers, consumers at steady rates, for pictures and recordings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pika
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

PREFETCH = 20
STEP_S = 0.05


def _connect(url: str, name: str) -> pika.BlockingConnection:
    parameters = pika.URLParameters(url)
    parameters.client_properties = {"connection_name": name}
    return pika.BlockingConnection(parameters)


def _declare(url: str) -> None:
    connection = _connect(url, "setup")
    channel = connection.channel()
    queues = {
        "orders": {},
        "emails": {"x-max-priority": 5},
        "payments": {"x-queue-type": "quorum"},
        "invoices.dead": {},
        "thumbnails": {
            "x-message-ttl": 600_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "invoices.dead",
        },
        "events": {"x-queue-type": "stream", "x-max-age": "7D"},
    }
    for queue, arguments in queues.items():
        channel.queue_declare(queue, durable=True, arguments=arguments)
    channel.exchange_declare("shop", "topic", durable=True)
    for queue, key in (("orders", "order.*"), ("emails", "#"), ("events", "#")):
        channel.queue_bind(queue, "shop", key)
    connection.close()


def _produce(url: str, name: str, exchange: str, key: str, every_step: int, stop: threading.Event) -> None:
    connection = _connect(url, name)
    channel = connection.channel()
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    while not stop.wait(STEP_S):
        for _ in range(every_step):
            channel.basic_publish(exchange, key, b'{"id": 4711, "total": "19.90"}', properties)
        connection.process_data_events(0)
    connection.close()


def _consume(url: str, name: str, queue: str, every_step: int, stop: threading.Event) -> None:
    connection = _connect(url, name)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    waiting: list[int] = []
    channel.basic_consume(queue, lambda _, method, *__: waiting.append(method.delivery_tag))
    while not stop.wait(STEP_S):
        connection.process_data_events(0)
        done, waiting[:] = waiting[:every_step], waiting[every_step:]
        for tag in done:
            channel.basic_ack(tag)
    connection.close()


@contextmanager
def shop(url: str) -> Iterator[None]:
    """The shop is open: about 200 orders a second, and a mailer that cannot keep up with them."""
    _declare(url)
    stop = threading.Event()
    people = [
        threading.Thread(target=_produce, args=(url, "web-1", "shop", "order.new", 10, stop)),
        threading.Thread(target=_produce, args=(url, "checkout", "", "payments", 2, stop)),
        threading.Thread(target=_consume, args=(url, "worker-1", "orders", 6, stop)),
        threading.Thread(target=_consume, args=(url, "worker-2", "orders", 6, stop)),
        threading.Thread(target=_consume, args=(url, "mailer", "emails", 4, stop)),
        threading.Thread(target=_consume, args=(url, "ledger", "payments", 3, stop)),
    ]
    for one in people:
        one.start()
    try:
        yield
    finally:
        stop.set()
        for one in people:
            one.join()


# --- the same shop's data, over Kafka ----------------------------------------------------------------------

TOPICS = {"sales": 6, "clicks": 3, "inventory": 1}


def _feed(bootstrap: str, topic: str, every_step: int, stop: threading.Event) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "client.id": f"feed-{topic}", "linger.ms": 20})
    number = 0
    while not stop.wait(STEP_S):
        for _ in range(every_step):
            number += 1
            key = f"customer-{number % 97}"
            value = f'{{"id": {number}, "total": "19.90"}}'
            producer.produce(topic, value.encode(), key.encode(), headers={"source": b"web-1"})
        producer.poll(0)
    producer.flush(5)


def _read(bootstrap: str, group: str, topic: str, at_most: int, client: str, stop: threading.Event) -> None:
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "client.id": client}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "auto.commit.interval.ms": 1000})
    consumer.subscribe([topic])
    while not stop.wait(STEP_S):
        consumer.consume(at_most, 0.01)
    consumer.close()


@contextmanager
def data_shop(bootstrap: str) -> Iterator[None]:
    """Three topics; `billing` keeps up with two members, `analytics` does not, `audit` has gone away."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    made = admin.create_topics(
        [
            NewTopic(name, partitions, config={"cleanup.policy": "compact"} if partitions == 1 else {})
            for name, partitions in TOPICS.items()
        ]
    )
    for future in made.values():
        future.result(10)
    stop, gone = threading.Event(), threading.Event()
    people = [
        threading.Thread(target=_feed, args=(bootstrap, "sales", 10, stop)),
        threading.Thread(target=_feed, args=(bootstrap, "clicks", 40, stop)),
        threading.Thread(target=_feed, args=(bootstrap, "inventory", 1, stop)),
        threading.Thread(target=_read, args=(bootstrap, "billing", "sales", 500, "billing-1", stop)),
        threading.Thread(target=_read, args=(bootstrap, "billing", "sales", 500, "billing-2", stop)),
        threading.Thread(target=_read, args=(bootstrap, "analytics", "clicks", 25, "analytics-1", stop)),
        threading.Thread(target=_read, args=(bootstrap, "audit", "sales", 50, "audit-1", gone)),
    ]
    for one in people:
        one.start()
    leave = threading.Timer(8, gone.set)
    leave.start()
    try:
        yield
    finally:
        leave.cancel()
        gone.set()
        stop.set()
        for one in people:
            one.join()
