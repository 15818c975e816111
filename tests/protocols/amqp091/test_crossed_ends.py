"""Both sides close a channel at once, the client's end among what waits for an answer that takes a while."""

from __future__ import annotations

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire

from .rig import Rig, sent_methods

TIMEOUT_MS = 60_000


def committing() -> Rig:
    """One delivery is not answered; the answer of another is committed, and not durable yet."""
    rig = Rig().log_in()
    rig.core.ack_timeout_ms = TIMEOUT_MS
    rig.send(1, m.CHANNEL_OPEN, "")
    rig.send(1, m.QUEUE_DECLARE, 0, "q", False, True, False, False, False, {})
    properties = wire.encode_properties(wire.Properties(delivery_mode=2))
    for _ in range(2):
        rig.send(1, m.BASIC_PUBLISH, 0, "", "q", False, False)
        rig.connection.receive(wire.content_frames(1, properties, b"body", 4096))
    rig.send(1, m.TX_SELECT)
    for _ in range(2):
        rig.send(1, m.BASIC_GET, 0, "q", False)
    rig.turn()
    rig.send(1, m.BASIC_ACK, 1, False)
    rig.send(1, m.TX_COMMIT)
    return rig


def until_overdue(rig: Rig) -> list[str]:
    """Time passes, and nothing becomes durable meanwhile."""
    rig.now_ms += 2 * TIMEOUT_MS
    rig.core.tick(rig.now_ms)
    return names(rig.take())


def names(data: bytes) -> list[str]:
    return [name for _, name, _ in sent_methods(data)]


def test_an_end_that_waits_is_answered_when_the_channel_fails() -> None:
    rig = committing()
    rig.send(1, m.CHANNEL_CLOSE, 200, "bye", 0, 0)
    rig.send(1, m.CHANNEL_OPEN, "")
    rig.send(1, m.QUEUE_DECLARE, 0, "q", True, False, False, False, False, {})
    rig.take()
    assert until_overdue(rig) == ["channel.close", "channel.close-ok", "channel.open-ok", "queue.declare-ok"]
    rig.turn()
    assert names(rig.turn(m.method_frame(1, m.BASIC_GET, 0, "q", True))) == ["basic.get-ok"]


def test_what_waits_is_not_done_on_a_channel_that_has_failed() -> None:
    rig = committing()
    rig.send(1, m.QUEUE_PURGE, 0, "q", False)
    rig.take()
    assert until_overdue(rig) == ["channel.close"]
    rig.send(1, m.CHANNEL_CLOSE_OK)
    rig.send(1, m.CHANNEL_OPEN, "")
    rig.turn()
    assert rig.core.vhosts["/"].queue("q").ready_count == 1
    assert names(rig.turn(m.method_frame(1, m.BASIC_GET, 0, "q", True))) == ["basic.get-ok"]


def test_a_second_opening_among_what_waits_ends_the_connection() -> None:
    rig = committing()
    rig.send(1, m.CHANNEL_OPEN, "")
    rig.take()
    assert until_overdue(rig) == ["channel.close", "connection.close"]
