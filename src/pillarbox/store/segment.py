"""One segment of a partition log: its name, what is known of it in memory, and walks over its batches.

Purpose: the facts that the log decides by (`Segment`), checking batches before they are taken in, and
reading batch headers out of a segment file block by block. Not here: when a segment is rolled, written
or removed (`log`), and repair after a crash (`log_recovery`).

A segment file is Kafka's: record batches one after another, nothing between or around them, named by the
first offset that it may hold, in twenty digits. Offsets grow from batch to batch; gaps are legal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pillarbox.store.batch import (
    HEADER_SIZE,
    NO_TIMESTAMP,
    BatchError,
    BatchHeader,
    is_intact,
    read_header,
    set_append_time,
    set_base_offset,
    set_leader_epoch,
)
from pillarbox.store.files import Files, StoreError
from pillarbox.store.index import RELATIVE_MAX, Entry, IndexBuilder
from pillarbox.store.producers import Aborted, AbortedList

SEGMENT_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
PRODUCERS_SUFFIX = ".producers"
NAME_DIGITS = 20

SCAN_BYTES = 1 << 20
"""Bytes per read when every batch of a segment is verified: large, since all of it is needed."""

SEEK_BYTES = 1 << 16
"""Bytes per read when one batch is looked for near an index entry: a few index intervals."""

NOTHING_ABORTED = AbortedList()
"""What all segments share that abort no transaction, which are nearly all."""

Buffer = bytes | bytearray


class Slice(NamedTuple):
    """Whole batches that lie one after another. Empty: there is nothing (yet) at `offset_first`."""

    offset_first: int
    """First offset of the first batch: may be below the offset that was asked for."""
    offset_next: int
    """Where to read on."""
    chunks: list[Buffer]
    size: int


def empty_slice(offset: int) -> Slice:
    return Slice(offset, offset, [], 0)


def segment_name(base: int) -> str:
    return f"{base:0{NAME_DIGITS}d}{SEGMENT_SUFFIX}"


def index_name(base: int) -> str:
    return f"{base:0{NAME_DIGITS}d}{INDEX_SUFFIX}"


def producers_name(base: int) -> str:
    return f"{base:0{NAME_DIGITS}d}{PRODUCERS_SUFFIX}"


def parse_name(name: str, suffix: str) -> int | None:
    """The base offset in a file's name; None if it is not the name of such a file."""
    digits = name.removesuffix(suffix)
    if name == digits or len(digits) != NAME_DIGITS or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits)


class Segment:
    """What the log knows of one segment. Sizes and offsets are what was accepted, written or not."""

    __slots__ = (
        "aborted",
        "appended_ms",
        "base",
        "created_ms",
        "index",
        "last_position",
        "max_timestamp",
        "max_timestamp_offset",
        "offset_next",
        "sealed",
        "size",
        "written",
    )

    def __init__(self, base: int, now_ms: int) -> None:
        self.base = base
        self.offset_next = base
        self.size = 0
        self.written = 0
        """Bytes that are in the file."""
        self.last_position = 0
        """Where the last batch begins."""
        self.max_timestamp = NO_TIMESTAMP
        self.max_timestamp_offset = base
        self.created_ms = now_ms
        self.appended_ms = now_ms
        self.sealed = False
        """Durable as a whole, its index complete and in the file."""
        self.index = IndexBuilder(base)
        self.aborted: AbortedList = NOTHING_ABORTED
        """Transactions whose abort marker is here; see `abort`."""

    def abort(self, aborted: Aborted) -> None:
        """Note a transaction whose abort marker is here."""
        if self.aborted is NOTHING_ABORTED:
            self.aborted = AbortedList()
        self.aborted.add(aborted)

    def __repr__(self) -> str:
        state = "sealed" if self.sealed else "open"
        return f"<Segment {self.base}..{self.offset_next} size={self.size} written={self.written} {state}>"

    def add(self, header: BatchHeader, *, interval_bytes: int) -> None:
        """Account for a batch at the end of the segment; the header holds its offsets in this log."""
        if header.max_timestamp > self.max_timestamp:
            self.max_timestamp = header.max_timestamp
            self.max_timestamp_offset = header.base_offset
        self.sealed = False
        self.last_position = self.size
        self.offset_next = header.next_offset
        self.index.add(self.end_entry(), header.size, interval_bytes=interval_bytes)
        self.size += header.size

    def end_entry(self, *, final: bool = False) -> Entry:
        """The index entry of the last batch."""
        return Entry(
            self.offset_next - 1, self.last_position, self.max_timestamp, self.max_timestamp_offset, final
        )

    def has_room(self, header: BatchHeader, *, segment_bytes: int) -> bool:
        """Whether a batch may join: sizes, and offsets that the index can tell apart."""
        return not self.size or (
            self.size + header.size <= segment_bytes
            and self.offset_next + header.last_offset_delta - self.base <= RELATIVE_MAX
        )


