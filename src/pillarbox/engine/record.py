"""One record of messages as bytes: what a journal group carries, a backlog segment keeps and a load reads.

Purpose: `RecordCodec` encodes messages for their queues and decodes any part of them; `Columns` picks
messages out of records for new ones. Not here: the group around a record (`facts`), where it rests (`local`).

A record stands on its own: it has its size and checksum inside, so it is copied verbatim when it is moved,
and loaded alone. Layout, big-endian (n messages, t targets, a addresses):

    0 format u8 | 1 crc u32 (of all that follows it) | 5 size u32 (of the whole value) | 9 flags u8
    10 n u32 | 14 t u32 | 18 a u32 | 22 accepted_ms i64 (of the first) | 30 body_bytes u64 | 38:
    t * uid u64, t * first sequence u64, and if not ALIGNED: t * index u32, t * count u32
    a * length u32, and if a > 1: n * address number u32
    if not SAME_ACCEPTED: n * accepted_ms i64
    if EXPIRATIONS: n * expiration_ms i64
    if MIXED: n * persistent u8
    n * properties length u32, n * body length u32
    addresses, properties, bodies

A target says: messages index..index+count-1 have the sequences first..first+count-1 in queue uid. ALIGNED
means that every target spans all messages; records that were slimmed or merged are not ALIGNED.

This is the hot path of every durable publish: columns are packed whole, nothing is done per message
that a comprehension cannot do. `tests/engine/test_facts.py` holds the slow, obvious twin.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from pillarbox.engine.base import NO_EXPIRATION, Address, Body, Message
from pillarbox.store.crc import crc32c
from pillarbox.store.files import StoreError

FORMAT = 1
"""First byte of every value. A reader refuses what it does not know."""

ALIGNED = 0x01
SAME_ACCEPTED = 0x02
EXPIRATIONS = 0x04
PERSISTENT = 0x08
MIXED = 0x10

HEAD_SIZE = 38
CRC_END = 5

ADDRESSES_MAX = 4096
"""Addresses remembered in either direction; beyond, the cache starts anew. A publisher that makes up a
routing key per message would fill the memory otherwise."""

_HEAD = struct.Struct(">BIIBIIIqQ")
_CRC = struct.Struct(">I")
_ADDRESS = struct.Struct(">HI")
_ONE = struct.Struct(">BIIBIIIqQ QQ III")
_ONE_EXPIRING = struct.Struct(">BIIBIIIqQ QQ IqII")


class Head(NamedTuple):
    """The fixed fields of a MESSAGES value."""

    format: int
    crc: int
    size: int
    flags: int
    messages: int
    targets: int
    addresses: int
    accepted_ms: int
    body_bytes: int


class Target(NamedTuple):
    """That many messages, from that index on, have the sequences from that one on in that queue."""

    uid: int
    sequence_first: int
    index_first: int
    message_count: int


class Columns:
    """Messages picked from records, one list per field: what slimming and merging work on."""

    __slots__ = ("accepted", "addresses", "bodies", "expirations", "persistent", "properties")

    def __init__(self) -> None:
        self.addresses: list[bytes] = []
        self.accepted: list[int] = []
        self.expirations: list[int] = []
        self.persistent: list[bool] = []
        self.properties: list[bytes] = []
        self.bodies: list[bytes] = []

    def add_single(self, value: bytes) -> int | None:
        """Take the message of a record of one message for one queue, as most are that get merged.

        Return its sequence; None, and nothing is taken, for any other value, also a damaged one.
        """
        if len(value) < _ONE.size:
            return None
        _, crc, size, flags, count, targets, _, accepted_ms, _, _, sequence, raw, properties, body = (
            _ONE.unpack_from(value)
        )
        if (
            count != 1
            or targets != 1
            or flags & (ALIGNED | SAME_ACCEPTED | EXPIRATIONS | MIXED) != ALIGNED | SAME_ACCEPTED
            or size != len(value)
            or size != _ONE.size + raw + properties + body
            or value[0] != FORMAT
            or crc32c(memoryview(value)[CRC_END:]) != crc
        ):
            return None
        start = _ONE.size + raw
        self.addresses.append(value[_ONE.size : start])
        self.accepted.append(accepted_ms)
        self.expirations.append(NO_EXPIRATION)
        self.persistent.append(bool(flags & PERSISTENT))
        self.properties.append(value[start : start + properties])
        self.bodies.append(value[start + properties :])
        found: int = sequence
        return found

    def add(self, value: bytes, head: Head, indexes: Sequence[int]) -> None:
        """Take the messages at these places of a verified value."""
        layout = _Layout(value, head)
        raws = layout.addresses()
        numbers, accepted = layout.numbers, layout.accepted
        expirations, persistent = layout.expirations, layout.persistent
        props, ends = layout.properties_ends, layout.body_ends
        count = len(indexes)
        self.addresses += [raws[numbers[i]] for i in indexes] if numbers else [raws[0]] * count
        self.accepted += [accepted[i] for i in indexes] if accepted else [head.accepted_ms] * count
        self.expirations += [expirations[i] for i in indexes] if expirations else [NO_EXPIRATION] * count
        self.persistent += (
            [bool(persistent[i]) for i in indexes] if persistent else [bool(head.flags & PERSISTENT)] * count
        )
        self.properties += [value[props[i] : props[i + 1]] for i in indexes]
        self.bodies += [value[ends[i] : ends[i + 1]] for i in indexes]


class RecordCodec:
    """Encoder and decoder of records; owns the two bounded caches between addresses and their bytes."""

    def __init__(self) -> None:
        self._raw: dict[Address, bytes] = {}
        self._addresses: dict[bytes, Address] = {}

    def encode_messages(self, targets: Sequence[tuple[int, int]], messages: list[Message]) -> bytearray:
        """Encode one MESSAGES value. Cost: about 0.2 us a message, some more for the record."""
        count = len(messages)
        if count == 1 and len(targets) == 1:
            return self._encode_one(*targets[0], messages[0])
        addresses = [message.address for message in messages]
        raw = self._raw
        if addresses.count(addresses[0]) == count:
            numbers: Sequence[int] = ()
            raws = [raw.get(addresses[0]) or self._encode_address(addresses[0])]
        else:
            distinct = dict.fromkeys(addresses)
            raws = [raw.get(address) or self._encode_address(address) for address in distinct]
            number_of = dict(zip(distinct, range(len(distinct)), strict=True))
            numbers = [number_of[address] for address in addresses]
        flags = ALIGNED
        accepted: Sequence[int] = [message.accepted_ms for message in messages]
        first_ms = accepted[0]
        if accepted.count(first_ms) == count:
            flags |= SAME_ACCEPTED
            accepted = ()
        expirations: Sequence[int] = [message.expiration_ms for message in messages]
        if expirations.count(NO_EXPIRATION) == count:
            expirations = ()
        else:
            flags |= EXPIRATIONS
        persistent: Sequence[bool] = [message.persistent for message in messages]
        if persistent.count(True) == count:
            flags |= PERSISTENT
            persistent = ()
        elif True in persistent:
            flags |= MIXED
        else:
            persistent = ()
        if len(targets) == 1:
            spans: tuple[int, ...] = targets[0]
        else:
            spans = (*[uid for uid, _ in targets], *[first for _, first in targets])
        return _join(
            flags,
            count,
            struct.pack(f">{len(spans)}Q", *spans),
            len(targets),
            raws,
            numbers,
            first_ms,
            accepted,
            expirations,
            persistent,
            [message.properties for message in messages],
            [message.body for message in messages],
        )

    def _encode_one(self, uid: int, first: int, message: Message) -> bytearray:
        """The same bytes for a single message of a single queue, at half the cost."""
        address = message.address
        raw = self._raw.get(address) or self._encode_address(address)
        properties, body = message.properties, message.body
        flags = ALIGNED | SAME_ACCEPTED | PERSISTENT if message.persistent else ALIGNED | SAME_ACCEPTED
        expiration_ms = message.expiration_ms
        sizes = len(raw), len(properties), len(body)
        if expiration_ms == NO_EXPIRATION:
            size = _ONE.size + sum(sizes)
            head = _ONE.pack(
                FORMAT, 0, size, flags, 1, 1, 1, message.accepted_ms, sizes[2], uid, first, *sizes
            )
        else:
            flags |= EXPIRATIONS
            size = _ONE_EXPIRING.size + sum(sizes)
            head = _ONE_EXPIRING.pack(
                FORMAT, 0, size, flags, 1, 1, 1, message.accepted_ms, sizes[2], uid, first,
                sizes[0], expiration_ms, sizes[1], sizes[2],
            )  # fmt: skip
        value = bytearray().join((head, raw, properties, body))
        _CRC.pack_into(value, 1, crc32c(memoryview(value)[CRC_END:]))
        return value

    def _encode_address(self, address: Address) -> bytes:
        raw = encode_address(address)
        if len(self._raw) >= ADDRESSES_MAX:
            self._raw.clear()
        self._raw[address] = raw
        return raw

    # --- decoding ----------------------------------------------------------------------------------

    def decode_messages(self, value: bytes, uid: int, sequences: Sequence[int]) -> list[tuple[int, Message]]:
        """The messages of one queue out of a MESSAGES value, by sequence; those it lacks are left out.

        StoreError if the value is damaged. Cost: O(messages in the record) small, O(wanted) larger.
        """
        head = read_head(value)
        check_value(value, head)
        found = find_messages(read_targets(value, head), uid, sequences)
        if not found:
            return []
        columns = _Layout(value, head)
        addresses = [self._decode_address(raw) for raw in columns.addresses()]
        number = columns.numbers or [0] * head.messages
        accepted = columns.accepted or [head.accepted_ms] * head.messages
        expirations = columns.expirations or [NO_EXPIRATION] * head.messages
        persistent = columns.persistent or [bool(head.flags & PERSISTENT)] * head.messages
        props = columns.properties_ends
        ends = columns.body_ends
        return [
            (
                sequence,
                Message(
                    addresses[number[i]],
                    value[props[i] : props[i + 1]],
                    value[ends[i] : ends[i + 1]],
                    accepted[i],
                    expirations[i],
                    bool(persistent[i]),
                ),
            )
            for sequence, i in found
        ]

    def _decode_address(self, raw: bytes) -> Address:
        address = self._addresses.get(raw)
        if address is None:
            address = decode_address(raw)
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            self._addresses[raw] = address
        return address


def _join(
    flags: int,
    count: int,
    targets: bytes,
    target_count: int,
    raws: list[bytes],
    numbers: Sequence[int],
    accepted_ms: int,
    accepted: Sequence[int],
    expirations: Sequence[int],
    persistent: Sequence[bool],
    properties: list[bytes],
    bodies: Sequence[Body],
) -> bytearray:
    """Put a MESSAGES value together from its columns; an empty column is left out."""
    body_sizes = list(map(len, bodies))
    body_bytes = sum(body_sizes)
    sizes = struct.pack(f">{2 * count}I", *map(len, properties), *body_sizes)
    optional = b""
    if numbers or accepted or expirations or persistent:
        optional = b"".join(
            (
                struct.pack(f">{len(numbers)}I", *numbers),
                struct.pack(f">{len(accepted)}q", *accepted),
                struct.pack(f">{len(expirations)}q", *expirations),
                bytes(persistent),
            )
        )
    fixed = b"".join((targets, struct.pack(f">{len(raws)}I", *map(len, raws)), optional, sizes, *raws))
    head = bytearray(HEAD_SIZE)
    value = bytearray().join((head, fixed, *properties, *bodies))
    _HEAD.pack_into(
        value, 0, FORMAT, 0, len(value), flags, count, target_count, len(raws), accepted_ms, body_bytes
    )
    _CRC.pack_into(value, 1, crc32c(memoryview(value)[CRC_END:]))
    return value


# --- parts of a record ------------------------------------------------------------------------------------


def read_head(data: bytes | bytearray | memoryview, position: int = 0) -> Head:
    """The fixed fields; StoreError for another format or too few bytes."""
    if len(data) - position < HEAD_SIZE:
        raise StoreError("a stored record is shorter than its head")
    head = Head._make(_HEAD.unpack_from(data, position))
    if head.format != FORMAT:
        raise StoreError(f"a stored record has format {head.format}, this version reads {FORMAT}")
    # Every message takes eight bytes for its two lengths, every target sixteen: no count can claim more.
    if head.size < HEAD_SIZE + 8 * head.messages + 16 * head.targets + 4 * head.addresses:
        raise StoreError("a stored record has impossible counts")
    return head


def check_value(value: bytes | memoryview, head: Head) -> None:
    """StoreError unless the value is exactly as long as its head says and its checksum holds."""
    if len(value) != head.size or crc32c(memoryview(value)[CRC_END:]) != head.crc:
        raise StoreError("a stored record is damaged: its checksum does not hold")


def read_targets(data: bytes | memoryview, head: Head, position: int = 0) -> list[Target]:
    """Which sequences of which queues the record holds."""
    position += HEAD_SIZE
    t = head.targets
    spans = struct.unpack_from(f">{2 * t}Q", data, position)
    if head.flags & ALIGNED:
        count = head.messages
        return [Target(spans[i], spans[t + i], 0, count) for i in range(t)]
    parts = struct.unpack_from(f">{2 * t}I", data, position + 16 * t)
    return [Target(spans[i], spans[t + i], parts[i], parts[t + i]) for i in range(t)]


def find_messages(targets: list[Target], uid: int, sequences: Sequence[int]) -> list[tuple[int, int]]:
    """(sequence, message index) of the wanted sequences, which ascend, that the record has for this queue."""
    found: list[tuple[int, int]] = []
    for target in targets:
        if target.uid == uid:
            first = target.sequence_first
            shift = target.index_first - first
            low = bisect_left(sequences, first)
            part = sequences[low : bisect_left(sequences, first + target.message_count, low)]
            found += [(sequence, sequence + shift) for sequence in part]
    return found


class _Layout:
    """Where the columns of a value lie, with the small ones unpacked."""

    __slots__ = (
        "_value",
        "accepted",
        "address_ends",
        "body_ends",
        "expirations",
        "numbers",
        "persistent",
        "properties_ends",
    )

    def __init__(self, value: bytes, head: Head) -> None:
        n = head.messages
        flags = head.flags
        position = HEAD_SIZE + head.targets * (16 if flags & ALIGNED else 24)
        self._value = value
        try:
            lengths = struct.unpack_from(f">{head.addresses}I", value, position)
            position += 4 * head.addresses
            self.numbers: Sequence[int] = ()
            if head.addresses > 1:
                self.numbers = struct.unpack_from(f">{n}I", value, position)
                position += 4 * n
            self.accepted: Sequence[int] = ()
            if not flags & SAME_ACCEPTED:
                self.accepted = struct.unpack_from(f">{n}q", value, position)
                position += 8 * n
            self.expirations: Sequence[int] = ()
            if flags & EXPIRATIONS:
                self.expirations = struct.unpack_from(f">{n}q", value, position)
                position += 8 * n
            self.persistent: Sequence[int] = ()
            if flags & MIXED:
                self.persistent = value[position : position + n]
                position += n
            sizes = struct.unpack_from(f">{2 * n}I", value, position)
        except struct.error as error:
            raise StoreError("a stored record is shorter than its counts claim") from error
        position += 8 * n
        self.address_ends = list(accumulate(lengths, initial=position))
        self.properties_ends = list(accumulate(sizes[:n], initial=self.address_ends[-1]))
        self.body_ends = list(accumulate(sizes[n:], initial=self.properties_ends[-1]))
        if self.body_ends[-1] != head.size:
            raise StoreError("a stored record's lengths do not add up")

    def addresses(self) -> list[bytes]:
        ends = self.address_ends
        return [self._value[ends[i] : ends[i + 1]] for i in range(len(ends) - 1)]


def encode_columns(targets: Sequence[Target], columns: Columns) -> bytearray:
    """A MESSAGES value of messages picked from others: what slimming and merging write."""
    count = len(columns.bodies)
    distinct = dict.fromkeys(columns.addresses)
    numbers: Sequence[int] = ()
    if len(distinct) > 1:
        number_of = dict(zip(distinct, range(len(distinct)), strict=True))
        numbers = [number_of[raw] for raw in columns.addresses]
    flags = 0
    accepted: Sequence[int] = columns.accepted
    first_ms = accepted[0]
    if accepted.count(first_ms) == count:
        flags |= SAME_ACCEPTED
        accepted = ()
    expirations: Sequence[int] = columns.expirations
    if expirations.count(NO_EXPIRATION) == count:
        expirations = ()
    else:
        flags |= EXPIRATIONS
    persistent: Sequence[bool] = columns.persistent
    if all(persistent):
        flags |= PERSISTENT
        persistent = ()
    elif any(persistent):
        flags |= MIXED
    else:
        persistent = ()
    uids, firsts, indexes, counts = zip(*targets, strict=True)
    spans = struct.pack(f">{2 * len(targets)}Q", *uids, *firsts)
    spans += struct.pack(f">{2 * len(targets)}I", *indexes, *counts)
    return _join(
        flags,
        count,
        spans,
        len(targets),
        list(distinct),
        numbers,
        first_ms,
        accepted,
        expirations,
        persistent,
        columns.properties,
        columns.bodies,
    )


def encode_address(address: Address) -> bytes:
    """Origin and exchange with their lengths, then the routing key. Names need not be valid UTF-8.

    Hidden keys, if there are any, must be; they stand behind the routing key.
    """
    origin = address.origin.encode("utf-8", "surrogateescape")
    exchange = address.exchange.encode("utf-8", "surrogateescape")
    key = address.routing_key.encode("utf-8", "surrogateescape")
    if address.hidden_keys:
        # No origin has a NUL in its name: after it, the length of the routing key, which others follow.
        origin += b"\0%d" % len(key)
        key += msgspec.json.encode(address.hidden_keys)
    return _ADDRESS.pack(len(origin), len(exchange)) + origin + exchange + key


def decode_address(raw: bytes) -> Address:
    """The inverse of `encode_address`."""
    if len(raw) < _ADDRESS.size:
        raise StoreError("a stored address is too short")
    origin_size, exchange_size = _ADDRESS.unpack_from(raw)
    first = _ADDRESS.size + origin_size
    second = first + exchange_size
    origin, _, key_size = raw[_ADDRESS.size : first].partition(b"\0")
    end = second + int(key_size) if key_size else len(raw)
    return Address(
        origin.decode("utf-8", "surrogateescape"),
        raw[first:second].decode("utf-8", "surrogateescape"),
        raw[second:end].decode("utf-8", "surrogateescape"),
        msgspec.json.decode(raw[end:], type=tuple[str, ...]) if key_size else (),
    )
