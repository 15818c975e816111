"""What the row tests need around pika's BlockingConnection: connections that close, waiting, errors.

Nothing here sleeps: a test that waits lets the connection process its events until a condition holds, and
fails after WAIT_S with what it had seen.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from broker_target import Target
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

WAIT_S = 15.0
CLOSE_S = 5.0
TURN_S = 0.02  # One look at the socket; the upper bound on how late a condition is noticed.


class Pika:
    """Opens pika connections to one broker and closes whatever a test left open."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.connections: list[BlockingConnection] = []

    def connect(
        self,
        *,
        vhost: str = "/",
        user: str = "guest",
        password: str = "guest",
        **parameters: Any,
    ) -> BlockingConnection:
        """Open a connection; `parameters` are those of pika.ConnectionParameters."""
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                self.target.host,
                self.target.port,
                vhost,
                pika.PlainCredentials(user, password),
                **({"blocked_connection_timeout": WAIT_S, "socket_timeout": WAIT_S} | parameters),
            )
        )
        self.connections.append(connection)
        return connection

    def channel(self, **parameters: Any) -> BlockingChannel:
        """Open a channel on a connection of its own."""
        return self.connect(**parameters).channel()

    def close(self) -> None:
        """Close every connection; one left in the middle of a call is cut after CLOSE_S."""
        for connection in self.connections:
            if connection.is_open:
                watchdog = threading.Timer(CLOSE_S, cut, [connection])
                watchdog.start()
                try:
                    with contextlib.suppress(pika.exceptions.AMQPError):
                        connection.close()
                finally:
                    watchdog.cancel()


def cut(connection: BlockingConnection) -> None:
    """Shut the socket down below pika, which then finds out by itself."""
    with contextlib.suppress(OSError, AttributeError):
        connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)


class Received:
    """A consumer's messages in the order of arrival."""

    def __init__(self, channel: BlockingChannel, queue: str) -> None:
        self.channel = channel
        self.queue = queue
        self.messages: list[tuple[Any, Any, bytes]] = []

    def __call__(self, _channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        self.messages.append((method, properties, body))

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, _, body in self.messages]

    @property
    def methods(self) -> list[Any]:
        return [method for method, _, _ in self.messages]

    @property
    def properties(self) -> list[Any]:
        return [properties for _, properties, _ in self.messages]

    def wait(self, count: int) -> Received:
        """Wait until `count` messages are here; that no more come is `settled`'s question."""
        wait_until(self.channel, lambda: len(self.messages) >= count, lambda: f"{count} of {self.messages}")
        return self

    def settled(self, count: int) -> list[bytes]:
        """Return the bodies; fail unless `count` messages have come and no further one is under way.

        The queue answers a passive declare behind every delivery that it made before.
        """
        self.wait(count)
        self.channel.queue_declare(self.queue, passive=True)
        self.channel.connection.process_data_events(0)
        assert len(self.messages) == count, self.bodies
        return self.bodies


def wait_until(
    channel: BlockingChannel, condition: Callable[[], object], seen: Callable[[], object] = lambda: ""
) -> None:
    """Process the connection's events until `condition` holds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S:g} s: {seen()}"
        channel.connection.process_data_events(TURN_S)


def consume(channel: BlockingChannel, queue: str, **options: Any) -> Received:
    """Start a consumer that collects what it gets."""
    received = Received(channel, queue)
    options.setdefault("auto_ack", True)
    channel.basic_consume(queue, received, **options)
    return received


def publish(
    channel: BlockingChannel, key: str, *bodies: bytes, exchange: str = "", **properties: Any
) -> None:
    """Publish each body with the same properties."""
    for body in bodies:
        channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties))


def drain(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Return and remove everything that is ready in the queue."""
    bodies = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        bodies.append(got[2])
    return bodies


def ready(channel: BlockingChannel, queue: str) -> int:
    """Return the number of ready messages that a passive declare reports."""
    return channel.queue_declare(queue, passive=True).method.message_count


def consumers(channel: BlockingChannel, queue: str) -> int:
    return channel.queue_declare(queue, passive=True).method.consumer_count


def wait_ready(channel: BlockingChannel, queue: str, count: int) -> None:
    """Wait until the queue reports `count` ready messages."""
    wait_until(channel, lambda: ready(channel, queue) == count, lambda: ready(channel, queue))


def exists(connection: BlockingConnection, *, queue: str = "", exchange: str = "") -> bool:
    """Tell whether a queue (or an exchange) exists, on a channel of its own."""
    channel = connection.channel()
    try:
        if queue:
            channel.queue_declare(queue, passive=True)
        else:
            channel.exchange_declare(exchange, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        return False
    channel.close()
    return True


@contextlib.contextmanager
def closes_channel(code: int, text: str) -> Iterator[None]:
    """Expect a soft error: the broker closes the channel with this code and text."""
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        yield
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text)


@contextlib.contextmanager
def closes_connection(code: int, text: str) -> Iterator[None]:
    """Expect a hard error: the broker closes the connection with this code and text."""
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        yield
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text)
