"""Limits of queues (R46, R47): what counts, what gives way, when; with consumers, requeues, expiry."""

from __future__ import annotations

from tests.compare.operations import (
    Sequence,
    ack,
    bind,
    cancel,
    close_channel,
    consume,
    declare,
    get,
    nack,
    op,
    publish,
    qos,
)
from tests.compare.written.registry import properties, transcript

LENGTH, BYTES, OVERFLOW = "x-max-length", "x-max-length-bytes", "x-overflow"


def drained(queue: str = "q1", count: int = 4) -> Sequence:
    return [get(queue, no_ack=True) for _ in range(count)]


@transcript("R46", "R47")
def drop_head_spares_what_consumers_take() -> Sequence:
    """A message goes to a waiting consumer before the limit is looked at, whatever the limit."""
    return [
        declare("q1", arguments={LENGTH: 1}),
        qos(2),
        consume("q1", "c1"),
        publish("q1", count=5),
        ack(0),
        publish("q1", count=2),
        ack(0, multiple=True),
        declare("q2", arguments={LENGTH: 0}),
        publish("q2", count=2),
        consume("q2", "c2", no_ack=True),
        publish("q2", count=3),
        cancel("c2"),
        publish("q2"),
    ]


@transcript("R46", "R66")
def requeue_into_a_full_queue() -> Sequence:
    """What comes back counts, and stands at the head: it is what is dropped."""
    return [
        declare("q1", arguments={LENGTH: 2}),
        publish("q1", count=2),
        get("q1"),
        publish("q1"),
        nack(0),
        *drained(),
        publish("q1", count=2),
        get("q1"),
        get("q1"),
        publish("q1"),
        nack(1, multiple=True),
        *drained(),
        qos(1),
        consume("q1", "c1"),
        publish("q1", count=3),
        nack(0),
        nack(0),
        close_channel(),
        declare("q1", passive=True, on="a2", arguments={LENGTH: 2}),
        *(get("q1", on="a2", no_ack=True) for _ in range(3)),
    ]


@transcript("R46")
def bytes_of_bodies_count() -> Sequence:
    """Headers do not; one message that is larger than the limit empties the queue and goes."""
    return [
        declare("q1", arguments={BYTES: 10}),
        publish("q1", body="12345", properties=properties(headers={"h": "x" * 50})),
        publish("q1", body="1234567890"),
        publish("q1", body=""),
        publish("q1", body="12345678901"),
        publish("q1", body=""),
        publish("q1", body="1"),
        get("q1"),
        publish("q1", body="123456789"),
        publish("q1", body="12"),
        nack(0),
        *drained(),
        declare("q2", arguments={BYTES: 10, LENGTH: 2}),
        *(publish("q2", body=body) for body in ("1", "2", "3", "1234567890", "")),
        *drained("q2"),
        declare("q3", arguments={BYTES: 0}),
        publish("q3", body="1"),
        publish("q3", body=""),
        *drained("q3"),
    ]


@transcript("R47", "R61")
def reject_publish_counts_before_consumers_are_looked_at() -> Sequence:
    """With a limit of 0 nothing is taken, although a consumer waits."""
    return [
        op("a1", "confirm.select"),
        declare("q1", arguments={LENGTH: 0, OVERFLOW: "reject-publish"}),
        consume("q1", "c1", no_ack=True),
        publish("q1", count=2),
        declare("q2", arguments={LENGTH: 1, OVERFLOW: "reject-publish"}),
        consume("q2", "c2", no_ack=True),
        publish("q2", count=5),
        cancel("c2"),
        publish("q2", count=3),
        publish("q2", mandatory=True),
        declare("q3", arguments={BYTES: 10, OVERFLOW: "reject-publish"}),
        *(publish("q3", body=body) for body in ("12345", "123456", "12345", "1", "")),
        *drained("q3"),
    ]


