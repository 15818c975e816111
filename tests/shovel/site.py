"""A broker with something to shovel: its URL, its API, and a channel of a real client."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from bench.peers import HOST, Peer, await_true
from pillarbox import Broker
from tests.management.http import Client

WAIT_S = 60
"""Until something happens that is sure to: a RabbitMQ on a busy machine takes its time."""
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Site:
    """See the module; `url` has a password in it, as shovels need it."""

    def __init__(self, url: str, api: Client) -> None:
        self.url = url
        self.api = api

    # --- shovels -------------------------------------------------------------------------------------------

    def shovel(self, name: str = "s", **keys: Any) -> None:
        """Set a shovel; both ends are this broker unless said otherwise (`_` for `-`)."""
        value = {"src-uri": "amqp://", "dest-uri": "amqp://", "reconnect-delay": 0.1}
        value |= {key.replace("_", "-"): each for key, each in keys.items()}
        reply = self.api.request("PUT", f"parameters/shovel/%2F/{name}", {"value": value})
        assert reply.status in (201, 204), reply

    def status(self, name: str = "s") -> dict[str, Any]:
        """What is known of a shovel; nothing if there is none."""
        reply = self.api.request("GET", f"shovels/vhost/%2F/{name}")
        found: dict[str, Any] = reply.document if reply.status == 200 else {}
        return found

    def until(self, condition: Callable[[], Any], what: str = "it happens") -> None:
        await_true(lambda: bool(condition()), WAIT_S, what)

    def until_state(self, state: str, name: str = "s", reason: str = "") -> None:
        self.until(
            lambda: (found := self.status(name)).get("state") == state and reason in found.get("reason", ""),
            f"{name} is {state} {reason}",
        )

    def until_gone(self, name: str = "s") -> None:
        """It has deleted itself, and its parameter."""
        path = f"parameters/shovel/%2F/{name}"
        self.until(lambda: self.api.request("GET", path).status == 404, f"{name} is gone")
        assert self.status(name) == {}

    # --- messages ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def fill(self, queue: str, count: int, first: int = 0, size: int = 0, **arguments: Any) -> None:
        """Put numbered messages into a queue."""
        with self.channel() as channel:
            channel.queue_declare(queue, durable=True, arguments=arguments)
        # Without waiting for each: a transaction's end says that they are there.
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        plain = connection.channel()
        plain.tx_select()
        for number in range(first, first + count):
            plain.basic_publish("", queue, str(number).encode().ljust(size), PERSISTENT)
        plain.tx_commit()
        connection.close()

    def count(self, queue: str) -> int:
        """How many messages are ready in a queue; 0 if there is no queue."""
        with self.channel() as channel:
            try:
                count: int = channel.queue_declare(queue, passive=True).method.message_count
            except pika.exceptions.ChannelClosedByBroker:
                return 0
            return count

    def take_all(self, queue: str) -> list[int]:
        """Take everything out of a queue that is in it now: the numbers, in order."""
        count = self.count(queue)
        found: list[int] = []
        with self.channel() as channel:
            for _, _, body in channel.consume(queue, auto_ack=True) if count else ():
                found.append(int(body))
                if len(found) == count:
                    break
        return found


@contextlib.contextmanager
def site_of(broker: Broker | Peer) -> Iterator[Site]:
    """The site that is this broker."""
    if isinstance(broker, Broker):
        url, address = broker.amqp_url, broker.management_url
    else:
        url, address = f"{broker.amqp_url}%2F", f"http://{HOST}:{broker.management_port}"
    api = Client(address)
    try:
        yield Site(url, api)
    finally:
        api.close()
