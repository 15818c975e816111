"""Publish many persistent messages and be sure that the broker has them, in three ways.

    python examples/rabbitmq/publisher_confirms.py [COUNT]

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

A confirmation means that the broker answers for the message: it is routed, and on disk if it is
persistent and its queue durable.

* one by one: wait for each confirmation before the next publish; the simplest and the slowest;
* in batches: let a hundred go, then wait for all of them;
* streaming: publish without waiting, and tick off what the broker confirms as it comes, several at a time.
"""

import collections
import os
import sys
import time
from collections.abc import Callable

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "confirmed"
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def one_by_one(count: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()  # From here on basic_publish waits, and raises if the broker refuses.
        for number in range(count):
            channel.basic_publish("", QUEUE, str(number).encode(), PERSISTENT, mandatory=True)


class Publisher:
    """An asynchronous publisher that never has more than `window` unconfirmed messages.

    With `refill` it tops up as confirmations come, otherwise it waits until the whole window is confirmed.
    """

    def __init__(self, count: int, window: int, refill: bool) -> None:
        self.count = count
        self.window = window
        self.refill = refill
        self.published = 0
        self.unconfirmed: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self.error: Exception | None = None
        self.connection = pika.SelectConnection(
            pika.URLParameters(URL),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_open_error_callback=self.failed,
            on_close_callback=self.failed,
        )

    def run(self) -> None:
        self.connection.ioloop.start()
        if self.error:
            raise self.error

    def opened(self, channel) -> None:
        self.channel = channel
        channel.confirm_delivery(self.confirmed, lambda _frame: self.publish())

    def publish(self) -> None:
        """Fill the window."""
        while self.published < self.count and len(self.unconfirmed) < self.window:
            body = str(self.published).encode()
            self.published += 1  # The broker counts the messages of a channel from 1.
            self.unconfirmed[self.published] = body
            self.channel.basic_publish("", QUEUE, body, PERSISTENT)

    def confirmed(self, frame) -> None:
        """Tick off one message, or with `multiple` all up to this one."""
        tag = frame.method.delivery_tag
        done = [tag] if not frame.method.multiple else [each for each in self.unconfirmed if each <= tag]
        for each in done:
            body = self.unconfirmed.pop(each)
            if isinstance(frame.method, pika.spec.Basic.Nack):
                self.error = RuntimeError(f"refused: {body!r}")
        if self.published == self.count and not self.unconfirmed:
            self.connection.close()
        elif self.refill or not self.unconfirmed:
            self.publish()

    def failed(self, connection, error: Exception) -> None:
        if not isinstance(error, pika.exceptions.ConnectionClosedByClient):
            self.error = error
        connection.ioloop.stop()


def in_batches(count: int) -> None:
    Publisher(count, window=100, refill=False).run()


def streaming(count: int) -> None:
    Publisher(count, window=1000, refill=True).run()


def main(count: int) -> None:
    ways: dict[str, Callable[[int], None]] = {
        "one by one": one_by_one,
        "in batches": in_batches,
        "streaming": streaming,
    }
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        for name, publish in ways.items():
            channel.queue_declare(QUEUE, durable=True)
            since = time.perf_counter()
            publish(count)
            seconds = time.perf_counter() - since
            waiting = channel.queue_declare(QUEUE, durable=True, passive=True).method.message_count
            print(f"{name}: {waiting} of {count} confirmed and waiting, {count / seconds:,.0f} a second")
            channel.queue_delete(QUEUE)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
