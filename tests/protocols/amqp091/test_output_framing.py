"""What the broker writes, read by pamqp: whole frames within the negotiated size, bodies as they were sent.

Deliveries, answers to basic.get and returned messages of any size at any frame_max, many on one channel, in
one output or in several; confirms, one by one or many at once.

Source: AMQP 0-9-1 specification 4.2.3 (frames), 4.2.6 (content), 2.1.2; rows R3, R27, R60.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire

from .rig import Rig

FRAME_MAXES = (4096, 4097, 8192, 16_392, 65_536, 131_072)
QUEUE = "q"


class Read(NamedTuple):
    """A method that carries content, as pamqp reads it."""

    channel: int
    method: object
    properties: bytes
    body: bytes


Found = list[tuple[int, object] | Read]


def parse(output: bytes, frame_max: int) -> Found:
    """What pamqp finds in whole output: (channel, method), and messages put together; all fit frame_max."""
    found: Found = []
    open_contents: dict[int, tuple[object, ContentHeader, bytes, list[bytes]]] = {}
    waiting: dict[int, object] = {}
    while output:
        size, channel, value = frame.unmarshal(output)
        assert size <= frame_max, f"a frame of {size} octets"
        raw, output = output[:size], output[size:]
        if isinstance(value, ContentHeader):
            method = waiting.pop(channel)
            open_contents[channel] = (method, value, raw[19:-1], [])
            assert value.weight == 0
        elif isinstance(value, ContentBody):
            assert value.value, "an empty body frame"
            open_contents[channel][3].append(value.value)
        elif isinstance(value, Heartbeat):
            assert channel == 0
        else:
            assert channel not in waiting, "a method where a content header must stand"
            assert channel not in open_contents, "a method in the middle of a body"
            if isinstance(value, (commands.Basic.Deliver, commands.Basic.GetOk, commands.Basic.Return)):
                waiting[channel] = value
            else:
                found.append((channel, value))
        if channel in open_contents:
            method, header, properties, parts = open_contents[channel]
            body = b"".join(parts)
            assert len(body) <= header.body_size
            if len(body) == header.body_size:
                del open_contents[channel]
                found.append(Read(channel, method, properties, body))
    assert not waiting
    assert not open_contents
    return found


def messages(found: Found) -> list[Read]:
    return [one for one in found if isinstance(one, Read)]


def body_of(size: int, seed: int = 0) -> bytes:
    """A body in which every piece is told from its neighbours."""
    pattern = bytes((seed + place) % 251 for place in range(251))
    return (pattern * (size // 251 + 1))[:size]


def publish(
    body: bytes, properties: bytes, *, exchange: str = "", key: str = QUEUE, mandatory: bool = False
) -> bytes:
    """One publish, in frames of whatever size the broker takes."""
    method = m.method_frame(1, m.BASIC_PUBLISH, 0, exchange, key, mandatory, False)
    return method + wire.content_frames(1, properties, body, 4096)


def ready(frame_max: int) -> Rig:
    """Logged in with this frame_max, channel 1 open, a queue there."""
    rig = Rig().log_in(frame_max)
    rig.send(1, m.CHANNEL_OPEN, "")
    rig.send(1, m.QUEUE_DECLARE, 0, QUEUE, False, False, False, False, False, {})
    rig.turn()
    rig.output = b""
    return rig


PROPERTIES = st.sampled_from(
    [
        wire.encode_properties(properties)
        for properties in (
            wire.Properties(),
            wire.Properties(delivery_mode=2),
            wire.Properties(content_type="text/plain", headers={"k": "v", "n": 1}, message_id="m" * 255),
            wire.Properties(headers={"long": "x" * 3000}),
        )
    ]
)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A frame_max, and body sizes around what fits into one, two and more of its frames."""
    frame_max = draw(st.sampled_from(FRAME_MAXES) | st.integers(4096, 131_072))
    room = frame_max - 8
    edges = [0, 1, room - 1, room, room + 1, 2 * room - 1, 2 * room, 2 * room + 1, 3 * room + 7, frame_max]
    size = st.sampled_from(edges) | st.integers(0, 300) | st.integers(0, 400_000)
    return frame_max, draw(st.lists(size, min_size=1, max_size=6))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(("k", "other")), PROPERTIES, st.sampled_from((0, 3, 4, 5000))), max_size=12
    )
)
def test_neighbours_in_a_delivery_may_differ_in_anything(wanted: list[tuple[str, bytes, int]]) -> None:
    """R60: what a message shares with the one before it is not written anew, what it does not share is."""
    rig = ready(4096)
    for key in ("k", "other"):
        rig.send(1, m.QUEUE_BIND, 0, QUEUE, "amq.direct", key, False, {})
    bodies = [body_of(size, seed) for seed, (_, _, size) in enumerate(wanted)]
    rig.turn(
        b"".join(
            [
                publish(body, properties, exchange="amq.direct", key=key)
                for body, (key, properties, _) in zip(bodies, wanted, strict=True)
            ]
        )
    )
    rig.output = b""
    rig.send(1, m.BASIC_CONSUME, 0, QUEUE, "tag", False, False, False, False, {})
    rig.turn()
    told = messages(parse(rig.output, 4096))
    assert [one.body for one in told] == bodies
    assert [one.properties for one in told] == [properties for _, properties, _ in wanted]
    keys = [one.method.routing_key for one in told if isinstance(one.method, commands.Basic.Deliver)]
    assert keys == [key for key, _, _ in wanted]


