"""Field tables of AMQP 0-9-1, and the error of all its codecs.

A table that is decoded and encoded again gives the same bytes, except that duplicate keys become one
(the last wins), any true `t` becomes 1 and the old name `L` of a 64-bit integer becomes `l`, as RabbitMQ
writes them.

Python's own types stand for the usual field types: bool t, int I (l beyond 32 bits), float d, str S,
bytes x, None V, list A, dict F. The subclasses below stand for the rest: they compare by value like their
bases, and remember how they were written.

Stricter than RabbitMQ, to spare consumers who would choke on it: a key must be UTF-8.

Source: AMQP 0-9-1 specification 4.2.5; RabbitMQ's errata for field types; `rabbit_binary_parser` and
`rabbit_binary_generator` of RabbitMQ 3.10.8, asked with the bytes in `tests/protocols/amqp091`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, ClassVar, Final, NamedTuple

from pillarbox.errors import RemoteProtocolError

DEPTH_MAX: Final = 128
"""Tables and arrays within one another. RabbitMQ has no bound, but its stack grows; ours is the
interpreter's, 1000 frames by default, of which one goes for each level. Real messages nest three deep."""

FIELDS_MAX: Final = 4096
"""Fields of a message's headers, nested ones included: a millisecond's work or two. RabbitMQ has no bound."""

SHORTSTR_MAX: Final = 255
"""One octet holds the size of a short string."""

FRAME_ERROR: Final = 501
SYNTAX_ERROR: Final = 502


class WireError(RemoteProtocolError):
    """Bytes that are no AMQP: the reply code for the close, and its text without the code's name."""

    def __init__(self, detail: str, code: int = SYNTAX_ERROR) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


# --- field types that Python does not tell apart -----------------------------------------------------


class Byte(int):
    """Signed 8 bits, `b`."""

    __slots__ = ()
    wire_type: ClassVar[str] = "byte"


class UnsignedByte(int):
    """Unsigned 8 bits, `B`."""

    __slots__ = ()
    wire_type: ClassVar[str] = "unsignedbyte"


class Short(int):
    """Signed 16 bits, `s` (in RabbitMQ's dialect; a short string in the specification)."""

    __slots__ = ()
    wire_type: ClassVar[str] = "short"


class UnsignedShort(int):
    """Unsigned 16 bits, `u`."""

    __slots__ = ()
    wire_type: ClassVar[str] = "unsignedshort"


class UnsignedInt(int):
    """Unsigned 32 bits, `i`."""

    __slots__ = ()
    wire_type: ClassVar[str] = "unsignedint"


class Long(int):
    """Signed 64 bits, `l`, for a value that would fit 32; larger ones are plain integers."""

    __slots__ = ()
    wire_type: ClassVar[str] = "long"


class Timestamp(int):
    """Seconds since 1970, unsigned 64 bits, `T`."""

    __slots__ = ()
    wire_type: ClassVar[str] = "timestamp"


class Float(float):
    """32 bits, `f`."""

    __slots__ = ()
    wire_type: ClassVar[str] = "float"


class LongString(bytes):
    """A long string, `S`, that is no UTF-8; one that is, is a `str`."""

    __slots__ = ()
    wire_type: ClassVar[str] = "longstr"


class Decimal(NamedTuple):
    """`unscaled` (unsigned 32 bits) divided by ten to the power `scale` (unsigned 8 bits), `D`."""

    scale: int
    unscaled: int

    @property
    def wire_type(self) -> str:
        return "decimal"


INT_MIN: Final = -(1 << 31)
INT_MAX: Final = (1 << 31) - 1

_TYPE_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    float: "double",
    str: "longstr",
    bytes: "binary",
    type(None): "void",
    list: "array",
    dict: "table",
}


def type_name(value: Any) -> str:
    """The name that RabbitMQ gives to the field type of a value, as in its error texts."""
    if type(value) is int:
        return "signedint" if INT_MIN <= value <= INT_MAX else "long"
    name: str = getattr(value, "wire_type", "") or _TYPE_NAMES[type(value)]
    return name


# --- reading tables ----------------------------------------------------------------------------------
#
# Readers take (data, position, depth) and return the value and the position behind it. They do not compare
# with the end of the table around them: whoever reads on finds that its position has overshot. Reading
# past the data raises IndexError or struct.error, which the public functions turn into WireError.

Reader = Callable[[bytes, int, int], tuple[Any, int]]

FAULTS: Final = (IndexError, struct.error, UnicodeDecodeError)
"""What readers raise besides WireError when bytes run out or are no UTF-8."""

_uint32 = Struct(">I").unpack_from


def read_table(data: bytes, position: int, depth: int = 0) -> tuple[dict[str, Any], int]:
    """Read a table with its size. Raises also IndexError, struct.error and UnicodeDecodeError: for codecs."""
    stop = position + 4 + _uint32(data, position)[0]
    return _read_fields(data, position + 4, stop, depth), stop


