"""Frames, content headers and properties: against pamqp, against the twin, against damage."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import frame as pamqp_frame

from pillarbox.errors import RemoteProtocolError
from pillarbox.protocols.amqp091 import wire

from . import oracle, twin
from .strategies import PROPERTIES, damaged

ALL_PROPERTIES = wire.Properties(
    content_type="application/json",
    content_encoding="utf-8",
    headers={"a": {"b": [1, None]}, "ключ": "значение", "n": wire.Short(-7)},
    delivery_mode=2,
    priority=9,
    correlation_id="c" * 255,
    reply_to="amq.rabbitmq.reply-to",
    expiration="60000",
    message_id="m",
    timestamp=2**64 - 1,
    type="t",
    user_id="guest",
    app_id="",
    cluster_id="x",
)


# --- frames -------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.sampled_from((1, 2, 3, 8)), st.integers(0, 65535), st.binary(max_size=100))
def test_frame_is_head_payload_and_end(kind: int, channel: int, payload: bytes) -> None:
    """4.2.3."""
    head = bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big")
    assert wire.frame(kind, channel, payload) == head + payload + b"\xce"


def test_heartbeat_is_an_empty_frame_on_channel_zero() -> None:
    """4.2.7; pamqp agrees."""
    assert wire.HEARTBEAT_FRAME == b"\x08\x00\x00\x00\x00\x00\x00\xce"
    _, _, found = pamqp_frame.unmarshal(wire.HEARTBEAT_FRAME)
    assert found.name == "Heartbeat"


def split(data: bytes) -> list[tuple[int, int, bytes]]:
    """Frames as (kind, channel, payload), read the obvious way."""
    frames = []
    while data:
        kind, channel, size = struct.unpack_from(">BHI", data)
        assert data[7 + size] == 0xCE
        frames.append((kind, channel, data[7 : 7 + size]))
        data = data[8 + size :]
    return frames


@settings(deadline=None)
@given(st.integers(1, 65535), PROPERTIES, st.binary(max_size=200), st.integers(9, 250) | st.just(0))
def test_message_is_cut_into_frames_that_fit(
    channel: int, properties: wire.Properties, body: bytes, frame_max: int
) -> None:
    """4.2.6: one header, then bodies none of which is empty or larger than negotiated."""
    encoded = wire.encode_properties(properties)
    (kind, number, header), *bodies = split(wire.content_frames(channel, encoded, body, frame_max))
    assert (kind, number) == (wire.FRAME_HEADER, channel)
    assert wire.decode_header(header) == (60, len(body), encoded)
    assert all((kind, number) == (wire.FRAME_BODY, channel) for kind, number, _ in bodies)
    assert b"".join(payload for _, _, payload in bodies) == body
    assert all(payload for _, _, payload in bodies)
    assert all(len(payload) + 8 <= frame_max for _, _, payload in bodies) or not frame_max
    assert len(bodies) == (-(-len(body) // (frame_max - 8)) if frame_max else bool(body))


def test_pamqp_reads_the_header_frame() -> None:
    properties = wire.encode_properties(wire.Properties(content_type="text/plain", delivery_mode=2))
    _, channel, found = pamqp_frame.unmarshal(wire.header_frame(3, 12345, properties))
    assert (channel, found.body_size) == (3, 12345)
    assert (found.properties.content_type, found.properties.delivery_mode) == ("text/plain", 2)


@pytest.mark.parametrize("size", range(14))
def test_header_too_short_for_flags_is_a_frame_error(size: int) -> None:
    """RabbitMQ 3.10.8: 501 in these words."""
    payload = b"\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00"[:size]
    with pytest.raises(wire.WireError) as caught:
        wire.decode_header(payload)
    assert caught.value.code == 501
    assert caught.value.detail == f"type 2, all octets = {wire.octets_text(payload)}: unknown_frame"


# --- properties, both ways ----------------------------------------------------------------------------


@pytest.mark.row("R60")
@settings(deadline=None)
@given(PROPERTIES)
def test_properties_come_back_with_their_types_and_bytes(properties: wire.Properties) -> None:
    """R60: all fourteen, header types included."""
    data = wire.encode_properties(properties)
    found = wire.decode_properties(data)
    assert twin.typed(tuple(found)) == twin.typed(tuple(properties))
    assert wire.encode_properties(found) == data


@settings(deadline=None)
@given(oracle.properties(oracle.READ_TABLES))
def test_pamqp_reads_what_is_written(properties: wire.Properties) -> None:
    data = wire.encode_properties(properties)
    ours = tuple(oracle.understood(value) for value in properties)
    theirs = oracle.decode_properties(data)
    # pamqp calls the absent cluster id an empty string.
    assert theirs[:-1] == ours[:-1]


@settings(deadline=None)
@given(oracle.properties(oracle.TOLD_TABLES))
def test_what_pamqp_writes_is_read_and_written_back(properties: wire.Properties) -> None:
    data = oracle.encode_properties(properties)
    found = wire.decode_properties(data)
    assert [oracle.understood(v) for v in found] == [oracle.understood(v) for v in properties]
    assert wire.encode_properties(found) == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00\x00", {}),
        (b"\x00\x04\x01a", {"cluster_id": "a"}),
        (b"\x80\x00\x01\xff", {"content_type": b"\xff"}),
        (b"\x00\x80\x01\xff", {"message_id": b"\xff"}),
        (b"\x08\x00\xc8", {"priority": 200}),
        (b"\x10\x00\x07", {"delivery_mode": 7}),
    ],
)
def test_properties_mean_what_they_mean_to_rabbitmq(data: bytes, expected: dict[str, Any]) -> None:
    """Recorded from RabbitMQ 3.10.8, which does not ask whether strings are UTF-8."""
    assert wire.decode_properties(data) == wire.Properties(**expected)
    wire.scan(data)


@pytest.mark.parametrize(
    "change",
    [
        {"content_type": "x" * 256},
        {"priority": 256},
        {"delivery_mode": -1},
        {"timestamp": -1},
        {"timestamp": 2**64},
        {"headers": {"a": 2**63}},
        {"user_id": "\ud800"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_no_property_can_hold_is_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"255|range|surrogates"):
        wire.encode_properties(wire.Properties(**change))


# --- the scanner --------------------------------------------------------------------------------------


def facts_of(data: bytes) -> wire.PropertyFacts:
    """The slow, obvious twin of `scan`."""
    found = wire.Properties(*twin.decode_properties(data))

    def raw(value: str | bytes | None) -> bytes | None:
        return value.encode() if isinstance(value, str) else value

    before = wire.Properties(content_type=found.content_type, content_encoding=found.content_encoding)
    return wire.PropertyFacts(
        persistent=found.delivery_mode == 2,
        expiration=raw(found.expiration),
        priority=found.priority,
        user_id=raw(found.user_id),
        reply_to=raw(found.reply_to),
        headers_position=0 if found.headers is None else len(wire.encode_properties(before)),
    )


@settings(deadline=None)
@given(PROPERTIES)
def test_scan_finds_what_decoding_finds(properties: wire.Properties) -> None:
    data = wire.encode_properties(properties)
    facts = wire.scan(data)
    assert facts == facts_of(data)
    if properties.headers is not None:
        found = wire.decode_table(data, facts.headers_position)
        assert twin.typed(found) == twin.typed(properties.headers)


@settings(deadline=None)
@given(damaged(PROPERTIES.map(wire.encode_properties)) | st.binary(max_size=60))
def test_damage_is_refused_by_scan_and_decoder_exactly_when_the_twin_refuses_it(data: bytes) -> None:
    """What is stored can be opened later: in a dead-letter queue, in the management API."""
    try:
        expected = twin.decode_properties(data)
    except twin.Malformed:
        for read in (wire.scan, wire.decode_properties):
            with pytest.raises(wire.WireError) as caught:
                read(data)
            assert caught.value.code == 502
    else:
        assert twin.typed(tuple(wire.decode_properties(data))) == twin.typed(expected)
        assert wire.scan(data) == facts_of(data)


def test_every_truncation_and_lengthening_of_properties_is_refused() -> None:
    data = wire.encode_properties(ALL_PROPERTIES)
    assert wire.scan(data).user_id == b"guest"
    for wrong in (*(data[:size] for size in range(len(data))), data + b"\x00", data + b"\xff" * 300):
        with pytest.raises(wire.WireError, match=r"malformed|longer"):
            wire.scan(wrong)
        with pytest.raises(wire.WireError, match=r"malformed|longer"):
            wire.decode_properties(wrong)


@pytest.mark.parametrize("flags", [1, 2, 3])
def test_undefined_flags_are_refused(flags: int) -> None:
    """RabbitMQ ignores them; clients to whom it hands them on do not."""
    for data in (bytes((0, flags)), bytes((0, flags, 0, 0)), bytes((0x10, flags, 2))):
        with pytest.raises(wire.WireError, match="undefined flags"):
            wire.scan(data)
        with pytest.raises(wire.WireError, match="undefined flags"):
            wire.decode_properties(data)


@pytest.mark.parametrize("mode", [0, 1, 3, 255])
def test_only_delivery_mode_two_is_persistent(mode: int) -> None:
    assert not wire.scan(bytes((0x10, 0, mode))).persistent
    assert wire.scan(b"\x10\x00\x02").persistent


# --- errors and their texts ---------------------------------------------------------------------------


def test_wire_error_blames_the_peer_and_carries_a_reply_code() -> None:
    error = wire.WireError("why", 501)
    assert isinstance(error, RemoteProtocolError)
    assert (error.code, error.detail, str(error)) == (501, "why", "why")


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_clipped_text_fits_into_a_short_string(text: str) -> None:
    clipped = wire.clipped(text)
    size = len(text.encode())
    assert len(clipped.encode()) <= 255
    assert clipped == text if size <= 255 else clipped.endswith("...") and text.startswith(clipped[:-3])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "<<>>"),
        (b"abc", '<<"abc">>'),
        (b'"q\\', '<<"\\"q\\\\">>'),
        (b"a\n\t\x1b", '<<"a\\n\\t\\e">>'),
        (b"\x00<", "<<0,60>>"),
        (b"\x7f", "<<127>>"),
        (b"\x07", "<<7>>"),
    ],
)
def test_octets_are_shown_as_erlang_shows_them(data: bytes, text: str) -> None:
    """Recorded from Erlang's ~p."""
    assert wire.octets_text(data) == text
