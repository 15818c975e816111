"""Producers of one partition log: which sequences they have sent, and which transactions they have open.

Purpose: decide whether a batch with a producer id is new, a repetition or out of order; note transactions,
from which `last_stable` follows; and the aborted ones, which readers of committed records leave out. Not
here: files (`producer_files`), who may have which id and epoch, and the states of a coordinator.

Everything here is a decision in memory. A `Producer` never changes, it is replaced; so a copy of the table is
a picture of its moment, at the price of a dict. The table is in order of activity, oldest first.

Source: Apache Kafka, idempotent producers (KIP-98, KIP-360) and transactions (KIP-98, KIP-890). A producer
that is not known may begin with any sequence: its past may have been removed with its records. So may one of
whom markers alone are known.
"""

from __future__ import annotations

import enum
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from pillarbox.store.batch import (
    CONTROL,
    TRANSACTIONAL,
    BatchError,
    BatchHeader,
    Record,
    encode_records,
)

NO_OFFSET = -1
NO_EPOCH = -1
NO_SEQUENCE = -1

SENT_MAX = 5
"""Batches of a producer that are remembered: as many as Kafka's clients have under way at most, so whatever
they repeat is found."""

SEQUENCE_MAX = 2**31 - 1
"""After it comes 0."""

_MARKER_KEY = struct.Struct(">hh")
_MARKER_VALUE = struct.Struct(">hi")
ABORT, COMMIT = 0, 1
"""Types of markers: the second field of a control record's key. Others are no end of a transaction."""


class Refusal(enum.Enum):
    """Why a batch of a producer, or a marker, is not taken in."""

    OUT_OF_ORDER = "sequence out of order"
    OLD_EPOCH = "old producer epoch"
    IN_TRANSACTION = "a transaction is open"
    OLD_COORDINATOR = "old coordinator epoch"


class ProducerRefused(ValueError):
    """Nothing was taken in; `reason` says why, the text says it to the one who caused it."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Sent(NamedTuple):
    """One batch that a producer has sent."""

    sequence_first: int
    sequence_last: int
    offset_first: int
    offset_next: int
    timestamp_ms: int


class Producer(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one producer id."""

    epoch: int
    sent: tuple[Sent, ...] = ()
    """The last batches of this epoch, the newest last."""
    transaction_first: int = NO_OFFSET
    """Where its open transaction begins."""
    coordinator_epoch: int = NO_EPOCH
    active_ms: int = 0


class Aborted(NamedTuple):
    """A transaction that was aborted: what readers of committed records have to leave out."""

    producer_id: int
    offset_first: int
    offset_last: int
    """Of its marker."""
    last_stable: int
    """Where the earliest transaction began that was open then; if none was, the offset after the marker."""


def is_aborted(header: BatchHeader, aborted: Iterable[Aborted]) -> bool:
    """Whether the batch is of one of these transactions."""
    return header.is_transactional and any(
        entry.producer_id == header.producer_id
        and entry.offset_first <= header.base_offset < entry.offset_last
        for entry in aborted
    )


class AbortedList:
    """Aborted transactions in order of their markers, 32 bytes each."""

    __slots__ = ("_last", "_numbers")

    def __init__(self, entries: Iterable[Aborted] = ()) -> None:
        self._numbers = array("q")
        self._last = array("q")
        for entry in entries:
            self.add(entry)

    def __repr__(self) -> str:
        return f"<AbortedList {list(self)}>"

    def __len__(self) -> int:
        return len(self._last)

    def __iter__(self) -> Iterator[Aborted]:
        return map(self._at, range(len(self)))

    def _at(self, index: int) -> Aborted:
        producer_id, first, last_stable = self._numbers[3 * index : 3 * index + 3]
        return Aborted(producer_id, first, self._last[index], last_stable)

    def add(self, entry: Aborted) -> None:
        self._numbers.extend((entry.producer_id, entry.offset_first, entry.last_stable))
        self._last.append(entry.offset_last)

    def ending_from(self, offset: int) -> Iterator[Aborted]:
        """Those whose marker is at `offset` or later."""
        return map(self._at, range(bisect_left(self._last, offset), len(self)))


