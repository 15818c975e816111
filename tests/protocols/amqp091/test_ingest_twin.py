"""The hot loop means what its slow twin means: same output, same state, same error at the same frame.

Two brokers are told the same; one reads with `ingest`, the other with `ingest_twin`. What was published,
settled and answered until then shows at which frame an error was found; a table of mistakes among good
publishes says it outright.

Source: DESIGN, "hot loops ... carry a benchmark and a slow, obvious twin in the tests".
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import Settings

from .ingest_twin import TwinConnection
from .rig import Maker, Rig, cut_at, every, sent_methods
from .streams import START, Stream, hot_streams, streams
from .test_ingest_split import play, rigs

PLACES = st.lists(st.integers(0, 1 << 20), max_size=6)


def assert_twins(stream: Stream, places: list[int]) -> None:
    """The twin, in small pieces, and the hot loop, in large ones, agree after every turn."""
    fast, slow = rigs(stream, Connection, TwinConnection)
    for number, turn in enumerate(stream.turns):
        output = play(fast, turn, cut_at(places))
        expected = play(slow, turn, every(4096))
        if output != expected:
            assert sent_methods(output) == sent_methods(expected), f"methods of turn {number}"
        assert output == expected, f"output of turn {number}"
        assert fast.state() == slow.state(), f"state after turn {number}"


@settings(max_examples=400, deadline=None)
@given(streams(), PLACES)
def test_hot_loop_means_what_the_twin_means(stream: Stream, places: list[int]) -> None:
    """Whole sessions with mistakes of all sorts."""
    assert_twins(stream, places)


@settings(max_examples=300, deadline=None)
@given(hot_streams())
def test_hot_frames_in_one_read_mean_what_the_twin_means(stream: Stream) -> None:
    """Mostly what the hot loop takes itself."""
    assert_twins(stream, [])


def test_publishes_alike_but_for_their_bodies_are_taken_wherever_the_input_ends() -> None:
    """From the second of a kind on they are compared, not read: any sizes, any cut, another kind between."""
    kinds = [(b"\x10\x00\x02", size) for size in (1, 1, 1, 20, 2, 0, 3, 3, 3)]
    kinds += [(b"\x10\x00\x01", 3), (b"\x10\x00\x02", 3), (b"\x10\x00\x02", 101)]
    data = b"".join(
        [
            m.method_frame(1, m.BASIC_PUBLISH, 0, "", "a", False, False)
            + wire.content_frames(1, properties, bytes([number]) * size, 131_072)
            for number, (properties, size) in enumerate(kinds)
        ]
    )
    limits = Settings(message_size_max=100)
    twin = Rig(TwinConnection, settings=limits)
    twin.turn(START)
    expected = twin.turn(data)
    for cut in range(len(data)):
        rig = Rig(Connection, settings=limits)
        rig.turn(START)
        assert rig.turn(data, cut_at([cut])) == expected
        assert rig.state() == twin.state()


def good(number: int) -> bytes:
    method = m.method_frame(2, m.BASIC_PUBLISH, 0, "", "b", False, False)
    return method + wire.content_frames(2, b"\x00\x00", b"%d" % number, 131_072)


PUBLISH = m.method_frame(2, m.BASIC_PUBLISH, 0, "", "b", False, False)
HEADER = wire.header_frame(2, 1, b"\x00\x00")
BODY = wire.frame(wire.FRAME_BODY, 2, b"x")

MISTAKES: dict[str, tuple[bytes, int]] = {
    "unknown delivery tag": (m.method_frame(2, m.BASIC_ACK, 99, False), 406),
    "unknown delivery tag, multiple": (m.method_frame(2, m.BASIC_ACK, 99, True), 406),
    "tag 0 without multiple": (m.method_frame(2, m.BASIC_ACK, 0, False), 406),
    "no such exchange": (
        m.method_frame(2, m.BASIC_PUBLISH, 0, "missing", "b", False, False) + HEADER + BODY,
        404,
    ),
    "immediate": (m.method_frame(2, m.BASIC_PUBLISH, 0, "", "b", False, True) + HEADER + BODY, 540),
    "bad expiration": (
        PUBLISH + wire.header_frame(2, 1, wire.encode_properties(wire.Properties(expiration="x"))) + BODY,
        406,
    ),
    "bad properties": (PUBLISH + wire.header_frame(2, 1, b"\x80\x00") + BODY, 502),
    "larger than message_size_max": (
        PUBLISH + wire.content_frames(2, b"\x00\x00", bytes(101), 131_072),
        406,
    ),
    "header frame larger than frame_max": (
        PUBLISH
        + wire.header_frame(2, 1, wire.encode_properties(wire.Properties(headers={"k": "v" * 140_000})))
        + BODY,
        501,
    ),
    "more body than promised": (PUBLISH + HEADER + wire.frame(wire.FRAME_BODY, 2, b"xy"), 505),
    "no header": (PUBLISH + BODY, 505),
    "no body": (PUBLISH + HEADER + PUBLISH, 505),
    "header of another class": (PUBLISH + HEADER[:8] + b"\x3d" + HEADER[9:] + BODY, 505),
    "header too short": (PUBLISH + wire.frame(wire.FRAME_HEADER, 2, HEADER[7:-2]) + BODY, 501),
    "wrong end of the method": (PUBLISH[:-1] + b"\x00" + HEADER + BODY, 501),
    "wrong end of the header": (PUBLISH + HEADER[:-1] + b"\x00" + BODY, 501),
    "wrong end of the body": (PUBLISH + HEADER + BODY[:-1] + b"\x00", 501),
    "wrong end of an acknowledgement": (m.method_frame(2, m.BASIC_ACK, 1, False)[:-1] + b"\x00", 501),
    "acknowledgement too long": (
        wire.frame(wire.FRAME_METHOD, 2, m.method_frame(2, m.BASIC_ACK, 1, False)[7:-1] + b"\x00"),
        501,
    ),
    "publish too long": (
        wire.frame(wire.FRAME_METHOD, 2, PUBLISH[7:-1] + b"\x00") + HEADER + BODY,
        501,
    ),
    "channel that is not open": (m.method_frame(3, m.BASIC_ACK, 1, False), 504),
    "frame of no known type": (wire.frame(9, 2, b"x"), 501),
}


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("make", [Connection, TwinConnection])
def test_mistake_is_found_where_it_stands(mistake: str, before: int, make: Maker) -> None:
    """Every publish before it is taken, none behind it is, on that channel or connection."""
    data, code = MISTAKES[mistake]
    rig = Rig(make, settings=Settings(message_size_max=100))
    rig.turn(START)
    run = [good(number) for number in range(before)]
    output = rig.turn(b"".join(run) + data + b"".join([good(number) for number in range(3)]))
    closes = [arguments[0] for _, name, arguments in sent_methods(output) if name.endswith(".close")]
    assert closes == [code]
    assert rig.core.vhosts["/"].queues["b"].ready_count == before