Stamped = list[tuple[int, BatchHeader]]
"""Batches that lie one after another: the byte where each begins, and its header."""


def stamp_batches(data: bytearray, offset: int, epoch: int) -> Stamped:
    """Verify record batches as a producer may send them and give them their place in the log.

    Patches base offset and leader epoch of each, which no checksum covers, and returns where it begins in
    `data`, and its header. Checks length, magic, checksum, and that there is one record for every offset.
    BatchError, whose text names the first fault; `data` is of no use then.
    """
    if not data:
        raise BatchError("no batch")
    batches = []
    position = 0
    while position < len(data):
        if len(data) - position < HEADER_SIZE:
            raise BatchError(f"{len(data) - position} bytes at byte {position} are too few for a batch")
        set_base_offset(data, offset, position)
        set_leader_epoch(data, epoch, position)
        header = read_header(data, position)
        if position + header.size > len(data):
            raise BatchError(
                f"the batch at byte {position} has {len(data) - position} of {header.size} bytes"
            )
        if not header.is_dense:
            raise BatchError(f"the batch at byte {position} has not one record for every offset")
        if not is_intact(data, position, header):
            raise BatchError(f"the checksum of the batch at byte {position} does not hold")
        batches.append((position, header))
        position += header.size
        offset = header.next_offset
    return batches


def stamp_time(data: bytearray, stamped: Stamped, now_ms: int) -> Stamped:
    """Make the time of arrival the timestamp of all records, and renew the checksums."""
    for position, _ in stamped:
        set_append_time(data, now_ms, position)
    return [(position, read_header(data, position)) for position, _ in stamped]


class Scan:
    """Walk over the intact batches of a segment, checksums verified, from `position` to the file's end.

    Afterwards `position` is the byte after the last intact batch, and `problem` says why the walk ended
    before the file did; None if it did not.
    """

    def __init__(self, files: Files, handle: int, position: int, offset: int) -> None:
        self._files = files
        self._handle = handle
        self.position = position
        self.offset = offset
        """No batch may begin below: offsets only grow."""
        self.file_size = files.size(handle)
        self.problem: str | None = None

    def __iter__(self) -> Iterator[BatchHeader]:
        start, data = self.position, b""
        while self.position < self.file_size:
            at = self.position - start
            size = self._size_at(data, at)
            if at + size > len(data):
                if self.position + size > self.file_size:
                    self.problem = "an unfinished batch"
                    return
                start, at = self.position, 0
                data = self._files.read(self._handle, start, max(size, SCAN_BYTES))
                if self._size_at(data, 0) > len(data):
                    continue
            header = self._verify(data, at)
            if header is None:
                return
            self.position += header.size
            self.offset = header.next_offset
            yield header

    @staticmethod
    def _size_at(data: bytes, at: int) -> int:
        """Bytes of the batch there, as far as they can be told: at least a header."""
        try:
            return read_header(data, at).size
        except BatchError:
            return HEADER_SIZE

    def _verify(self, data: bytes, at: int) -> BatchHeader | None:
        try:
            header = read_header(data, at)
        except BatchError as error:
            self.problem = "no batch" if not any(data[at : at + HEADER_SIZE]) else str(error)
            return None
        if header.base_offset < self.offset:
            self.problem = f"offset {header.base_offset} after {self.offset - 1}"
        elif not is_intact(data, at, header):
            self.problem = "a batch whose checksum does not hold"
        else:
            return header
        return None


def seek(
    files: Files, handle: int, position: int, end: int, wanted: Callable[[BatchHeader], bool]
) -> tuple[int, BatchHeader] | None:
    """Find the first wanted batch from `position` on, before byte `end`; see `walk`."""
    for found in walk(files, handle, position, end):
        if wanted(found[1]):
            return found
    return None


def walk(files: Files, handle: int, position: int, end: int) -> Iterator[tuple[int, BatchHeader]]:
    """Where batches begin from `position` on, before byte `end`, and their headers; no checksum is looked at.

    StoreError if the file does not hold batches there.
    """
    start, data = position, b""
    while position < end:
        at = position - start
        if at + HEADER_SIZE > len(data):
            start, at = position, 0
            data = files.read(handle, position, min(SEEK_BYTES, end - position))
        try:
            header = read_header(data, at)
        except BatchError as error:
            raise StoreError(f"a segment is damaged at byte {position}: {error}") from error
        yield position, header
        position += header.size


def whole_batches(data: bytes, size_max: int, offset_end: int) -> tuple[int, int]:
    """How many bytes at the front of `data` are whole batches below `offset_end`, and the offset after them.

    The first batch counts even if it is larger than `size_max`. (0, 0) if there is none.
    """
    position = offset_next = 0
    while position + HEADER_SIZE <= len(data):
        header = read_header(data, position)
        end = position + header.size
        if end > len(data) or header.base_offset >= offset_end or (position and end > size_max):
            break
        position, offset_next = end, header.next_offset
    return position, offset_next
