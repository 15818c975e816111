"""What a delivery says, and what becomes of it: ack, nack, reject, recover, order, redelivered."""

from __future__ import annotations

from tests.compare.normalise import REPLY_TO
from tests.compare.operations import (
    Sequence,
    ack,
    ack_tag,
    cancel,
    close_channel,
    close_connection,
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


@transcript("R67")
def basic_get() -> Sequence:
    """get-ok tells how many are left; tags count up over gets of all queues, no_ack included."""
    return [
        declare("q1"),
        declare("q2"),
        get("q1"),
        publish("q1", count=3),
        publish("q2"),
        get("q1"),
        get("q2"),
        get("q1", no_ack=True),
        get("q2"),
        get("q1"),
        ack(0),
        ack(-1, multiple=True),
    ]


@transcript("R66")
def acknowledging_many() -> Sequence:
    """multiple settles everything up to the tag, tag 0 everything; consumers and gets share the count."""
    return [
        declare("q1"),
        publish("q1", count=10),
        *(get("q1") for _ in range(5)),
        ack_tag(2),
        ack_tag(3, multiple=True),
        consume("q1", "c1"),
        ack_tag(0, multiple=True),
        ack_tag(0, multiple=True),
        publish("q1", count=2),
        op("a1", "basic.nack", delivery_tag=0, multiple=True, requeue=True),
        op("a1", "basic.nack", delivery_tag=0, multiple=True, requeue=False),
        declare("q1", passive=True),
    ]


@transcript("R66")
def requeue_keeps_the_order() -> Sequence:
    """Released messages go back to their places, marked redelivered, before and between what waits."""
    return [
        declare("q1"),
        publish("q1", count=6),
        *(get("q1") for _ in range(4)),
        nack(1),
        nack(2),
        get("q1"),
        get("q1"),
        get("q1"),
        reject(0),
        nack(-1, multiple=True),
        *(get("q1", no_ack=True) for _ in range(7)),
    ]


@transcript("R66")
def redelivery_order_after_channel_close() -> Sequence:
    """All that was out goes back in order when its channel or connection ends."""
    return [
        declare("q1"),
        publish("q1", count=8),
        *(get("q1") for _ in range(3)),
        *(get("q1", on="b1") for _ in range(3)),
        ack(1),
        close_channel(),
        get("q1"),
        close_connection("b"),
        *(get("q1") for _ in range(7)),
        op("a", "disconnect"),
        consume("q1", "c1", on="b1"),
    ]


@transcript("R66")
def mixed_requeue_and_new_messages() -> Sequence:
    """New messages never overtake released ones."""
    return [
        declare("q1"),
        qos(2),
        publish("q1", count=3),
        consume("q1", "c1"),
        publish("q1", count=2),
        nack(1),
        nack(0),
        nack(-1, multiple=True),
        ack(-1, multiple=True),
        publish("q1"),
        nack(-1, multiple=True),
        cancel("c1"),
        nack(0, multiple=True),
        nack(-1, multiple=True),
        *(get("q1", no_ack=True) for _ in range(5)),
    ]


@transcript("R66", "R68")
def recover() -> Sequence:
    """recover(requeue=true) puts all of the channel's unsettled messages back."""
    return [
        declare("q1"),
        publish("q1", count=3),
        get("q1"),
        get("q1"),
        op("a1", "basic.recover", requeue=True),
        get("q1"),
        consume("q1", "c1", on="a2"),
        op("a2", "basic.recover", requeue=True),
        op("a2", "basic.recover-async", requeue=True),
        ack_tag(1),
        ack_tag(1, on="a2"),
    ]


@transcript("R66")
def reject_without_requeue_drops() -> Sequence:
    return [
        declare("q1"),
        publish("q1", count=4),
        get("q1"),
        reject(0, requeue=False),
        get("q1"),
        get("q1"),
        nack(0, multiple=True, requeue=False),
        get("q1"),
        nack(-1, multiple=True, requeue=False),
        get("q1"),
    ]


@transcript("R66")
def redelivered_is_per_message() -> Sequence:
    """Only what was handed out before is redelivered; requeued unread messages are not."""
    return [
        declare("q1"),
        publish("q1", count=4),
        qos(2),
        consume("q1", "c1"),
        close_channel(),
        *(get("q1") for _ in range(4)),
        close_channel(),
        consume("q1", "c2", on="a2"),
    ]


@transcript("R60")
def all_properties_pass_through() -> Sequence:
    """Properties arrive byte for byte as they were sent."""
    everything = properties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={
            "text": "v",
            "n": 1,
            "big": 1 << 40,
            "table": {"list": [1, "x", None, {"deep": True}]},
            "f": 1.5,
        },
        delivery_mode=2,
        priority=9,
        correlation_id="id",
        reply_to="somewhere",
        expiration="1000000",
        message_id="m",
        message_type="t",
        user_id="guest",
        app_id="app",
        cluster_id="cluster",
    )
    return [
        declare("q1"),
        publish("q1", properties=everything),
        get("q1"),
        reject(0),
        consume("q1", "c1"),
        publish("q1", properties=properties(priority=0, delivery_mode=1)),
        publish("q1", properties=properties(headers={})),
        publish("nobody", properties=everything, mandatory=True),
    ]


def _headers(*fields: bytes) -> str:
    """Return basic properties whose header table has these fields, as on the wire."""
    table = b"".join(bytes((1,)) + bytes((ord("a") + number,)) + value for number, value in enumerate(fields))
    return (b"\x20\x00" + len(table).to_bytes(4, "big") + table).hex()


