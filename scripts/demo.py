"""A little shop on any broker: queues, producers, consumers at steady rates, for pictures and recordings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pika

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