def _read_fields(data: bytes, position: int, stop: int, depth: int) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise WireError(f"tables nested deeper than {DEPTH_MAX}")
    if stop > len(data):
        raise WireError("table longer than the data")
    table = {}
    readers = _READERS
    while position < stop:
        kind = position + 1 + data[position]
        key = data[position + 1 : kind].decode()
        table[key], position = readers[data[kind]](data, kind + 1, depth + 1)
    if position != stop:
        raise WireError("field longer than its table")
    return table


def _read_array(data: bytes, position: int, depth: int) -> tuple[list[Any], int]:
    stop = position + 4 + _uint32(data, position)[0]
    if depth > DEPTH_MAX:
        raise WireError(f"arrays nested deeper than {DEPTH_MAX}")
    if stop > len(data):
        raise WireError("array longer than the data")
    position += 4
    values = []
    readers = _READERS
    while position < stop:
        value, position = readers[data[position]](data, position + 1, depth + 1)
        values.append(value)
    if position != stop:
        raise WireError("value longer than its array")
    return values, stop


def _read_string(data: bytes, position: int, depth: int) -> tuple[str | LongString, int]:
    start = position + 4
    stop = start + _uint32(data, position)[0]
    try:
        return data[start:stop].decode(), stop
    except UnicodeDecodeError:
        return LongString(data[start:stop]), stop


def _read_bytes(data: bytes, position: int, depth: int) -> tuple[bytes, int]:
    start = position + 4
    stop = start + _uint32(data, position)[0]
    return data[start:stop], stop


def _read_bool(data: bytes, position: int, depth: int) -> tuple[bool, int]:
    return data[position] != 0, position + 1


def _read_void(data: bytes, position: int, depth: int) -> tuple[None, int]:
    return None, position


_int64 = Struct(">q").unpack_from


def _read_long(data: bytes, position: int, depth: int) -> tuple[int, int]:
    (value,) = _int64(data, position)
    return (Long(value) if INT_MIN <= value <= INT_MAX else value), position + 8


_decimal = Struct(">BI").unpack_from


def _read_decimal(data: bytes, position: int, depth: int) -> tuple[Decimal, int]:
    return Decimal(*_decimal(data, position)), position + 5


