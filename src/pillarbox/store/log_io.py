"""What a partition log does to its files: the steps that writers run, off the domain's thread.

Purpose: `LogFolder` does one thing per method to one segment: make, write, sync, save index entries, seal,
remove. `find_batches` and `find_time` answer reads of cold data. Not here: what is done when, and any state
but open handles; `log` decides, and never has two of its works that write in one strand at once.

Order that makes a crash harmless: a segment's name is durable before anything is written to it; an index
entry is written after the sync that covers it; a final entry after the sync of the index (see `index`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pillarbox.store.batch import BatchError
from pillarbox.store.files import Files, StoreError, read_exactly
from pillarbox.store.index import ENTRY_SIZE, Entry, encode_entries, search_offset, search_time
from pillarbox.store.log_state import LogState, save_state
from pillarbox.store.segment import (
    Buffer,
    Slice,
    empty_slice,
    index_name,
    producers_name,
    seek,
    segment_name,
    whole_batches,
)

CLEAN_SUFFIX = ".clean"


class LogFolder:
    """The files of one log. At most one segment is written at a time; handles close when it is sealed."""

    def __init__(self, files: Files, folder: str) -> None:
        self.files = files
        self.folder = folder
        self._handles: dict[int, int] = {}
        """Open segment files by base offset."""

    def __repr__(self) -> str:
        return f"<LogFolder {self.folder} open={sorted(self._handles)}>"

    def segment_path(self, base: int) -> str:
        return os.path.join(self.folder, segment_name(base))

    def index_path(self, base: int) -> str:
        return os.path.join(self.folder, index_name(base))

    def producers_path(self, base: int) -> str:
        return os.path.join(self.folder, producers_name(base))

    def clean_path(self, path: str) -> str:
        """Where a new file stands until it takes the place of one of the log's."""
        return path + CLEAN_SUFFIX

    def swap(self, base: int, others: Sequence[int]) -> None:
        """Put a compacted segment in its place, and remove the others that it was made of.

        The log's state says that this is to be done, so a crash in the midst is made good at the next
        opening: where there is a new file it takes the place of the old one, else it has done so.
        """
        for path in (self.segment_path(base), self.index_path(base), self.producers_path(base)):
            if self.files.exists(self.clean_path(path)):
                self.files.rename(self.clean_path(path), path)
        self.files.sync_folder(self.folder)
        for other in others:
            for path in (self.segment_path(other), self.index_path(other), self.producers_path(other)):
                if self.files.exists(path):
                    self.files.remove(path)
        self.files.sync_folder(self.folder)

    def make(self) -> None:
        """Make the folder; its name is durable on return."""
        self.files.make_folder(self.folder)

    def create(self, base: int) -> None:
        """Make an empty segment and its empty index; their names are durable on return."""
        handle = self.files.open(self.segment_path(base), create=True)
        self._handles[base] = handle
        self.files.truncate(handle, 0)
        index = self.files.open(self.index_path(base), create=True)
        try:
            self.files.truncate(index, 0)
        finally:
            self.files.close(index)
        self.files.sync_folder(self.folder)

    def write(self, base: int, position: int, chunks: Sequence[Buffer]) -> None:
        self.files.write(self._handle(base), position, chunks)

    def sync(self, base: int) -> None:
        """Sync a segment, through the handle that wrote it: another might not be told of an earlier error."""
        self.files.sync(self._handle(base))

    def save_entries(self, base: int, count: int, entries: Sequence[Entry], *, final: Entry | None) -> None:
        """Write entries after the first `count` of the index; make it complete if a final one is given."""
        if not entries and final is None:
            return
        handle = self.files.open(self.index_path(base), create=True)
        try:
            if entries:
                self.files.write(handle, count * ENTRY_SIZE, [encode_entries(base, entries)])
            if final is not None:
                self.files.sync(handle)
                end = (count + len(entries)) * ENTRY_SIZE
                self.files.write(handle, end, [encode_entries(base, [final])])
                self.files.sync(handle)
        finally:
            self.files.close(handle)

    def cut_index(self, base: int, count: int) -> None:
        """Keep the first `count` entries, durably. Always before the segment itself is cut: an entry must
        never speak of bytes that were written later than it."""
        handle = self.files.open(self.index_path(base), create=True)
        try:
            self.files.truncate(handle, count * ENTRY_SIZE)
            self.files.sync(handle)
        finally:
            self.files.close(handle)
        self.files.sync_folder(self.folder)

    def cut(self, base: int, size: int) -> None:
        """Keep the first `size` bytes of a segment, durably."""
        handle = self._handle(base)
        self.files.truncate(handle, size)
        self.files.sync(handle)

    def remove(self, bases: Sequence[int]) -> None:
        """Remove segments one by one, in this order, and make that durable."""
        for base in bases:
            self.release(base)
            for path in (self.segment_path(base), self.index_path(base), self.producers_path(base)):
                if self.files.exists(path):
                    self.files.remove(path)
            self.files.sync_folder(self.folder)

    def save_state(self, state: LogState) -> None:
        save_state(self.files, self.folder, state)

    def release(self, base: int) -> None:
        """Close a segment's file if it is open."""
        handle = self._handles.pop(base, -1)
        if handle >= 0:
            self.files.close(handle)

    def close(self) -> None:
        for base in list(self._handles):
            self.release(base)

    def _handle(self, base: int) -> int:
        handle = self._handles.get(base, -1)
        if handle < 0:
            handle = self._handles[base] = self.files.open(self.segment_path(base), write=True)
        return handle


