"""What a partition log and its owner say to each other: options, answers, errors, offsets.

Purpose: the words of `log`, apart from what it does. Not here: any behaviour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from pillarbox.store.segment import Slice
    from pillarbox.store.strand import Strand

NOT_FOUND = -1

UNLIMITED = -1
"""Switches a limit off."""

SEGMENT_BYTES_MAX = (1 << 31) - 1
"""An index entry has 31 bits for a position (`index`)."""


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set per log, at any time."""

    segment_bytes: int = 1 << 30
    segment_ms: int = 7 * 24 * 3600 * 1000
    index_interval_bytes: int = 4096
    retention_ms: int = 7 * 24 * 3600 * 1000
    retention_bytes: int = UNLIMITED
    durability: Literal["fsync", "os"] = "os"
    flush_messages: int = UNLIMITED
    flush_ms: int = UNLIMITED
    compact: bool = False
    """Of each key the last record is kept. Retention by age and size goes on beside it, if it is limited."""
    delete_retention_ms: int = 24 * 3600 * 1000
    """How long tombstones stay after the first pass of compaction that met them."""
    min_compaction_lag_ms: int = 0
    max_compaction_lag_ms: int = UNLIMITED
    min_cleanable_ratio: float = 0.5
    """A pass begins when this part of the closed segments has been appended since the last one."""
    producer_expiry_ms: int = 24 * 3600 * 1000
    """Producers that send nothing for so long are forgotten, unless they have a transaction open."""

    def __post_init__(self) -> None:
        if not 1 <= self.segment_bytes <= SEGMENT_BYTES_MAX:
            raise ValueError(f"segment_bytes must be between 1 and {SEGMENT_BYTES_MAX}")

    @property
    def roll_ms(self) -> int:
        """After what time a segment is closed: only what is in a closed one can be compacted in time."""
        if not self.compact or self.max_compaction_lag_ms == UNLIMITED:
            return self.segment_ms
        if self.segment_ms == UNLIMITED:
            return self.max_compaction_lag_ms
        return min(self.segment_ms, self.max_compaction_lag_ms)

    @property
    def syncs_each_write(self) -> bool:
        return self.durability == "fsync" or self.flush_messages == 1


class Offsets(NamedTuple):
    """start <= synced <= written <= accepted; see `log`."""

    start: int
    synced: int
    written: int
    accepted: int


class Appended(NamedTuple):
    """What became of an append.

    Its records are as durable as the options promise once `committed` has reached `offset_next`. A repetition
    of what a producer sent before is not stored again, and its ticket not answered: it gets the offsets that
    it had the first time, which may be committed already.
    """

    offset_first: int
    offset_next: int
    timestamp_ms: int
    """The highest of the first batch: with the time of arrival that of all its records."""
    is_repeated: bool = False


class OffsetOutOfRange(LookupError):
    """The offset is below the log's start or beyond its end."""

    def __init__(self, offset: int, start: int, end: int) -> None:
        super().__init__(f"offset {offset} is not within {start}..{end}")
        self.offset = offset


class LogFailed(RuntimeError):
    """Writing or syncing failed before; nothing is taken in until the log is opened anew."""


class LogListener(Protocol):
    """What a log tells its owner, always on the domain's thread. Tickets are the owner's, growing ints."""

    def written(self, ticket: int) -> None:
        """All that was appended up to this ticket is written; `offsets` has moved."""

    def synced(self, ticket: int) -> None:
        """All that was appended up to this ticket is durable; `offsets` has moved."""

    def loaded(self, ticket: int, found: Slice) -> None:
        """Answer one `read` that returned None."""

    def found(self, ticket: int, offset: int) -> None:
        """Answer one `find_time` that returned None."""

    def load_failed(self, ticket: int, error: Exception) -> None:
        """The other answer to both: `OffsetOutOfRange` if it was removed meanwhile, StoreError or OSError."""

    def failed(self, reason: str) -> None:
        """Nothing more will be written or synced. Called once, with a sentence for the operator."""


class Strands(NamedTuple):
    """Where the works of logs are run. The three may be one; with one thread each, writes of many logs do
    not wait for syncs, nor reads for either."""

    write: Strand
    sync: Strand
    read: Strand


class Mark(NamedTuple):
    """How far something has come: the offset after the last record, bytes since the opening, last ticket."""

    offset: int
    size: int
    ticket: int
