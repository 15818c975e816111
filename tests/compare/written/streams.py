"""Stream queues over AMQP 0-9-1 (R80, R81): declared, published to, read from an offset, what they refuse.

Confirms make RabbitMQ wait before anybody reads.
"""

from __future__ import annotations

from datetime import UTC, datetime
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

CONFIRMS = op("a1", "confirm.select")


def stream(queue: str = "s1", on: str = "a1", **arguments: Any) -> Operation:
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    return declare(queue, on=on, durable=True, arguments={"x-queue-type": "stream", **named})


def read(offset: Any = None, tag: str = "c1", on: str = "a1", **args: Any) -> Operation:
    arguments = {} if offset is None else {"x-stream-offset": offset}
    return consume("s1", tag, on=on, arguments=arguments, **args)


@transcript("R80", "R81")
def read_from_the_first() -> Sequence:
    """Each delivery has its offset in a header; acknowledging takes nothing away."""
    return [
        CONFIRMS,
        stream(),
        publish("s1"),
        publish("s1"),
        qos(10),
        read("first"),
        ack(1, multiple=True),
        cancel("c1"),
        read("first", "c2"),
    ]


@transcript("R81")
def read_properties() -> Sequence:
    every = properties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={"z": 1, "a": "text", "t": True, "n": None, "x-stream-offset": 99},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration="100000",
        message_id="m",
        timestamp=datetime.fromtimestamp(1_700_000_000, UTC),
        type="t",
        app_id="app",
    )
    return [
        CONFIRMS,
        stream(),
        publish("s1", properties=every),
        publish("s1", properties=properties(headers={})),
        publish("s1", properties=properties(headers={"a": 1, "z": 2})),
        qos(10),
        read("first"),
    ]


@transcript("R81")
def read_from_a_number() -> Sequence:
    return [CONFIRMS, stream(), *[publish("s1") for _ in range(4)], qos(10), read(2)]


@transcript("R81")
def read_from_beyond_the_end() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), qos(10), read(3), *[publish("s1") for _ in range(4)]]


@transcript("R81")
def read_what_comes_next() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), qos(10), read("next"), publish("s1")]


@transcript("R81")
def read_without_an_offset() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), qos(10), read(), publish("s1")]


@transcript("R81")
def read_the_last() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), publish("s1"), qos(10), read("last")]


@transcript("R81")
def prefetch_bounds_a_reader() -> Sequence:
    return [
        CONFIRMS,
        stream(),
        *[publish("s1") for _ in range(4)],
        qos(2),
        read("first"),
        ack(0),
        ack(1),
    ]


def _refused_offset(value: Any) -> Sequence:
    return [stream(), qos(10), read(value)]


@transcript("R81")
def offset_that_is_no_word() -> Sequence:
    return _refused_offset("soon")


@transcript("R81")
def offset_of_an_interval() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), qos(10), read("1h")]


@transcript("R81")
def offset_that_is_negative() -> Sequence:
    return _refused_offset(-1)


@transcript("R81")
def offset_that_is_a_boolean() -> Sequence:
    return _refused_offset(True)


@transcript("R81")
def offset_that_is_a_table() -> Sequence:
    return _refused_offset({})


@transcript("R81")
def offset_in_an_empty_interval() -> Sequence:
    return _refused_offset("5x")


@transcript("R81")
def reading_without_a_prefetch() -> Sequence:
    return [stream(), read("first")]


@transcript("R81")
def reading_without_acknowledging() -> Sequence:
    return [stream(), qos(10), read("first", no_ack=True)]


@transcript("R81")
def reading_with_a_prefetch_for_all() -> Sequence:
    return [stream(), qos(10, global_=True), read("first")]


@transcript("R81")
def reading_with_both_prefetches() -> Sequence:
    return [stream(), qos(10), qos(10, global_=True), read("first")]


@transcript("R81")
def reading_exclusively() -> Sequence:
    return [stream(), qos(10), read("first", exclusive=True), read("first", "c2")]


@transcript("R81")
def reading_with_a_priority() -> Sequence:
    return [stream(), qos(10), consume("s1", "c1", arguments={"x-priority": 5, "x-stream-offset": "first"})]


@transcript("R81")
def get_from_a_stream() -> Sequence:
    return [stream(), get("s1")]


@transcript("R81")
def purge_of_a_stream() -> Sequence:
    return [stream(), op("a1", "queue.purge", queue="s1")]


@transcript("R81")
def nack_requeues_nothing() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), publish("s1"), qos(1), read("first"), nack(0)]


@transcript("R81")
def nack_drops_nothing() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), publish("s1"), qos(1), read("first"), nack(0, requeue=False)]


@transcript("R81")
def reject_requeues_nothing() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), publish("s1"), qos(1), read("first"), reject(0)]


@transcript("R81")
def recover_gives_nothing_back() -> Sequence:
    return [
        CONFIRMS,
        stream(),
        publish("s1"),
        publish("s1"),
        qos(1),
        read("first"),
        op("a1", "basic.recover", requeue=True),
    ]


