"""Journal segments on disk: groups written one after another, and walked again at a start.

A segment is a file of RecordBatches; base offsets go on without a gap within it and into the next one. It
may end in zeros, which were reserved and never used.

How a torn tail is told from damage: the first group of every write carries a *barrier* in its leader-epoch
field (which no checksum covers) if all that stands before it was synced when it was written. So
a group that cannot be read is a torn tail, never acknowledged, unless some later group with a barrier can:
then what is unreadable had been synced, and may have been confirmed to somebody. The mark is derived
from the folder's random id, so that no message body can pretend to be one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pillarbox.store.batch import (
    HEADER_SIZE,
    BatchError,
    BatchHeader,
    is_intact,
    read_header,
)
from pillarbox.store.crc import crc32c
from pillarbox.store.files import Files

WINDOW = 4 << 20
"""Bytes read at once while walking: large enough for sequential speed, small enough not to be felt."""

LEADER_EPOCH_POSITION = 12
NO_BARRIER = 0


def barrier_of(folder_id: str) -> int:
    """The folder's mark, a positive i32 that is never `NO_BARRIER`."""
    return crc32c(folder_id.encode("ascii")) & 0x7FFFFFFF | 1


class Walked(NamedTuple):
    """One intact group: its header, bytes that contain it, where it begins in them and in the file."""

    header: BatchHeader
    data: bytes
    start: int
    position: int


class SegmentWalk:
    """Walk the intact groups of one segment; afterwards `end` and `trouble` say how far that went.

    Holds at most a window, or the largest group, in memory.
    """

    def __init__(self, files: Files, path: str) -> None:
        self.path = path
        self.end = 0
        """Position after the last intact group."""
        self.trouble: str | None = None
        """Why the walk stopped before the end of what was written."""
        self._files = files
        self._handle = files.open(path)
        self.size = files.size(self._handle)
        self._window = b""
        self._base = 0

    def close(self) -> None:
        self._files.close(self._handle)

    def __iter__(self) -> Iterator[Walked]:
        while self.end < self.size:
            try:
                at = self._have(self.end, HEADER_SIZE)
                header = read_header(self._window, at)
                if self.end + header.size > self.size:
                    raise BatchError(f"a group of {header.size} bytes goes beyond the end of the file")
                at = self._have(self.end, header.size)
                if not is_intact(self._window, at, header):
                    raise BatchError("a group's checksum does not hold")
            except BatchError as error:
                if not self._zeros_from(self.end):
                    self.trouble = str(error)
                return
            position = self.end
            self.end += header.size
            yield Walked(header, self._window, at, position)

    def _have(self, position: int, size: int) -> int:
        """Make the window hold these bytes, as far as the file has them; return where they begin in it."""
        at = position - self._base
        if at + size > len(self._window):
            self._window = self._files.read(self._handle, position, max(size, WINDOW))
            self._base = position
            return 0
        return at

    def _zeros_from(self, position: int) -> bool:
        while position < self.size:
            block = self._files.read(self._handle, position, WINDOW)
            if not block or block.count(0) != len(block):
                return False
            position += len(block)
        return True

    def has_barrier_after(self, position: int, offset: int, barrier: int) -> bool:
        """Whether an intact group with the barrier and a later base offset begins after `position`."""
        mark = barrier.to_bytes(4, "big") + b"\2"
        overlap = LEADER_EPOCH_POSITION + len(mark)
        while position < self.size:
            block = self._files.read(self._handle, position, WINDOW)
            found = block.find(mark)
            while found >= 0:
                start = position + found - LEADER_EPOCH_POSITION
                if found >= LEADER_EPOCH_POSITION and self._is_group(start, offset):
                    return True
                found = block.find(mark, found + 1)
            if position + len(block) >= self.size:
                return False
            position += len(block) - overlap
        return False

    def _is_group(self, position: int, offset: int) -> bool:
        try:
            header = read_header(self._files.read(self._handle, position, HEADER_SIZE))
        except BatchError:
            return False
        if header.base_offset <= offset or position + header.size > self.size:
            return False
        return is_intact(self._files.read(self._handle, position, header.size), 0, header)
