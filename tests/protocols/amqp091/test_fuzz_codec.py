"""The codec and pamqp on the same bytes: whole frames both ways, and bytes that were damaged on the way.

`test_wire`, `test_wire_tables` and `test_methods` compare the two on what either of them writes; the twin and
`fuzz_wire` prove what pamqp cannot (see `oracle`). Here: what both accept, both understand alike.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from pillarbox.protocols.amqp091 import methods, wire

from . import oracle
from .strategies import damaged

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


EXEMPT = re.compile(rb"[TDfd]")
"""Types that pamqp reads differently (see `oracle`); keys and texts with these letters go with them."""


@settings(max_examples=1000, deadline=None)
@given(damaged(oracle.TOLD_TABLES.map(wire.encode_table)))
def test_damaged_table_means_the_same_to_both_if_both_accept_it(data: bytes) -> None:
    """4.2.5.5; who refuses what differs, and is the twin's to prove."""
    if EXEMPT.search(data):
        return
    try:
        ours = wire.decode_table(data)
    except wire.WireError:
        return
    try:
        theirs = oracle.decode_table(data)
    except Exception:  # pamqp lets whatever happens to it out.
        return
    assert oracle.understood(ours) == theirs


@settings(max_examples=1000, deadline=None)
@given(damaged(oracle.properties(oracle.TOLD_TABLES).map(wire.encode_properties)))
def test_damaged_properties_mean_the_same_to_both_if_both_accept_them(data: bytes) -> None:
    """4.2.6.1."""
    try:
        ours = wire.decode_properties(data)
    except wire.WireError:
        return
    if EXEMPT.search(data) or ours.timestamp is not None or ours.cluster_id is not None:
        return
    try:
        theirs = oracle.decode_properties(data)
    except Exception:  # pamqp lets whatever happens to it out.
        return
    assert [oracle.understood(value) for value in ours[:-1]] == list(theirs[:-1])
