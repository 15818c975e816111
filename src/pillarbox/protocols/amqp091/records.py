"""Messages of streams as Kafka records, and records as messages of AMQP 0-9-1.

A record is what every protocol can read: its value is the body, its key the routing key, its timestamp the
moment of arrival. Headers of the message are headers of the record under their own names, text as UTF-8,
`None` as null, numbers and truth as text; `amqp.types` is JSON that gives the field type of those that are no
text. Arrays, tables and decimals keep AMQP's encoding. Properties are `amqp.content-type` and so on, the
exchange is `amqp.exchange`. A header whose own name begins with `amqp.` is put behind `amqp.header.`.

Each distinct list of properties is mapped once and kept (bounded), in both directions: the mapping costs
nothing per message where messages look alike.

Whoever writes records may write anything. A header whose name is too long for AMQP is left out, one whose
value is not what `amqp.types` says is text, and a number that its property cannot hold is not there.

Source: AMQP 0-9-1, 4.2.5 and 4.2.6.1; Apache Kafka protocol, "Record". Invariant: what `encode` was given,
`decode` gives back, except that there is a header `x-stream-offset` and headers are sorted, as in RabbitMQ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.dialects import Dialects
from pillarbox.broker.streams import Decoded
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.publishing import NATIVE, ORIGIN
from pillarbox.store.batch import (
    BatchError,
    BatchHeader,
    Buffer,
    RawRecord,
    encode_prepared,
    header_fields,
    key_field,
    read_header,
    read_header_fields,
)
from pillarbox.store.codecs import open_records
from pillarbox.store.producers import is_aborted

if TYPE_CHECKING:
    from pillarbox.engine.logs import Aborted, Slice

_log = logging.getLogger("pillarbox.amqp")

OFFSET = "x-stream-offset"
FILTER = "x-stream-filter-value"

PREFIX = "amqp."
ESCAPE = "amqp.header."
TYPES = "amqp.types"
EXCHANGE = "amqp.exchange"

KEPT_MAX = 4096
"""Mappings that are kept, in each direction: some megabytes, for publishers that repeat their properties."""
KEPT_BYTES_MAX = 1024
"""Longer property lists are mapped each time: nobody repeats them."""

BATCH_BYTES = 1 << 20
"""Bodies after which a tick's messages go on in another batch: a reader decodes one at a time."""
BATCH_MESSAGES = 4000

_TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
_NUMBERS = {"delivery_mode": 255, "priority": 255, "timestamp": (1 << 64) - 1}
"""With the highest that there is of each."""
_PROPERTY_NAMES = {name: PREFIX + name.replace("_", "-") for name in (*_TEXTS, *_NUMBERS)}
_PROPERTIES = {text: name for name, text in _PROPERTY_NAMES.items()}

_pack_offset = Struct(">q").pack

# Type of a header's value → (its letter, to text). Text itself and null have no letter.
_TO_TEXT: dict[type, tuple[str, Callable[[Any], str]]] = {
    bool: ("t", lambda value: str(value).lower()),
    int: ("I", str),
    wire.Byte: ("b", lambda value: str(int(value))),
    wire.UnsignedByte: ("B", lambda value: str(int(value))),
    wire.Short: ("s", lambda value: str(int(value))),
    wire.UnsignedShort: ("u", lambda value: str(int(value))),
    wire.UnsignedInt: ("i", lambda value: str(int(value))),
    wire.Long: ("l", lambda value: str(int(value))),
    wire.Timestamp: ("T", lambda value: str(int(value))),
    float: ("d", repr),
    wire.Float: ("f", lambda value: repr(float(value))),
}


def _read_text(read: Callable[[str], Any], content: bytes) -> Any:
    return read(content.decode())


_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "t": lambda text: text == "true",
    "I": int,
    "b": lambda text: wire.Byte(int(text)),
    "B": lambda text: wire.UnsignedByte(int(text)),
    "s": lambda text: wire.Short(int(text)),
    "u": lambda text: wire.UnsignedShort(int(text)),
    "i": lambda text: wire.UnsignedInt(int(text)),
    "l": lambda text: wire.Long(int(text)),
    "T": lambda text: wire.Timestamp(int(text)),
    "d": float,
    "f": lambda text: wire.Float(float(text)),
}
BINARY, RAW_TEXT, ENCODED = "x", "S", "*"
"""Letters of bytes, of a string that is no UTF-8, and of what keeps AMQP's own encoding."""

