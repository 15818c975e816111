"""Bring a partition log's folder into order: after a clean stop, a killed process or a power cut.

Purpose: `recover` turns what is in a folder into segments that are whole, durable and indexed; `truncate`
cuts a recovered log shorter. Both block; they run before a log takes anything in. Not here: the log in
operation.

What a crash may leave, and what becomes of it:

- A *complete* segment (its index ends with a final entry that ends where the file does) is not read.
- Any other is read from its last good index entry on, checksums verified. It is cut at the first batch that
  is not intact, does not follow on, or is not all there; that tail was never reported as synced.
- Syncs go through segments in order. So what comes after a cut was never synced either and is removed;
  unless a later segment is complete, which proves that the damage is not a crash's: then nothing is
  touched and a StoreError says so.
- A segment that was complete may have been written to again; so a segment that does not begin where the one
  before it ends has lost its predecessor's end, and is treated in the same way.
- An index entry whose batch is not there is no crash's work either, and is refused in the same way.
- Segments below the first offset, whose removal did not become durable, are removed again.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pillarbox.store.batch import HEADER_SIZE, BatchError, BatchHeader, is_intact, read_header
from pillarbox.store.files import Files, StoreError
from pillarbox.store.index import ENTRY_SIZE, Entry, IndexBuilder, decode_entries, decode_entry
from pillarbox.store.log_io import CLEAN_SUFFIX, LogFolder
from pillarbox.store.log_state import LogState, load_state
from pillarbox.store.producer_files import restore
from pillarbox.store.producers import Producers
from pillarbox.store.segment import (
    INDEX_SUFFIX,
    PRODUCERS_SUFFIX,
    SEGMENT_SUFFIX,
    Scan,
    Segment,
    index_name,
    parse_name,
    seek,
    segment_name,
)

TEMPORARY_SUFFIX = ".tmp"


class Recovered(NamedTuple):
    """A log in order: at least one segment, everything in them durable and indexed."""

    segments: list[Segment]
    state: LogState
    producers: Producers
    warnings: list[str]
    damaged: bool
    """Something at the end was lost: a new leader epoch must begin."""
    unfinished: bool
    """The last segment was not closed: nobody knows what a crash has taken from its end without a trace."""


def nothing(now_ms: int) -> Recovered:
    """What a log is that was never written to."""
    return Recovered([Segment(0, now_ms)], LogState(epochs=[(0, 0)]), Producers(), [], False, False)


class _Examined(NamedTuple):
    """A segment that is not complete, as it was found; nothing is changed yet."""

    segment: Segment
    """With what is intact of it; its index builder holds the entries that are to be written."""
    file_size: int
    index_count: int
    """Whole and broken entries in the index file; -1: there is no such file."""
    problem: str | None


def recover(folder: LogFolder, *, interval_bytes: int, now_ms: int) -> Recovered:
    """Bring the folder into order; StoreError in words if that cannot be done without guessing."""
    return _Recovery(folder, interval_bytes, now_ms).run()


def truncate(
    folder: LogFolder,
    segments: list[Segment],
    state: LogState,
    offset: int,
    *,
    interval_bytes: int,
    now_ms: int,
) -> Producers:
    """Remove every batch that reaches to `offset` or beyond, durably; changes `segments` and `state`.

    Returns the producers as they were then.

    A crash in the midst leaves a longer log that is in order; the caller repeats the cut. The newest
    segment goes first, so that there is never a hole.
    """
    recovery = _Recovery(folder, interval_bytes, now_ms)
    while len(segments) > 1 and segments[-1].base >= offset:
        folder.remove([segments.pop().base])
    segment = segments[-1]
    if segment.offset_next > offset:
        cut = _position_of(folder, segment, offset)
        data, _ = recovery.read_index(segment.base)
        entries = [entry for entry in decode_entries(segment.base, data) if entry.last_offset < offset]
        folder.cut_index(segment.base, len(entries))
        folder.cut(segment.base, cut)
        examined = recovery.examine(segment.base)
        recovery.settle(examined)
        segments[-1] = examined.segment
    recovery.begin_anew_below(segments, state.start)
    state.cut(segments[-1].offset_next)
    folder.save_state(state)
    return recovery.restore_producers(segments, state)


def _position_of(folder: LogFolder, segment: Segment, offset: int) -> int:
    """Where the first batch begins that reaches to `offset`; the segment's end if none does."""
    handle = folder.files.open(folder.segment_path(segment.base))
    try:
        found = seek(folder.files, handle, 0, segment.size, lambda header: header.next_offset > offset)
    finally:
        folder.files.close(handle)
    return segment.size if found is None else found[0]


