"""The sparse index of one log segment: from an offset, or a time, to a byte position near it.

Purpose: encode and decode index entries, keep those of the growing end in memory until they may be
written, and search the ones on disk without loading them. One file serves as offset index and as time
index: an entry says of one batch where it begins, its last offset, and the highest timestamp of the
segment up to and including it. Not here: when to write it, and reading batches.

Layout, big-endian, 24 bytes an entry, appended in order:

    0 last_offset u32, relative to the segment | 4 position u32, top bit: final | 8 max_timestamp i64
    16 offset u32 of the batch that has that timestamp, relative | 20 crc u32 over base offset and the above

Invariants:

- An entry is written only after a sync of the segment returned that covers its batch. So the last good
  entry is also the point from which a recovery has to look at the segment; everything before it is durable.
- A *final* entry is written only after a sync of the index itself. So a final entry whose batch ends where
  the segment ends says that the index is complete, without reading more of either.
- The index is never the only place of anything: a missing or damaged one is rebuilt from the segment.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from pillarbox.store.crc import crc32c
from pillarbox.store.files import Files
from pillarbox.store.log_base import SEGMENT_BYTES_MAX

_ENTRY = struct.Struct(">IIqII")
_BODY = struct.Struct(">IIqI")
_BASE = struct.Struct(">q")

ENTRY_SIZE = _ENTRY.size
POSITION_MAX = SEGMENT_BYTES_MAX
FINAL = POSITION_MAX + 1
"""The top bit of a position, which a segment that is smaller than 2 GiB leaves free."""
RELATIVE_MAX = 0xFFFF_FFFF
"""Offsets of one segment that an entry can tell apart; a segment that would exceed it is rolled."""


class Entry(NamedTuple):
    """One point of a segment. Offsets are absolute, the position is where the batch begins."""

    last_offset: int
    position: int
    max_timestamp: int
    max_timestamp_offset: int
    final: bool = False


def encode_entries(base: int, entries: Iterable[Entry]) -> bytes:
    """Encode entries of the segment that begins at offset `base`."""
    seed = crc32c(_BASE.pack(base))
    encoded = []
    for entry in entries:
        body = _BODY.pack(
            entry.last_offset - base,
            entry.position | FINAL if entry.final else entry.position,
            entry.max_timestamp,
            entry.max_timestamp_offset - base,
        )
        encoded.append(body + crc32c(body, seed).to_bytes(4, "big"))
    return b"".join(encoded)


def decode_entry(base: int, data: bytes, at: int = 0) -> Entry | None:
    """Decode the entry at byte `at`; None if it is cut short, damaged or of another segment."""
    if len(data) - at < ENTRY_SIZE:
        return None
    last, position, timestamp, offset, crc = _ENTRY.unpack_from(data, at)
    if crc32c(data[at : at + _BODY.size], crc32c(_BASE.pack(base))) != crc:
        return None
    return Entry(base + last, position & POSITION_MAX, timestamp, base + offset, position >= FINAL)


def decode_entries(base: int, data: bytes) -> list[Entry]:
    """Decode entries up to the first that is damaged or does not follow on the one before."""
    entries: list[Entry] = []
    last = (-1, -1)
    for at in range(0, len(data), ENTRY_SIZE):
        entry = decode_entry(base, data, at)
        # A final entry may repeat the point before it, so equal positions are in order.
        if entry is None or (entry.last_offset, entry.position) < last:
            break
        entries.append(entry)
        last = (entry.last_offset, entry.position)
    return entries


class IndexBuilder:
    """The growing end of a segment's index: what is in the file already, and what may follow.

    `saved` counts entries in the file, `unsaved` are those whose batches are not known to be durable, or
    that were not worth a write so far. Cost: O(1) a batch.
    """

    __slots__ = ("base", "bytes_since", "saved", "unsaved")

    def __init__(self, base: int, *, saved: int = 0, bytes_since: int = 0) -> None:
        self.base = base
        self.saved = saved
        self.bytes_since = bytes_since
        self.unsaved: list[Entry] = []

    def __repr__(self) -> str:
        return f"<IndexBuilder {self.base} saved={self.saved} unsaved={len(self.unsaved)}>"

    def add(self, entry: Entry, size: int, *, interval_bytes: int) -> None:
        """Note a batch of `size` bytes; it becomes an entry once `interval_bytes` lie since the last one."""
        if self.bytes_since >= interval_bytes:
            self.unsaved.append(entry)
            self.bytes_since = 0
        self.bytes_since += size

    def covered(self, offset: int) -> list[Entry]:
        """Unsaved entries whose batches end before `offset`, in order."""
        return self.unsaved[: bisect_right(self.unsaved, offset - 1, key=_last_offset)]

    def mark_saved(self, count: int, finals: int = 0) -> None:
        """The first `count` unsaved entries are in the file now, and so many final ones after them."""
        del self.unsaved[:count]
        self.saved += count + finals

    def near_offset(self, offset: int) -> Entry | None:
        """The last unsaved entry at or before the batch that holds `offset`; None: look into the file."""
        index = bisect_right(self.unsaved, offset, key=_last_offset)
        return self.unsaved[index - 1] if index else None

    def near_time(self, timestamp_ms: int) -> Entry | None:
        """The last unsaved entry up to which everything is older than that; None: look into the file."""
        index = bisect_right(self.unsaved, timestamp_ms - 1, key=_max_timestamp)
        return self.unsaved[index - 1] if index else None


def _last_offset(entry: Entry) -> int:
    return entry.last_offset


def _max_timestamp(entry: Entry) -> int:
    return entry.max_timestamp


def search_offset(files: Files, handle: int, base: int, count: int, offset: int) -> int:
    """Byte position at which to look for `offset`, from the first `count` entries of an index file."""
    return _search(files, handle, base, count, offset, 0)


def search_time(files: Files, handle: int, base: int, count: int, timestamp_ms: int) -> int:
    """Byte position at which to look for the first batch that is not older than `timestamp_ms`."""
    return _search(files, handle, base, count, timestamp_ms - 1, 2)


def _search(files: Files, handle: int, base: int, count: int, key: int, field: int) -> int:
    """Bisect for the last entry whose `field` is <= key; the segment's beginning if there is none.

    A damaged entry ends the search at the beginning, too: slow, and right. Cost: O(log count) small reads.
    """
    low, high, position = 0, count, 0
    while low < high:
        middle = (low + high) // 2
        entry = decode_entry(base, files.read(handle, middle * ENTRY_SIZE, ENTRY_SIZE))
        if entry is None:
            return 0
        if entry[field] <= key:
            position = entry.position
            low = middle + 1
        else:
            high = middle
    return position
