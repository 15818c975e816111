"""Connections, channels and frames: handshake, wrong states, bytes that are no frames."""

from __future__ import annotations

import struct

from tests.compare.client import PROTOCOL_HEADER, encode_table, frame
from tests.compare.operations import (
    Operation,
    Sequence,
    close_channel,
    close_connection,
    consume,
    declare,
    get,
    op,
    publish,
)
from tests.compare.written.registry import body, close_args, fatal, header, method, raw, transcript

OPEN_1 = method("channel.open")
QOS = method("basic.qos")
PUBLISH = method("basic.publish", routing_key="q1")
START_OK = method(
    "connection.start-ok",
    0,
    client_properties={"capabilities": {"authentication_failure_close": True}},
    mechanism="PLAIN",
    response="\0guest\0guest",
    locale="en_US",
)
TUNE_OK = method("connection.tune-ok", 0, channel_max=2047, frame_max=131072, heartbeat=0)
OPEN = method("connection.open", 0, virtual_host="/")


def dial(*data: bytes, expect: str = "eof") -> Operation:
    return op("a", "dial", data=b"".join(data).hex(), expect=[0, expect])


def started(mechanism: str, response: str) -> bytes:
    capabilities = {"capabilities": {"authentication_failure_close": True}}
    return method(
        "connection.start-ok",
        0,
        client_properties=capabilities,
        mechanism=mechanism,
        response=response,
        locale="en_US",
    )


@transcript("R1")
def protocol_headers() -> Sequence:
    """0-9-1 and 0-9 start; anything else is answered with the broker's own header and closed."""
    return [
        dial(PROTOCOL_HEADER, expect="connection.start"),
        dial(b"AMQP\x01\x01\x00\x09", expect="connection.start"),
        *(
            dial(data)
            for data in (
                b"AMQP\x00\x00\x09\x00",
                b"AMQP\x00\x00\x09\x02",
                b"AMQP\x00\x00\x00\x00",
                b"GET / HTTP/1.1\r\n\r\n",
                bytes.fromhex("16030100c8010000c4"),
                b"STOMP\n\n\0",
                bytes(8),
            )
        ),
    ]


@transcript("R2", "R3")
def handshake() -> Sequence:
    """start, tune with 2047, 131072 and 60, open-ok; no known hosts."""
    return [
        dial(PROTOCOL_HEADER, START_OK, TUNE_OK, OPEN, expect="connection.open-ok"),
        raw(method("connection.close", 0, **close_args()), channels=[], expect=[0, "connection.close-ok"]),
    ]


@transcript("R3")
def tuning() -> Sequence:
    """What a client may answer to connection.tune, and what it may not."""
    answers = (
        {"frame_max": 4096},
        {"channel_max": 1},
        {"heartbeat": 0},
        {"frame_max": 4095},
        {"frame_max": 131073},
        {"channel_max": 2048},
    )
    return [step for answer in answers for step in (op("a", "connect", tune=answer), declare("q1"))]


@transcript("R5")
def logins_that_work() -> Sequence:
    """PLAIN and AMQPLAIN."""
    table = encode_table({"LOGIN": "guest", "PASSWORD": "guest"})[4:].decode("latin1")
    return [
        op("a", "connect"),
        op("a", "connect", user="limited", password="limited"),
        op("a", "connect", mechanism="AMQPLAIN", response=table),
        op("a", "connect", vhost="other"),
        declare("q1", exclusive=True),
    ]


@transcript("R7", "R5", "403")
def logins_that_fail() -> Sequence:
    """403 to a client that can take it, else just closed; nothing is told about why."""
    bad = encode_table({"LOGIN": "guest", "PASSWORD": "wrong"})[4:].decode("latin1")
    return [
        op("a", "connect", password="wrong"),
        op("a", "connect", user="nobody", password="x"),
        op("a", "connect", mechanism="AMQPLAIN", response=bad),
        op("a", "connect", password="wrong", properties={}),
        op("a", "connect", mechanism="NONE"),
    ]


@transcript("R10", "530", "R90")
def virtual_hosts_refused() -> Sequence:
    """A missing virtual host, or one without permissions: connection 530."""
    return [
        op("a", "connect", vhost="none"),
        op("a", "connect", vhost=""),
        op("a", "connect", vhost="other", user="limited", password="limited"),
        op("a", "connect", user="nothing", password="nothing"),
        op("a", "connect", vhost="other"),
    ]


