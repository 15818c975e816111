"""Queues with a single active consumer: who is active, who is next, what is refused."""

from __future__ import annotations

from tests.compare.operations import (
    Sequence,
    ack,
    cancel,
    close_channel,
    consume,
    declare,
    get,
    op,
    publish,
    qos,
)
from tests.compare.written.registry import transcript

ALONE = {"x-single-active-consumer": True}


@transcript("R51")
def single_active_consumer_goes() -> Sequence:
    """By cancel, by the end of its channel, of its connection; what it had comes to the next."""
    return [
        declare("q1", arguments=ALONE),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        consume("q1", "c3", on="b1"),
        consume("q1", "c4", on="c1"),
        publish("q1", on="d1", count=3),
        ack(0),
        cancel("c1"),
        publish("q1", on="d1"),
        close_channel("a1"),
        close_channel("a2"),
        op("b", "disconnect"),
        cancel("c4", on="c1"),
        publish("q1", on="d1"),
        get("q1", on="d1"),
        consume("q1", "c5", on="a1"),
        publish("q1", on="d1"),
    ]


@transcript("R51")
def single_active_consumer_goes_while_messages_wait() -> Sequence:
    """It has its prefetch in hand and more is ready: the next one is to get that at once."""
    return [
        declare("q1", arguments=ALONE),
        qos(1),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        publish("q1", on="b1", count=3),
        cancel("c1"),
    ]


@transcript("R51")
def single_active_consumer_that_waits_is_cancelled() -> Sequence:
    """Nothing changes for the active one; the one behind it is next."""
    return [
        declare("q1", arguments=ALONE),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        consume("q1", "c3", on="a2"),
        cancel("c2", on="a2"),
        publish("q1", on="b1"),
        cancel("c1"),
        publish("q1", on="b1"),
        declare("q1", passive=True, on="b1"),
        op("b1", "queue.delete", queue="q1", if_unused=True),
        op("b1", "queue.delete", queue="q1"),
    ]


@transcript("R51", "R69")
def single_active_consumer_and_priorities() -> Sequence:
    """A higher priority does not push the active one out, but is next."""
    return [
        declare("q1", arguments=ALONE),
        consume("q1", "c1", arguments={"x-priority": 1}),
        consume("q1", "c2", on="a2"),
        consume("q1", "c3", on="b1", arguments={"x-priority": 9}),
        consume("q1", "c4", on="b2", arguments={"x-priority": 9}),
        publish("q1", on="c1"),
        cancel("c1"),
        publish("q1", on="c1"),
        cancel("c3", on="b1"),
        publish("q1", on="c1"),
        cancel("c4", on="b2"),
        publish("q1", on="c1"),
    ]


@transcript("R51", "R65")
def single_active_consumer_without_credit() -> Sequence:
    """The others get nothing while it has none."""
    return [
        declare("q1", arguments=ALONE),
        qos(1),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        publish("q1", on="b1", count=3),
        get("q1", on="b1", no_ack=True),
        ack(0),
        cancel("c1"),
        publish("q1", on="b1"),
        ack(0),
    ]


@transcript("R51", "403", "406", "T9")
def single_active_consumer_refusals() -> Sequence:
    """An exclusive consumer, also on an empty queue; another value on redeclaration; no boolean."""
    return [
        declare("q1", arguments=ALONE),
        consume("q1", "c1", exclusive=True),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2", exclusive=True),
        declare("q1", on="a2"),
        declare("q1", on="a2", arguments={"x-single-active-consumer": False}),
        declare("q1", on="a2", arguments=ALONE),
        declare("q2", on="a2"),
        declare("q2", on="a2", arguments=ALONE),
        declare("q2", on="a2", arguments={"x-single-active-consumer": False}),
        declare("q3", on="a2", arguments={"x-single-active-consumer": "yes"}),
        declare("q3", on="a2", arguments={"x-single-active-consumer": 1}),
    ]


@transcript("R51", "R40")
def single_active_consumer_of_an_auto_delete_queue() -> Sequence:
    """It goes with the last of them, not with the active one."""
    return [
        declare("q1", arguments=ALONE, auto_delete=True),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        cancel("c1"),
        publish("q1"),
        cancel("c2", on="a2"),
    ]


@transcript("R51", "405")
def single_active_consumer_of_a_quorum_queue() -> Sequence:
    """basic.get is refused."""
    return [
        declare("q1", durable=True, arguments={**ALONE, "x-queue-type": "quorum"}),
        get("q1"),
        get("q1", no_ack=True),
    ]
