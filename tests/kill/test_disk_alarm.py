"""R11, R73: publishers wait while the disk has less than `disk_free_min` free or is behind; consumers go on.

The disk is real, and a large file takes its space away and gives it back.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from bench import amqp_wire
from pillarbox import Broker, ManualClock
from pillarbox.engine import local

from .sockets import Loop
from .wire import FRAME_MAX, Client

MARGIN_BYTES = 600 << 20
"""More than anybody else on the machine writes or frees during the test."""
CHECK = "5s"
"""How often the broker looks."""


class Hand(Client):
    """Publishes when told, and notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.confirmed = 0
        self.received: list[bytes] = []

    def step(self) -> None:
        """Nothing happens by itself."""

    def on_confirm(self, tag: int, multiple: bool) -> None:
        self.confirmed = tag

    def on_delivery(self, consumer: str, tag: int, redelivered: bool, body: bytes) -> None:
        self.received.append(body)
        self.ack(tag)

    def publish(self, body: bytes) -> None:
        self.send(amqp_wire.message("", "q", body, persistent=True, frame_max=FRAME_MAX))


class Disk:
    """The disk that holds a folder; `fill` leaves less than `limit` free."""

    def __init__(self, folder: Path) -> None:
        free = shutil.disk_usage(folder).free
        if free < 4 * MARGIN_BYTES:
            pytest.skip(f"{folder} has {free} bytes free, too few to take some away")
        self.limit = free - MARGIN_BYTES
        self._file = folder / "ballast"

    def fill(self) -> None:
        with self._file.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2 * MARGIN_BYTES)

    def free(self) -> None:
        self._file.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.free()


@pytest.fixture
def broker(tmp_path: Path, disk: Disk) -> Iterator[Broker]:
    with Broker(str(tmp_path / "data"), clock=ManualClock(), disk_free_min=disk.limit) as broker:
        yield broker


@pytest.mark.row("R11", "R73")
def test_publishers_wait_while_the_disk_is_low_and_then_go_on(broker: Broker, disk: Disk) -> None:
    publisher, consumer = Hand(), Hand()
    with Loop([publisher, consumer], broker.amqp_port) as loop:
        loop.run(lambda: publisher.open and consumer.open)
        publisher.declare_queue("q")
        for number in range(5):
            publisher.publish(b"%d" % number)
        loop.run(lambda: publisher.confirmed == 5)

        disk.fill()
        broker.advance(CHECK)
        publisher.publish(b"waits")
        loop.run(lambda: publisher.blocked is not None)
        assert publisher.blocked == "low on disk"
        publisher.publish(b"waits too")

        consumer.consume("q", "c")
        loop.run(lambda: len(consumer.received) == 5)
        broker.advance(CHECK)
        loop.run(lambda: broker.queue("q").unacknowledged == 0)
        assert publisher.confirmed == 5
        assert broker.queue("q").ready == 0, "what a blocked publisher sends is not taken"

        disk.free()
        broker.advance(CHECK)
        loop.run(lambda: publisher.confirmed == 7)
        assert publisher.blocked is None
        loop.run(lambda: len(consumer.received) == 7)
    assert consumer.received == [b"0", b"1", b"2", b"3", b"4", b"waits", b"waits too"]


@pytest.mark.row("R11", "R73")
@pytest.mark.parametrize("persistent", [True, False])
def test_what_was_drained_leaves_the_disk_while_it_is_low(tmp_path: Path, persistent: bool) -> None:
    """Else the alarm would last for ever: who only acknowledges appends too little for a checkpoint."""
    data = tmp_path / "data"
    deadline = time.monotonic() + 20
    with Broker(str(data), clock=ManualClock(), memory_budget=1 << 20) as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q", durable=True)
            properties = pika.BasicProperties(delivery_mode=1 + persistent)
            for _ in range(70):
                channel.basic_publish("", "q", bytes(1 << 20), properties)
            while not (data / "checkpoint-000000000001").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            channel.queue_purge("q")
        broker.advance("1h")
        assert sum(file.stat().st_size for file in data.glob("backlog/*.log")) > 60 << 20
        broker.call(lambda server: server.watch.limit_disk(1 << 60))
        while list(data.glob("backlog/*.log")) and time.monotonic() < deadline:
            broker.advance("1m")
            time.sleep(0.01)
        assert list(data.glob("backlog/*.log")) == []
        broker.call(lambda server: server.watch.limit_disk(0))
        broker.advance(CHECK)
        assert broker.call(lambda server: server.core.alarm) is None


@pytest.mark.row("R11")
def test_who_does_not_publish_meanwhile_is_neither_told_nor_held_up(broker: Broker, disk: Disk) -> None:
    """As RabbitMQ does it: also who has published before may consume, acknowledge and ask."""
    client = Hand()
    with Loop([client], broker.amqp_port) as loop:
        loop.run(lambda: client.open)
        client.declare_queue("q")
        for number in range(5):
            client.publish(b"%d" % number)
        loop.run(lambda: client.confirmed == 5)
        disk.fill()
        broker.advance(CHECK)
        client.consume("q", "c")
        loop.run(lambda: len(client.received) == 5 and not client.asking)
        client.declare_queue("q", passive=True)
        loop.run(lambda: not client.asking)
        broker.advance(CHECK)
        assert broker.queue("q").unacknowledged == 0
        assert client.blocked is None
        disk.free()
        broker.advance(CHECK)
        client.declare_queue("q", passive=True)
        loop.run(lambda: not client.asking)
        assert client.unblocked == 0


@pytest.mark.row("R11")
def test_who_connects_while_the_disk_is_low_is_told_when_it_publishes(broker: Broker, disk: Disk) -> None:
    disk.fill()
    broker.advance(CHECK)
    publisher = Hand()
    with Loop([publisher], broker.amqp_port) as loop:
        loop.run(lambda: publisher.open)
        publisher.declare_queue("q")
        loop.run(lambda: not publisher.asking)
        assert publisher.blocked is None
        publisher.publish(b"first")
        loop.run(lambda: publisher.blocked is not None)
        for number in range(5):
            publisher.publish(b"%d" % number)
        loop.run(lambda: publisher.idle)
        broker.advance(CHECK)
        assert broker.queue("q").ready == 0
        disk.free()
        broker.advance(CHECK)
        loop.run(lambda: publisher.confirmed == 6)
    assert broker.queue("q").ready == 6


def test_publishers_wait_while_checkpoints_fall_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in faster than it can be merged would otherwise fill the memory."""
    publisher = Hand()
    with (
        Broker(str(tmp_path / "data"), clock=ManualClock()) as broker,
        Loop([publisher], broker.amqp_port) as loop,
    ):
        loop.run(lambda: publisher.open)
        publisher.declare_queue("q")
        loop.run(lambda: not publisher.asking)
        with monkeypatch.context() as patch:
            patch.setattr(local, "BEHIND_FACTOR", 0)
            publisher.publish(b"taken")
            loop.run(lambda: publisher.confirmed == 1)
            publisher.publish(b"waits")
            broker.advance(CHECK)
            assert broker.queue("q").ready == 1
            assert publisher.blocked is None, "this is no alarm, and soon over"
        broker.advance(CHECK)
        loop.run(lambda: publisher.confirmed == 2)
