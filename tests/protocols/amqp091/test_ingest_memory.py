"""What the memory budget counts of messages that come in: bodies, and properties that nobody shares."""

from __future__ import annotations

import gc
import weakref

from pillarbox.broker.queue import Queue
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.publishing import ROUTES_SWEPT_FROM

from .rig import Rig

BODY = b"body"
HEADERS = {"trace": "x" * 500}
CONTENT = wire.content_frames(1, wire.encode_properties(wire.Properties()), BODY, 4096)


def published(rig: Rig, *property_lists: wire.Properties) -> int:
    """Publish messages with these properties in one read; return what they are counted for."""
    before = rig.core.changes.resident_bytes
    data = b""
    for properties in property_lists:
        data += m.method_frame(1, m.BASIC_PUBLISH, 0, "", "q", False, False)
        data += wire.content_frames(1, wire.encode_properties(properties), BODY, 131_072)
    rig.turn(data)
    return rig.core.changes.resident_bytes - before


def with_queue() -> Rig:
    rig = Rig().log_in()
    rig.send(1, m.CHANNEL_OPEN, "")
    rig.send(1, m.QUEUE_DECLARE, 0, "q", False, False, False, False, False, {})
    rig.turn()
    return rig


def test_properties_that_messages_share_are_counted_once() -> None:
    rig = with_queue()
    shared = wire.Properties(headers=HEADERS)
    size = len(wire.encode_properties(shared))
    assert published(rig, *[shared] * 10) // 10 == len(BODY) + MESSAGE_BYTES + size // 10
    assert published(rig, *[shared] * 10) == 10 * (len(BODY) + MESSAGE_BYTES)


def test_properties_of_each_message_are_counted_with_it() -> None:
    """Such as a message id, and large headers, which no connection keeps."""
    rig = with_queue()
    own = [wire.Properties(headers=HEADERS, message_id=f"{number:04}") for number in range(10)]
    size = len(wire.encode_properties(own[0]))
    assert published(rig, *own) == 10 * (len(BODY) + MESSAGE_BYTES + size)
    large = wire.Properties(headers={"trace": "x" * 5000})
    size = len(wire.encode_properties(large))
    for _ in range(2):
        assert published(rig, *[large] * 3) == 3 * (len(BODY) + MESSAGE_BYTES + size)


def test_everything_is_given_back_when_messages_go() -> None:
    """Delivered in parts, settled in parts, purged, deleted: the average of a run goes with each message."""
    rig = with_queue()
    own = [wire.Properties(message_id="n" * number) for number in range(7)]
    published(rig, *own)
    rig.send(1, m.BASIC_QOS, 0, 3, False)
    rig.send(1, m.BASIC_CONSUME, 0, "q", "c", False, False, False, False, {})
    rig.turn()
    rig.send(1, m.BASIC_ACK, 2, False)
    rig.send(1, m.BASIC_NACK, 1, False, True)
    rig.turn()
    assert rig.core.changes.resident_bytes > 0
    rig.send(1, m.QUEUE_DELETE, 0, "q", False, False, False)
    rig.turn()
    assert rig.core.changes.resident_bytes == 0


def test_queues_that_were_answered_at_are_not_kept_when_they_are_gone() -> None:
    """Each client of a service has a queue of its own for the answer, and takes it away with it."""
    rig = with_queue()
    queues: weakref.WeakSet[Queue] = weakref.WeakSet()
    for number in range(10 * ROUTES_SWEPT_FROM):
        name = f"answers-{number}"
        rig.send(1, m.QUEUE_DECLARE, 0, name, False, False, False, False, False, {})
        queues.add(rig.core.vhosts["/"].queue(name))
        for key in ("q", name):
            rig.send(1, m.BASIC_PUBLISH, 0, "", key, False, False)
            rig.connection.receive(CONTENT)
        rig.send(1, m.QUEUE_DELETE, 0, name, False, False, False)
        rig.turn()
    gc.collect()
    assert rig.core.vhosts["/"].queue("q").ready_count == 10 * ROUTES_SWEPT_FROM
    assert len(queues) <= ROUTES_SWEPT_FROM
    assert len(rig.connection.routes) <= ROUTES_SWEPT_FROM


def test_routes_that_hold_are_kept_while_others_go() -> None:
    rig = with_queue()
    rig.send(1, m.QUEUE_BIND, 0, "q", "amq.topic", "#", False, {})
    published(rig, wire.Properties())
    [kept] = rig.connection.routes.values()
    for number in range(3 * ROUTES_SWEPT_FROM):
        rig.send(1, m.BASIC_PUBLISH, 0, "amq.topic", f"key-{number}", False, False)
        rig.connection.receive(CONTENT)
    assert kept in rig.connection.routes.values()
    assert len(rig.connection.routes) == 3 * ROUTES_SWEPT_FROM + 1