@settings(max_examples=150, deadline=None)
@given(sizes(), PROPERTIES, st.booleans())
@example((4096, [0, 1, 4087, 4088, 4089, 8176, 8177, 1_100_000]), b"\0\0", False)
def test_deliveries_fit_the_negotiated_frame_size(
    given: tuple[int, list[int]], properties: bytes, no_ack: bool
) -> None:
    """R3, R60: pamqp finds every body and every property octet again, in order."""
    frame_max, wanted = given
    rig = ready(frame_max)
    bodies = [body_of(size, seed) for seed, size in enumerate(wanted)]
    for body in bodies:
        rig.turn(publish(body, properties))
    rig.output = b""
    rig.send(1, m.BASIC_CONSUME, 0, QUEUE, "tag", False, no_ack, False, False, {})
    rig.turn()
    found = parse(rig.output, frame_max)
    assert isinstance(found[0], tuple)
    told = messages(found)
    assert [one.body for one in told] == bodies
    assert {one.properties for one in told} == {properties}
    assert all(isinstance(one.method, commands.Basic.Deliver) for one in told)
    tags = [one.method.delivery_tag for one in told if isinstance(one.method, commands.Basic.Deliver)]
    assert tags == list(range(1, len(bodies) + 1))


@settings(max_examples=100, deadline=None)
@given(sizes(), PROPERTIES)
def test_answers_to_get_and_returns_fit_the_negotiated_frame_size(
    given: tuple[int, list[int]], properties: bytes
) -> None:
    """R27 and basic.get: the same content, with what is left to get, and why it came back."""
    frame_max, wanted = given
    rig = ready(frame_max)
    bodies = [body_of(size, seed) for seed, size in enumerate(wanted)]
    unroutable = [publish(body, properties, key="none", mandatory=True) for body in bodies]
    returned = parse(rig.turn(b"".join(unroutable)), frame_max)
    assert [one.body for one in messages(returned)] == bodies
    for one in messages(returned):
        assert isinstance(one.method, commands.Basic.Return)
        assert (one.method.reply_code, one.method.routing_key) == (312, "none")
        assert one.properties == properties
    for body in bodies:
        rig.turn(publish(body, properties))
    for number, body in enumerate(bodies):
        rig.send(1, m.BASIC_GET, 0, QUEUE, False)
        (got,) = messages(parse(rig.turn(), frame_max))
        assert isinstance(got.method, commands.Basic.GetOk)
        assert (got.body, got.properties) == (body, properties)
        assert got.method.message_count == len(bodies) - number - 1
        assert got.method.delivery_tag == number + 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from((b"\x00\x00", b"\x10\x00\x02")), min_size=1, max_size=6), max_size=6),
    st.booleans(),
)
def test_confirms_cover_every_publish_once(turns: list[list[bytes]], durable: bool) -> None:
    """confirm.select: each number is confirmed once, whether alone or as part of `multiple`."""
    rig = ready(4096)
    rig.send(1, m.QUEUE_DECLARE, 0, "durable", False, True, False, False, False, {})
    rig.send(1, m.CONFIRM_SELECT, False)
    rig.turn()
    rig.output = b""
    key = "durable" if durable else QUEUE
    confirmed: list[int] = []
    for kinds in turns:
        output = rig.turn(b"".join([publish(b"x", properties, key=key) for properties in kinds]))
        for one in parse(output, 4096):
            assert isinstance(one, tuple)
            _, ack = one
            assert isinstance(ack, commands.Basic.Ack)
            assert ack.delivery_tag is not None
            first = len(confirmed) + 1 if ack.multiple else ack.delivery_tag
            confirmed += range(first, ack.delivery_tag + 1)
    assert confirmed == list(range(1, sum(map(len, turns)) + 1))