@transcript("R80")
def declared_again() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), stream(), declare("s1", passive=True)]


@transcript("R80")
def deleted() -> Sequence:
    return [
        CONFIRMS,
        stream(),
        publish("s1"),
        qos(1),
        read("first"),
        op("a1", "queue.delete", queue="s1"),
    ]


@transcript("R80")
def deleted_only_if_empty() -> Sequence:
    return [CONFIRMS, stream(), publish("s1"), op("a1", "queue.delete", queue="s1", if_empty=True)]


@transcript("R80")
def deleted_only_if_unused() -> Sequence:
    return [stream(), op("a1", "queue.delete", queue="s1", if_unused=True)]


def _refused(name: str, value: Any) -> Sequence:
    return [declare("s1", durable=True, arguments={"x-queue-type": "stream", name: value})]


@transcript("R80", "T10")
def refused_message_ttl() -> Sequence:
    return _refused("x-message-ttl", 100)


@transcript("R80", "T10")
def refused_expires() -> Sequence:
    return _refused("x-expires", 100000)


@transcript("R80", "T10")
def refused_max_length() -> Sequence:
    return _refused("x-max-length", 3)


@transcript("R80", "T10")
def refused_overflow() -> Sequence:
    return _refused("x-overflow", "reject-publish")


@transcript("R80", "T10")
def refused_dead_letter_exchange() -> Sequence:
    return _refused("x-dead-letter-exchange", "")


@transcript("R80", "T10")
def refused_max_priority() -> Sequence:
    return _refused("x-max-priority", 3)


@transcript("R80", "T10")
def refused_single_active() -> Sequence:
    return _refused("x-single-active-consumer", True)


@transcript("R80", "T10")
def refused_lazy() -> Sequence:
    return _refused("x-queue-mode", "lazy")


@transcript("R80", "T10")
def refused_delivery_limit() -> Sequence:
    return _refused("x-delivery-limit", 3)


@transcript("R80", "T10")
def refused_group_size() -> Sequence:
    return _refused("x-quorum-initial-group-size", 3)


@transcript("R80")
def accepted_arguments() -> Sequence:
    return [
        stream(x_max_length_bytes=1000000, x_max_age="1D", x_stream_max_segment_size_bytes=500000),
        stream(x_max_length_bytes=1000000, x_max_age="1h", x_stream_max_segment_size_bytes=500000),
    ]


@transcript("R80")
def other_segment_size() -> Sequence:
    return [stream(x_stream_max_segment_size_bytes=500000), stream(x_stream_max_segment_size_bytes=600000)]


@transcript("R80")
def other_length() -> Sequence:
    return [stream(x_max_length_bytes=500000), stream()]


@transcript("R80")
def bad_age() -> Sequence:
    return [stream(x_max_age="3x")]


@transcript("R80")
def age_that_is_no_string() -> Sequence:
    return [stream(x_max_age=3)]


@transcript("R80")
def age_of_nothing() -> Sequence:
    return [stream(x_max_age="0s")]


@transcript("R80")
def bad_segment_size() -> Sequence:
    return [stream(x_stream_max_segment_size_bytes=-1)]


@transcript("R80")
def bad_length() -> Sequence:
    return [stream(x_max_length_bytes="big")]


@transcript("R43", "R80")
def not_durable() -> Sequence:
    return [declare("s1", arguments={"x-queue-type": "stream"})]


@transcript("R43", "R80")
def exclusive() -> Sequence:
    return [declare("s1", durable=True, exclusive=True, arguments={"x-queue-type": "stream"})]


@transcript("R43", "R80")
def auto_delete() -> Sequence:
    return [declare("s1", durable=True, auto_delete=True, arguments={"x-queue-type": "stream"})]


@transcript("R43", "R80")
def server_named() -> Sequence:
    return [declare("", durable=True, arguments={"x-queue-type": "stream"})]


@transcript("R80")
def routed_to_a_stream_and_a_queue() -> Sequence:
    """A fanout; transient messages are kept too."""
    return [
        CONFIRMS,
        stream(),
        declare("q1"),
        op("a1", "queue.bind", queue="s1", exchange="amq.fanout", routing_key=""),
        op("a1", "queue.bind", queue="q1", exchange="amq.fanout", routing_key=""),
        publish("key", "amq.fanout"),
        publish("other", "amq.fanout", properties=properties(delivery_mode=2)),
        get("q1", no_ack=True),
        qos(10),
        read("first"),
    ]


@transcript("R62", "R81", "540")
def given_back_in_a_transaction() -> Sequence:
    """Refused at the commit."""
    return [
        stream(),
        CONFIRMS,
        publish("s1"),
        qos(10, on="a2"),
        op("a2", "tx.select"),
        read("first", on="a2"),
        nack(0, on="a2"),
        op("a2", "tx.commit"),
    ]
