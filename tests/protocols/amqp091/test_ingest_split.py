"""Where the network cuts the input does not matter: any split gives the same output and the same state.

Whole sessions, right and wrong ones, are fed at once, octet by octet and in random pieces to connections on
cores of their own. After every turn what was written to each channel and all that the cores hold must be
equal. In which order channels have their frames AMQP does not say: consumers on several get what came in one
read in stripes, and what came in many message by message.

Not here: messages that were let go to disk. Which ones are depends on what came in one read, and when answers
come depends on which ones are; see `test_connection_states` for what waits for them.

Source: AMQP 0-9-1 specification 4.2.3 (frames follow one another without gaps, in a stream of octets).
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER, Settings, State

from .rig import Feed, Maker, Rig, byte_by_byte, cut_at, every, frames, login_frames, whole
from .streams import PRELUDE, Stream, Turn, hot_streams, streams

BYTEWISE_MAX = 20_000
"""Longer input goes in pieces of seven: octet by octet it would take long and find nothing else."""


def rigs(stream: Stream, *makers: Maker) -> list[Rig]:
    """A rig for each maker, with the settings of this stream."""
    limits = Settings(message_size_max=stream.message_size_max)
    return [Rig(make, settings=limits) for make in makers]


def play(rig: Rig, turn: Turn, feed: Feed) -> bytes:
    """One turn, with what else happens in it."""
    rig.core.set_alarm("disk", turn.alarm)
    output = rig.turn(turn.data, feed)
    rig.later(10)
    return output


def assert_same(stream: Stream, feeds: list[Feed]) -> None:
    """Each feed gives what the first gives, after every turn."""
    first, *others = rigs(stream, *[Connection] * len(feeds))
    for number, turn in enumerate(stream.turns):
        output = play(first, turn, feeds[0])
        state = first.state()
        for other, feed in zip(others, feeds[1:], strict=True):
            assert by_channel(play(other, turn, feed)) == by_channel(output), f"output of turn {number}"
            assert other.state() == state, f"state after turn {number}"


def by_channel(output: bytes) -> dict[int, list[tuple[int, bytes]]]:
    """The frames of each channel, in order."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for kind, number, payload in frames(output):
        found.setdefault(number, []).append((kind, payload))
    return found


PLACES = st.lists(st.integers(0, 1 << 20), max_size=12)


@settings(max_examples=300, deadline=None)
@given(streams(), PLACES, PLACES)
def test_any_split_gives_the_same_output_and_state(
    stream: Stream, cuts: list[int], others: list[int]
) -> None:
    """4.2.3, by sessions that hypothesis makes."""
    small = sum(len(turn.data) for turn in stream.turns) <= BYTEWISE_MAX
    assert_same(stream, [whole, byte_by_byte if small else every(7), cut_at(cuts), cut_at(others)])


@settings(max_examples=200, deadline=None)
@given(hot_streams(), PLACES)
def test_any_split_of_hot_frames_gives_the_same(stream: Stream, cuts: list[int]) -> None:
    """4.2.3, by runs of publishes and acknowledgements."""
    small = sum(len(turn.data) for turn in stream.turns) <= BYTEWISE_MAX
    assert_same(stream, [whole, byte_by_byte if small else every(7), cut_at(cuts)])


SESSION = [
    Turn(PROTOCOL_HEADER + login_frames() + b"".join(PRELUDE)),
    Turn(
        b"".join(
            [
                m.method_frame(1, m.BASIC_PUBLISH, 0, "", "a", False, False)
                + wire.content_frames(1, b"\x10\x00\x02", bytes([number]) * 20, 24)
                for number in range(3)
            ]
        )
        + wire.HEARTBEAT_FRAME
    ),
    Turn(b"".join([m.method_frame(1, m.BASIC_ACK, tag, False) for tag in (1, 2)])),
    Turn(
        m.method_frame(1, m.BASIC_GET, 0, "a", False)
        + m.method_frame(1, m.BASIC_ACK, 9, False)
        + m.method_frame(1, m.BASIC_PUBLISH, 0, "", "a", False, False)
        + wire.content_frames(1, b"\x00\x00", b"lost", 131_072)
        + m.method_frame(1, m.CHANNEL_CLOSE_OK)
        + m.method_frame(0, m.CONNECTION_CLOSE, 200, "", 0, 0)
    ),
]


def test_every_single_cut_of_a_session_gives_the_same() -> None:
    """4.2.3, exhaustively: one cut at every place of every turn."""
    stream = Stream(SESSION, 1 << 27)
    longest = max(len(turn.data) for turn in SESSION)
    uncut = Rig()
    outputs = [play(uncut, turn, whole) for turn in SESSION]
    assert uncut.connection.state is State.CLOSED
    assert outputs[0]
    assert outputs[-1]
    for place in range(1, longest):
        (rig,) = rigs(stream, Connection)
        for turn, output in zip(SESSION, outputs, strict=True):
            assert play(rig, turn, cut_at([place])) == output, f"cut at {place}"
        assert rig.state() == uncut.state(), f"cut at {place}"
