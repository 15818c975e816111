"""Every state of a connection and of a channel against everything a peer may send then: one declared table.

A row says what comes of one input in one state: the names of the methods that answer it; `close 505` or
`channel 404` for a close of the connection or the channel with that code; `cut` when the socket is closed
(after what was answered); `-` when nothing is said. What is not in a state's row has the state's default.
Never does an exception leave the connection.

Source: AMQP 0-9-1 specification 2.2.4 and 4.2 (frames, closes), 2.1.2 (assembly of content); RabbitMQ's
`rabbit_reader`, `rabbit_channel` and `rabbit_command_assembler` for what the specification leaves open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.connection import FLOW_SHOWN_MS
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER, State

from .rig import CAPABILITIES, Rig, login_frames, sent_methods

# --- what is sent ------------------------------------------------------------------------------------

DEFAULTS: dict[str, Any] = {
    "octet": 0,
    "short": 0,
    "long": 0,
    "longlong": 1,
    "bit": False,
    "shortstr": "",
    "longstr": b"",
    "table": {},
}
GIVEN: dict[str, dict[str, Any]] = {
    "connection.start-ok": {
        "client_properties": {"capabilities": CAPABILITIES},
        "mechanism": "PLAIN",
        "response": b"\0guest\0guest",
    },
    "connection.tune-ok": {"channel_max": 2047, "frame_max": 131_072},
    "connection.open": {"virtual_host": "/"},
    "channel.flow": {"active": True},
    "exchange.declare": {"exchange": "x", "type": "topic"},
    "exchange.bind": {"destination": "amq.topic", "source": "amq.fanout"},
    "exchange.unbind": {"destination": "amq.topic", "source": "amq.fanout"},
    "queue.declare": {"queue": "q"},
    "queue.bind": {"queue": "q", "exchange": "amq.topic", "routing_key": "k"},
    "queue.unbind": {"queue": "q", "exchange": "amq.topic", "routing_key": "k"},
    "queue.purge": {"queue": "q"},
    "queue.delete": {"queue": "q"},
    "basic.consume": {"queue": "q", "consumer_tag": "t"},
    "basic.get": {"queue": "q"},
    "basic.publish": {"routing_key": "q"},
    "basic.recover": {"requeue": True},
    "basic.recover-async": {"requeue": True},
}


def method_input(method: m.Method, channel: int) -> bytes:
    """A method with arguments that are in order."""
    given = GIVEN.get(method.name, {})
    arguments = [given.get(name, DEFAULTS[type_]) for name, type_ in method.arguments]
    return m.method_frame(channel, method.id, *arguments)


UNKNOWN_METHOD = (10 << 16 | 99).to_bytes(4, "big")


def inputs(channel: int) -> dict[str, bytes]:
    """Everything that is sent in every state, by name."""
    every = {method.name: method_input(method, channel) for method in m.METHODS.values()}
    return every | {
        "unknown method": wire.frame(wire.FRAME_METHOD, channel, UNKNOWN_METHOD),
        "method of 3 octets": wire.frame(wire.FRAME_METHOD, channel, b"\0\x0a\0"),
        "content header": wire.header_frame(channel, 5, b"\0\0"),
        "empty content header": wire.header_frame(channel, 0, b"\0\0"),
        "body": wire.frame(wire.FRAME_BODY, channel, b"hello"),
        "large body": wire.frame(wire.FRAME_BODY, channel, bytes(20_000)),
        "heartbeat": wire.frame(wire.FRAME_HEARTBEAT, channel, b""),
        "heartbeat with a payload": wire.frame(wire.FRAME_HEARTBEAT, channel, b"x"),
        "frame of type 4": wire.frame(4, channel, b"x"),
        "protocol header": PROTOCOL_HEADER,
        "wrong frame end": wire.frame(wire.FRAME_METHOD, channel, UNKNOWN_METHOD)[:-1] + b"\0",
        "too large": b"\x01\0" + bytes((channel,)) + b"\x7f\xff\xff\xff",
    }


NAMES = tuple(inputs(0))


def outcome(rig: Rig, data: bytes) -> str:
    """What comes of it, in the words of the table."""
    output = rig.turn(data)
    words = []
    if output.startswith(PROTOCOL_HEADER):
        words.append("header")
    for _, name, arguments in sent_methods(output):
        match name:
            case "connection.close":
                words.append(f"close {arguments[0]}")
            case "channel.close":
                words.append(f"channel {arguments[0]}")
            case _:
                words.append(name)
    if rig.connection.want_close:
        words.append("cut")
    return ", ".join(words) or "-"


class Row(NamedTuple):
    """A state: how it is reached, what mostly comes of an input there, and what comes of the others."""

    reach: Callable[[], Rig]
    default: str
    others: dict[str, str]


# --- connections -------------------------------------------------------------------------------------

START_OK, TUNE_OK, OPEN = (
    m.method_frame(
        0, m.CONNECTION_START_OK, {"capabilities": CAPABILITIES}, "PLAIN", b"\0guest\0guest", "en_US"
    ),
    m.method_frame(0, m.CONNECTION_TUNE_OK, 2047, 131_072, 0),
    m.method_frame(0, m.CONNECTION_OPEN, "/", "", False),
)
CHANNEL_OPEN = m.method_frame(1, m.CHANNEL_OPEN, "")


def after(*pieces: bytes, state: State) -> Callable[[], Rig]:
    """A rig that was told this and is in that state."""

    def reach() -> Rig:
        rig = Rig()
        rig.turn(b"".join(pieces))
        assert rig.connection.state is state
        return rig

    return reach


def refused() -> Rig:
    """A login was wrong, and the client does not say that it wants to be told: the socket is cut later."""
    rig = after(
        PROTOCOL_HEADER,
        m.method_frame(0, m.CONNECTION_START_OK, {}, "PLAIN", b"\0guest\0wrong", "en_US"),
        state=State.CLOSED,
    )()
    assert not rig.connection.want_close
    return rig


FRAMING = {"frame of type 4": "close 501", "method of 3 octets": "close 501"}
FRAMING |= {"wrong frame end": "close 501", "too large": "close 501"}
# "AMQP\0\0\x09\x01" as a frame: type 65, channel 19793, 0x50000009 octets long.
FRAMING["protocol header"] = "close 501"
ALIVE = {"heartbeat": "-"}
CLOSES = {"connection.close": "connection.close-ok, cut"}
CONTENT = ("content header", "empty content header", "body", "large body", "heartbeat with a payload")

CONNECTION_STATES: dict[str, Row] = {
    # Whatever is no protocol header is answered with ours.
    "before the header": Row(
        after(state=State.PROTOCOL_HEADER), "header, cut", {"protocol header": "connection.start"}
    ),
    # Who is not logged in is told nothing.
    "start-ok awaited": Row(
        after(PROTOCOL_HEADER, state=State.START),
        "cut",
        ALIVE | CLOSES | {"connection.start-ok": "connection.tune"},
    ),
    "tune-ok awaited": Row(
        after(PROTOCOL_HEADER, START_OK, state=State.TUNE),
        "cut",
        ALIVE | CLOSES | {"connection.tune-ok": "-"},
    ),
    "open awaited": Row(
        after(PROTOCOL_HEADER, START_OK, TUNE_OK, state=State.OPEN),
        "cut",
        ALIVE
        | CLOSES
        | FRAMING
        | {"connection.open": "connection.open-ok", "unknown method": "close 503"}
        | dict.fromkeys(CONTENT, "close 505"),
    ),
    "open": Row(
        after(PROTOCOL_HEADER, START_OK, TUNE_OK, OPEN, state=State.RUNNING),
        "close 504",
        ALIVE
        | CLOSES
        | FRAMING
        | {
            "connection.update-secret": "connection.update-secret-ok",
            "connection.blocked": "-",
            "connection.unblocked": "-",
            "unknown method": "close 503",
        }
        | dict.fromkeys(CONTENT, "close 505"),
    ),
    # Closing by us: only the ends of the closing handshake count.
    "closing": Row(
        after(PROTOCOL_HEADER, START_OK, TUNE_OK, OPEN, wire.frame(4, 0, b""), state=State.CLOSING),
        "-",
        {"connection.close-ok": "cut", "connection.close": "connection.close-ok"},
    ),
    "closing, framing lost": Row(
        after(PROTOCOL_HEADER, START_OK, TUNE_OK, OPEN, inputs(0)["wrong frame end"], state=State.CLOSING),
        "-",
        {"connection.close-ok": "cut"},
    ),
    # Closing by the peer: it was answered, and the socket will be cut when that is written.
    "closed by the peer": Row(
        after(
            PROTOCOL_HEADER,
            START_OK,
            TUNE_OK,
            OPEN,
            method_input(m.METHODS[m.CONNECTION_CLOSE], 0),
            state=State.CLOSED,
        ),
        "cut",
        {},
    ),
    "login refused": Row(refused, "-", {}),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", CONNECTION_STATES)
def test_connection_answers_as_the_table_says(state: str, name: str) -> None:
    """2.2.4 and 4.2, on channel 0."""
    row = CONNECTION_STATES[state]
    assert outcome(row.reach(), inputs(0)[name]) == row.others.get(name, row.default)


BEFORE_RUNNING = {
    "before the header": "header, cut",
    "start-ok awaited": "cut",
    "tune-ok awaited": "cut",
    "open awaited": "close 505",
    "closing": "-",
    "closing, framing lost": "-",
    "closed by the peer": "cut",
    "login refused": "-",
}


@pytest.mark.parametrize("method", m.METHODS.values(), ids=lambda method: method.name)
@pytest.mark.parametrize("state", BEFORE_RUNNING)
def test_channels_exist_only_in_open_connections(state: str, method: m.Method) -> None:
    """4.2: the same methods on channel 1 while the connection is not open."""
    assert outcome(CONNECTION_STATES[state].reach(), method_input(method, 1)) == BEFORE_RUNNING[state]


def test_table_of_connection_states_is_complete() -> None:
    """All states of the machine are there, and rows name nothing that is not sent."""
    assert {row.reach().connection.state for row in CONNECTION_STATES.values()} == set(State)
    for row in (*CONNECTION_STATES.values(), *CHANNEL_STATES.values()):
        assert set(row.others) <= set(NAMES)
    assert len(m.METHODS) == 66


# --- channels ----------------------------------------------------------------------------------------


def channel_after(*pieces: bytes, memory_budget: int = 1 << 27) -> Callable[[], Rig]:
    """A rig with a queue of one message that was told this on channel 1."""

    def reach() -> Rig:
        rig = Rig(memory_budget=memory_budget)
        rig.turn(PROTOCOL_HEADER + login_frames())
        vhost = rig.core.vhosts["/"]
        vhost.declare_queue(None, "q", durable=False)
        rig.turn(
            m.method_frame(2, m.CHANNEL_OPEN, "")
            + m.method_frame(2, m.BASIC_PUBLISH, 0, "", "q", False, False)
            + wire.content_frames(2, b"\0\0", b"first", 131_072)
        )
        rig.turn(b"".join(pieces))
        assert rig.connection.state is State.RUNNING
        return rig

    return reach


FAIL = m.method_frame(1, m.BASIC_ACK, 99, False)
PUBLISH = method_input(m.METHODS[m.BASIC_PUBLISH], 1)

# What a client may ask of an open channel, and what it is told.
OPEN_CHANNEL = {
    "channel.open": "close 504",
    "channel.flow": "channel.flow-ok",
    "channel.close": "channel.close-ok",
    "access.request": "access.request-ok",
    "exchange.declare": "exchange.declare-ok",
    "exchange.delete": "channel 403",
    "exchange.bind": "exchange.bind-ok",
    "exchange.unbind": "exchange.unbind-ok",
    "queue.declare": "queue.declare-ok",
    "queue.bind": "queue.bind-ok",
    "queue.unbind": "queue.unbind-ok",
    "queue.purge": "queue.purge-ok",
    "queue.delete": "queue.delete-ok",
    "basic.qos": "basic.qos-ok",
    "basic.consume": "basic.consume-ok, basic.deliver",
    "basic.cancel": "basic.cancel-ok",
    "basic.publish": "-",
    "basic.get": "basic.get-ok",
    "basic.ack": "channel 406",
    "basic.reject": "channel 406",
    "basic.nack": "channel 406",
    "basic.recover": "basic.recover-ok",
    "basic.recover-async": "-",
    "confirm.select": "confirm.select-ok",
    "tx.select": "tx.select-ok",
    "tx.commit": "channel 406",
    "tx.rollback": "channel 406",
    "content header": "close 505",
    "empty content header": "close 505",
    "body": "close 505",
    "large body": "close 505",
}
# Heartbeats belong to channel 0; framing is the same everywhere.
ON_CHANNELS = FRAMING | {"heartbeat": "close 505", "heartbeat with a payload": "close 505"}

GET_COLD = m.method_frame(1, m.BASIC_GET, 0, "cold", False)


def waiting_for_disk() -> Rig:
    """basic.get was asked for a message that rests on disk; the answer comes at the end of the next turn."""
    rig = channel_after(CHANNEL_OPEN, memory_budget=0)()
    rig.turn(m.method_frame(2, m.QUEUE_DECLARE, 0, "cold", False, True, False, False, False, {}))
    publish = m.method_frame(2, m.BASIC_PUBLISH, 0, "", "cold", False, False)
    for body in (b"stays in memory", b"rests on disk", b"rests there too"):
        rig.turn(publish + wire.content_frames(2, b"\x10\x00\x02", body, 131_072))
    rig.connection.receive(m.method_frame(2, m.BASIC_GET, 0, "cold", True))
    assert rig.take()
    rig.connection.receive(GET_COLD)
    assert not rig.connection.out
    return rig


def later(answer: str) -> str:
    """The same answer, after that of basic.get."""
    return "basic.get-ok" if answer == "-" else f"basic.get-ok, {answer}"


CHANNEL_STATES: dict[str, Row] = {
    "not open": Row(
        channel_after(),
        "close 504",
        ON_CHANNELS | {"channel.open": "channel.open-ok", "unknown method": "close 503"},
    ),
    "open": Row(channel_after(CHANNEL_OPEN), "close 503", ON_CHANNELS | OPEN_CHANNEL),
    "closed": Row(
        channel_after(CHANNEL_OPEN, method_input(m.METHODS[m.CHANNEL_CLOSE], 1)),
        "close 504",
        ON_CHANNELS | {"channel.open": "channel.open-ok", "unknown method": "close 503"},
    ),
    # Closing by us: whatever was sent before the peer knew is dropped.
    "closing": Row(
        channel_after(CHANNEL_OPEN, FAIL),
        "-",
        ON_CHANNELS | {"channel.close": "channel.close-ok", "channel.open": "close 504"},
    ),
    # Both sides have closed: the number is free, but close-ok may still come.
    "closed by both": Row(
        channel_after(CHANNEL_OPEN, FAIL, method_input(m.METHODS[m.CHANNEL_CLOSE], 1)),
        "-",
        ON_CHANNELS | {"channel.close": "channel.close-ok", "channel.open": "channel.open-ok"},
    ),
    "content header awaited": Row(
        channel_after(CHANNEL_OPEN, PUBLISH),
        "close 505",
        ON_CHANNELS | {"content header": "-", "empty content header": "-"},
    ),
    "body awaited": Row(
        channel_after(CHANNEL_OPEN, PUBLISH, wire.header_frame(1, 5, b"\0\0")),
        "close 505",
        ON_CHANNELS | {"body": "-"},
    ),
    "rest of a body awaited": Row(
        channel_after(
            CHANNEL_OPEN,
            PUBLISH,
            wire.header_frame(1, 40_000, b"\0\0"),
            wire.frame(wire.FRAME_BODY, 1, bytes(20_000)),
        ),
        "close 505",
        ON_CHANNELS | {"body": "-", "large body": "-"},
    ),
    # What comes meanwhile waits its turn; only what is wrong with the connection as a whole does not.
    "answer awaited from disk": Row(
        waiting_for_disk,
        later("close 503"),
        ON_CHANNELS
        | {name: later(answer) for name, answer in OPEN_CHANNEL.items()}
        | dict.fromkeys(("basic.ack", "basic.nack", "basic.reject"), "basic.get-ok"),
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", CHANNEL_STATES)
def test_channel_answers_as_the_table_says(state: str, name: str) -> None:
    """2.1.2 and 2.2.4, on channel 1 of an open connection."""
    row = CHANNEL_STATES[state]
    assert outcome(row.reach(), inputs(1)[name]) == row.others.get(name, row.default)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("channel.close",), "basic.get-ok, channel.close-ok"),
        (("channel.close", "channel.open"), "basic.get-ok, channel.close-ok, channel.open-ok"),
        (
            ("channel.close", "channel.open", "basic.get", "queue.purge"),
            "basic.get-ok, channel.close-ok, channel.open-ok, basic.get-ok, queue.purge-ok",
        ),
        (("basic.ack", "basic.ack", "channel.close"), "basic.get-ok, channel 406, channel.close-ok"),
        (
            ("basic.reject", "basic.reject", "queue.purge", "channel.close-ok", "channel.open"),
            "basic.get-ok, channel 406, channel.open-ok",
        ),
        (
            ("basic.publish", "empty content header", "basic.get", "queue.purge"),
            "basic.get-ok, basic.get-ok, queue.purge-ok",
        ),
        (("basic.publish", "queue.purge", "basic.get"), "basic.get-ok, close 505"),
        (("basic.consume", "basic.consume", "queue.purge"), "basic.get-ok, basic.consume-ok, close 530"),
    ],
)
def test_frames_that_wait_for_the_disk_mean_what_they_mean_elsewhere(
    pieces: tuple[str, ...], expected: str
) -> None:
    """Closing and opening again included: none of them is forgotten."""
    given = inputs(1)
    assert outcome(waiting_for_disk(), b"".join([given[name] for name in pieces])) == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((), "basic.get-ok, connection.close-ok, cut"),
        (("queue.purge",), "basic.get-ok, queue.purge-ok, connection.close-ok, cut"),
        (("channel.close",), "basic.get-ok, channel.close-ok, connection.close-ok, cut"),
        (("basic.ack", "basic.ack"), "basic.get-ok, channel 406, connection.close-ok, cut"),
        (("basic.consume", "basic.consume"), "basic.get-ok, basic.consume-ok, close 530"),
    ],
)
def test_connection_closes_when_what_waits_for_the_disk_is_done(
    pieces: tuple[str, ...], expected: str
) -> None:
    """connection.close does not overtake what was asked for before it."""
    sent = [inputs(1)[name] for name in pieces] + [inputs(0)["connection.close"]]
    assert outcome(waiting_for_disk(), b"".join(sent)) == expected


@pytest.mark.parametrize("closed_by", ["client", "network"])
def test_message_that_waits_for_the_disk_is_published_although_the_connection_ends(closed_by: str) -> None:
    """What is behind a cold basic.get was read before the end, and is done."""
    rig = waiting_for_disk()
    publish = m.method_frame(1, m.BASIC_PUBLISH, 0, "", "q", False, False)
    rig.connection.receive(publish + wire.content_frames(1, b"\0\0", b"last", 131_072))
    if closed_by == "client":
        rig.connection.receive(inputs(0)["connection.close"])
    else:
        rig.connection.closed("reset")
    queue = rig.core.vhosts["/"].queues["q"]
    before = queue.ready_count
    rig.turn(b"")
    assert rig.connection.state is State.CLOSED
    assert queue.ready_count == before + 1


def test_frames_that_wait_for_the_disk_twice_keep_their_order() -> None:
    """A second cold basic.get among them makes the rest wait once more."""
    rig = waiting_for_disk()
    answer = outcome(rig, GET_COLD + inputs(1)["queue.purge"] + inputs(1)["confirm.select"])
    assert answer == "basic.get-ok, basic.get-ok, queue.purge-ok, confirm.select-ok"


@pytest.mark.row("R74")
def test_publisher_that_was_slowed_down_shows_it_for_a_while() -> None:
    rig = Rig().log_in()
    connection = rig.connection
    rig.send(1, m.CHANNEL_OPEN, "")
    assert connection.flow_state == "running"
    rig.core.held = True
    publish = m.method_frame(1, m.BASIC_PUBLISH, 0, "", "q", False, False)
    rig.turn(publish + wire.content_frames(1, b"\0\0", b"body", 131_072))
    assert connection.flow_state == "flow"
    rig.core.held = connection.published = False
    rig.later(FLOW_SHOWN_MS - 1)
    assert connection.flow_state == "flow"
    rig.later(1)
    assert connection.flow_state == "running"
    connection.shut_down("over")
    assert connection.flow_state == "closing"