@transcript("504")
def wrong_order_in_the_handshake() -> Sequence:
    """Any other method than the expected one ends the connection."""
    return [
        dial(PROTOCOL_HEADER, OPEN),
        dial(PROTOCOL_HEADER, OPEN_1),
        dial(PROTOCOL_HEADER, b"junkjunkjunkjunk"),
        dial(PROTOCOL_HEADER, START_OK, START_OK),
        dial(PROTOCOL_HEADER, START_OK, OPEN),
        dial(PROTOCOL_HEADER, START_OK, TUNE_OK, OPEN_1),
        dial(PROTOCOL_HEADER, started("PLAIN", "guest")),
        dial(PROTOCOL_HEADER, started("PLAIN", "")),
    ]


@transcript("504")
def connection_methods_again() -> Sequence:
    """connection.open, start-ok, tune-ok on an open connection; other classes on channel 0."""
    return [
        *(fatal(data, channels=[]) for data in (OPEN, START_OK, TUNE_OK)),
        fatal(method("channel.open", 0), channels=[]),
        fatal(method("basic.qos", 0), channels=[]),
        fatal(method("queue.declare", 0, queue="q1"), channels=[]),
    ]


@transcript("504")
def unopened_channel() -> Sequence:
    """Anything on a channel that is not open: connection 504, naming the method."""
    return [
        fatal(QOS, channels=[]),
        fatal(PUBLISH, header(1), body(b"x"), channels=[]),
        fatal(method("channel.close", **close_args()), channels=[]),
        fatal(method("channel.close-ok"), channels=[]),
        fatal(method("queue.declare", queue="q1"), channels=[]),
    ]


@transcript("504")
def channel_opened_twice() -> Sequence:
    return [fatal(OPEN_1), fatal(method("queue.declare", queue="none", passive=True), OPEN_1)]


@transcript("530", "R3")
def too_many_channels() -> Sequence:
    """The number of open channels counts, not the highest number."""
    return [
        op("a", "connect", tune={"channel_max": 2}),
        op("a1", "channel.open", ensure=False),
        op("a2", "channel.open", ensure=False),
        op("a3", "channel.open", ensure=False),
        op("a", "connect", tune={"channel_max": 2}),
        op("a1", "channel.open", ensure=False),
        op("a2", "channel.open", ensure=False),
        close_channel("a1"),
        op("a2", "channel.close", **close_args()),
        op("a1", "channel.open", ensure=False),
    ]


@transcript("505")
def content_without_a_method() -> Sequence:
    return [fatal(header(1)), fatal(body(b"x"))]


@transcript("505")
def content_in_the_wrong_order() -> Sequence:
    """Between a publish and the end of its body nothing else may come on the channel."""
    return [
        fatal(PUBLISH, QOS),
        fatal(PUBLISH, PUBLISH),
        fatal(PUBLISH, body(b"x")),
        fatal(PUBLISH, header(1), QOS),
        fatal(PUBLISH, header(1), header(1)),
        fatal(PUBLISH, header(2), body(b"x"), QOS),
        fatal(PUBLISH, header(1), body(b"xyz"), QOS),
        fatal(PUBLISH, header(0), body(b"")),
        fatal(PUBLISH, header(1, class_id=50)),
    ]


@transcript("505")
def content_frames_on_channel_zero() -> Sequence:
    return [fatal(header(1, channel=0), channels=[]), fatal(body(b"x", channel=0), channels=[])]


@transcript("505", "R4")
def heartbeats_on_other_channels() -> Sequence:
    """A heartbeat belongs to channel 0 and is empty."""
    return [
        declare("q1"),
        raw(frame(8, 0, b"")),
        raw(frame(8, 0, b""), frame(8, 0, b""), PUBLISH, header(1), frame(8, 0, b""), body(b"x")),
        get("q1"),
        fatal(frame(8, 1, b"")),
    ]


@transcript("R60")
def frames_in_odd_but_legal_shapes() -> Sequence:
    """Bodies in many frames, empty ones among them; channels interleaved; empty body without a frame."""
    publish_2 = method("basic.publish", 2, routing_key="q1")
    return [
        declare("q1"),
        raw(PUBLISH, header(3), body(b"a"), body(b""), body(b"b"), body(b"c")),
        raw(PUBLISH, header(0)),
        raw(
            PUBLISH,
            publish_2,
            header(1, channel=2),
            header(1),
            body(b"1"),
            body(b"2", channel=2),
            channels=[1, 2],
        ),
        get("q1", no_ack=True),
        get("q1", no_ack=True),
        get("q1", no_ack=True),
        get("q1", no_ack=True),
    ]