def _with_bcc(fields: tuple[bytes, ...], array: bytes) -> str:
    table = b"".join(bytes((1,)) + bytes((ord("a") + number,)) + value for number, value in enumerate(fields))
    table += b"\x03BCC" + array
    return (b"\x20\x00" + len(table).to_bytes(4, "big") + table).hex()


@transcript("R60", "R26")
def every_field_type_passes_through() -> Sequence:
    """All field types of tables keep the type they were sent with, also in a rewritten table."""
    fields = (
        b"t\x01",
        b"b\xff",
        b"B\xff",
        b"s\xff\xfe",
        b"u\xff\xfe",
        b"I\xff\xff\xff\xfe",
        b"i\xff\xff\xff\xfe",
        b"l" + b"\xff" * 8,
        b"f\x3f\x80\x00\x00",
        b"d\x3f\xf0" + bytes(6),
        b"D\x02\x00\x00\x01\x00",
        b"S\x00\x00\x00\x02ab",
        b"x\x00\x00\x00\x02\x00\xff",
        b"A\x00\x00\x00\x02b\x01",
        b"T" + bytes(7) + b"\x05",
        b"F\x00\x00\x00\x04\x01at\x00",
        b"V",
    )
    bcc = b"S\x00\x00\x00\x01z"
    array = b"A" + len(bcc).to_bytes(4, "big") + bcc
    return [
        declare("q1"),
        publish("q1", properties=_headers(*fields)),
        get("q1", no_ack=True),
        publish("nobody", properties=_headers(*fields), mandatory=True),
        publish("q1", properties=_with_bcc(fields, array)),
        get("q1", no_ack=True),
    ]


@transcript("R60")
def bodies_of_any_size() -> Sequence:
    """Empty, one frame exactly, one byte more, many frames; to a client with small frames too."""
    sizes = (0, 1, 4088, 4089, 131063, 131064, 131065, 262128, 300000)
    return [
        op("b", "connect", tune={"frame_max": 4096}),
        declare("q1"),
        *(publish("q1", body=["x", size], on=on) for size in sizes for on in ("a1", "b1")),
        *(get("q1", on="b1", no_ack=True) for _ in range(9)),
        consume("q1", "c1", on="a2"),
    ]


@transcript("R60")
def unknown_delivery_mode() -> Sequence:
    """delivery_mode is 1 or 2; RabbitMQ 3.13 takes every other number for 1."""
    return [
        declare("q1", durable=True),
        publish("q1", properties=properties(delivery_mode=7)),
        publish("q1", properties=properties(delivery_mode=0)),
    ]


@transcript("R60")
def persistent_and_transient() -> Sequence:
    return [
        declare("q1", durable=True),
        declare("q2"),
        *(
            publish(queue, properties=properties(delivery_mode=mode))
            for queue in ("q1", "q2")
            for mode in (1, 2)
        ),
        *(get(queue, no_ack=True) for queue in ("q1", "q2") for _ in range(2)),
    ]


@transcript("R70")
def direct_reply_to() -> Sequence:
    """A request's reply_to becomes an address to which anybody can publish while the requester is there."""
    request = properties(reply_to=REPLY_TO, correlation_id="1", headers={"k": "v"})
    return [
        declare("q1"),
        consume(REPLY_TO, "r", no_ack=True),
        publish("q1", properties=request),
        get("q1", on="b1", no_ack=True),
        publish("$r1", on="b1", properties=properties(correlation_id="1")),
        publish("$r1", on="b1", count=2),
        declare("$r1", on="b1", passive=True),
        publish("q1", properties=properties(reply_to="somewhere")),
        get("q1", on="b1", no_ack=True),
        cancel("r"),
        publish("$r1", on="b1", mandatory=True),
        consume(REPLY_TO, "r2", no_ack=True),
        publish("q1", properties=request),
        get("q1", on="b1", no_ack=True),
        publish("$r2", on="b1"),
        declare(REPLY_TO, passive=True, on="b1"),
        declare(REPLY_TO, on="b1"),
        consume(REPLY_TO, "", no_ack=True, on="a2"),
        close_channel("a1"),
        declare("$r2", on="b1", passive=True),
        publish("$r2", on="b1", mandatory=True),
    ]


@transcript("R70", "R65")
def direct_reply_under_a_used_up_prefetch() -> Sequence:
    """A reply needs no credit of the channel."""
    return [
        declare("q1"),
        declare("q2"),
        publish("q1", count=2),
        qos(1, global_=True),
        consume("q1", "c1"),
        consume(REPLY_TO, "r", no_ack=True),
        publish("q2", properties=properties(reply_to=REPLY_TO)),
        get("q2", on="b1", no_ack=True),
        publish("$r1", on="b1"),
    ]


@transcript("R62")
def transactions() -> Sequence:
    """Publishes and acknowledgements take effect with the commit, and not at all after a rollback."""
    return [
        declare("q1"),
        op("a1", "tx.select"),
        publish("q1", count=2),
        publish("nobody", mandatory=True),
        get("q1", on="a2"),
        op("a1", "tx.commit"),
        get("q1"),
        ack(0),
        op("a1", "tx.rollback"),
        ack_tag(1),
        publish("q1"),
        op("a1", "tx.rollback"),
        op("a1", "tx.commit"),
        get("q1"),
        nack(0),
        get("q1", on="a2"),
        op("a1", "tx.commit"),
        get("q1", on="a2", no_ack=True),
        publish("q1", "none"),
        publish("q1"),
        get("q1", no_ack=True),
    ]
