"""The codec and pamqp on the same bytes: whole frames both ways, and bytes of which one was changed.

`test_wire`, `test_wire_tables` and `test_methods` compare the two on what either of them writes; the twin and
`fuzz_wire` prove what pamqp cannot (see `oracle`). Here: what both accept, both understand alike.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from pillarbox.protocols.amqp091 import methods, wire

from . import oracle

PAMQP_METHODS = tuple(method for method in methods.METHODS.values() if method.id >> 16 != 30)
VALUES: dict[str, Any] = {
    "octet": 7,
    "short": 300,
    "long": 1 << 20,
    "longlong": 1 << 40,
    "bit": True,
    "shortstr": "name",
    "longstr": b"response",
    "table": {"k": "v", "t": {"list": [True, None, "x"]}},
}


@pytest.mark.filterwarnings("ignore:This command is deprecated:DeprecationWarning")
@pytest.mark.parametrize("method", PAMQP_METHODS, ids=lambda method: method.name)
def test_frame_of_every_method_is_read_by_pamqp_and_written_alike(method: methods.Method) -> None:
    """4.2.4: type, channel, ids, arguments and end, octet for octet."""
    arguments = [VALUES[type_] for _, type_ in method.arguments]
    ours = methods.method_frame(513, method.id, *arguments)
    size, channel, found = frame.unmarshal(ours)
    assert (size, channel, found.name) == (len(ours), 513, type(found).name)
    assert [oracle.understood(getattr(found, name)) for name in found.attributes()] == [
        oracle.understood(value) for value in arguments
    ]
    told = VALUES | {"longstr": "response"}
    theirs = oracle.encode_method(method.id, {name: told[type_] for name, type_ in method.arguments})
    assert wire.frame(wire.FRAME_METHOD, 513, theirs) == ours


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 65535),
    oracle.properties(oracle.TOLD_TABLES),
    st.binary(max_size=600),
    st.integers(50, 300) | st.just(0),
)
def test_content_frames_are_read_by_pamqp(
    channel: int, properties: wire.Properties, body: bytes, frame_max: int
) -> None:
    """4.2.6: the header and all pieces of the body."""
    data = wire.content_frames(channel, wire.encode_properties(properties), body, frame_max)
    size, number, header = frame.unmarshal(data)
    assert number == channel
    assert isinstance(header, ContentHeader)
    assert header.body_size == len(body)
    assert isinstance(header.properties, commands.Basic.Properties)
    pieces = []
    data = data[size:]
    while data:
        size, number, piece = frame.unmarshal(data)
        assert number == channel
        assert isinstance(piece, ContentBody)
        assert frame_max == 0 or size <= frame_max
        pieces.append(piece.value)
        data = data[size:]
    assert b"".join(pieces) == body


@st.composite
def overwritten(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes of which one is another: unlike what lost or won bytes, many of these are valid still."""
    data = bytearray(draw(whole))
    data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255) | st.sampled_from(b"bBsuIilLtVSxAF"))
    return bytes(data)


SIMPLE: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.text("ab\u00e9", max_size=9),
    st.binary(max_size=9),
)
TABLES: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text("kl", max_size=4),
    st.recursive(
        SIMPLE,
        lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text("k", max_size=2), one),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)


def is_exempt(value: Any) -> bool:
    """Holds something of which `oracle` says that pamqp reads it otherwise."""
    if isinstance(value, dict):
        return any(is_exempt(item) for item in value.values())
    if isinstance(value, list):
        return any(is_exempt(item) for item in value)
    return isinstance(value, (float, wire.Decimal, wire.Timestamp))


@settings(max_examples=500, deadline=None)
@given(overwritten(TABLES.map(wire.encode_table)))
def test_overwritten_table_means_the_same_to_both_if_both_accept_it(data: bytes) -> None:
    """4.2.5.5; who refuses what differs, and is the twin's to prove."""
    try:
        ours = wire.decode_table(data)
    except wire.WireError:
        event("refused")
        return
    try:
        theirs = oracle.decode_table(data)
    except Exception:  # pamqp lets whatever happens to it out.
        event("refused by pamqp")
        return
    if not is_exempt(ours):
        event("compared")
        assert oracle.understood(ours) == theirs


@settings(max_examples=500, deadline=None)
@given(overwritten(oracle.properties(TABLES).map(wire.encode_properties)))
def test_overwritten_properties_mean_the_same_to_both_if_both_accept_them(data: bytes) -> None:
    """4.2.6.1."""
    try:
        ours = wire.decode_properties(data)
    except wire.WireError:
        event("refused")
        return
    try:
        theirs = oracle.decode_properties(data)
    except Exception:  # pamqp lets whatever happens to it out.
        event("refused by pamqp")
        return
    # Not the cluster id, which pamqp calls empty, nor times beyond its calendar.
    if not is_exempt(ours.headers) and (ours.timestamp or 0) < 2**32:
        event("compared")
        assert [oracle.understood(value) for value in ours[:-1]] == list(theirs[:-1])