@transcript("R47", "R61")
def one_of_several_queues_refuses() -> Sequence:
    """The others keep the message; the publisher is told that it was refused."""
    return [
        op("a1", "confirm.select"),
        declare("q1", durable=True, arguments={LENGTH: 1, OVERFLOW: "reject-publish"}),
        declare("q2", durable=True),
        declare("q3", durable=True, arguments={LENGTH: 2}),
        *(bind(name, "amq.fanout") for name in ("q1", "q2", "q3")),
        publish("", "amq.fanout", count=3, properties=properties(delivery_mode=2)),
        publish("", "amq.fanout", properties=properties(delivery_mode=1)),
        get("q1"),
        publish("", "amq.fanout", count=2),
        nack(0),
        publish("", "amq.fanout", properties=properties(delivery_mode=2)),
        *(each for name in ("q1", "q2", "q3") for each in drained(name, 5)),
    ]


@transcript("R47", "R66")
def requeue_never_overflows_where_publishers_are_refused() -> Sequence:
    """The queue is longer than its limit for a while."""
    return [
        op("a1", "confirm.select"),
        declare("q1", arguments={LENGTH: 1, OVERFLOW: "reject-publish"}),
        publish("q1"),
        get("q1"),
        publish("q1"),
        nack(0),
        publish("q1"),
        get("q1", no_ack=True),
        publish("q1"),
        get("q1", no_ack=True),
        publish("q1"),
        *drained(count=2),
    ]


@transcript("R46", "R44")
def limits_and_times_to_live() -> Sequence:
    """What has expired does not count."""
    return [
        declare("q1", arguments={LENGTH: 1}),
        publish("q1"),
        publish("q1", properties=properties(expiration="0")),
        get("q1", no_ack=True),
        publish("q1", properties=properties(expiration="0")),
        publish("q1", count=2),
        get("q1", no_ack=True),
        declare("q2", arguments={LENGTH: 1, OVERFLOW: "reject-publish", "x-message-ttl": 0}),
        op("a1", "confirm.select"),
        publish("q2", count=2),
        consume("q2", "c1", no_ack=True),
        publish("q2", count=3),
    ]


@transcript("R46", "R50")
def limits_and_priorities() -> Sequence:
    """The head is the message of the highest priority: that is what gives way."""
    return [
        declare("q1", arguments={LENGTH: 2, "x-max-priority": 5}),
        *(publish("q1", properties=properties(priority=level)) for level in (1, 1, 5, 0, 3)),
        *drained(),
        declare("q2", arguments={BYTES: 10, "x-max-priority": 5}),
        *(
            publish("q2", body=body, properties=properties(priority=level))
            for body, level in (("123456789", 0), ("12345", 3), ("1", 4), ("123", 5), ("1", 1), ("123", 0))
        ),
        *drained("q2"),
        declare("q3", arguments={LENGTH: 1, OVERFLOW: "reject-publish", "x-max-priority": 5}),
        op("a1", "confirm.select"),
        *(publish("q3", properties=properties(priority=level)) for level in (1, 5, 0)),
        *drained("q3", 2),
    ]


@transcript("R46", "R47", "R43")
def limits_of_quorum_queues() -> Sequence:
    return [
        op("a1", "confirm.select"),
        declare("q1", durable=True, arguments={"x-queue-type": "quorum", LENGTH: 2}),
        *(publish("q1") for _ in range(4)),
        *drained(),
        declare("q2", durable=True, arguments={"x-queue-type": "quorum", BYTES: 10}),
        *(publish("q2", body=body) for body in ("12345", "123456", "1", "")),
        *drained("q2"),
    ]


@transcript("R46", "R47", "R43")
def refusals_of_quorum_queues() -> Sequence:
    """One message more than the limit is taken, and none again before a fifth of the limit is free."""
    arguments = {"x-queue-type": "quorum", LENGTH: 5, OVERFLOW: "reject-publish"}
    return [
        op("a1", "confirm.select"),
        declare("q1", durable=True, arguments=arguments),
        *(publish("q1") for _ in range(7)),
        get("q1", no_ack=True),
        publish("q1"),
        get("q1", no_ack=True),
        publish("q1"),
        get("q1", no_ack=True),
        publish("q1"),
        publish("q1"),
        publish("q1"),
    ]
