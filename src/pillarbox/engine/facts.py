"""How the facts of a group are written down: one RecordBatch v2 per group, one record per kind of fact.

Purpose: `Codec.encode_group` turns a `Group` into bytes, the readers below turn the records back. Not
here: where the bytes go (`local`), what they amount to (`replay`).

The base offset of a batch is the number of its first record, so that the batches of a journal follow each
other without a gap. Each definition and each set of messages is a record; all `delivered` facts of a group
share one record, and so do all `settled` facts, because they are small and many. The record's key is one
byte, its kind; its value begins with a format byte, so that either may change later.

A MESSAGES value stands on its own: it has its size and checksum inside, so it is copied verbatim when
it is moved, and loaded alone. Layout, big-endian (n messages, t targets, a addresses):

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
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from pillarbox.engine.base import (
    NO_EXPIRATION,
    Address,
    DefinitionFact,
    Group,
    Message,
    MessagesFact,
)
from pillarbox.store.batch import encode_batch
from pillarbox.store.crc import crc32c
from pillarbox.store.files import StoreError

FORMAT = 1
"""First byte of every value. A reader refuses what it does not know."""

DEFINITION = b"d"
MESSAGES = b"m"
DELIVERED = b"h"
SETTLED = b"s"

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

JOIN_BELOW_MESSAGES = 64
"""Facts with more messages have a record of their own: joining saves them little."""
JOIN_MESSAGES_MAX = 1000
JOIN_BYTES_MAX = 1 << 20
"""Bounds of a joined record: what one load brings in."""

_HEAD = struct.Struct(">BIIBIIIqQ")
_CRC = struct.Struct(">I")
_ADDRESS = struct.Struct(">HI")
_COUNTS = struct.Struct(">BBII")
_COUNT = struct.Struct(">BI")
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


class EncodedGroup(NamedTuple):
    """A group as chunks that together make it up; chunk 0 begins with the batch's header."""

    chunks: list[bytes | bytearray]
    size: int
    records: int
    places: list[tuple[int, int, int]]
    """For each fact of messages, in order: byte position (counted from the start of the group) and size of
    its MESSAGES value, and how many messages that holds."""


class _Joined:
    """Facts of one queue that follow each other in a group, on their way to one record."""

    __slots__ = ("body_bytes", "messages", "targets")

    def __init__(self, fact: MessagesFact) -> None:
        self.targets = fact.targets
        self.messages = fact.messages
        self.body_bytes = -1
        """Not known as long as it is one fact's alone."""

    def takes(self, first: int, messages: list[Message]) -> bool:
        """Add messages to the record if they go on where it ends and it does not become too large."""
        count = len(self.messages)
        if self.targets[0][1] + count != first or count + len(messages) > JOIN_MESSAGES_MAX:
            return False
        if self.body_bytes < 0:
            self.body_bytes = sum([len(message.body) for message in self.messages])
            # The fact's own list is the queue's as well and stays as it is.
            self.messages = list(self.messages)
        body_bytes = self.body_bytes + sum([len(message.body) for message in messages])
        if body_bytes > JOIN_BYTES_MAX:
            return False
        self.body_bytes = body_bytes
        self.messages += messages
        return True


def join_facts(facts: list[MessagesFact]) -> tuple[list[_Joined], list[int]]:
    """Records for the messages of a group, and for each fact the place of its record among them.

    Many publishers that each send one message to the same queue in a tick cost one record, not one each.
    """
    records: list[_Joined] = []
    places: list[int] = []
    last: dict[int, int] = {}
    for fact in facts:
        targets = fact.targets
        if len(targets) == 1 and len(fact.messages) <= JOIN_BELOW_MESSAGES:
            uid, first = targets[0]
            place = last.get(uid, -1)
            if place >= 0 and records[place].takes(first, fact.messages):
                places.append(place)
                continue
            last[uid] = len(records)
        places.append(len(records))
        records.append(_Joined(fact))
    return records, places


class Codec:
    """Encoder and decoder of facts; owns the two bounded caches between addresses and their bytes."""

    def __init__(self) -> None:
        self._raw: dict[Address, bytes] = {}
        self._addresses: dict[bytes, Address] = {}

    # --- encoding ----------------------------------------------------------------------------------

    def encode_group(self, group: Group, base_offset: int) -> EncodedGroup | None:
        """Encode all facts of a group; None if there are none.

        Its messages stand first in the batch; replay, which takes kinds in its own order, does not mind.
        """
        if len(group.messages) > 1:
            joined, record_of = join_facts(group.messages)
            values = [self.encode_messages(record.targets, record.messages) for record in joined]
            counts = [len(record.messages) for record in joined]
        else:
            values = [self.encode_messages(fact.targets, fact.messages) for fact in group.messages]
            counts = [len(fact.messages) for fact in group.messages]
            record_of = [0] * len(values)
        records: list[tuple[bytes, bytes | bytearray]] = [(MESSAGES, value) for value in values]
        if group.definitions:
            records += [(DEFINITION, encode_definition(fact)) for fact in group.definitions]
        if group.delivered:
            records.append((DELIVERED, encode_delivered([(f.uid, f.sequence) for f in group.delivered])))
        if group.settled:
            records.append((SETTLED, encode_settled([(f.uid, f.sequences) for f in group.settled])))
        if not records:
            return None
        chunks, size, positions = encode_batch(records, base_offset=base_offset)
        places = [(positions[place], len(values[place]), counts[place]) for place in record_of]
        return EncodedGroup(chunks, size, len(records), places)

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

    def decode_messages(self, value: bytes, uid: int, sequences: range) -> list[tuple[int, Message]]:
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
    bodies: list[bytes],
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


# --- one MESSAGES value ----------------------------------------------------------------------------------


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