class _Recovery:
    def __init__(self, folder: LogFolder, interval_bytes: int, now_ms: int) -> None:
        self.folder = folder
        self.files: Files = folder.files
        self.interval_bytes = interval_bytes
        self.now_ms = now_ms
        self.warnings: list[str] = []
        self.damaged = False
        self.unfinished = False

    def run(self) -> Recovered:
        self.folder.make()
        saved = load_state(self.files, self.folder.folder)
        if saved is not None and saved.swap is not None:
            self._finish_swap(saved, *saved.swap)
        bases = self._clear_folder()
        state = saved or LogState(start=bases[0] if bases else 0)
        bases = self._drop_below(bases, state.start)
        segments = self._recover_segments(bases)
        if saved is None:
            if segments:
                self._derive_state(state, segments)
            else:
                state.epochs = [(0, state.start)]
            self.folder.save_state(state)
        self.begin_anew_below(segments, state.start)
        state.start = max(state.start, segments[0].base)
        segments[-1].created_ms = self._first_time(segments[-1])
        producers = self.restore_producers(segments, state)
        return Recovered(segments, state, producers, self.warnings, self.damaged, self.unfinished)

    def restore_producers(self, segments: list[Segment], state: LogState) -> Producers:
        if not state.has_producers:
            return Producers()
        return restore(self.folder, segments, now_ms=self.now_ms)

    def _finish_swap(self, state: LogState, base: int, offset_next: int) -> None:
        """A compacted segment was about to take the place of others: see that it has."""
        names = self.files.names(self.folder.folder)
        bases = [found for name in names if (found := parse_name(name, SEGMENT_SUFFIX)) is not None]
        self.folder.swap(base, [other for other in bases if base < other < offset_next])
        state.swap = None
        self.folder.save_state(state)

    def begin_anew_below(self, segments: list[Segment], start: int) -> None:
        """Go on at `start` if what is left ends below: what was above did not survive, and what is below
        was removed on request."""
        if segments and segments[-1].offset_next >= start:
            return
        self.folder.remove([segment.base for segment in reversed(segments)])
        self.folder.create(start)
        self.folder.release(start)
        segments[:] = [Segment(start, self.now_ms)]

    def _warn(self, text: str) -> None:
        self.warnings.append(f"the log {self.folder.folder} {text}")

    def _derive_state(self, state: LogState, segments: list[Segment]) -> None:
        """The file is written before the first segment and replaced in one step, so no crash takes it away;
        somebody did. Epochs go on above the last one that any client can have seen."""
        self._warn("has lost its file `state`: its first offset and leader epoch are taken from its segments")
        self.damaged = True
        state.note_producers()
        last = segments[-1] if segments[-1].size else segments[max(0, len(segments) - 2)]
        if last.size:
            header, _ = self._batch_at(last.base, last.last_position)
            if header is not None and header.leader_epoch >= 0:
                state.epochs = [(header.leader_epoch, state.start)]

    # --- names ---------------------------------------------------------------------------------------------

    def _clear_folder(self) -> list[int]:
        """Remove unfinished files and what stands beside no segment; return base offsets, ascending."""
        names = self.files.names(self.folder.folder)
        bases = {base for name in names if (base := parse_name(name, SEGMENT_SUFFIX)) is not None}
        stale = [name for name in names if name.endswith((TEMPORARY_SUFFIX, CLEAN_SUFFIX))]
        for suffix in (INDEX_SUFFIX, PRODUCERS_SUFFIX):
            for name in names:
                base = parse_name(name, suffix)
                if base is not None and base not in bases:
                    stale.append(name)
        for name in stale:
            self.files.remove(os.path.join(self.folder.folder, name))
        if stale:
            self.files.sync_folder(self.folder.folder)
        return sorted(bases)

    def _drop_below(self, bases: list[int], start: int) -> list[int]:
        """Remove segments that end below `start`; return the others."""
        count = sum(1 for following in bases[1:] if following <= start)
        self.folder.remove(bases[:count])
        return bases[count:]

    # --- segments ------------------------------------------------------------------------------------------

    def _recover_segments(self, bases: list[int]) -> list[Segment]:
        segments: list[Segment] = []
        for index, base in enumerate(bases):
            later = bases[index + 1 :]
            examined = None
            segment = self._complete(base)
            if segment is None:
                examined = self.examine(base)
                segment = examined.segment
            problem = examined.problem if examined else None
            if problem is None and later and segment.offset_next != later[0]:
                problem = f"nothing between offset {segment.offset_next} and the next segment"
            if problem is not None:
                self._refuse_damage(segment, problem, later)
                self._drop_later(later)
                later = []
            if examined is not None:
                self.settle(examined)
            self.unfinished = examined is not None
            segment.sealed = True
            segments.append(segment)
            if not later:
                break
        return segments

    def _refuse_damage(self, segment: Segment, problem: str, later: list[int]) -> None:
        """Syncs go in order: a complete later segment proves that this one was whole."""
        beyond = next((base for base in later if self._complete(base) is not None), None)
        if beyond is not None or (later and segment.offset_next > later[0]):
            raise StoreError(
                f"{self.folder.segment_path(segment.base)} is damaged at byte {segment.size}: there is "
                f"{problem}, and records after it were stored safely; restore the file, or move it and "
                f"all later ones of its folder away to go on at offset {segment.offset_next}"
            )

    def _drop_later(self, later: list[int]) -> None:
        """Remove what was written after a tail that did not survive; it was not synced either."""
        if later:
            self.damaged = True
            names = ", ".join(segment_name(base) for base in later)
            self._warn(f"lost the end of a segment; what was written after it is removed: {names}")
            self.folder.remove(later[::-1])

    def _complete(self, base: int) -> Segment | None:
        """The segment, if its index says that it is complete. Cost: one entry and one batch."""
        data, count = self.read_index(base, last_only=True)
        entry = decode_entry(base, data)
        if entry is None or not entry.final:
            return None
        header, size = self._batch_at(base, entry.position)
        if header is None or header.next_offset - 1 != entry.last_offset:
            return None
        if entry.position + header.size != size:
            return None
        segment = self._segment_at(entry)
        segment.base = base
        segment.offset_next = header.next_offset
        segment.size = segment.written = size
        segment.index = IndexBuilder(base, saved=count)
        return segment

    def examine(self, base: int) -> _Examined:
        """Read what the index does not vouch for. Changes no file. StoreError if what it vouches for is
        not there."""
        data, count = self.read_index(base)
        entries = decode_entries(base, data)
        segment = Segment(base, self.now_ms)
        if entries:
            header, _ = self._batch_at(base, entries[-1].position)
            if header is None or header.next_offset - 1 != entries[-1].last_offset:
                raise StoreError(
                    f"{self.folder.segment_path(base)} is damaged at byte {entries[-1].position}: its index "
                    f"says that records up to offset {entries[-1].last_offset} were stored safely; restore "
                    f"the file, or remove {index_name(base)} to go on with the records before the damage"
                )
            segment = self._segment_at(entries[-1])
            segment.base, segment.offset_next = base, header.base_offset
        segment.index = IndexBuilder(base, saved=len(entries))
        handle = self.files.open(self.folder.segment_path(base))
        try:
            scan = Scan(self.files, handle, segment.size, segment.offset_next)
            for header in scan:
                segment.add(header, interval_bytes=self.interval_bytes)
        finally:
            self.files.close(handle)
        segment.written = segment.size
        return _Examined(segment, scan.file_size, count, scan.problem)

    def settle(self, examined: _Examined) -> None:
        """Cut what is not intact, make the rest durable and its index complete."""
        segment, base = examined.segment, examined.segment.base
        index = segment.index
        if examined.index_count != index.saved:
            if segment.size or examined.index_count >= 0:
                state = "missing" if examined.index_count < 0 else "torn"
                self._warn(f"had a {state} index, which was made anew: {index_name(base)}")
            self.folder.cut_index(base, index.saved)
        if examined.problem is not None:
            self.damaged = True
            self._warn(
                f"was cut at offset {segment.offset_next}: at byte {segment.size} of {segment_name(base)} "
                f"there was {examined.problem}; {examined.file_size - segment.size} bytes were removed"
            )
            self.folder.cut(base, segment.size)
        elif segment.size:
            self.folder.sync(base)
        if segment.size:
            entries = list(index.unsaved)
            self.folder.save_entries(base, index.saved, entries, final=segment.end_entry(final=True))
            index.mark_saved(len(entries), finals=1)
        self.folder.release(base)

    # --- reading -------------------------------------------------------------------------------------------

    def _segment_at(self, entry: Entry) -> Segment:
        """A segment as it was before the entry's batch, but for the timestamps."""
        segment = Segment(0, self.now_ms)
        segment.size = segment.last_position = entry.position
        segment.max_timestamp = entry.max_timestamp
        segment.max_timestamp_offset = entry.max_timestamp_offset
        return segment

    def read_index(self, base: int, *, last_only: bool = False) -> tuple[bytes, int]:
        """The index file's bytes, or its last entry's, and how many entries it has, the last one perhaps
        broken; -1: there is no such file."""
        try:
            handle = self.files.open(self.folder.index_path(base))
        except FileNotFoundError:
            return b"", -1
        try:
            size = self.files.size(handle)
            position = max(0, size - ENTRY_SIZE) if last_only else 0
            return self.files.read(handle, position, size - position), -(-size // ENTRY_SIZE)
        finally:
            self.files.close(handle)

    def _batch_at(self, base: int, position: int) -> tuple[BatchHeader | None, int]:
        """The header of the batch at that byte, None if it is not intact; and the file's size."""
        handle = self.files.open(self.folder.segment_path(base))
        try:
            size = self.files.size(handle)
            try:
                header = read_header(self.files.read(handle, position, HEADER_SIZE))
            except BatchError:
                return None, size
            if position + header.size > size:
                return None, size
            data = self.files.read(handle, position, header.size)
            return (header if is_intact(data, 0, header) else None), size
        finally:
            self.files.close(handle)

    def _first_time(self, segment: Segment) -> int:
        """When the segment was begun, as far as its first batch tells: what its roll by time counts from."""
        if not segment.size:
            return self.now_ms
        header, _ = self._batch_at(segment.base, 0)
        if header is None or header.max_timestamp < 0:
            return self.now_ms
        return min(header.max_timestamp, self.now_ms)
