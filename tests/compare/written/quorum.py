"""Quorum queues on one node: what they count, and what dies of it (R52). Confirms make RabbitMQ wait."""

from __future__ import annotations

from typing import Any

from tests.compare.operations import (
    Operation,
    Sequence,
    ack,
    cancel,
    consume,
    declare,
    get,
    nack,
    op,
    publish,
    qos,
    reject,
)
from tests.compare.written.registry import properties, transcript

LIMIT = "x-delivery-limit"
LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


def quorum(queue: str = "q1", on: str = "a1", **arguments: Any) -> Operation:
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    return declare(queue, on=on, durable=True, arguments={"x-queue-type": "quorum", **named})


CONFIRMS = op("a1", "confirm.select")


@transcript("R52")
def delivery_limit() -> Sequence:
    """A message that comes back more often than the limit dies; consumers read the count in a header."""
    return [
        CONFIRMS,
        declare("dead"),
        quorum(x_delivery_limit=2, **{key.replace("-", "_"): value for key, value in LETTERS.items()}),
        publish("q1"),
        publish("q1"),
        qos(1),
        consume("q1", "c1"),
        nack(0),
        nack(0),
        nack(0),
        get("dead", no_ack=True),
        ack(0),
        cancel("c1"),
    ]


@transcript("R52")
def delivery_limit_without_dead_letters() -> Sequence:
    return [
        CONFIRMS,
        quorum(x_delivery_limit=0),
        qos(1),
        consume("q1", "c1"),
        publish("q1"),
        nack(0),
        cancel("c1"),
        publish("q1"),
        get("q1", no_ack=True),
        get("q1", no_ack=True),
    ]


@transcript("R52", "R66", "R68")
def deliveries_are_counted() -> Sequence:
    """By nack, reject and recover; without a limit too; get tells of 0 as well, deliveries do not."""
    return [
        CONFIRMS,
        quorum(),
        publish("q1", properties=properties(headers={"x-delivery-count": "mine", "b": 1, "z": 2})),
        qos(3),
        consume("q1", "c1"),
        nack(0),
        reject(0),
        op("a1", "basic.recover", requeue=True),
        quorum("q2"),
        publish("q2"),
        get("q2", no_ack=True),
    ]


@transcript("R52", "R48")
def dead_letters_tell_of_no_deliveries() -> Sequence:
    return [
        CONFIRMS,
        declare("dead"),
        quorum(**{key.replace("-", "_"): value for key, value in LETTERS.items()}),
        consume("q1", "c1"),
        publish("q1", properties=properties(headers={"h": 1})),
        nack(0),
        reject(0, requeue=False),
        get("dead", no_ack=True),
    ]


@transcript("R52", "406")
def delivery_limits_that_are_asked_for() -> Sequence:
    """Any value is taken; a redeclaration must repeat it; classic queues have none."""
    return [
        quorum("q1", x_delivery_limit=-1),
        quorum("q2", x_delivery_limit="x"),
        quorum("q3", x_delivery_limit=3),
        quorum("q3", x_delivery_limit=4),
        quorum("q3", on="a2"),
        declare("q4", durable=True, arguments={LIMIT: 3}, on="a3"),
        quorum("q5", on="a4"),
        quorum("q5", x_delivery_limit=4, on="a4"),
    ]


@transcript("R49", "R43", "406")
def arguments_of_quorum_queues() -> Sequence:
    """Their own, checked; classic queues refuse them."""
    strategy = "x-dead-letter-strategy"
    refused: tuple[dict[str, Any], ...] = (
        {strategy: "at-least-once"},
        {"x-max-in-memory-bytes": 1},
        {"x-max-in-memory-length": 1},
        {"x-quorum-initial-group-size": 1},
    )
    tried: tuple[dict[str, Any], ...] = (
        {strategy: "at-least-once"},
        {strategy: "x"},
        {strategy: 5},
        {strategy: "at-least-once", "x-overflow": "drop-head", "x-dead-letter-exchange": ""},
        {"x-overflow": "reject-publish-dlx", "x-max-length": 1},
        {"x-max-in-memory-bytes": -1},
        {"x-max-in-memory-length": "x"},
        {"x-quorum-initial-group-size": 0},
    )
    return [
        *(
            declare("q1", durable=True, arguments=arguments, on=f"a{n}")
            for n, arguments in enumerate(refused, 1)
        ),
        *(quorum(f"q{n}", on=f"b{n}", **each) for n, each in enumerate(tried, 2)),
        quorum("q2", on="c1", **{strategy: "at-most-once"}),
        quorum("q2", on="c2"),
    ]


@transcript("R65", "540")
def quorum_queues_and_a_prefetch_for_the_channel() -> Sequence:
    """Refused while the channel has one; a prefetch of each consumer is none."""
    return [
        quorum("q1"),
        quorum("q2"),
        publish("q1", count=3),
        qos(1, on="a1"),
        consume("q1", "c1", on="a1"),
        ack(0, on="a1"),
        qos(0, global_=True, on="a2"),
        consume("q2", "c2", on="a2"),
        qos(2, global_=True, on="b1"),
        get("q1", on="b1", no_ack=True),
        consume("q2", "c3", on="b1"),
    ]


@transcript("R52", "R64", "R65")
def prefetch_of_a_quorum_tag_that_is_used_again() -> Sequence:
    """What a cancelled consumer has out is no matter of the next one under its tag."""
    return [
        CONFIRMS,
        quorum(),
        qos(1),
        publish("q1", count=4),
        consume("q1", "c1"),
        cancel("c1"),
        consume("q1", "c1"),
        reject(0, requeue=False),
        ack(0),
    ]


@transcript("R52", "R51", "R66", "R48")
def delivery_limit_under_a_single_active_consumer() -> Sequence:
    """Counts stay with a message when another consumer becomes active; the next return is its death."""
    return [
        CONFIRMS,
        declare("dead"),
        quorum(
            x_delivery_limit=1,
            x_single_active_consumer=True,
            **{key.replace("-", "_"): value for key, value in LETTERS.items()},
        ),
        qos(1),
        qos(1, on="b1"),
        consume("q1", "c1"),
        consume("q1", "c2", on="b1"),
        publish("q1", count=3),
        nack(0),
        cancel("c1"),
        nack(0),
        nack(0, on="b1"),
        get("dead", no_ack=True),
        ack(0, on="b1"),
        reject(0, on="b1", requeue=False),
        get("dead", no_ack=True),
        get("dead", no_ack=True),
    ]


@transcript("R52", "R46", "R48")
def quorum_times_to_live_and_dead_letters() -> Sequence:
    """What expires at once dies as in a classic queue, without a count of deliveries."""
    return [
        CONFIRMS,
        declare("dead"),
        quorum(x_message_ttl=0, **{key.replace("-", "_"): value for key, value in LETTERS.items()}),
        publish("q1"),
        get("dead", no_ack=True),
        get("q1", no_ack=True),
    ]