_READERS: dict[str, Callable[[bytes], Any]] = {
    ENCODED: lambda content: wire.decode_table(content).get(""),
    **{letter: partial(_read_text, read) for letter, read in _FROM_TEXT.items()},
}


def to_headers(address: Address, properties: bytes) -> list[tuple[bytes, bytes | None]]:
    """The headers of a record for a message that was published so."""
    found = wire.decode_properties(properties)
    out: list[tuple[bytes, bytes | None]] = []
    types: dict[str, str] = {}
    for name, value in (found.headers or {}).items():
        own = ESCAPE + name if name.startswith(PREFIX) else name
        content, letter = _header_content(value)
        out.append((own.encode(), content))
        if letter:
            types[own] = letter
    if found.headers is not None and (types or not found.headers):
        out.append((TYPES.encode(), msgspec.json.encode(types)))
    if address.exchange:
        out.append((EXCHANGE.encode(), address.exchange.encode()))
    for name, text in _PROPERTY_NAMES.items():
        value = getattr(found, name)
        if value is not None:
            out.append((text.encode(), value if isinstance(value, bytes) else str(value).encode()))
    return out


def _header_content(value: Any) -> tuple[bytes | None, str]:
    """How a header's value is written, and the letter of its type."""
    if isinstance(value, str):
        return value.encode(), ""
    if value is None:
        return None, ""
    if isinstance(value, wire.LongString):
        return bytes(value), RAW_TEXT
    if isinstance(value, bytes):
        return value, BINARY
    known = _TO_TEXT.get(type(value))
    if known is not None:
        return known[1](value).encode(), known[0]
    return wire.encode_table({"": value}), ENCODED


def from_headers(headers: list[tuple[bytes, bytes | None]]) -> tuple[str, wire.Properties]:
    """The exchange and the properties behind a record's headers, whoever has written them."""
    own: dict[str, Any] = {}
    values: dict[str, Any] = {}
    types: dict[str, str] = {}
    exchange = ""
    has_table = False
    for raw, content in headers:
        name = raw.decode("utf-8", "replace")
        if name == EXCHANGE:
            exchange = (content or b"").decode("utf-8", "replace")
        elif name == TYPES:
            has_table = True
            types = _types(content)
        elif name in _PROPERTIES and content is not None:
            values[_PROPERTIES[name]] = content
        else:
            own[name] = content
    table = {
        bare: _header_value(content, types.get(name, ""))
        for name, content in own.items()
        if len((bare := name.removeprefix(ESCAPE)).encode()) <= wire.SHORTSTR_MAX
    }
    for name in _TEXTS:
        if name in values:
            values[name] = _text(values[name][: wire.SHORTSTR_MAX])
    for name, highest in _NUMBERS.items():
        if name in values:
            values[name] = _number(values[name], highest)
    empty = wire.Properties(*(None for _ in wire.Properties._fields))
    return exchange, empty._replace(headers=table if table or has_table else None, **values)