class Producers:
    """All producers of a log."""

    __slots__ = ("_ended", "_open", "table")

    def __init__(self, table: dict[int, Producer] | None = None) -> None:
        self.table = table or {}
        firsts = sorted(
            (producer.transaction_first, producer_id)
            for producer_id, producer in self.table.items()
            if producer.transaction_first != NO_OFFSET
        )
        self._open = {producer_id: first for first, producer_id in firsts}
        """Producers with an open transaction, the one that began first at the front."""
        self._ended: list[tuple[int, int]] = []
        """(first offset, offset of the marker) of transactions whose end is not known to be committed."""

    def __repr__(self) -> str:
        return f"<Producers {len(self.table)} open={self._open}>"

    # --- batches -------------------------------------------------------------------------------------------

    def repeated(self, header: BatchHeader) -> Sent | None:
        """The batch that this one repeats, if it is among the last that the producer has sent."""
        known = self.table.get(header.producer_id)
        if known is None or known.epoch != header.producer_epoch:
            return None
        first, last = header.base_sequence, last_sequence(header)
        for sent in known.sent:
            if sent.sequence_first == first and sent.sequence_last == last:
                return sent
        return None

    def check(self, header: BatchHeader) -> None:
        """Raise ProducerRefused unless this batch may follow on what its producer has sent.

        A batch without a sequence, which no client may send, is only asked for its epoch.
        """
        if header.is_control:
            raise BatchError("a control batch comes from no producer")
        known = self.table.get(header.producer_id)
        if known is None:
            return
        self._check_epoch(header.producer_id, header.producer_epoch, known)
        first = due = header.base_sequence
        if header.producer_epoch != known.epoch:
            due = 0
        elif known.sent:
            due = known.sent[-1].sequence_last + 1 & SEQUENCE_MAX
        if first not in (due, NO_SEQUENCE):
            raise ProducerRefused(
                Refusal.OUT_OF_ORDER,
                f"producer {header.producer_id} with epoch {header.producer_epoch} sent sequence {first} "
                f"where {due} was due",
            )
        if known.transaction_first != NO_OFFSET and not header.is_transactional:
            raise ProducerRefused(
                Refusal.IN_TRANSACTION,
                f"producer {header.producer_id} has an open transaction and sent a batch outside of it",
            )

    def take(self, header: BatchHeader, now_ms: int) -> None:
        """Note a batch that is in the log now; the header holds its offsets there."""
        producer_id, epoch = header.producer_id, header.producer_epoch
        known = self.table.pop(producer_id, None)
        sent: tuple[Sent, ...] = known.sent if known is not None and known.epoch == epoch else ()
        if header.base_sequence != NO_SEQUENCE:
            new = Sent(
                header.base_sequence,
                last_sequence(header),
                header.base_offset,
                header.next_offset,
                header.max_timestamp,
            )
            sent = (*sent[-(SENT_MAX - 1) :], new)
        first = self._open.get(producer_id, NO_OFFSET)
        if first == NO_OFFSET and header.is_transactional:
            first = self._open[producer_id] = header.base_offset
        coordinator_epoch = NO_EPOCH if known is None else known.coordinator_epoch
        self.table[producer_id] = Producer(epoch, sent, first, coordinator_epoch, now_ms)

    def expire(self, before_ms: int) -> None:
        """Forget producers that were last active before then, unless they have a transaction open."""
        due = []
        for producer_id, producer in self.table.items():
            if producer.active_ms >= before_ms:
                break
            if producer.transaction_first == NO_OFFSET:
                due.append(producer_id)
        for producer_id in due:
            del self.table[producer_id]

    @staticmethod
    def _check_epoch(producer_id: int, epoch: int, known: Producer) -> None:
        if epoch < known.epoch:
            raise ProducerRefused(
                Refusal.OLD_EPOCH,
                f"producer {producer_id} came with epoch {epoch}; its epoch is {known.epoch} by now",
            )

    @property
    def open_transactions(self) -> dict[int, int]:
        """Where the open transaction of each producer begins that has one."""
        return dict(self._open)

    # --- transactions --------------------------------------------------------------------------------------

    def check_marker(self, producer_id: int, epoch: int, coordinator_epoch: int) -> None:
        """Raise ProducerRefused unless the coordinator may end the producer's transaction so."""
        known = self.table.get(producer_id)
        if known is None:
            return
        self._check_epoch(producer_id, epoch, known)
        if coordinator_epoch < known.coordinator_epoch:
            raise ProducerRefused(
                Refusal.OLD_COORDINATOR,
                f"a coordinator of epoch {coordinator_epoch} ends a transaction of producer {producer_id}; "
                f"one of epoch {known.coordinator_epoch} was there before",
            )

    def end(
        self, header: BatchHeader, coordinator_epoch: int, now_ms: int, *, commit: bool
    ) -> Aborted | None:
        """Note a marker that is in the log now; return what readers have to leave out."""
        producer_id, epoch = header.producer_id, header.producer_epoch
        known = self.table.pop(producer_id, None)
        sent = known.sent if known is not None and known.epoch == epoch else ()
        self.table[producer_id] = Producer(epoch, sent, NO_OFFSET, coordinator_epoch, now_ms)
        first = self._open.pop(producer_id, NO_OFFSET)
        if first == NO_OFFSET:
            return None
        self._ended.append((first, header.base_offset))
        if commit:
            return None
        earliest = next(iter(self._open.values()), header.next_offset)
        return Aborted(producer_id, first, header.base_offset, earliest)

    def last_stable(self, committed: int) -> int:
        """The offset below which every transaction has ended, and its marker is committed."""
        if not self._open and not self._ended:
            return committed
        if self._ended and self._ended[0][1] < committed:
            self._ended = [entry for entry in self._ended if entry[1] >= committed]
        open_first = next(iter(self._open.values()), committed)
        return min(committed, open_first, *(first for first, _ in self._ended))


def last_sequence(header: BatchHeader) -> int:
    """The sequence of a batch's last record; NO_SEQUENCE if it has none."""
    first = header.base_sequence
    return first if first == NO_SEQUENCE else first + header.last_offset_delta & SEQUENCE_MAX


def encode_marker(
    producer_id: int, epoch: int, coordinator_epoch: int, timestamp_ms: int, *, commit: bool
) -> bytes:
    """The control batch that ends a transaction. Source: Apache Kafka protocol, "Control Batches"."""
    record = Record(
        0,
        timestamp_ms,
        _MARKER_KEY.pack(0, COMMIT if commit else ABORT),
        _MARKER_VALUE.pack(0, coordinator_epoch),
        [],
    )
    encoded = encode_records(
        [record],
        attributes=TRANSACTIONAL | CONTROL,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=NO_SEQUENCE,
    )
    return b"".join(encoded.chunks)


def decode_marker(record: Record) -> tuple[int, int] | None:
    """(ABORT or COMMIT, coordinator epoch) of a control record; None if it is something else."""
    try:
        _, kind = _MARKER_KEY.unpack_from(record.key or b"")
        _, coordinator_epoch = _MARKER_VALUE.unpack_from(record.value or b"")
    except struct.error:
        return None
    return (kind, coordinator_epoch) if kind in (ABORT, COMMIT) else None
