"""Publisher confirms and returns."""

from __future__ import annotations

from tests.compare.operations import (
    Sequence,
    ack,
    bind,
    close_channel,
    consume,
    declare,
    exchange,
    get,
    op,
    publish,
    qos,
)
from tests.compare.written.registry import properties, transcript

PERSISTENT = properties(delivery_mode=2)


@transcript("R61")
def confirms_count_from_one() -> Sequence:
    """Numbers start at 1 with confirm.select, per channel, and start again on a new channel."""
    return [
        declare("q1"),
        publish("q1", count=2),
        op("a1", "confirm.select"),
        publish("q1"),
        publish("q1", count=3),
        op("a1", "confirm.select"),
        publish("q1"),
        op("a2", "confirm.select", nowait=True),
        publish("q1", on="a2"),
        publish("q1"),
        close_channel(),
        op("a1", "confirm.select"),
        publish("q1"),
    ]


@transcript("R61", "R27")
def every_kind_of_publish_is_confirmed() -> Sequence:
    """Routed or not, persistent or not, consumed at once, to many queues, mandatory or not."""
    return [
        declare("q1", durable=True),
        declare("q2"),
        exchange("xf", "fanout"),
        bind("q1", "xf"),
        bind("q2", "xf"),
        op("a1", "confirm.select"),
        publish("q1", properties=PERSISTENT),
        publish("q1"),
        publish("q2", properties=PERSISTENT, mandatory=True),
        publish("k", "xf", count=5, properties=PERSISTENT),
        publish("nobody"),
        publish("nobody", mandatory=True),
        publish("nobody", properties=PERSISTENT, mandatory=True, count=3),
        consume("q1", "c1", no_ack=True),
        publish("q1", properties=PERSISTENT, count=4),
        publish("k", "xf", mandatory=True),
        op("b1", "queue.delete", queue="q1"),
        publish("q1", properties=PERSISTENT, mandatory=True),
    ]


@transcript("R61")
def confirms_are_the_channels_own() -> Sequence:
    """Settlements and other channels' publishes confirm nothing; a purge takes no confirm back."""
    return [
        declare("q1", durable=True),
        op("a1", "confirm.select"),
        qos(1, on="b1"),
        consume("q1", "c1", on="b1"),
        publish("q1", count=3, properties=PERSISTENT),
        publish("q1", on="a2"),
        ack(0, on="b1"),
        op("b1", "queue.purge", queue="q1"),
        publish("q1", properties=PERSISTENT),
        op("b1", "queue.delete", queue="q1"),
        publish("q1", properties=PERSISTENT),
    ]


@transcript("R47", "R61")
def reject_publish_is_a_nack() -> Sequence:
    """A full queue with overflow reject-publish: basic.nack to confirming publishers, silence to others."""
    return [
        declare("q1", arguments={"x-max-length": 2, "x-overflow": "reject-publish"}),
        publish("q1", count=3),
        op("a1", "confirm.select"),
        publish("q1"),
        publish("q1", mandatory=True),
        get("q1", on="a2"),
        publish("q1", count=2),
        declare("q2"),
        exchange("xf", "fanout"),
        bind("q1", "xf"),
        bind("q2", "xf"),
        publish("k", "xf"),
        get("q2", on="a2"),
    ]


@transcript("R46")
def max_length_drops_the_head() -> Sequence:
    """The oldest ready message goes first; messages that are out do not count."""
    return [
        declare("q1", arguments={"x-max-length": 2}),
        op("a1", "confirm.select"),
        publish("q1", count=4),
        get("q1", on="a2"),
        publish("q1", count=2),
        get("q1", on="a2", no_ack=True),
        get("q1", on="a2", no_ack=True),
        declare("q2", arguments={"x-max-length-bytes": 10}),
        publish("q2", body="12345"),
        publish("q2", body="12345"),
        publish("q2", body="123456"),
        publish("q2", body="12345678901"),
        declare("q3", arguments={"x-max-length": 0}),
        publish("q3"),
        consume("q3", "c3", on="a2"),
        publish("q3", count=2),
    ]


@transcript("R27", "312")
def returns() -> Sequence:
    """An unroutable mandatory message comes back whole, with 312; others are dropped."""
    return [
        publish("nobody", mandatory=True, properties=properties(message_id="1", headers={"a": [1]})),
        publish("nobody"),
        publish("k", "amq.direct", mandatory=True, body=["x", 200000]),
        publish("k", "amq.fanout", mandatory=True, body=""),
        publish("k.l", "amq.topic", mandatory=True, count=3),
        publish("k", "amq.headers", mandatory=True),
        declare("q1"),
        bind("q1", "amq.direct", "k"),
        publish("k", "amq.direct", mandatory=True),
        op("a1", "queue.delete", queue="q1"),
        publish("k", "amq.direct", mandatory=True),
    ]


@transcript("406")
def message_too_large() -> Sequence:
    """A body above the limit (300,000 bytes in these recordings): 406 once it has all arrived."""
    return [
        declare("q1"),
        publish("q1", body=["x", 300000]),
        publish("q1", body=["x", 300001]),
        publish("none", "none", body=["x", 300001]),
        op("a1", "confirm.select"),
        publish("q1", body=["x", 300001]),
        declare("q1"),
    ]
