"""Queues with priorities (R50): order, what counts as which priority, requeue, expiry, arguments."""

from __future__ import annotations

from tests.compare.operations import (
    Operation,
    Sequence,
    ack,
    bind,
    cancel,
    close_channel,
    consume,
    declare,
    exchange,
    get,
    nack,
    op,
    publish,
    qos,
    reject,
)
from tests.compare.written.registry import properties, transcript


def queue(name: str = "q1", highest: int = 5, **arguments: object) -> Operation:
    return declare(name, arguments={"x-max-priority": highest, **arguments})


def rated(priority: int | None, queue: str = "q1", **values: object) -> Operation:
    if priority is not None:
        values["priority"] = priority
    return publish(queue, properties=properties(**values))


@transcript("R50")
def higher_priorities_come_first() -> Sequence:
    """None is 0, above the maximum is the maximum, and within a priority the order is that of arrival."""
    levels = (None, 5, 0, 1, 9, 255, 4, None, 5, 1)
    return [
        queue(),
        *(rated(level) for level in levels),
        *(get("q1", no_ack=True) for _ in range(len(levels) + 1)),
    ]


@transcript("R50")
def priorities_of_each_maximum() -> Sequence:
    """0 and 255 are maxima too; a queue without the argument takes no notice of priorities."""
    levels = (0, 1, 254, 255, None)
    return [
        queue("q1", 0),
        queue("q2", 255),
        queue("q3", 1),
        declare("q4"),
        *(rated(level, name) for name in ("q1", "q2", "q3", "q4") for level in levels),
        *(get(name, no_ack=True) for name in ("q1", "q2", "q3", "q4") for _ in range(len(levels))),
    ]


@transcript("R50", "R66")
def requeue_goes_back_within_its_priority() -> Sequence:
    """To the original place, marked redelivered; what has a higher priority goes before it."""
    return [
        queue(),
        *(rated(level) for level in (1, 1, 1, 3, 3)),
        *(get("q1") for _ in range(4)),
        nack(3),
        nack(0),
        rated(2),
        rated(3),
        get("q1"),
        get("q1"),
        get("q1"),
        reject(0),
        nack(-1, multiple=True),
        *(get("q1", no_ack=True) for _ in range(7)),
    ]


@transcript("R50", "R66")
def settling_many_of_several_priorities() -> Sequence:
    """multiple goes by delivery tag, whatever the priority."""
    return [
        queue(),
        *(rated(level) for level in (0, 4, 2, 4, 0, 2)),
        *(get("q1") for _ in range(6)),
        ack(2, multiple=True),
        nack(-1, multiple=True),
        *(get("q1") for _ in range(4)),
        op("a1", "basic.recover", requeue=True),
        get("q1"),
        close_channel(),
        declare("q1", passive=True, on="a2"),
        *(get("q1", on="a2", no_ack=True) for _ in range(4)),
    ]


@transcript("R50", "R65")
def prefetch_lets_later_messages_overtake() -> Sequence:
    """What a consumer has not been given yet is overtaken, what it has is not."""
    return [
        queue(),
        qos(2),
        *(rated(level) for level in (0, 0, 1, 1)),
        consume("q1", "c1"),
        rated(5),
        rated(3),
        ack(0),
        ack(0, multiple=True),
        rated(4),
        nack(0),
        nack(-1, multiple=True),
        cancel("c1"),
        get("q1"),
        *(ack(0) for _ in range(4)),
        *(get("q1", no_ack=True) for _ in range(4)),
    ]


@transcript("R50", "R71")
def consumers_of_a_queue_with_priorities() -> Sequence:
    """They take turns, and x-priority of a consumer is another thing than the priority of a message."""
    return [
        queue(),
        *(rated(level) for level in (0, 1, 2, 3, 4, 5)),
        qos(1),
        consume("q1", "low", arguments={"x-priority": -1}),
        consume("q1", "c1"),
        qos(1, on="b1"),
        consume("q1", "c2", on="b1"),
        rated(5),
        ack(0),
        ack(0, on="b1"),
        ack(0),
        ack(0, on="b1"),
        nack(0),
        close_channel("b1"),
        ack(0),
        ack(0),
    ]


