"""Hypothesis strategies for what clients send: whole sessions, mostly sensible, now and then wrong.

A `Stream` is what happens to one broker: settings, then turns, each some input and what else happens in it.
Sensible input is frequent enough that the hot loop runs, wrong input rare enough that much comes before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER

from .rig import login_frames


class Turn(NamedTuple):
    """What happens until the loop comes round: an alarm may begin or end before the input."""

    data: bytes
    alarm: bool = False


class Stream(NamedTuple):
    """See the module."""

    turns: list[Turn]
    message_size_max: int

    def __repr__(self) -> str:
        """Frames in words, for whoever reads a counter-example."""
        turns = "\n".join(
            f"  Turn({', '.join(_shown(turn.data))}{', alarm' if turn.alarm else ''})" for turn in self.turns
        )
        return f"Stream(message_size_max={self.message_size_max},\n{turns})"


def _shown(data: bytes) -> list[str]:
    words = []
    position = 0
    if data.startswith(b"AMQP"):
        words.append(repr(data[:8]))
        position = 8
    while position < len(data):
        size = int.from_bytes(data[position + 3 : position + 7], "big")
        piece = data[position : position + size + 8]
        position += len(piece)
        known = m.METHODS.get(int.from_bytes(piece[7:11], "big")) if piece[:1] == b"\x01" else None
        kind = known.name if known else f"frame {piece[0]}"
        shown = repr(piece[11:-1]) if len(piece) < 90 else f"{len(piece)} bytes"
        words.append(f"{kind}#{int.from_bytes(piece[1:3], 'big')} {shown}")
    return words


CHANNELS = st.sampled_from((1, 1, 1, 1, 1, 2, 2, 3))
QUEUES = st.sampled_from(("a", "a", "b", "c"))
ANY_QUEUE = QUEUES | st.sampled_from(("", "missing", "amq.rabbitmq.reply-to"))
EXCHANGES = st.sampled_from(("", "", "", "", "amq.fanout", "amq.topic", "amq.headers", "x"))
RARELY = st.sampled_from((False,) * 9 + (True,))
SOMETIMES = st.booleans()

QUEUE_ARGUMENTS = st.sampled_from(
    ({}, {}, {}, {}, {"x-message-ttl": 0}, {"x-expires": 5}, {"x-expires": 0}, {"x-max-priority": 5})
)
SIZES = st.sampled_from((0, 1, 1, 2, 3, 3, 17, 100, 300, 4089, 5000))
LARGE_SIZES = st.sampled_from((16_383, 16_384, 16_400, 33_000, 50_000))

PLAIN_PROPERTIES = st.sampled_from(
    (b"\x00\x00", b"\x00\x00", b"\x10\x00\x02", b"\x10\x00\x02", b"\x10\x00\x01")
)
ODD_PROPERTIES = st.sampled_from(
    [
        wire.encode_properties(properties)
        for properties in (
            wire.Properties(headers={"CC": ["b"]}),
            wire.Properties(headers={"BCC": ["b", "c"], "k": 1}),
            wire.Properties(headers={"CC": "no array"}),
            wire.Properties(headers={"k": 1}),
            wire.Properties(expiration="0"),
            wire.Properties(priority=3),
            wire.Properties(priority=9, delivery_mode=2),
            wire.Properties(expiration="60000", delivery_mode=2),
            wire.Properties(expiration="soon"),
            wire.Properties(user_id="guest"),
            wire.Properties(user_id="root"),
            wire.Properties(reply_to="amq.rabbitmq.reply-to"),
            wire.Properties(message_id="x" * 255, headers={"k": "y" * 5000}),
        )
    ]
    + [b"\x10\x00", b"\x00\x01", b"\x20\x00\x00\x00\x00\x09"]
)
PROPERTIES = PLAIN_PROPERTIES | PLAIN_PROPERTIES | PLAIN_PROPERTIES | ODD_PROPERTIES


def _method(channel: st.SearchStrategy[int], method_id: int, *arguments: Any) -> st.SearchStrategy[bytes]:
    given = [
        argument if isinstance(argument, st.SearchStrategy) else st.just(argument) for argument in arguments
    ]
    return st.builds(m.method_frame, channel, st.just(method_id), *given)


@st.composite
def publishes(draw: st.DrawFn) -> bytes:
    """One to some publishes of the same kind: method, header, body in one or more frames."""
    channel = draw(CHANNELS)
    method = m.method_frame(
        channel,
        m.BASIC_PUBLISH,
        0,
        draw(EXCHANGES),
        draw(ANY_QUEUE),
        draw(RARELY),
        draw(st.just(False) | RARELY),
    )
    properties = draw(PROPERTIES)
    size = draw(SIZES | SIZES | SIZES | LARGE_SIZES)
    first = draw(st.integers(0, 255))
    step = draw(st.sampled_from((131_064, 131_064, 131_064, 4088, 16_384, 20_000, 1 + size // 2)))
    count = 1 if size > 300 else draw(st.sampled_from((1, 1, 2, 3, 5)))
    growth = draw(st.sampled_from((0, 0, 1, 200)))
    parts = []
    for number in range(count):
        body = bytes([(first + number) & 0xFF]) * (size + growth * number)
        parts.append(method + wire.content_frames(channel, properties, body, step + 8))
    return b"".join(parts)


@st.composite
def wrong_publishes(draw: st.DrawFn) -> bytes:
    """A publish that goes wrong after its method, or is left unfinished, or has something in its middle."""
    channel = draw(CHANNELS)
    method = m.method_frame(channel, m.BASIC_PUBLISH, 0, "", draw(QUEUES), False, False)
    header = wire.header_frame(channel, 5, b"\x00\x00")
    body = wire.frame(wire.FRAME_BODY, channel, b"hello")
    other = channel % 3 + 1
    between = draw(
        st.sampled_from(
            (
                wire.HEARTBEAT_FRAME,
                wire.frame(wire.FRAME_BODY, channel, b""),
                m.method_frame(channel, m.BASIC_ACK, 1, False),
                m.method_frame(other, m.BASIC_ACK, 1, False),
                method,
                header,
                wire.header_frame(other, 1, b"\x00\x00"),
                wire.frame(wire.FRAME_BODY, other, b"x"),
            )
        )
    )
    wrong_class = b"\x00\x3d" + header[9:-1]
    return draw(
        st.sampled_from(
            (
                method,
                method + header,
                method + body,
                method + header + body[:7] + b"HELLO\xce",
                method + between + header + body,
                method + header + between + body,
                method + wire.frame(wire.FRAME_HEADER, channel, wrong_class) + body,
                method + wire.header_frame(channel, 3, b"\x00\x00") + body,
                method + wire.header_frame(channel, 6, b"\x00\x00") + body,
                method + wire.header_frame(channel, 0, b"\x00\x00") + body,
                method + wire.header_frame(channel, 1 << 63, b"\x00\x00") + body,
                method + wire.header_frame(channel, 5, b"\x00\x00\x00") + body,
                method[:-1] + b"\x00" + header + body,
                method + header[:-1] + b"\xcd" + body,
                method + header + body[:-1] + b"\x00",
                method + wire.content_frames(channel, b"\x00\x00", bytes(20_000), 131_072)[:-1] + b"\x00",
                m.method_frame(channel, m.BASIC_PUBLISH, 0, "missing", "a", False, False) + header + body,
                wire.frame(wire.FRAME_METHOD, channel, method[7:11]) + header + body,
                wire.frame(wire.FRAME_METHOD, channel, method[7:-2]) + header + body,
                header,
                body,
            )
        )
    )


@st.composite
def acknowledgements(draw: st.DrawFn) -> bytes:
    """One to some in a row, as consumers send them."""
    channel = draw(CHANNELS)
    first = draw(st.integers(0, 8))
    count = draw(st.sampled_from((1, 1, 2, 3, 5)))
    multiple = draw(RARELY)
    return b"".join([m.method_frame(channel, m.BASIC_ACK, first + n, multiple) for n in range(count)])


OPENS = _method(CHANNELS, m.CHANNEL_OPEN, "")
REQUESTS = st.one_of(
    _method(
        CHANNELS,
        m.QUEUE_DECLARE,
        0,
        ANY_QUEUE,
        RARELY,
        SOMETIMES,
        RARELY,
        RARELY,
        RARELY,
        QUEUE_ARGUMENTS,
    ),
    _method(CHANNELS, m.QUEUE_BIND, 0, QUEUES, EXCHANGES, ANY_QUEUE, RARELY, st.just({})),
    _method(CHANNELS, m.QUEUE_UNBIND, 0, QUEUES, EXCHANGES, ANY_QUEUE, st.just({})),
    _method(CHANNELS, m.QUEUE_PURGE, 0, ANY_QUEUE, RARELY),
    _method(CHANNELS, m.QUEUE_DELETE, 0, ANY_QUEUE, RARELY, RARELY, RARELY),
    _method(
        CHANNELS,
        m.EXCHANGE_DECLARE,
        0,
        EXCHANGES,
        st.sampled_from(("topic", "direct", "odd")),
        RARELY,
        SOMETIMES,
        RARELY,
        RARELY,
        RARELY,
        st.just({}),
    ),
    _method(CHANNELS, m.EXCHANGE_DELETE, 0, EXCHANGES, RARELY, RARELY),
    _method(CHANNELS, m.CONFIRM_SELECT, RARELY),
    _method(CHANNELS, m.BASIC_QOS, st.just(0), st.integers(0, 3), SOMETIMES),
    _method(
        CHANNELS,
        m.BASIC_CONSUME,
        0,
        ANY_QUEUE,
        st.sampled_from(("", "t", "u")),
        False,
        SOMETIMES,
        RARELY,
        RARELY,
        st.just({}),
    ),
    _method(CHANNELS, m.BASIC_CANCEL, st.sampled_from(("t", "u")), RARELY),
    _method(CHANNELS, m.BASIC_GET, 0, ANY_QUEUE, SOMETIMES),
)
SETTLEMENTS = st.one_of(
    _method(CHANNELS, m.BASIC_NACK, st.integers(0, 8), SOMETIMES, SOMETIMES),
    _method(CHANNELS, m.BASIC_REJECT, st.integers(0, 8), SOMETIMES),
    _method(CHANNELS, m.BASIC_RECOVER, st.just(True)),
)
ENDS = st.one_of(
    _method(CHANNELS, m.CHANNEL_CLOSE, 200, "", 0, 0),
    _method(CHANNELS, m.CHANNEL_CLOSE_OK),
    _method(st.just(0), m.CONNECTION_CLOSE, 200, "", 0, 0),
    _method(st.just(0), m.CONNECTION_CLOSE_OK),
)
RECONNECTS = st.sampled_from(
    (
        m.method_frame(1, m.CHANNEL_CLOSE_OK) + m.method_frame(1, m.CHANNEL_OPEN, ""),
        m.method_frame(1, m.CHANNEL_CLOSE, 200, "", 0, 0) + m.method_frame(1, m.CHANNEL_OPEN, ""),
    )
)
WRONG = st.one_of(
    wrong_publishes(),
    _method(CHANNELS, m.TX_SELECT),
    _method(CHANNELS, m.TX_COMMIT),
    _method(CHANNELS, m.CHANNEL_FLOW, SOMETIMES),
    _method(CHANNELS, m.BASIC_DELIVER, "t", 1, False, "", "a"),
    _method(st.just(0), m.CONNECTION_TUNE_OK, 10, 4096, 0),
    _method(st.just(0), m.BASIC_ACK, 1, False),
    st.builds(
        wire.frame, st.sampled_from((0, 1, 2, 3, 4, 8, 9, 255)), st.integers(0, 4), st.binary(max_size=20)
    ),
    st.builds(
        lambda kind, channel, size: bytes((kind, 0, channel)) + size.to_bytes(4, "big") + bytes(40),
        st.sampled_from((1, 2, 3, 8, 9)),
        st.integers(0, 2),
        st.sampled_from((30, 131_073, 1 << 31)),
    ),
    st.binary(min_size=1, max_size=30),
)
BEATS = st.just(wire.HEARTBEAT_FRAME)

USUAL = st.one_of(publishes(), publishes(), acknowledgements(), REQUESTS, SETTLEMENTS, BEATS)
"""What clients without mistakes send."""
ANYTHING = st.one_of(USUAL, USUAL, USUAL, USUAL, OPENS, RECONNECTS, ENDS, WRONG)

HEADERS = st.sampled_from(
    (PROTOCOL_HEADER,) * 20 + (b"AMQP\x01\x01\x00\x09", b"AMQP\x00\x01\x00\x00", b"AMQQ")
)
PRELUDE = (
    b"".join([m.method_frame(number, m.CHANNEL_OPEN, "") for number in (1, 2)]),
    b"".join(
        [
            m.method_frame(1, m.QUEUE_DECLARE, 0, name, False, name != "c", False, False, False, arguments)
            for name, arguments in (("a", {}), ("b", {"x-max-priority": 5}), ("c", {}))
        ]
    ),
    m.method_frame(1, m.CONFIRM_SELECT, False),
    m.method_frame(1, m.BASIC_CONSUME, 0, "a", "t", False, False, False, False, {}),
)
"""What most sessions begin with."""

START = PROTOCOL_HEADER + login_frames() + b"".join(PRELUDE)
"""Logged in, with channels, queues, confirms and a consumer."""
FILLED = b"".join(
    [
        m.method_frame(1, m.BASIC_PUBLISH, 0, "", name, False, False)
        + wire.content_frames(1, properties, b"first", 131_072)
        for name in ("a", "a", "a", "b", "b", "c")
        for properties in (b"\x00\x00", b"\x10\x00\x02")
    ]
)
CONSUME = m.method_frame(2, m.BASIC_CONSUME, 0, "b", "u", False, False, False, False, {})
HOT = st.one_of(publishes(), publishes(), acknowledgements())
"""What the hot loop takes itself."""


@st.composite
def hot_streams(draw: st.DrawFn) -> Stream:
    """Mostly publishes and acknowledgements, many in one read, on channels with something to acknowledge."""
    pieces = draw(st.lists(HOT | HOT | HOT | USUAL, min_size=1, max_size=25))
    return Stream([Turn(START), Turn(FILLED + CONSUME), Turn(b"".join(pieces))], 1 << 27)


@st.composite
def streams(draw: st.DrawFn, *, anything: st.SearchStrategy[bytes] = ANYTHING, turns_max: int = 5) -> Stream:
    """See `Stream`."""
    count = draw(st.integers(0, len(PRELUDE)))
    frame_max = draw(st.sampled_from((131_072, 131_072, 131_072, 16_392, 8192, 4096, 4095, 0)))
    start = draw(HEADERS) + login_frames(frame_max) + b"".join(PRELUDE[:count])
    turns = draw(
        st.lists(
            st.builds(Turn, st.lists(anything, min_size=1, max_size=8).map(b"".join), RARELY),
            min_size=1,
            max_size=turns_max,
        )
    )
    if draw(SOMETIMES):
        turns[0] = turns[0]._replace(data=start + turns[0].data)
    else:
        turns.insert(0, Turn(start))
    limits = st.sampled_from((1 << 27, 1 << 27, 1 << 27, 10_000, 50))
    return Stream(turns, draw(limits))