def _read_unknown(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    raise WireError(f"unknown field type {octets_text(data[position - 1 : position])}")


def fixed_reader(code: str, type_: Callable[[Any], Any]) -> Reader:
    unpack, size = Struct(code).unpack_from, struct.calcsize(code)

    def read(data: bytes, position: int, depth: int) -> tuple[Any, int]:
        return type_(unpack(data, position)[0]), position + size

    return read


def _finite(type_: Callable[[float], float]) -> Callable[[float], float]:
    """Refuse NaN and infinities: Erlang has none, so no consumer of RabbitMQ ever met one."""

    def check(value: float) -> float:
        if not math.isfinite(value):
            raise WireError("floating point field that is no finite number")
        return type_(value)

    return check


# Field type → (struct code, type of the value), for what has a fixed size and nothing special.
_FIXED: Final[dict[str, tuple[str, type]]] = {
    "b": (">b", Byte),
    "B": (">B", UnsignedByte),
    "s": (">h", Short),
    "u": (">H", UnsignedShort),
    "I": (">i", int),
    "i": (">I", UnsignedInt),
    "T": (">Q", Timestamp),
    "f": (">f", Float),
    "d": (">d", float),
}

_FLOATS: Final = (Float, float)

_BY_LETTER: Final[dict[str, Reader]] = {
    **{
        letter: fixed_reader(code, _finite(type_) if type_ in _FLOATS else type_)
        for letter, (code, type_) in _FIXED.items()
    },
    "t": _read_bool,
    "l": _read_long,
    "L": _read_long,
    "D": _read_decimal,
    "S": _read_string,
    "x": _read_bytes,
    "V": _read_void,
    "A": _read_array,
    "F": read_table,
}

_READERS: Final[tuple[Reader, ...]] = tuple(_BY_LETTER.get(chr(octet), _read_unknown) for octet in range(256))

_SIZED, _TABLE, _ARRAY, _UNSURE = -1, -2, -3, -4

# What `_skip` does with a field type: its size if fixed, else one of the four above.
_STEPS_BY_LETTER: Final[dict[str, int]] = {
    **{letter: struct.calcsize(code) for letter, (code, type_) in _FIXED.items() if type_ not in _FLOATS},
    **dict.fromkeys("lL", 8),
    **dict.fromkeys("Sx", _SIZED),
    "t": 1,
    "D": 5,
    "V": 0,
    "F": _TABLE,
    "A": _ARRAY,
}

_STEPS: Final[tuple[int, ...]] = tuple(_STEPS_BY_LETTER.get(chr(octet), _UNSURE) for octet in range(256))


def check_table(data: bytes, position: int) -> int:
    """Return the position behind the table that starts here. Raises what `read_table` raises.

    The common case is decided without making a single value, in a third of the time; whenever something is
    unusual, `read_table` has the word. Cost: 0.15 us a field, twice that if not all is ASCII; where strangers
    choose the number of fields, `demand_few_fields` comes first.
    """
    try:
        stop = _skip(data, position, 0, keyed=True)
        # All octets below 128, so all keys are UTF-8. The size is left out: it says nothing about them.
        if stop and not data[position + 4 : stop].isascii():
            keys: list[bytes] = []
            _skip(data, position, 0, keyed=True, keys=keys)
            # With something between them, so that no character is made of the halves of two.
            b"\0".join(keys).decode()
        if stop:
            return stop
    except (IndexError, struct.error):
        pass
    return read_table(data, position)[1]


_SIZES: Final[dict[int, int]] = {
    **{ord(letter): size for letter, size in _STEPS_BY_LETTER.items()},
    **{ord(letter): struct.calcsize(code) for letter, (code, _) in _FIXED.items()},
}


def demand_few_fields(data: bytes, position: int) -> None:
    """Raise WireError if a table has more than `FIELDS_MAX` fields, those of what is nested in it included.

    Cost: never more than for so many. What is malformed is for others to find.
    """
    stops = [(position + 4 + _uint32(data, position)[0], True)]
    position += 4
    count = 0
    while stops:
        stop, keyed = stops[-1]
        if position >= stop:
            stops.pop()
            continue
        count += 1
        if count > FIELDS_MAX:
            raise WireError(f"more than {FIELDS_MAX} fields in a table")
        if keyed:
            position += 1 + data[position]
        step = _SIZES.get(data[position])
        position += 1
        if step is None:
            return
        if step >= 0:
            position += step
        else:
            end = position + 4 + _uint32(data, position)[0]
            if step == _SIZED:
                position = end
            else:
                stops.append((end, step == _TABLE))
                position += 4


def _skip(data: bytes, position: int, depth: int, *, keyed: bool, keys: list[bytes] | None = None) -> int:
    """Return the position behind a table or an array, or 0 if it cannot be vouched for; note its keys."""
    stop: int = position + 4 + _uint32(data, position)[0]
    if depth > DEPTH_MAX or stop > len(data):
        return 0
    position += 4
    steps = _STEPS
    if not keyed and position < stop and _is_uniform(data, position, stop):
        return stop
    while position < stop:
        if keyed:
            start = position + 1
            position = start + data[position]
            if keys is not None:
                keys.append(data[start:position])
        step = steps[data[position]]
        position += 1
        if step >= 0:
            position += step
        elif step == _SIZED:
            position += 4 + _uint32(data, position)[0]
        elif step == _UNSURE:
            return 0
        else:
            position = _skip(data, position, depth + 1, keyed=step == _TABLE, keys=keys)
            if not position:
                return 0
    return stop if position == stop else 0


def _is_uniform(data: bytes, position: int, stop: int) -> bool:
    """Are all values of an array of one type and size? Long arrays mostly are, and need no walk."""
    size = _STEPS[data[position]] + 1
    if size <= 0 or (stop - position) % size:
        return False
    kinds = data[position:stop:size]
    return kinds.count(data[position]) == len(kinds)


def decode_table(data: bytes, position: int = 0) -> dict[str, Any]:
    """Read the table that starts, with its size, at this position; what follows it is left alone."""
    try:
        return read_table(data, position)[0]
    except FAULTS as fault:
        raise WireError(f"malformed table: {fault_words(fault)}") from None


def decode_table_body(data: bytes) -> dict[str, Any]:
    """Read a table that fills the whole input and has no size before it (AMQPLAIN's response)."""
    try:
        return _read_fields(data, 0, len(data), 0)
    except FAULTS as fault:
        raise WireError(f"malformed table: {fault_words(fault)}") from None


def fault_words(fault: Exception) -> str:
    return "key is no UTF-8" if isinstance(fault, UnicodeDecodeError) else "truncated"


# --- writing tables ----------------------------------------------------------------------------------

Writer = Callable[[bytearray, Any, int], None]

_pack_uint32 = Struct(">I").pack
_pack_int = Struct(">ci").pack
_pack_long = Struct(">cq").pack
_pack_decimal = Struct(">cBI").pack


def encode_table(table: Mapping[str, Any]) -> bytes:
    """Write a table with its size.

    Raises ValueError for what no table can hold: a key beyond 255 bytes, an integer beyond 64 bits, NaN,
    another type than those in the module's docstring.
    """
    out = bytearray()
    write_table(out, table)
    return bytes(out)


def write_table(out: bytearray, table: Mapping[str, Any], depth: int = 0) -> None:
    """Append a table with its size. Raises struct.error too: for codecs."""
    if depth > DEPTH_MAX:
        raise ValueError(f"tables nested deeper than {DEPTH_MAX}")
    start = len(out)
    out += b"\0\0\0\0"
    for key, value in table.items():
        name = key.encode()
        if len(name) > SHORTSTR_MAX:
            raise ValueError(f"table key of {len(name)} bytes, at most {SHORTSTR_MAX} are possible")
        out.append(len(name))
        out += name
        _write_value(out, value, depth + 1)
    out[start : start + 4] = _pack_uint32(len(out) - start - 4)


def _write_value(out: bytearray, value: Any, depth: int) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise ValueError(f"no field type for {type(value).__name__}")
    try:
        writer(out, value, depth)
    except (struct.error, OverflowError):
        raise ValueError(f"out of range for {type_name(value)}: {value}") from None


def _write_array(out: bytearray, values: list[Any], depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError(f"arrays nested deeper than {DEPTH_MAX}")
    start = len(out)
    out += b"A\0\0\0\0"
    for value in values:
        _write_value(out, value, depth + 1)
    out[start + 1 : start + 5] = _pack_uint32(len(out) - start - 5)


def _write_nested(out: bytearray, table: Mapping[str, Any], depth: int) -> None:
    out += b"F"
    write_table(out, table, depth)


def _write_int(out: bytearray, value: int, depth: int) -> None:
    out += _pack_int(b"I", value) if INT_MIN <= value <= INT_MAX else _pack_long(b"l", value)


def _write_text(out: bytearray, value: str, depth: int) -> None:
    data = value.encode()
    out += b"S" + _pack_uint32(len(data)) + data


def _sized_writer(letter: bytes) -> Writer:
    def write(out: bytearray, value: bytes, depth: int) -> None:
        out += letter + _pack_uint32(len(value)) + value

    return write


def _fixed_writer(letter: str, code: str) -> Writer:
    pack, prefix = Struct(code).pack, letter.encode()

    def write(out: bytearray, value: Any, depth: int) -> None:
        out += prefix + pack(value)

    return write


def _finite_writer(letter: str, code: str) -> Writer:
    write = _fixed_writer(letter, code)

    def check(out: bytearray, value: float, depth: int) -> None:
        if not math.isfinite(value):
            raise ValueError(f"a table holds finite numbers only, not {value}")
        write(out, value, depth)

    return check


def _write_bool(out: bytearray, value: bool, depth: int) -> None:
    out += b"t\x01" if value else b"t\x00"


def _write_void(out: bytearray, value: None, depth: int) -> None:
    out += b"V"


def _write_decimal(out: bytearray, value: Decimal, depth: int) -> None:
    out += _pack_decimal(b"D", value.scale, value.unscaled)


_WRITERS: Final[dict[type, Writer]] = {
    **{
        type_: (_finite_writer if type_ in _FLOATS else _fixed_writer)(letter, code)
        for letter, (code, type_) in _FIXED.items()
    },
    bool: _write_bool,
    int: _write_int,
    Long: _fixed_writer("l", ">q"),
    Decimal: _write_decimal,
    str: _write_text,
    LongString: _sized_writer(b"S"),
    bytes: _sized_writer(b"x"),
    type(None): _write_void,
    list: _write_array,
    dict: _write_nested,
}


# --- texts of errors ---------------------------------------------------------------------------------


def clipped(text: str) -> str:
    """A reply text that fits into a short string, cut the way RabbitMQ cuts it."""
    data = text.encode()
    if len(data) <= SHORTSTR_MAX:
        return text
    return data[: SHORTSTR_MAX - 3].decode(errors="ignore") + "..."


def shortened(name: str) -> str:
    """As much of a name as a short string holds: other protocols, and dead letters, may have longer ones."""
    data = name.encode()
    return name if len(data) <= SHORTSTR_MAX else data[:SHORTSTR_MAX].decode(errors="ignore")


_ESCAPES: Final = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e"}
_PRINTABLE: Final = {
    **{octet: chr(octet) for octet in range(32, 127)},
    **_ESCAPES,
    34: '\\"',
    92: "\\\\",
}


def octets_text(payload: bytes) -> str:
    """Bytes as RabbitMQ's error texts show them, which is Erlang's way: `<<"text">>` or `<<0,60>>`."""
    shown = payload[:SHORTSTR_MAX]
    if shown and all(octet in _PRINTABLE for octet in shown):
        return f'<<"{"".join(_PRINTABLE[octet] for octet in shown)}">>'
    return f"<<{','.join(map(str, shown))}>>"