@transcript("501")
def bad_frames() -> Sequence:
    """Wrong frame end, unknown type, too short, malformed text: connection 501."""
    return [
        fatal(QOS[:-1] + b"\0" + bytes(8)),
        fatal(frame(9, 0, b"abc"), channels=[]),
        fatal(frame(9, 1, b"abc")),
        fatal(frame(1, 1, b"\0\0")),
        fatal(frame(1, 1, b"")),
        fatal(frame(2, 1, b"\0\x3c")),
        fatal(struct.pack(">BHI", 1, 0, (1 << 32) - 1), channels=[]),
        fatal(struct.pack(">BHI", 3, 1, 200000)),
    ]


@transcript("501", "502")
def arguments_that_cannot_be_decoded() -> Sequence:
    declare_head = struct.pack(">HHH", 50, 10, 0)
    return [
        fatal(frame(1, 1, struct.pack(">HHI", 60, 10, 0))),
        fatal(frame(1, 1, QOS[7:-1] + b"junk")),
        fatal(frame(1, 1, declare_head + b"\x02q1\0" + struct.pack(">I", 500) + b"\x01at\x01")),
        fatal(frame(1, 1, declare_head + b"\x02\xff\xfe\0" + struct.pack(">I", 0))),
    ]


@transcript("503")
def methods_that_only_servers_send() -> Sequence:
    """Server methods, and connection methods on a channel: connection 503."""
    return [
        fatal(method("queue.declare-ok", queue="q1", message_count=0, consumer_count=0)),
        fatal(method("basic.qos-ok")),
        fatal(method("basic.cancel-ok", consumer_tag="c")),
        fatal(method("channel.open-ok")),
        fatal(method("channel.flow-ok", active=True)),
        fatal(method("connection.close", **close_args())),
        fatal(method("connection.open", virtual_host="/")),
    ]


@transcript("503")
def methods_that_do_not_exist() -> Sequence:
    return [
        fatal(frame(1, 1, struct.pack(">HH", 60, 99))),
        fatal(frame(1, 1, struct.pack(">HH", 61, 10))),
        fatal(frame(1, 0, struct.pack(">HH", 10, 99)), channels=[]),
    ]


@transcript("502")
def field_tables_that_cannot_be_decoded() -> Sequence:
    """An unknown field type in the arguments of a method, and in the properties of a message."""
    table = struct.pack(">I", 5) + b"\x01aZ!!"
    return [
        fatal(frame(1, 1, struct.pack(">HHH", 50, 10, 0) + b"\x02q1\0" + table)),
        fatal(PUBLISH, header(1, rest=b"\x20\x00" + table), body(b"x")),
    ]


@transcript("R72")
def access_request() -> Sequence:
    """The legacy access.request gets a ticket."""
    return [raw(frame(1, 1, struct.pack(">HH", 30, 10) + b"\x05/data\x1f"), expect=[1, "access.request-ok"])]


@transcript("R8")
def update_secret() -> Sequence:
    return [raw(method("connection.update-secret", 0, new_secret="guest", reason="x"), channels=[])]


@transcript("R12")
def closing() -> Sequence:
    """Client's close of channel and connection; numbers are free at once; nothing is answered after close."""
    return [
        declare("q1"),
        close_channel(),
        declare("q1"),
        raw(method("channel.close", **close_args()), expect=[1, "channel.close-ok"]),
        op("a9", "channel.close", **close_args(404, "client's own reason")),
        consume("q1", "c1"),
        publish("q1", count=3),
        raw(method("connection.close", 0, **close_args(320, "bye")), QOS, expect=[0, "connection.close-ok"]),
    ]


@transcript("404", "504")
def frames_after_a_soft_error() -> Sequence:
    """Everything on a failed channel is dropped until its close-ok, a crossing close is answered."""
    failing = method("queue.declare", queue="none", passive=True)
    late = method("basic.ack", delivery_tag=77) + QOS + PUBLISH + header(1) + body(b"x")
    return [
        declare("q1"),
        raw(failing, late, method("queue.declare", queue="q2")),
        declare("q1", passive=True),
        raw(failing, late, method("channel.close-ok"), OPEN_1, QOS, hold=True, expect=[1, "basic.qos-ok"]),
        raw(failing, late, method("channel.close", **close_args()), expect=[1, "channel.close-ok"]),
        declare("q2", passive=True),
        declare("q1", passive=True, on="a2"),
    ]


@transcript("R12")
def disconnects() -> Sequence:
    """A client that hangs up in the middle of a frame or a message disturbs no one."""
    return [
        declare("q1"),
        publish("q1"),
        get("q1"),
        op("a", "disconnect"),
        get("q1", on="b1"),
        close_connection("b"),
        get("q1"),
    ]