def _types(content: bytes | None) -> dict[str, str]:
    try:
        return msgspec.json.decode(content or b"{}", type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


def _number(content: bytes, highest: int) -> int | None:
    """The number that these digits are; None: they are none, or it is too large."""
    number = int(content) if content.isdigit() and len(content) <= len(str(highest)) else None
    return None if number is None or number > highest else number


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _header_value(content: bytes | None, letter: str) -> Any:
    if content is None:
        return None
    if letter == BINARY:
        return content
    text = _text(content)
    if letter != ENCODED and isinstance(text, bytes):
        return wire.LongString(text) if letter == RAW_TEXT else text
    read = _READERS.get(letter)
    if read is None:
        return text
    try:
        value = read(content)
        wire.encode_table({"": value})
    except (ValueError, wire.WireError):
        return text
    return value


class _Delivered(msgspec.Struct, frozen=True, eq=False):
    """What the messages of one key and one list of headers have in common."""

    address: Address
    before: bytes
    """Properties up to the offset, which has eight bytes."""
    after: bytes
    filter: str | None


class RecordCodec:
    """The `StreamCodec` of this protocol."""

    def __init__(self, dialects: Dialects) -> None:
        self._dialects = dialects
        self._written: dict[tuple[Address, bytes], tuple[bytes, bytes]] = {}
        self._read: dict[tuple[bytes | None, bytes], _Delivered] = {}

    def __repr__(self) -> str:
        return f"<RecordCodec written={len(self._written)} read={len(self._read)}>"

    # --- into the log --------------------------------------------------------------------------------

    def encode(self, messages: list[Message]) -> Iterator[bytes]:
        """See `StreamCodec`."""
        known = self._written.get
        records: list[tuple[bytes, bytes | bytearray, bytes, int]] = []
        size = 0
        for message in messages:
            address, properties, body = message.address, message.properties, message.body
            fields = known((address, properties)) or self._map(message)
            records.append((fields[0], body, fields[1], message.accepted_ms))
            size += len(body)
            if size >= BATCH_BYTES or len(records) >= BATCH_MESSAGES:
                yield _batch(records)
                records, size = [], 0
        if records:
            yield _batch(records)

    def _map(self, message: Message) -> tuple[bytes, bytes]:
        address, properties = message.address, message.properties
        said = message if address.origin in NATIVE else self._dialects.translated(message, ORIGIN)
        fields = (
            key_field(address.routing_key.encode()),
            header_fields(to_headers(address, said.properties)),
        )
        if len(properties) <= KEPT_BYTES_MAX:
            if len(self._written) >= KEPT_MAX:
                self._written.clear()
            self._written[address, properties] = fields
        return fields

    # --- out of the log ------------------------------------------------------------------------------

    def decode(self, found: Slice, aborted: list[Aborted]) -> Decoded:
        """See `StreamCodec`. What cannot be read, which its producer alone can have caused, is left out."""
        messages: list[Message] = []
        filters: list[str | None] = []
        offsets: list[int] | None = None
        following = found.offset_first
        known = self._read.get
        pack = _pack_offset
        for chunk in found.chunks:
            position = 0
            while position < len(chunk):
                header = read_header(chunk, position)
                records = _readable(chunk, position, header, aborted)
                dense = header.base_offset == following and len(records) == header.last_offset_delta + 1
                following = header.next_offset
                if offsets is None and not dense:
                    offsets = list(range(found.offset_first, found.offset_first + len(messages)))
                for offset, moment, key, value, headers in records:
                    like = known((key, headers)) or self._learn(key, headers)
                    properties = like.before + pack(offset) + like.after
                    messages.append(Message(like.address, properties, value, moment))
                    filters.append(like.filter)
                if offsets is not None:
                    offsets += [record.offset for record in records]
                position += header.size
        return Decoded(found.offset_first, found.offset_next, messages, filters, offsets)

    def _learn(self, key: bytes | None, headers: bytes) -> _Delivered:
        exchange, properties = from_headers(read_header_fields(headers))
        table = properties.headers or {}
        value = table.get(FILTER)
        # The offset is packed anew for each message, at a place that is found by writing up to it.
        table = {**{name: table[name] for name in table if name != OFFSET}, OFFSET: wire.Long(0)}
        table = dict(sorted(table.items()))
        names = list(table)
        upto = {name: table[name] for name in names[: names.index(OFFSET) + 1]}
        lead = properties._replace(headers=None, **dict.fromkeys(_AFTER_HEADERS))
        position = len(wire.encode_properties(lead._replace(headers=upto)))
        whole = wire.encode_properties(properties._replace(headers=table))
        address = Address(ORIGIN, exchange, (key or b"").decode("utf-8", "replace"))
        delivered = _Delivered(
            address, whole[: position - 8], whole[position:], value if isinstance(value, str) else None
        )
        if len(headers) <= KEPT_BYTES_MAX:
            if len(self._read) >= KEPT_MAX:
                self._read.clear()
            self._read[key, headers] = delivered
        return delivered


def _readable(chunk: Buffer, position: int, header: BatchHeader, aborted: list[Aborted]) -> list[RawRecord]:
    """The records of a batch that readers get."""
    if header.is_control or (aborted and is_aborted(header, aborted)):
        return []
    try:
        return open_records(chunk, position, header)
    except BatchError as error:
        _log.warning("records from offset %d on cannot be read: %s", header.base_offset, error)
        return []


_AFTER_HEADERS = wire.Properties._fields[wire.Properties._fields.index("headers") + 1 :]


def _batch(records: list[tuple[bytes, bytes | bytearray, bytes, int]]) -> bytes:
    return b"".join(encode_prepared(records, timestamp_ms=records[0][3]).chunks)


__all__ = ["RecordCodec", "from_headers", "to_headers"]
