"""Whatever a client sends, it gets an ERROR frame or nothing: no traceback, and others go on (A10)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.protocols.stomp.connection import State
from pillarbox.protocols.stomp.policies import Policies, Policy
from pillarbox.protocols.stomp.wire import Scanner, read_head
from tests.protocols.stomp.rig import NOW_MS, without_socket
from tests.protocols.stomp.words import COMMANDS, PAIRS

header = st.sampled_from(PAIRS)
frame = st.tuples(st.sampled_from(COMMANDS), st.lists(header, max_size=6), st.binary(max_size=5))


def bytes_of(said: list[tuple[str, list[tuple[str, str]], bytes]]) -> bytes:
    out = b""
    for command, headers, body in said:
        lines = "".join(f"{name}:{value}\n" for name, value in headers)
        out += f"{command}\n{lines}content-length:{len(body)}\n\n".encode() + body + b"\0"
    return out


def answered(data: bytes) -> list[str]:
    """The commands of everything that came back, each of which can be read."""
    scanner = Scanner()
    scanner.body_bytes_max = len(data)
    scanner.feed(data)
    found = []
    while (got := scanner.next()) is not None:
        found.append(read_head(got[0], "1.2")[0])
    assert not scanner.waiting_bytes
    return found


ACTIVEMQ = {"is_activemq": True}
ARTEMIS = ACTIVEMQ | {
    "is_artemis": True,
    "anycast_prefixes": ("/queue/",),
    "multicast_prefixes": ("/topic/",),
}
LIMIT = Policy(limit_bytes=400, pending_max=1, slow="abort")
LIMITED = ACTIVEMQ | {"policies": Policies(LIMIT)}
FAILING = ACTIVEMQ | {"policies": Policies(LIMIT._replace(full="fail")), "send_fail_if_no_space": True}
LOSING = ACTIVEMQ | {"policies": Policies(LIMIT._replace(full="drop", evict="superseded", evict_by="n"))}


@settings(max_examples=120, deadline=None)
@given(st.lists(frame, max_size=12), st.sampled_from(({}, ACTIVEMQ, ARTEMIS, LIMITED, FAILING, LOSING)))
@pytest.mark.row("A10", "A1")
def test_any_frames_are_answered_in_frames(
    said: list[tuple[str, list[tuple[str, str]], bytes]], dialect: dict[str, Any]
) -> None:
    connection = without_socket(**dialect)
    connection.receive(b"CONNECT\naccept-version:1.2\nclient-id:c\n\n\0")
    connection.receive(bytes_of(said))
    for _ in range(5):
        connection.core.tick(NOW_MS)
    commands = answered(b"".join(connection.take_output()))
    assert commands[0] == "CONNECTED"
    assert set(commands[1:]) <= {"MESSAGE", "RECEIPT", "ERROR"}
    connection.closed("gone")
    assert connection.state is State.CLOSED
    assert not connection.core.sessions


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), st.booleans())
@pytest.mark.row("A10")
def test_any_bytes_are_answered_in_frames(data: bytes, logged_in: bool) -> None:
    connection = without_socket()
    if logged_in:
        connection.receive(b"CONNECT\naccept-version:1.2\n\n\0")
    connection.receive(data)
    assert set(answered(b"".join(connection.take_output()))) <= {"CONNECTED", "ERROR", "RECEIPT"}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(frame, max_size=10),
    st.binary(max_size=10),
    st.booleans(),
    st.lists(st.integers(1, 400), max_size=6),
)
@pytest.mark.row("A10")
def test_any_split_of_a_connection_gives_the_same(
    said: list[tuple[str, list[tuple[str, str]], bytes]], tail: bytes, activemq: bool, cuts: list[int]
) -> None:
    """Where the network cuts the input does not matter, nor whether it is in order."""
    data = b"CONNECT\naccept-version:1.2\nclient-id:c\n\n\0" + bytes_of(said) + tail
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    seen = []
    for pieces in ([data], [data[a:b] for a, b in pairwise(places)], [bytes((byte,)) for byte in data]):
        connection = without_socket(is_activemq=activemq)
        for piece in pieces:
            if not connection.want_close:
                connection.receive(piece)
        for _ in range(5):
            connection.core.tick(NOW_MS)
        queues = [(one.name, one.ready_count, one.unacked_count) for one in connection.core.all_queues()]
        seen.append((b"".join(map(bytes, connection.take_output())), connection.state, queues))
        connection.closed("gone")
    assert seen[0] == seen[1] == seen[2]
