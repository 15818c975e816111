"""A prepared load that leaves something in every field of the management API's documents.

The same function runs against a real RabbitMQ, to be recorded, and against Pillarbox, to be compared. It
uses plain AMQP, so that neither is told anything by another way than a client's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

EXCHANGE, ALTERNATE = "shown", "shown-alternate"
ORDERS, QUICK, EMPTY, QUORUM, STREAM, MINE = "orders", "quick", "empty", "quorum", "stream", "mine"
CONNECTION_NAME = "prepared load"
PERSISTENT = pika.BasicProperties(delivery_mode=2, content_type="text/plain")
PREFETCH = 2


@contextlib.contextmanager
def prepared(port: int) -> Iterator[BlockingConnection]:
    """Yield a connection behind which everything is as it is to be shown, and stays so until the end."""
    parameters = pika.ConnectionParameters(
        "127.0.0.1", port, client_properties={"connection_name": CONNECTION_NAME}
    )
    connection = pika.BlockingConnection(parameters)
    try:
        declare(connection.channel())
        _publish(connection)
        _receive(connection)
        yield connection
    finally:
        connection.close()


def declare(channel: BlockingChannel) -> None:
    """Exchanges, queues and bindings of many kinds."""
    channel.exchange_declare(ALTERNATE, "fanout", durable=True, auto_delete=False)
    channel.exchange_declare(EXCHANGE, "topic", durable=True, arguments={"alternate-exchange": ALTERNATE})
    channel.queue_declare(ORDERS, durable=True, arguments={"x-max-length": 1000, "x-message-ttl": 3_600_000})
    channel.queue_declare(QUICK)
    channel.queue_declare(EMPTY, auto_delete=True)
    channel.queue_declare(QUORUM, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare(STREAM, durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_declare(MINE, exclusive=True)
    channel.queue_bind(ORDERS, EXCHANGE, "order.*", {"note": "with arguments"})
    channel.queue_bind(QUICK, EXCHANGE, "order.quick")
    channel.exchange_bind("amq.fanout", EXCHANGE, "#.copy")


def _publish(connection: BlockingConnection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    for number in range(20):
        channel.basic_publish(EXCHANGE, "order.new", b"x" * (number + 1), PERSISTENT)
    for queue in (QUICK, QUORUM, STREAM):
        for _ in range(10):
            channel.basic_publish("", queue, b"body", PERSISTENT)
    # To exchanges and to nobody: one is returned, one is dropped.
    with contextlib.suppress(pika.exceptions.UnroutableError):
        channel.basic_publish("amq.direct", "nobody", b"returned", mandatory=True)
    channel.basic_publish("amq.direct", "nobody", b"dropped")


def _receive(connection: BlockingConnection) -> None:
    channel = connection.channel()
    tags = [channel.basic_get(ORDERS)[0].delivery_tag for _ in range(3)]
    channel.basic_get(ORDERS, auto_ack=True)
    channel.basic_ack(tags[0])
    channel.basic_nack(tags[1], requeue=True)
    channel.basic_get(EMPTY)
    channel.basic_qos(prefetch_count=PREFETCH)
    left = {"orders": PREFETCH, "quick": 10, "stream": PREFETCH}

    def take(tag: str) -> None:
        left[tag] -= 1

    channel.basic_consume(
        ORDERS, lambda *_: take("orders"), consumer_tag="orders", arguments={"x-priority": 5}
    )
    channel.basic_consume(QUICK, lambda *_: take("quick"), auto_ack=True, consumer_tag="quick")
    streams = connection.channel()
    streams.basic_qos(prefetch_count=PREFETCH)
    streams.basic_consume(
        STREAM, lambda *_: take("stream"), consumer_tag="stream", arguments={"x-stream-offset": "first"}
    )
    while any(left.values()):
        connection.process_data_events(time_limit=1)
