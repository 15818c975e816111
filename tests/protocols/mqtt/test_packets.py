"""The codec against its slow twin, and against everything that is not MQTT."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pillarbox.protocols.mqtt import packets, properties
from pillarbox.protocols.mqtt.packets import (
    Answer,
    Auth,
    Connect,
    Disconnect,
    Packet,
    PingRequest,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from pillarbox.protocols.mqtt.primitives import INTEGER_MAX, Reader, WireError, integer
from pillarbox.protocols.mqtt.reasons import ReasonCode
from tests.protocols.mqtt import peer

VERSIONS = (3, 4, 5)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
numbers = st.integers(1, 0xFFFF)
blobs = st.binary(max_size=40)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "B": st.integers(0, 1),
    "H": numbers,
    "I": st.integers(1, 0xFFFFFFFF),
    "text": texts,
    "binary": blobs,
    "integer": st.integers(1, INTEGER_MAX),
    "pair": st.tuples(texts, texts),
}


def properties_of(packet: int) -> st.SearchStrategy[dict[str, Any]]:
    values = {}
    for row in properties.PROPERTIES:
        if packet in row.packets:
            value = VALUES[peer.KINDS[row.identifier]]
            values[row.name] = st.lists(value, min_size=1, max_size=3) if row.repeated else value
    return st.fixed_dictionaries({}, optional=values)


@st.composite
def said(draw: st.DrawFn) -> tuple[int, Packet]:
    """A version, and a packet that a client of it may send."""
    version = draw(st.sampled_from(VERSIONS))

    def more(packet: int) -> dict[str, Any]:
        if version < 5:
            return {}
        found = draw(properties_of(packet))
        # It is the broker that says in PUBLISH which there are; a client gives one.
        numbers = found.pop("subscription_identifier", [])
        return found | ({"subscription_identifier": numbers[:1]} if numbers and packet == 8 else {})

    kind = draw(
        st.sampled_from((1, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15) if version == 5 else (1, 3, 4, 8, 10, 12, 14))
    )
    if kind == 1:
        will = draw(st.booleans())
        username = draw(st.none() | texts)
        password = draw(st.none() | blobs) if username is not None or version == 5 else None
        topic, payload, qos, retain = draw(st.tuples(texts, blobs, st.integers(0, 2), st.booleans()))
        return version, Connect(
            version=version,
            clean=draw(st.booleans()),
            keep_alive_s=draw(st.integers(0, 0xFFFF)),
            client_id=draw(texts),
            will=Will(topic=topic, payload=payload, qos=qos, retain=retain, properties=more(16))
            if will
            else None,
            username=username,
            password=password,
            properties=more(1),
        )
    if kind == 3:
        qos = draw(st.integers(0, 2))
        return version, Publish(
            topic=draw(texts),
            payload=draw(blobs),
            qos=qos,
            retain=draw(st.booleans()),
            duplicate=bool(qos) and draw(st.booleans()),
            packet_id=draw(numbers) if qos else 0,
            properties=more(3),
        )
    if kind in (4, 5, 6, 7):
        reason = draw(st.sampled_from((0, 0x10, 0x92))) if version == 5 else 0
        return version, Answer(kind, draw(numbers), reason, more(kind))
    if kind == 8:
        options = st.tuples(st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2))
        rows = []
        for topic in draw(st.lists(texts, min_size=1, max_size=3)):
            qos, no_local, as_published, handling = draw(options)
            five = (no_local, as_published, handling) if version == 5 else ()
            rows.append(Subscription(topic, qos, *five))
        return version, Subscribe(draw(numbers), rows, more(8))
    if kind == 10:
        return version, Unsubscribe(draw(numbers), draw(st.lists(texts, min_size=1, max_size=3)), more(10))
    if kind == 12:
        return version, PingRequest()
    reason = draw(st.sampled_from((0, 4, 0x18, 0x81))) if version == 5 else 0
    return version, Disconnect(reason, more(14)) if kind == 14 else Auth(reason, more(15))


def demand_refusal(error: WireError) -> None:
    """A client of version 5 can be told why."""
    assert error.reason >= ReasonCode.UNSPECIFIED


def taken(data: bytes, version: int) -> Packet:
    """Decode one packet that is there as a whole."""
    sized = packets.size_of(data, 0)
    assert sized is not None
    start, end = sized
    assert end == len(data)
    return packets.decode(data[0], data[start:end], version)


@pytest.mark.row("R141")
@given(said())
def test_a_packet_means_what_its_sender_meant(case: tuple[int, Packet]) -> None:
    version, packet = case
    assert taken(peer.encode(packet, version), version) == packet


@given(said(), st.integers(0, 60))
def test_a_packet_that_has_not_arrived_whole_waits(case: tuple[int, Packet], missing: int) -> None:
    version, packet = case
    data = peer.encode(packet, version)
    for size in range(max(0, len(data) - missing), len(data)):
        sized = packets.size_of(data[:size], 0)
        assert sized is None or sized[1] == len(data)


@given(st.integers(0, 255), st.binary(max_size=60), st.sampled_from(VERSIONS))
@example(0x10, b"\x00\x04MQTT\x05\x02\x00\x00\x05\x26\xff\xff\xff\xff\x00\x00", 5)
def test_nothing_but_one_error_leaves_the_codec(first: int, fields: bytes, version: int) -> None:
    try:
        packet = packets.decode(first, fields, version)
    except WireError as error:
        demand_refusal(error)
    else:
        version = packet.version if isinstance(packet, Connect) else version
        assert taken(peer.encode(packet, version), version) == packet


@given(said(), st.data())
def test_a_byte_changed_is_another_packet_or_an_error(case: tuple[int, Packet], data: st.DataObject) -> None:
    version, packet = case
    raw = bytearray(peer.encode(packet, version))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] = data.draw(st.integers(0, 255))
    try:
        sized = packets.size_of(raw, 0)
        if sized is not None and sized[1] <= len(raw):
            packets.decode(raw[0], bytes(raw[sized[0] : sized[1]]), version)
    except WireError as error:
        demand_refusal(error)


MALFORMED = [
    (0x00, b"", 4, "MALFORMED_PACKET"),
    (0x20, b"\0\0", 4, "MALFORMED_PACKET"),
    (0xF0, b"", 4, "PROTOCOL_ERROR"),
    (0x11, b"", 4, "MALFORMED_PACKET"),
    (0x36, b"\0\1a\0\1", 4, "MALFORMED_PACKET"),
    (0x38, b"\0\1a", 4, "MALFORMED_PACKET"),
    (0x32, b"\0\1a\0\0", 4, "PROTOCOL_ERROR"),
    (0x30, b"\0\1\0", 4, "MALFORMED_PACKET"),
    (0x30, b"\0\2\xff\xfe", 4, "MALFORMED_PACKET"),
    (0x30, b"\0\3\xed\xa0\x80", 4, "MALFORMED_PACKET"),
    (0x30, b"\0\5a", 4, "MALFORMED_PACKET"),
    (0x40, b"\0\1\0", 4, "MALFORMED_PACKET"),
    (0x60, b"\0\1", 4, "MALFORMED_PACKET"),
    (0x82, b"\0\1", 4, "PROTOCOL_ERROR"),
    (0x82, b"\0\1\0\1a\3", 4, "MALFORMED_PACKET"),
    (0x82, b"\0\1\0\1a\4", 4, "MALFORMED_PACKET"),
    (0x82, b"\0\1\0\0\1a\x30", 5, "MALFORMED_PACKET"),
    (0x82, b"\0\1\0\0\1a\x40", 5, "MALFORMED_PACKET"),
    (0xA2, b"\0\1", 4, "PROTOCOL_ERROR"),
    (0xC0, b"\0", 4, "MALFORMED_PACKET"),
    (0x10, b"\0\4MQTX\4\2\0\0\0\0", 4, "UNSUPPORTED_PROTOCOL_VERSION"),
    (0x10, b"\0\4MQTT\6\2\0\0\0\0", 4, "UNSUPPORTED_PROTOCOL_VERSION"),
    (0x10, b"\0\6MQIsdp\4\2\0\0\0\0", 4, "UNSUPPORTED_PROTOCOL_VERSION"),
    (0x10, b"\0\4MQTT\4\3\0\0\0\0", 4, "MALFORMED_PACKET"),
    (0x10, b"\0\4MQTT\4\x20\0\0\0\0", 4, "MALFORMED_PACKET"),
    (0x10, b"\0\4MQTT\4\x1c\0\0\0\0", 4, "MALFORMED_PACKET"),
    (0x10, b"\0\4MQTT\4\x40\0\0\0\0", 4, "MALFORMED_PACKET"),
    (0x30, b"\0\1a\2\x01\2", 5, "PROTOCOL_ERROR"),
    (0x30, b"\0\1a\3\x23\0\0", 5, "TOPIC_ALIAS_INVALID"),
    (0x30, b"\0\1a\2\x0b\0", 5, "PROTOCOL_ERROR"),
    (0x30, b"\0\1a\4\x01\1\x01\1", 5, "PROTOCOL_ERROR"),
    (0x30, b"\0\1a\5\x11\0\0\0\1", 5, "PROTOCOL_ERROR"),
    (0x30, b"\0\1a\1\x04", 5, "MALFORMED_PACKET"),
    (0x30, b"\0\1a\x80\0", 5, "MALFORMED_PACKET"),
    (0x30, b"\0\1a\xff\xff\xff\xff\x01", 5, "MALFORMED_PACKET"),
]


@pytest.mark.parametrize(("first", "fields", "version", "reason"), MALFORMED)
def test_what_is_wrong_has_its_reason(first: int, fields: bytes, version: int, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        packets.decode(first, fields, version)
    assert caught.value.reason is ReasonCode[reason]


def test_a_size_has_at_most_four_bytes() -> None:
    with pytest.raises(WireError, match="four bytes"):
        packets.size_of(b"\x30\xff\xff\xff\xff\x01", 0)
    assert packets.size_of(b"\x30\xff\xff\xff", 0) is None


def test_there_is_a_bound_to_filters_and_user_properties() -> None:
    many = Subscribe(1, [Subscription("a")] * (packets.FILTERS_MAX + 1), {})
    pairs = {"user_property": [("a", "b")] * (properties.USER_PROPERTIES_MAX + 1)}
    for packet in (many, Publish(topic="a", payload=b"", properties=pairs)):
        with pytest.raises(WireError) as caught:
            taken(peer.encode(packet, 5), 5)
        assert caught.value.reason is ReasonCode.QUOTA_EXCEEDED


@given(st.integers(0, INTEGER_MAX))
@example(127)
@example(128)
@example(INTEGER_MAX)
def test_numbers_of_seven_bits_a_byte(value: int) -> None:
    assert integer(value) == peer.integer(value)
    assert Reader(integer(value)).integer() == value


def understood(data: bytes, version: int) -> peer.Received:
    received, rest = peer.decode(data, version)
    assert not rest
    return received


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_broker_sends_is_understood(version: int) -> None:
    five = version == 5
    more = {"receive_maximum": 10, "user_property": [("a", "b")], "assigned_client_identifier": None}
    connack = understood(packets.connack(version, 0, session_present=True, properties=more), version)
    assert connack.fields == {"session_present": 1, "reason": 0} | (
        {"properties": {"receive_maximum": 10, "user_property": [("a", "b")]}} if five else {}
    )
    for kind in (4, 5, 6, 7):
        answer = understood(packets.answer(kind, 9, version, 0x92, "what"), version)
        assert (answer.kind, answer.flags) == (kind, 2 if kind == 6 else 0)
        assert answer.fields == {"packet_id": 9, "reason": 0x92 if five else 0} | (
            {"properties": {"reason_string": "what"}} if five else {}
        )
        assert len(packets.answer(kind, 9, version)) == 4
    suback = understood(packets.suback(3, version, [0, 1, 2, 0x80]), version)
    assert suback.fields["reasons"] == [0, 1, 2, 0x80]
    unsuback = understood(packets.unsuback(3, version, [0, 0x11]), version)
    assert unsuback.fields["reasons"] == ([0, 0x11] if five else [])
    assert understood(packets.PING_RESPONSE, version) == (13, 0, {})
    assert understood(packets.disconnect(0x8E, "other"), 5).fields == {
        "reason": 0x8E,
        "properties": {"reason_string": "other"},
    }
