"""Hypothesis strategies for what AMQP 0-9-1 can carry."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pillarbox.protocols.amqp091 import wire


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def texts(bytes_max: int) -> st.SearchStrategy[str]:
    """Texts of at most so many bytes in UTF-8."""
    characters = st.characters(codec="utf-8")
    return st.text(characters, max_size=bytes_max).filter(lambda text: len(text.encode()) <= bytes_max)


SHORTSTRS = texts(255) | st.sampled_from(("", "x" * 255, "ключ", "é" * 127))
NOT_UTF8 = st.binary(min_size=1, max_size=40).map(lambda data: data + b"\xff")


def _integers(type_: type[int], least: int, most: int) -> st.SearchStrategy[int]:
    edges = st.sampled_from((least, most, 0 if least <= 0 else least))
    return (st.integers(least, most) | edges).map(type_)


INT32 = (-(2**31), 2**31 - 1)

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.none(),
    _integers(int, -(2**63), 2**63 - 1),
    _integers(int, *INT32),
    _integers(wire.Byte, -128, 127),
    _integers(wire.UnsignedByte, 0, 255),
    _integers(wire.Short, -(2**15), 2**15 - 1),
    _integers(wire.UnsignedShort, 0, 2**16 - 1),
    _integers(wire.UnsignedInt, 0, 2**32 - 1),
    _integers(wire.Long, *INT32),
    _integers(wire.Timestamp, 0, 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(wire.Float),
    st.builds(wire.Decimal, st.integers(0, 255), st.integers(0, 2**32 - 1)),
    texts(300),
    st.binary(max_size=300),
    NOT_UTF8.map(wire.LongString),
)


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=5) | st.dictionaries(texts(255), values, max_size=5)


VALUES = st.recursive(SCALARS, _containers, max_leaves=20)
TABLES: st.SearchStrategy[dict[str, Any]] = st.dictionaries(SHORTSTRS, VALUES, max_size=8)

ASCII = st.characters(max_codepoint=127)
_PLAIN: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(0, 127),
    st.builds(wire.Long, st.integers(0, 127)),
    st.builds(wire.Decimal, st.integers(0, 127), st.integers(0, 127)),
    st.text(ASCII, max_size=40),
    st.binary(max_size=40).filter(bytes.isascii),
)
PLAIN_TABLES: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(ASCII, max_size=20),
    st.recursive(_PLAIN, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(ASCII), v, max_size=3)),
    max_size=5,
)
"""Tables whose octets are below 128, as most are: `check_table` has a fast path for them."""

ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "octet": st.integers(0, 2**8 - 1),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**64 - 1),
    "shortstr": SHORTSTRS,
    "longstr": st.binary(max_size=300),
    "bit": st.booleans(),
    "table": TABLES,
}

PROPERTY_STRINGS = st.none() | SHORTSTRS | NOT_UTF8
OCTETS = st.none() | st.integers(0, 255)
PROPERTIES = st.builds(
    wire.Properties,
    content_type=PROPERTY_STRINGS,
    content_encoding=PROPERTY_STRINGS,
    headers=st.none() | TABLES,
    delivery_mode=OCTETS,
    priority=OCTETS,
    correlation_id=PROPERTY_STRINGS,
    reply_to=PROPERTY_STRINGS,
    expiration=PROPERTY_STRINGS,
    message_id=PROPERTY_STRINGS,
    timestamp=st.none() | st.integers(0, 2**64 - 1),
    type=PROPERTY_STRINGS,
    user_id=PROPERTY_STRINGS,
    app_id=PROPERTY_STRINGS,
    cluster_id=PROPERTY_STRINGS,
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes after a few changes: cut, overwritten, lengthened."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(("cut", "overwrite", "insert", "delete"))):
            case "cut":
                del data[place:]
            case "overwrite":
                data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=4))
            case "delete":
                del data[place : place + 1]
    return bytes(data)
