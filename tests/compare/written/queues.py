"""Queues: names, life, counts, purge and delete."""

from __future__ import annotations

from tests.compare.operations import (
    Sequence,
    ack,
    bind,
    cancel,
    close_channel,
    close_connection,
    consume,
    declare,
    exchange,
    get,
    nack,
    op,
    publish,
    qos,
    unbind,
)
from tests.compare.written.registry import properties, transcript


@transcript("R41")
def server_named_queues() -> Sequence:
    """An empty name makes one up; the last declared queue answers to the empty name."""
    return [
        declare("", exclusive=True),
        publish("$q1"),
        get(""),
        declare(""),
        get(""),
        get("$q1"),
        bind("", "amq.direct", "k"),
        publish("k", "amq.direct"),
        op("a1", "queue.purge", queue=""),
        declare("q1"),
        publish("q1", count=2),
        get(""),
        consume("", "c1"),
        op("a1", "queue.delete", queue=""),
        get(""),
        declare("$q2", passive=True),
        get(""),
        declare("$q2"),
    ]


@transcript("R41", "R31")
def empty_queue_and_routing_key() -> Sequence:
    """With an empty queue name and an empty routing key, bind takes the queue's name as key."""
    return [
        declare("q1"),
        bind("", "amq.direct", ""),
        publish("q1", "amq.direct", mandatory=True),
        publish("", "amq.direct", mandatory=True),
        unbind("", "amq.direct", ""),
        publish("q1", "amq.direct", mandatory=True),
        bind("q1", "amq.direct", ""),
        publish("q1", "amq.direct", mandatory=True),
        publish("", "amq.direct", mandatory=True),
    ]


@transcript("R42", "R56")
def counts_and_purge() -> Sequence:
    """message_count counts ready messages only; purge leaves the unsettled ones."""
    return [
        declare("q1"),
        publish("q1", count=5),
        declare("q1"),
        declare("q1", passive=True),
        get("q1"),
        get("q1", no_ack=True),
        declare("q1", passive=True),
        op("a1", "queue.purge", queue="q1"),
        nack(0),
        get("q1"),
        op("a1", "queue.purge", queue="q1", nowait=True),
        op("a1", "queue.delete", queue="q1", nowait=True),
        ack(0),
        declare("q1"),
    ]


@transcript("R57")
def names() -> Sequence:
    """Up to 255 bytes of UTF-8; carriage return and line feed are taken off."""
    return [
        declare("n" * 255),
        publish("n" * 255),
        get("n" * 255),
        declare("grün ☃"),
        publish("grün ☃"),
        get("grün ☃"),
        declare("cr\r\nlf"),
        publish("crlf"),
        get("crlf"),
        exchange("x\r\ny"),
        publish("k", "xy"),
        op("a1", "exchange.delete", exchange="xy"),
        op("a1", "queue.delete", queue="crlf"),
        declare("with space, 'quotes' and \\"),
        declare("with space, 'quotes' and \\", durable=True),
    ]


@transcript("R57", "R24", "R31")
def line_ends_in_bindings() -> Sequence:
    """They are taken off the names of both ends, but not where a message is published."""
    return [
        declare("q1"),
        exchange("x1", "fanout"),
        exchange("x2", "fanout"),
        op("a1", "queue.bind", queue="q\r1", exchange="x\n1"),
        op("a1", "exchange.bind", destination="x1\r\n", source="x\n2"),
        publish("", "x1"),
        publish("", "x2"),
        get("q1", no_ack=True),
        op("a1", "exchange.unbind", destination="x1\r\n", source="x\n2"),
        op("a1", "queue.unbind", queue="q\r1", exchange="x\n1"),
        publish("", "x2", mandatory=True),
        publish("", "x1", mandatory=True),
        publish("", "x\n1"),
    ]


@transcript("R40")
def nowait_declares() -> Sequence:
    return [
        declare("q1", nowait=True),
        publish("q1"),
        get("q1"),
        declare("q1", nowait=True, passive=True),
        declare("q1", nowait=True, durable=True),
        declare("none", nowait=True, passive=True),
        declare("", nowait=True, on="a2"),
        bind("q1", "amq.direct", "k", nowait=True),
        publish("k", "amq.direct"),
        get("q1"),
    ]


@transcript("R40")
def exclusive_queue_dies_with_its_connection() -> Sequence:
    return [
        declare("q1", exclusive=True),
        declare("q2", exclusive=True, durable=True, auto_delete=True),
        declare("", exclusive=True),
        bind("q1", "amq.direct", "k"),
        publish("k", "amq.direct", on="b1"),
        consume("q1", "c1"),
        close_channel(),
        get("q1"),
        close_connection(),
        publish("k", "amq.direct", on="b1", mandatory=True),
        declare("q1", on="b1"),
        declare("q3", exclusive=True),
        op("a", "disconnect"),
        declare("q3", on="b1"),
        publish("q3", on="b1"),
        get("q3"),
    ]


