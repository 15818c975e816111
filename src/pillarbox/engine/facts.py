"""How the facts of a group are written down: one RecordBatch v2 per group, one record per kind of fact.

Purpose: `Codec.encode_group` turns a `Group` into bytes, the readers below turn the records back. Not
here: the record of messages itself (`record`), where the bytes go (`local`), what they amount to (`replay`).

The base offset of a batch is the number of its first record, so that the batches of a journal follow each
other without a gap. Each definition and each set of messages is a record; all `delivered` facts of a group
share one record, and so do all `returned` and all `settled` facts, because they are small and many. The
record's key is one byte, its kind; its value begins with a format byte, so that either may change later.

This is the hot path of every durable publish: columns are packed whole, nothing is done per message
that a comprehension cannot do. `tests/engine/test_facts.py` holds the slow, obvious twin.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from pillarbox.engine.base import DefinitionFact, Group, Message, MessagesFact
from pillarbox.engine.record import FORMAT, RecordCodec
from pillarbox.engine.returned import encode_returned
from pillarbox.store.batch import encode_batch
from pillarbox.store.files import StoreError

DEFINITION = b"d"
MESSAGES = b"m"
DELIVERED = b"h"
RETURNED = b"r"
SETTLED = b"s"

JOIN_BELOW_MESSAGES = 64
"""Facts with more messages have a record of their own: joining saves them little."""
JOIN_MESSAGES_MAX = 1000
JOIN_BYTES_MAX = 1 << 20
"""Bounds of a joined record: what one load brings in."""

_COUNTS = struct.Struct(">BBII")
_COUNT = struct.Struct(">BI")
_SETTLED_ONE = struct.Struct(">BBIIQIqq")


class EncodedGroup(msgspec.Struct):
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


class Codec(RecordCodec):
    """Encoder of groups, and of the records in them."""

    def encode_group(self, group: Group, base_offset: int) -> EncodedGroup | None:
        """Encode all facts of a group; None if there are none.

        Its messages stand first in the batch; replay, which takes kinds in its own order, does not mind.
        """
        facts: Sequence[MessagesFact | _Joined] = group.messages
        record_of: Sequence[int] = (0,)
        if len(facts) != 1:
            facts, record_of = join_facts(group.messages)
        records: list[tuple[bytes, bytes | bytearray]] = []
        for fact in facts:
            records.append((MESSAGES, self.encode_messages(fact.targets, fact.messages)))
        if group.definitions:
            records += [(DEFINITION, encode_definition(fact)) for fact in group.definitions]
        if group.delivered:
            records.append((DELIVERED, encode_delivered([(f.uid, f.sequence) for f in group.delivered])))
        if group.returned:
            records.append((RETURNED, encode_returned(group.returned)))
        if group.settled:
            records.append((SETTLED, encode_settled([(f.uid, f.sequences) for f in group.settled])))
        if not records:
            return None
        batch = encode_batch(records, base_offset=base_offset)
        positions = batch.value_positions
        places = [
            (positions[place], len(records[place][1]), len(facts[place].messages)) for place in record_of
        ]
        return EncodedGroup(batch.chunks, batch.size, len(records), places)


# --- the small facts -----------------------------------------------------------------------------------


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
