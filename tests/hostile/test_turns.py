"""How long one frame can hold everybody up: the worst that fits into 128 KiB stays linear, and is read once.

The bounds are ten times what a test machine needs, so that only another order of growth breaks them; each row
names what was measured (CPython 3.11, one core of a virtual machine).
"""

from __future__ import annotations

import struct
import time

import pytest

from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.handshake import State
from tests.hostile.fuzz_connection import Attack

SPACE = 130_000
KEY = b"\x01k"


def sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def filled(field: bytes) -> bytes:
    """A table of as many of these fields as fit."""
    return sized(field * (SPACE // len(field)))


def array(value: bytes) -> bytes:
    """A table with one array of as many of these values as fit."""
    return sized(KEY + b"A" + sized(value * (SPACE // len(value))))


# What the table holds → (its bytes, measured ms, bound in ms).
WORST: dict[str, tuple[bytes, float, float]] = {
    "65,000 fields without name and value": (filled(b"\0V"), 10, 200),
    "32,500 booleans": (filled(KEY + b"t\1"), 5, 100),
    "26,000 fields whose names are no ASCII": (filled(b"\2\xc3\xa9t\1"), 9, 200),
    "array of 130,000 voids": (array(b"V"), 0.2, 10),
    "array of 26,000 integers": (array(b"I\0\0\0\7"), 0.1, 10),
    "array of 26,000 floats": (array(b"f\x3f\0\0\0"), 12, 250),
    "array of 26,000 empty arrays": (array(b"A\0\0\0\0"), 10, 250),
    "array of 26,000 empty tables": (array(b"F\0\0\0\0"), 10, 250),
    "array of two kinds in turn": (array(b"Vt\1"), 11, 250),
}


def seconds(work: object) -> float:
    assert callable(work)
    started = time.process_time()
    work()
    return time.process_time() - started


@pytest.mark.parametrize("what", WORST)
def test_worst_header_table_is_read_in_bounded_time(what: str) -> None:
    table, _, bound_ms = WORST[what]
    properties = b"\x20\x00" + table
    assert min(seconds(lambda: wire.scan(properties)) for _ in range(3)) * 1000 < bound_ms


@pytest.mark.parametrize("what", WORST)
def test_worst_header_table_is_refused_in_bounded_time(what: str) -> None:
    """As headers of a message none of these is taken: they have more fields than anybody needs."""
    table, _, bound_ms = WORST[what]
    attack = Attack(0)
    (connection, _) = attack.connections
    frames = struct.pack(">BHIHH", 1, 1, 4 + 2 + 1 + 1 + 1 + 1, 60, 40) + b"\0\0\0\1q\0\xce"
    frames += wire.header_frame(1, 1, b"\x20\x00" + table) + wire.frame(3, 1, b"x")
    assert seconds(lambda: connection.receive(frames)) * 1000 < bound_ms
    assert connection.state is State.CLOSING
    assert attack.core.vhosts["/"].queues["q"].ready_count == 0


def test_size_of_a_table_does_not_square_its_cost() -> None:
    small, large = (b"\x20\x00" + sized(b"\0V" * count) for count in (6_500, 65_000))
    quick = min(seconds(lambda: wire.scan(small)) for _ in range(5))
    slow = min(seconds(lambda: wire.scan(large)) for _ in range(5))
    assert slow < 40 * quick