@transcript("R40")
def exclusive_queue_is_kept_until_owner_goes() -> Sequence:
    """The owner may use it on any of its channels; deleting it frees the name for others."""
    return [
        declare("q1", exclusive=True),
        publish("q1", count=3, on="b1"),
        get("q1", on="a2"),
        consume("q1", "c", on="a3", exclusive=True),
        get("q1", on="a2"),
        close_channel("a1"),
        declare("q1", exclusive=True, on="a4"),
        op("a4", "queue.delete", queue="q1"),
        declare("q1", exclusive=True, on="b1"),
        declare("q1", exclusive=True, on="a4"),
    ]


@transcript("R40")
def auto_delete_queue() -> Sequence:
    """Deleted with its last consumer; one that never had a consumer stays."""
    return [
        declare("q1", auto_delete=True),
        publish("q1", count=2),
        get("q1"),
        close_channel(),
        consume("q1", "c1"),
        consume("q1", "c2", on="b1"),
        cancel("c1"),
        publish("q1"),
        cancel("c2", on="b1"),
        publish("q1", mandatory=True),
        declare("q1", auto_delete=True),
        consume("q1", "c1"),
        close_channel(),
        declare("q1", auto_delete=True, on="b1"),
        consume("q1", "c1", on="b1"),
        close_connection("b"),
        declare("q1", auto_delete=True),
        consume("q1", "c1"),
        op("a", "disconnect"),
        declare("q1", auto_delete=True),
        consume("q1", "c1", on="a2"),
        declare("none", passive=True, on="a2"),
    ]


@transcript("R40", "R64")
def auto_delete_with_unsettled_messages() -> Sequence:
    """Messages that are out do not keep an auto-delete queue; settling them later is no error."""
    return [
        declare("q1", auto_delete=True),
        consume("q1", "c1"),
        publish("q1", count=3),
        cancel("c1"),
        ack(0),
        nack(0, multiple=True),
        ack(0),
    ]


@transcript("R64", "R56")
def deleting_a_consumed_queue() -> Sequence:
    """Its consumers are cancelled by the server, one by one; the tags are free again."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        consume("q1", "c2"),
        consume("q1", "c1", on="b1", no_ack=True),
        publish("q1", count=4),
        op("c1", "queue.delete", queue="q1"),
        ack(0),
        ack(0),
        cancel("c2"),
        declare("q1"),
        consume("q1", "c1"),
        publish("q1"),
    ]


@transcript("R64")
def no_cancel_to_clients_that_cannot_take_it() -> Sequence:
    """basic.cancel is sent only to clients that declared consumer_cancel_notify."""
    return [
        op("a", "connect", properties={}),
        declare("q1"),
        consume("q1", "c1"),
        op("b1", "queue.delete", queue="q1"),
        declare("q1"),
        consume("q1", "c1"),
        publish("q1"),
    ]


@transcript("R56")
def delete_counts() -> Sequence:
    """delete-ok and purge-ok count ready messages."""
    return [
        declare("q1"),
        publish("q1", count=4),
        get("q1"),
        op("b1", "queue.purge", queue="q1"),
        publish("q1", count=2),
        op("b1", "queue.delete", queue="q1"),
        op("b1", "queue.delete", queue="q1"),
        publish("q1", mandatory=True),
        declare("q1"),
        get("q1"),
    ]


@transcript("R40")
def a_new_queue_inherits_nothing() -> Sequence:
    return [
        declare("q1", durable=True),
        bind("q1", "amq.direct", "k"),
        publish("q1", count=2, properties=properties(delivery_mode=2)),
        get("q1"),
        op("a2", "queue.delete", queue="q1"),
        declare("q1", durable=True),
        publish("k", "amq.direct", mandatory=True),
        nack(0),
        get("q1"),
        publish("q1"),
        get("q1"),
    ]


@transcript("R44")
def time_to_live_zero() -> Sequence:
    """TTL 0, of the queue or the message: delivered at once or gone."""
    return [
        declare("q1", arguments={"x-message-ttl": 0}),
        publish("q1", count=2),
        get("q1"),
        consume("q1", "c1", no_ack=True),
        publish("q1", count=2),
        cancel("c1"),
        publish("q1", mandatory=True),
        declare("q2"),
        publish("q2", properties=properties(expiration="0")),
        get("q2"),
        qos(1),
        consume("q2", "c2"),
        publish("q2", properties=properties(expiration="0")),
        publish("q2", properties=properties(expiration="0")),
        publish("q2"),
        nack(0),
        ack(0),
        declare("q3", arguments={"x-message-ttl": 1_000_000}),
        publish("q3", properties=properties(expiration="0")),
        publish("q3", properties=properties(expiration="500000")),
        get("q3"),
    ]


@transcript("R44")
def time_to_live_zero_with_confirms() -> Sequence:
    return [
        op("a1", "confirm.select"),
        declare("q1", durable=True, arguments={"x-message-ttl": 0}),
        publish("q1", count=2, properties=properties(delivery_mode=2)),
        publish("q1", mandatory=True),
        get("q1"),
    ]