@transcript("R50", "R56")
def purge_and_delete_count_all_priorities() -> Sequence:
    return [
        queue(),
        *(rated(level) for level in (0, 1, 1, 5)),
        get("q1"),
        declare("q1", passive=True),
        op("b1", "queue.purge", queue="q1"),
        nack(0),
        *(rated(level) for level in (0, 5)),
        op("b1", "queue.delete", queue="q1", if_empty=True),
        op("b1", "queue.delete", queue="q1"),
        queue(),
        get("q1"),
    ]


@transcript("R50", "R44")
def only_the_head_of_all_priorities_expires() -> Sequence:
    """A message whose time is over waits for those of a higher priority, as for those before it."""
    return [
        queue(),
        rated(5),
        rated(0, expiration="0"),
        rated(1, expiration="0"),
        rated(0),
        get("q1", no_ack=True),
        get("q1"),
        rated(3, expiration="0"),
        declare("q1", passive=True),
        queue("q2", 5, **{"x-message-ttl": 0}),
        rated(4, "q2"),
        declare("q2", passive=True),
        consume("q2", "c1", no_ack=True),
        rated(4, "q2"),
        rated(None, "q2"),
    ]


@transcript("R50", "R44")
def message_that_overtakes_and_expires_at_once() -> Sequence:
    return [
        queue(),
        rated(0),
        rated(5, expiration="0"),
        get("q1", no_ack=True),
        get("q1", no_ack=True),
    ]


@transcript("R50")
def fan_out_to_queues_with_and_without_priorities() -> Sequence:
    """Each queue orders the same messages in its own way."""
    return [
        queue("q1", 2),
        queue("q2", 9),
        declare("q3"),
        exchange("xf", "fanout"),
        *(bind(name, "xf") for name in ("q1", "q2", "q3")),
        *(publish("", "xf", properties=properties(priority=level)) for level in (1, 9, 2, 3, 0)),
        *(get(name, no_ack=True) for name in ("q1", "q2", "q3") for _ in range(5)),
    ]


@transcript("R50", "R61")
def priorities_and_confirms() -> Sequence:
    """Durable queues, persistent and transient messages, in one order."""
    return [
        op("a1", "confirm.select"),
        declare("q1", durable=True, arguments={"x-max-priority": 3}),
        publish("q1", count=3, properties=properties(priority=1, delivery_mode=2)),
        publish("q1", count=2, properties=properties(priority=3, delivery_mode=1)),
        publish("q1", properties=properties(priority=3, delivery_mode=2)),
        publish("q1", properties=properties(delivery_mode=2)),
        *(get("q1") for _ in range(7)),
    ]


@transcript("R50", "R40")
def auto_delete_and_exclusive_queues_with_priorities() -> Sequence:
    arguments = {"x-max-priority": 4}
    return [
        declare("q1", auto_delete=True, arguments=arguments),
        declare("q2", exclusive=True, arguments=arguments),
        *(rated(level, name) for name in ("q1", "q2") for level in (0, 4, 2)),
        consume("q1", "c1"),
        consume("q2", "c2"),
        cancel("c1"),
        nack(0),
        op("a", "disconnect"),
        declare("q2", passive=True, on="b1"),
    ]


@transcript("R50")
def priorities_belong_to_classic_queues() -> Sequence:
    """Quorum queues refuse the argument; a redeclaration must repeat it."""
    return [
        declare("q1", durable=True, arguments={"x-max-priority": 5, "x-queue-type": "quorum"}),
        declare("q1", durable=True, arguments={"x-max-priority": 5, "x-queue-type": "classic"}),
        declare("q1", durable=True, arguments={"x-max-priority": 5}),
        declare("q1", durable=True),
        declare("q1", durable=True, arguments={"x-max-priority": 4}),
    ]