class Place(NamedTuple):
    """Where a cold read has to look: what the log knew when it was asked."""

    base: int
    position: int
    """Byte to look from; -1: search the first `index_count` entries of the index file."""
    index_count: int
    size: int
    """Bytes that are written; what lies beyond is not looked at."""


def find_batches(
    folder: LogFolder, place: Place, offset: int, size_max: int, offset_end: int
) -> tuple[Slice, int]:
    """Read whole batches from the one that holds `offset`, or the next; empty if the segment has none.

    Also returns the byte after them. FileNotFoundError if the segment was removed meanwhile; StoreError if
    it is damaged.
    """
    files = folder.files
    handle = files.open(folder.segment_path(place.base))
    try:
        position = position_of(folder, place, offset)
        found = seek(files, handle, position, place.size, lambda header: header.next_offset > offset)
        if found is None or found[1].base_offset >= offset_end:
            return empty_slice(offset), position
        position, header = found
        size = min(max(size_max, header.size), place.size - position)
        data = read_exactly(files, handle, position, size)
    finally:
        files.close(handle)
    try:
        size, offset_next = whole_batches(data, size_max, offset_end)
    except BatchError as error:
        raise StoreError(f"a segment is damaged after byte {position}: {error}") from error
    return Slice(header.base_offset, offset_next, [data[:size]], size), position + size


def find_time(folder: LogFolder, place: Place, timestamp_ms: int, offset_min: int) -> int | None:
    """First offset of the first batch with a record not older than that, among those that reach beyond
    `offset_min`; None if the segment has none."""
    files = folder.files
    handle = files.open(folder.segment_path(place.base))
    try:
        position = _position_near(folder, place, timestamp_ms, search_time)
        found = seek(
            files,
            handle,
            position,
            place.size,
            lambda header: header.max_timestamp >= timestamp_ms and header.next_offset > offset_min,
        )
    finally:
        files.close(handle)
    return None if found is None else found[1].base_offset


class _Search(Protocol):
    """The type of `search_offset` and `search_time`."""

    def __call__(self, files: Files, handle: int, base: int, count: int, key: int, /) -> int: ...


def position_of(folder: LogFolder, place: Place, offset: int) -> int:
    """From which byte on to look for an offset."""
    return _position_near(folder, place, offset, search_offset)


def _position_near(folder: LogFolder, place: Place, key: int, search: _Search) -> int:
    """Where to look: as the place or the index file says; the beginning if there is no such file."""
    if place.position >= 0:
        return place.position
    if not place.index_count:
        return 0
    try:
        handle = folder.files.open(folder.index_path(place.base))
    except FileNotFoundError:
        return 0
    try:
        return search(folder.files, handle, place.base, place.index_count, key)
    finally:
        folder.files.close(handle)
