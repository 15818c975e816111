"""Bad input gets the specified close with a reason, and nobody else notices.

One row of a table is one way to be wrong. Texts and codes are those of RabbitMQ 3.10.8, asked with the same
bytes; where it says nothing at all, so do we.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import pytest
from pamqp import commands

from tests.clients.raw_client import PROTOCOL_HEADER, RawClient, content_header
from tests.hostile.conftest import Scene

Answer = tuple[int, str, int, int]
Provoke = Callable[[RawClient], object]

Basic, Channel, Connection, Queue = commands.Basic, commands.Channel, commands.Connection, commands.Queue

TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2
HEADER_SPACE = 131_072 - 100


def length(count: int) -> bytes:
    return struct.pack(">I", count)


def frame_head(kind: int, channel: int, size: int) -> bytes:
    return struct.pack(">BHI", kind, channel, size)


def header_payload(properties: bytes, *, size: int = 0, class_id: int = 60) -> bytes:
    return struct.pack(">HHQ", class_id, 0, size) + properties


def nested(depth: int) -> bytes:
    """A table with its size, which holds a table, and so on."""
    fields = b""
    for _ in range(depth):
        fields = b"\x01tF" + length(len(fields)) + fields
    return length(len(fields)) + fields


def begin_publish(client: RawClient, key: str = "nowhere") -> None:
    client.send(Basic.Publish(routing_key=key), 1)


# --- before anybody has said hello ----------------------------------------------------------------------

NO_AMQP: dict[str, bytes] = {
    "TLS on the plain port": TLS_HELLO,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "AMQP 1.0 with SASL": b"AMQP\x03\x01\x00\x00",
    "AMQP of the future": b"AMQP\x00\x00\x0a\x00",
    "zeroes": bytes(64),
    "256 KiB of noise": bytes((7 * n * n + n) % 251 for n in range(512)) * 512,
    "Kafka": b"\x00\x00\x00\x0c\x00\x12\x00\x00\x00\x00\x00\x01\x00\x01x\x00",
}


@pytest.mark.row("R1")
@pytest.mark.parametrize("hello", NO_AMQP)
def test_other_protocols_get_our_header_and_a_close(scene: Scene, hello: str) -> None:
    """4.2.2: whoever asks for another protocol is told which one is spoken here."""
    with scene.client() as client:
        with contextlib.suppress(ConnectionError):  # What is not read any more may be answered by a reset.
            client.send_bytes(NO_AMQP[hello])
        assert client.receive_bytes(8) == PROTOCOL_HEADER
        client.expect_closed_socket()


@pytest.mark.row("R1")
def test_header_may_come_byte_by_byte(scene: Scene) -> None:
    """4.2.2: nothing says that it comes in one piece."""
    with scene.client() as client:
        for octet in PROTOCOL_HEADER:
            client.send_bytes(bytes([octet]))
            scene.neighbour.wait_rounds(1)
        client.expect(Connection.Start)


# --- before login: RabbitMQ closes the socket without a word, since nobody is there yet -----------------

START_OK = struct.pack(">HH", 10, 11)
TUNE_OK = struct.pack(">HH", 10, 31)

BEFORE_LOGIN: dict[str, Provoke] = {
    "noise": lambda client: client.send_bytes(bytes(range(256))),
    "HTTP": lambda client: client.send_bytes(b"GET / HTTP/1.1\r\n\r\n"),
    "the header again": lambda client: client.send_bytes(PROTOCOL_HEADER),
    "4 GiB": lambda client: client.send_bytes(frame_head(1, 0, 0xFFFFFFFF)),
    "a frame beyond what is needed to log in": lambda client: client.send_bytes(frame_head(1, 0, 20_000)),
    "no arguments": lambda client: client.send_frame(1, 0, START_OK),
    "a table of nothing but tables": lambda client: client.send_frame(1, 0, START_OK + nested(1000)),
    "unknown mechanism": lambda client: client.send(Connection.StartOk({}, "NONE", "", "en_US")),
    "text that is no UTF-8": lambda client: client.send_frame(1, 0, START_OK + length(0) + b"\x02\xff\xfe"),
    "wrong frame end": lambda client: client.send_frame(1, 0, START_OK, end=b"\x00"),
    "unknown method": lambda client: client.send_frame(1, 0, struct.pack(">HH", 10, 99)),
    "unknown class": lambda client: client.send_frame(1, 0, struct.pack(">HH", 999, 1)),
    "the server's own method": lambda client: client.send(Connection.Tune(1, 4096, 1)),
    "tune-ok": lambda client: client.send(Connection.TuneOk(10, 4096, 0)),
    "open": lambda client: client.send(Connection.Open("/")),
    "content": lambda client: client.send_frame(2, 0, header_payload(b"\0\0")),
    "body": lambda client: client.send_frame(3, 0, b"x" * 100),
}


@pytest.mark.parametrize("mistake", BEFORE_LOGIN)
def test_mistake_instead_of_a_login_closes_the_socket(scene: Scene, mistake: str) -> None:
    with scene.client() as client:
        client.start()
        with contextlib.suppress(ConnectionError):
            BEFORE_LOGIN[mistake](client)
        client.expect_closed_socket()


BEFORE_OPEN: dict[str, Provoke] = {
    "noise": lambda client: client.send_bytes(bytes(range(256))),
    "start-ok again": lambda client: client.send(Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")),
    "tune-ok that ends too early": lambda client: client.send_frame(1, 0, TUNE_OK + b"\0\0"),
    "no channels": lambda client: client.send(Connection.TuneOk(0, 4096, 0)),
    "tiny frames": lambda client: client.send(Connection.TuneOk(10, 8, 0)),
    "huge frames": lambda client: client.send(Connection.TuneOk(10, 0x7FFFFFFF, 0)),
    "a large frame": lambda client: client.send_bytes(frame_head(1, 0, 20_000)),
}


@pytest.mark.parametrize("mistake", BEFORE_OPEN)
def test_mistake_after_the_login_closes_the_socket(scene: Scene, mistake: str) -> None:
    with scene.client() as client:
        client.tune()
        BEFORE_OPEN[mistake](client)
        client.expect_closed_socket()


# --- on an open channel: the connection is closed and told why ------------------------------------------


def publish_frames(*frames: tuple[int, bytes]) -> Provoke:
    """basic.publish on channel 1, then these frames of content."""

    def provoke(client: RawClient) -> None:
        begin_publish(client)
        for kind, payload in frames:
            client.send_frame(kind, 1, payload)

    return provoke


def method(class_id: int, method_id: int, arguments: bytes = b"", *, channel: int = 1) -> Provoke:
    return lambda client: client.send_frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)


NOT_A_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
NOT_A_HEADER = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
NOT_A_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"

HARD: dict[str, tuple[Provoke, Answer]] = {
    "4 GiB": (
        lambda client: client.send_bytes(frame_head(1, 1, 0xFFFFFFFF)),
        (501, "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,4294967295,131064}", 0, 0),
    ),
    "4 GiB of body": (
        lambda client: (
            (begin_publish(client), client.send(content_header(1 << 20), 1))
            and client.send_bytes(frame_head(3, 1, 0xFFFFFFFF))
        ),
        (501, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4294967295,131064}", 0, 0),
    ),
    "wrong frame end": (
        lambda client: client.send_frame(1, 1, b"\0\x14\0\x0a\0", end=b"\0"),
        (501, "FRAME_ERROR - type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,0}", 0, 0),
    ),
    "wrong end of a large body": (
        lambda client: (
            (begin_publish(client), client.send(content_header(100_000), 1))
            and client.send_frame(3, 1, b"x" * 100_000, end=b"\0")
        ),
        (
            501,
            f'FRAME_ERROR - type 3, first 16 octets = <<"{"x" * 16}">>: {{invalid_frame_end_marker,0}}',
            0,
            0,
        ),
    ),
    "unknown frame type": (
        lambda client: client.send_frame(4, 1, b"ab"),
        (501, 'FRAME_ERROR - type 4, all octets = <<"ab">>: unknown_frame', 0, 0),
    ),
    "empty method frame": (
        lambda client: client.send_frame(1, 1, b""),
        (501, "FRAME_ERROR - type 1, all octets = <<>>: unknown_frame", 0, 0),
    ),
    "short content header": (
        publish_frames((2, b"\0\x3c\0\0\0\0\0\0\0\0\0\1")),
        (501, "FRAME_ERROR - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,1>>: unknown_frame", 0, 0),
    ),
    "heartbeat with a payload": (
        lambda client: client.send_frame(8, 0, b"x"),
        (505, 'UNEXPECTED_FRAME - type 8, all octets = <<"x">>', 0, 0),
    ),
    "content on channel 0": (
        lambda client: client.send_frame(2, 0, header_payload(b"\0\0")),
        (505, "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>>", 0, 0),
    ),
    "method of a channel that is not open": (
        method(60, 80, bytes(9), channel=77),
        (504, "CHANNEL_ERROR - expected 'channel.open'", 60, 80),
    ),
    "content of a channel that is not open": (
        lambda client: client.send_frame(2, 77, header_payload(b"\0\0")),
        (504, "CHANNEL_ERROR - expected 'channel.open'", 60, 40),
    ),
    "publish within a publish": (
        lambda client: (begin_publish(client), begin_publish(client))[-1],
        (505, NOT_A_HEADER, 60, 40),
    ),
    "body before the header": (publish_frames((3, b"x")), (505, NOT_A_HEADER, 60, 40)),
    "two headers": (
        publish_frames((2, header_payload(b"\0\0", size=5)), (2, header_payload(b"\0\0", size=5))),
        (505, NOT_A_BODY, 60, 40),
    ),
    "body without a publish": (lambda client: client.send_frame(3, 1, b"x"), (505, NOT_A_METHOD, 0, 0)),
    "body beyond its size": (
        publish_frames((2, header_payload(b"\0\0", size=3)), (3, b"four")),
        (505, NOT_A_BODY, 60, 40),
    ),
    "large body beyond its size": (
        publish_frames((2, header_payload(b"\0\0", size=50_000)), (3, b"x" * 60_000)),
        (505, NOT_A_BODY, 60, 40),
    ),
    "body after an empty message": (
        publish_frames((2, header_payload(b"\0\0")), (3, b"")),
        (505, NOT_A_METHOD, 0, 0),
    ),
    "unknown class": (method(999, 1), (503, "COMMAND_INVALID - unimplemented method", 999, 1)),
    "unknown method": (method(60, 999), (503, "COMMAND_INVALID - unimplemented method", 60, 999)),
    "a method that only servers send": (
        lambda client: client.send(Basic.GetEmpty(), 1),
        (503, "COMMAND_INVALID - unimplemented method", 60, 72),
    ),
    "arguments cut off": (
        method(50, 10, b"\0\0\xff"),
        (501, "FRAME_ERROR - cannot decode <<0,0,255>>", 50, 10),
    ),
    "arguments and more": (
        method(60, 80, bytes(20)),
        (501, f"FRAME_ERROR - cannot decode <<{','.join('0' * 20)}>>", 60, 80),
    ),
    "unknown field type": (
        method(50, 10, b"\0\0\0\0" + length(3) + b"\x01a!"),
        (502, 'SYNTAX_ERROR - unknown field type <<"!">>', 50, 10),
    ),
    "tables nested 1,000 deep in a method": (
        method(50, 10, b"\0\0\0\0" + nested(1000)),
        (502, "SYNTAX_ERROR - tables nested deeper than 128", 50, 10),
    ),
}


@pytest.mark.row("501", "502", "503", "504", "505")
@pytest.mark.parametrize("mistake", HARD)
def test_mistake_closes_the_connection_with_its_reason(scene: Scene, mistake: str) -> None:
    provoke, answer = HARD[mistake]
    with scene.logged_in() as client:
        provoke(client)
        assert client.expect_connection_close() == answer


CHANNEL_EQUALS: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "tables nested 1,000 deep": (b"\x20\x00" + nested(1000), (502,)),
    "properties cut off": (b"\x80\x00\xffshort", (502,)),
    "property flags that do not exist": (b"\x00\x02", (502,)),
    "table longer than the frame": (b"\x20\x00" + length(1 << 30), (502,)),
    "key that is no UTF-8": (b"\x20\x00" + length(4) + b"\x02\xff\xfeV", (502,)),
}


@pytest.mark.row("502")
@pytest.mark.parametrize("fault", CHANNEL_EQUALS)
def test_message_whose_properties_cannot_be_read_is_refused(scene: Scene, fault: str) -> None:
    """Refused where it is published, not where somebody would stumble over it: SYNTAX_ERROR."""
    properties, codes = CHANNEL_EQUALS[fault]
    with scene.logged_in() as client:
        client.send(Queue.Declare(queue="victim", exclusive=True), 1)
        client.expect(Queue.DeclareOk, 1)
        begin_publish(client, "victim")
        client.send_frame(2, 1, header_payload(properties, size=1))
        client.send_frame(3, 1, b"x")
        code, text, *culprit = client.expect_connection_close()
        assert code in codes
        assert text.startswith("SYNTAX_ERROR - ")
        assert culprit == [60, 40]


# --- the channel alone is closed ------------------------------------------------------------------------


@pytest.mark.row("311", "406")
@pytest.mark.parametrize("size", [134_217_729, 1 << 40, (1 << 64) - 1])
def test_body_beyond_the_largest_message_closes_the_channel(scene: Scene, size: int) -> None:
    """406 as soon as the header is read, not one octet of the body is waited for or kept.

    RabbitMQ has the words of 311 CONTENT_TOO_LARGE in its tables and no place that says them.
    """
    with scene.logged_in() as client:
        begin_publish(client)
        client.send(content_header(size), 1)
        assert client.expect_channel_close() == (
            406,
            f"PRECONDITION_FAILED - message size {size} is larger than configured max size 134217728",
            60,
            40,
        )
        client.open_channel()


@pytest.mark.row("404")
def test_publishing_into_a_closed_channel_is_swallowed_until_close_ok(scene: Scene) -> None:
    """1.4.2.6: what was on its way is dropped, whole or cut anywhere, and then the number is free again."""
    with scene.logged_in() as client:
        client.send(Queue.Declare(queue="mine", exclusive=True), 1)
        client.expect(Queue.DeclareOk, 1)
        client.publish("k", b"x", exchange="missing")
        assert client.expect(Channel.Close, 1).reply_code == 404
        for size in (1, 100, 40_000):
            client.publish("mine", b"x" * size)
        client.send_frame(3, 1, b"a body that belongs to nothing")
        client.send(content_header(3), 1)
        begin_publish(client, "mine")
        client.send(Channel.CloseOk(), 1)
        client.open_channel()
        client.send(Queue.Declare(queue="mine", passive=True), 1)
        assert client.expect(Queue.DeclareOk, 1).message_count == 0


@pytest.mark.row("404")
def test_channel_that_never_confirms_its_close_stays_closed_and_the_others_work(scene: Scene) -> None:
    with scene.logged_in() as client:
        client.open_channel(2)
        client.send(Queue.Declare(queue="missing", passive=True), 1)
        assert client.expect(Channel.Close, 1).reply_code == 404
        for _ in range(1000):
            client.publish("k", b"x" * 1000)
        client.send(Queue.Declare(queue="mine", exclusive=True), 2)
        client.expect(Queue.DeclareOk, 2)


# --- frames that end in the middle ----------------------------------------------------------------------

WHOLE = (
    struct.pack(">BHIHH", 1, 1, 4 + 2 + 1 + 1 + 5 + 1, 60, 40)
    + b"\0\0\0\x05queue\0\xce"
    + frame_head(2, 1, 14)
    + header_payload(b"\0\0", size=20_000)
    + b"\xce"
    + frame_head(3, 1, 20_000)
    + b"x" * 20_000
    + b"\xce"
)


@pytest.mark.parametrize("cut", [1, 5, 11, 20, 30, 45, 60, 500, 19_000, len(WHOLE) - 1])
def test_peer_that_vanishes_within_a_frame_leaves_nothing(scene: Scene, cut: int) -> None:
    """What is not whole never happened; `scene` sees to it that nothing remains."""
    with scene.logged_in() as client:
        client.send(Queue.Declare(queue="queue", auto_delete=True), 1)
        client.expect(Queue.DeclareOk, 1)
        client.send_bytes(WHOLE[:cut])
        scene.neighbour.wait_rounds(1)
    with scene.logged_in() as other:
        other.send(Queue.Declare(queue="queue", passive=True), 1)
        assert other.expect(Queue.DeclareOk, 1).message_count == 0
        other.send(Queue.Delete(queue="queue"), 1)
        other.expect(Queue.DeleteOk, 1)


def test_peer_that_is_silent_within_a_frame_keeps_nobody_waiting(scene: Scene) -> None:
    """Any number of them: the rest may come later and is then whole."""
    with contextlib.ExitStack() as open_sockets:
        slow = []
        for cut in range(1, 40, 3):
            client = open_sockets.enter_context(scene.logged_in())
            client.send_bytes(WHOLE[:cut])
            slow.append((client, cut))
        scene.neighbour.wait_rounds(5)
        for client, cut in slow:
            client.send_bytes(WHOLE[cut:])
            client.send(Queue.Declare(queue="", exclusive=True), 1)
            client.expect(Queue.DeclareOk, 1)


# --- after the close ------------------------------------------------------------------------------------


def test_peer_that_does_not_confirm_the_close_is_cut(manual_scene: Scene) -> None:
    """Ten seconds for close-ok; meanwhile whatever it sends is thrown away."""
    scene = manual_scene
    with scene.logged_in() as client:
        client.send_frame(9, 1, b"")
        assert client.expect(Connection.Close).reply_code == 501
        for _ in range(100):
            client.send_bytes(b"\x01\0\1\0\0\0\x04junk" * 100)
        scene.broker.advance("9s")
        assert scene.resident().drivers == 2
        scene.broker.advance("2s")
        scene.eventually(lambda: scene.resident().drivers == 1)
        with contextlib.suppress(ConnectionError):
            assert client.receive_bytes(1) == b""