def test_returned_message_leaves_before_its_confirm() -> None:
    """R27: a publisher that waits for confirms knows by then what came back."""
    rig = ready(4096)
    rig.send(1, m.CONFIRM_SELECT, False)
    rig.turn()
    found = parse(rig.turn(publish(b"a", b"\0\0") + publish(b"b", b"\0\0", key="none", mandatory=True)), 4096)
    assert [type(one[1]).__name__ for one in found] == ["Return", "Ack"]


@pytest.mark.parametrize("frame_max", FRAME_MAXES)
def test_channels_never_mix_within_a_message(frame_max: int) -> None:
    """4.2.6: frames of a content follow one another on their channel, whatever other channels do."""
    rig = ready(frame_max)
    for channel in (2, 3):
        rig.send(channel, m.CHANNEL_OPEN, "")
    bodies = [body_of(size, size % 251) for size in (0, 5, frame_max, 3 * frame_max, 7, 2 * frame_max)]
    for channel in (1, 2, 3):
        rig.send(channel, m.BASIC_CONSUME, 0, QUEUE, f"t{channel}", False, True, False, False, {})
    rig.turn()
    rig.output = b""
    rig.turn(b"".join([publish(body, b"\0\0") for body in bodies * 3]))
    told = messages(parse(rig.output, frame_max))
    assert sorted(one.body for one in told) == sorted(bodies * 3)
    assert {one.channel for one in told} == {1, 2, 3}


def test_first_frames_fit_what_every_peer_must_take() -> None:
    """4.2.3: before tune nothing larger than 4096 octets is sent, since nobody has agreed to more."""
    rig = Rig()
    output = rig.turn(b"AMQP\x00\x00\x09\x01")
    ((channel, start),) = parse(output, 4096)
    assert channel == 0
    assert isinstance(start, commands.Connection.Start)


@pytest.mark.parametrize("frame_max", [0, 1, 4095, 131_073, 0xFFFF_FFFF])
def test_frame_size_that_was_not_offered_is_refused(frame_max: int) -> None:
    """R3: 0 (no limit), too little and too much close the socket, as with RabbitMQ."""
    rig = Rig()
    login = m.method_frame(0, m.CONNECTION_START_OK, {}, "PLAIN", b"\0guest\0guest", "en_US")
    rig.turn(b"AMQP\x00\x00\x09\x01" + login)
    assert not rig.turn(m.method_frame(0, m.CONNECTION_TUNE_OK, 0, frame_max, 0))
    assert rig.connection.want_close


def test_long_texts_and_names_fit_into_their_frames() -> None:
    """Names of 255 octets everywhere: methods are never split, so they must fit 4096 octets."""
    rig = ready(4096)
    name = "n" * 255
    rig.send(1, m.EXCHANGE_DECLARE, 0, name, "fanout", False, False, False, False, False, {})
    rig.send(1, m.QUEUE_DECLARE, 0, name, False, False, False, False, False, {})
    rig.send(1, m.QUEUE_BIND, 0, name, name, name, False, {})
    rig.send(1, m.BASIC_CONSUME, 0, name, name, False, False, False, False, {})
    rig.turn()
    rig.send(1, m.BASIC_PUBLISH, 0, name, name, False, False)
    output = rig.turn(wire.content_frames(1, b"\0\0", b"x", 4096))
    (delivered,) = messages(parse(output, 4096))
    assert isinstance(delivered.method, commands.Basic.Deliver)
    assert delivered.method.exchange == delivered.method.routing_key == delivered.method.consumer_tag == name
    rig.send(1, m.QUEUE_DECLARE, 0, "x" * 255, True, False, False, False, False, {})
    ((_, close),) = parse(rig.turn(), 4096)
    assert isinstance(close, commands.Channel.Close)
    assert len(close.reply_text.encode()) <= 255


def test_header_that_cannot_be_cut_is_sent_whole() -> None:
    """4.2.6.1 has no way to split properties: who agreed to less than they need gets them all the same.

    RabbitMQ does it so too, and the other choice would be to lose the message.
    """
    rig = ready(4096)
    properties = wire.encode_properties(wire.Properties(headers={"long": "x" * 10_000}))
    rig.core.publish(
        (rig.core.vhosts["/"].queues[QUEUE],),
        [Message(Address("amqp091", "", QUEUE), properties, b"body", rig.now_ms)],
        4,
        persistent=False,
        expiring=False,
        prioritized=False,
    )
    rig.send(1, m.BASIC_GET, 0, QUEUE, False)
    (got,) = messages(parse(rig.turn(), 12 + len(properties) + wire.FRAME_OVERHEAD))
    assert (got.properties, got.body) == (properties, b"body")
