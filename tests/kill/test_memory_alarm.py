"""R11, R73: publishers wait while messages take more memory than the watermark; consumers go on.

Embedded, nothing but messages counts (see `ops.resources`), so that small watermarks can be used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import amqp_wire
from pillarbox import Broker, ManualClock
from pillarbox.app.server import Server
from pillarbox.ops.resources import watermark_bytes

from .sockets import Loop
from .test_disk_alarm import Hand
from .wire import FRAME_MAX

MIB = 1 << 20
WATERMARK = 4 * MIB
BODY = bytes(64 << 10)
LOOK = "1s"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(memory=True, clock=ManualClock(), memory_high_watermark=WATERMARK) as broker:
        yield broker


def look(broker: Broker) -> tuple[str | None, int]:
    """The alarm, and the bytes that messages take."""
    return broker.call(lambda server: (server.core.alarm, server.core.changes.resident_bytes))


@pytest.mark.row("R11", "R73")
def test_publishers_wait_while_memory_is_low_and_then_go_on(broker: Broker) -> None:
    """The broker keeps nothing on disk: nothing but its consumers can make room."""
    publisher, consumer = Hand(), Hand()
    with Loop([publisher, consumer], broker.amqp_port) as loop:
        loop.run(lambda: publisher.open and consumer.open)
        publisher.declare_queue("q")
        for _ in range(200):
            publisher.publish(BODY)
        loop.run(lambda: publisher.blocked is not None)
        assert publisher.blocked == "low on memory"
        broker.advance(LOOK)
        taken = publisher.confirmed
        assert WATERMARK <= look(broker)[1] <= 2 * WATERMARK, "what was read when it rang is taken"
        assert taken < 200

        consumer.consume("q", "c")
        loop.run(lambda: len(consumer.received) == taken)

        def drained() -> bool:
            broker.advance(LOOK)
            return len(consumer.received) == 200

        loop.run(drained)
        assert publisher.unblocked >= 1


@pytest.mark.row("R73")
def test_message_that_is_still_coming_waits_too(broker: Broker) -> None:
    """As with RabbitMQ: else everybody could still send the body that was announced."""
    filling, slow = Hand(), Hand()
    large = amqp_wire.message("", "q", bytes(8 * MIB), persistent=False, frame_max=FRAME_MAX)
    with Loop([filling, slow], broker.amqp_port) as loop:
        loop.run(lambda: filling.open and slow.open)
        filling.declare_queue("q")
        slow.send(large[: MIB // 2])
        loop.run(lambda: not filling.asking and slow.idle)
        for _ in range(200):
            filling.publish(BODY)
        loop.run(lambda: filling.blocked is not None)
        slow.send(large[MIB // 2 :])
        loop.run(lambda: slow.blocked is not None)

        def arrived(server: Server) -> int:
            contents = [
                channel._content
                for session in server.core.sessions
                for channel in session.head.channels.values()
            ]
            return max(len(content.body) for content in contents if content is not None)

        for _ in range(3):
            broker.advance(LOOK)
            assert broker.call(arrived) < 2 * MIB

        def emptied() -> bool:
            broker.call(lambda server: server.core.vhosts["/"].queues["q"].purge())
            broker.advance(LOOK)
            return slow.confirmed == 1

        loop.run(emptied)


@pytest.mark.row("R73")
def test_alarm_does_not_ring_where_the_disk_takes_what_waits(tmp_path: Path) -> None:
    """The budget is the first line, also where the watermark leaves less than it asks for."""
    publisher = Hand()
    broker = Broker(str(tmp_path / "data"), clock=ManualClock(), memory_high_watermark=WATERMARK)
    with broker, Loop([publisher], broker.amqp_port) as loop:
        loop.run(lambda: publisher.open)
        publisher.declare_queue("q")
        for number in range(400):
            publisher.publish(BODY)
            if number % 20 == 0:
                loop.run(lambda: publisher.idle)
                broker.advance(LOOK)
        loop.run(lambda: publisher.confirmed == 400)
        assert publisher.unblocked == 0
        alarm, resident = look(broker)
        assert alarm is None
        assert resident < WATERMARK


@pytest.mark.row("R73")
def test_watermark_can_be_changed_while_the_broker_runs(broker: Broker) -> None:
    def change(server: Server, watermark: float, budget: int) -> str | None:
        server.watch.memory_max = watermark_bytes(watermark, budget)
        server.watch.look(server.clock.now_ms())
        return server.core.alarm

    assert broker.call(lambda server: change(server, 0, MIB)) == "low on memory"
    assert broker.call(lambda server: change(server, 0.5, MIB)) is None


@pytest.mark.row("R74")
def test_state_shows_how_a_connection_is_held_up(broker: Broker) -> None:
    """As RabbitMQ 3.10.8 shows it: an alarm makes all `blocking`, and who then publishes `blocked`."""

    def states(server: Server) -> list[str]:
        return sorted(session.head.flow_state for session in server.core.sessions)

    def alarm(server: Server, watermark: int) -> None:
        server.watch.memory_max = watermark
        server.watch.look(server.clock.now_ms())

    publisher, idle = Hand(), Hand()
    with Loop([publisher, idle], broker.amqp_port) as loop:
        loop.run(lambda: publisher.open and idle.open)
        assert broker.call(states) == ["running", "running"]
        broker.call(lambda server: alarm(server, 0))
        assert broker.call(states) == ["blocking", "blocking"]
        publisher.publish(BODY)
        loop.run(lambda: publisher.blocked is not None)
        assert broker.call(states) == ["blocked", "blocking"]
        broker.call(lambda server: alarm(server, WATERMARK))
        broker.advance(LOOK)
        loop.run(lambda: publisher.unblocked == 1)
        assert broker.call(states) == ["running", "running"]