def find_messages(targets: list[Target], uid: int, sequences: range) -> list[tuple[int, int]]:
    """(sequence, message index) of the wanted sequences that the record has for this queue."""
    found: list[tuple[int, int]] = []
    for target in targets:
        if target.uid == uid:
            first = target.sequence_first
            shift = target.index_first - first
            part = _within(sequences, first, first + target.message_count)
            found += [(sequence, sequence + shift) for sequence in part]
    return found


def _within(sequences: range, start: int, stop: int) -> range:
    """The members of an ascending range in start..stop-1."""
    step = sequences.step
    low = max(0, -(-(start - sequences.start) // step))
    high = max(0, -(-(stop - sequences.start) // step))
    return sequences[low:high]


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


# --- addresses and the small facts -----------------------------------------------------------------------


def encode_address(address: Address) -> bytes:
    """Origin and exchange with their lengths, then the routing key. Names need not be valid UTF-8."""
    origin = address.origin.encode("utf-8", "surrogateescape")
    exchange = address.exchange.encode("utf-8", "surrogateescape")
    key = address.routing_key.encode("utf-8", "surrogateescape")
    return _ADDRESS.pack(len(origin), len(exchange)) + origin + exchange + key


def decode_address(raw: bytes) -> Address:
    """The inverse of `encode_address`."""
    if len(raw) < _ADDRESS.size:
        raise StoreError("a stored address is too short")
    origin_size, exchange_size = _ADDRESS.unpack_from(raw)
    first = _ADDRESS.size + origin_size
    second = first + exchange_size
    return Address(
        raw[_ADDRESS.size : first].decode("utf-8", "surrogateescape"),
        raw[first:second].decode("utf-8", "surrogateescape"),
        raw[second:].decode("utf-8", "surrogateescape"),
    )


def encode_definition(fact: DefinitionFact) -> bytes:
    return bytes((FORMAT,)) + msgspec.msgpack.encode((fact.kind, fact.key, fact.value))


def decode_definition(value: bytes) -> DefinitionFact:
    _check_format(value)
    try:
        kind, key, content = msgspec.msgpack.decode(value[1:], type=tuple[str, str, bytes | None])
    except msgspec.DecodeError as error:
        raise StoreError(f"a stored definition cannot be read: {error}") from error
    return DefinitionFact(kind, key, content)


def encode_delivered(facts: Sequence[tuple[int, int]]) -> bytes:
    """Format, count, then uids and sequences as two columns."""
    count = len(facts)
    uids, sequences = zip(*facts, strict=True)
    return _COUNT.pack(FORMAT, count) + struct.pack(f">{2 * count}q", *uids, *sequences)


def decode_delivered(value: bytes) -> Iterator[tuple[int, int]]:
    """(uid, sequence) pairs."""
    _check_format(value)
    count = (len(value) - _COUNT.size) // 16
    if len(value) < _COUNT.size or _COUNT.unpack_from(value) != (FORMAT, count):
        raise StoreError("a stored list of deliveries is damaged")
    columns = struct.unpack_from(f">{2 * count}q", value, _COUNT.size)
    return zip(columns[:count], columns[count:], strict=True)


def encode_settled(facts: Sequence[tuple[int, Sequence[range]]]) -> bytes:
    """Format, 1 if steps follow, numbers of queues and of ranges; then columns: uid, ranges of each queue,
    starts, stops, steps."""
    if len(facts) == 1 and len(facts[0][1]) == 1:
        # The usual tick of a busy queue: one consumer, one range.
        uid, (only,) = facts[0]
        if only.step == 1:
            return _SETTLED_ONE.pack(FORMAT, 0, 1, 1, uid, 1, only.start, only.stop)
    uids = [uid for uid, _ in facts]
    counts = [len(ranges) for _, ranges in facts]
    ranges = [one if one.step > 0 else one[::-1] for _, some in facts for one in some]
    starts = [one.start for one in ranges]
    stops = [one.stop for one in ranges]
    steps = [one.step for one in ranges]
    stepped = steps.count(1) != len(steps)
    columns = [*starts, *stops, *steps] if stepped else [*starts, *stops]
    return b"".join(
        (
            _COUNTS.pack(FORMAT, stepped, len(uids), len(ranges)),
            struct.pack(f">{len(uids)}Q", *uids),
            struct.pack(f">{len(uids)}I", *counts),
            struct.pack(f">{len(columns)}q", *columns),
        )
    )


_SETTLED_ONE = struct.Struct(">BBIIQIqq")


def decode_settled(value: bytes) -> Iterator[tuple[int, list[range]]]:
    """(uid, ranges) pairs."""
    _check_format(value)
    try:
        _, stepped, queues, count = _COUNTS.unpack_from(value)
        if len(value) != _COUNTS.size + 12 * queues + (24 if stepped else 16) * count:
            raise StoreError("a stored list of settlements is damaged")
        position = _COUNTS.size
        uids = struct.unpack_from(f">{queues}Q", value, position)
        counts = struct.unpack_from(f">{queues}I", value, position + 8 * queues)
        columns = struct.unpack_from(f">{(3 if stepped else 2) * count}q", value, position + 12 * queues)
    except struct.error as error:
        raise StoreError("a stored list of settlements is damaged") from error
    steps = columns[2 * count :] or (1,) * count
    ranges = list(map(range, columns[:count], columns[count : 2 * count], steps))
    ends = list(accumulate(counts, initial=0))
    return zip(uids, [ranges[ends[i] : ends[i + 1]] for i in range(queues)], strict=True)


def _check_format(value: bytes) -> None:
    if not value or value[0] != FORMAT:
        raise StoreError(f"a stored fact has format {value[:1].hex() or 'none'}, this version reads {FORMAT}")
