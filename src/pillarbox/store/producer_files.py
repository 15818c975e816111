"""What a log keeps of its producers on disk: a file beside each segment, and how it is made from batches.

Purpose: `SegmentProducers` is what was known where a segment ends: the table of producers, and the
transactions whose abort marker is in the segment. `restore` brings a log's producers back: from the files
and, where there is none or it does not reach the end, from the headers of batches. Not here: what is decided
by it (`producers`).

The file has two lines, JSON and its CRC-32C in hex, like the log's `state`. It is written after the segment
was synced as a whole, and goes with it. So a file speaks of a beginning of its segment, or it is no crash's
work and not used. No file is the only place of anything: those that are missing or damaged are made anew.

Invariant: a log whose state says that it has no producers has no such file, and none of its batches is looked
at: the first batch of a producer is written after the state that says so is durable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from pillarbox.store.batch import BatchError, BatchHeader, decode_batch
from pillarbox.store.files import StoreError, read_exactly, read_file, write_file
from pillarbox.store.log_io import LogFolder, Place, position_of
from pillarbox.store.log_state import pack_line, unpack_line
from pillarbox.store.producers import ABORT, COMMIT, Aborted, Producer, Producers, decode_marker
from pillarbox.store.segment import NOTHING_ABORTED, Segment, walk

FILE_VERSION = 1
NOT_KNOWN = 0
"""The version of a file that says nothing: what it stands for is found in the batches."""


class SegmentProducers(msgspec.Struct):
    """The contents of one file."""

    end: int
    """The offset up to which it speaks."""
    table: dict[int, Producer]
    aborted: list[Aborted]
    version: int = FILE_VERSION


def save_producers(folder: LogFolder, base: int, found: SegmentProducers) -> None:
    """Put the file of the segment that begins at `base` in place, in one step."""
    write_file(folder.files, folder.producers_path(base), pack_line(encode_producers(found)))


def encode_producers(found: SegmentProducers) -> bytes:
    return msgspec.json.encode(found)


def load_producers(folder: LogFolder, base: int) -> SegmentProducers | None:
    """The file's contents; None if it is missing, damaged or of another version."""
    try:
        line = unpack_line(read_file(folder.files, folder.producers_path(base)))
    except FileNotFoundError:
        return None
    try:
        found = msgspec.json.decode(line or b"", type=SegmentProducers)
    except msgspec.MsgspecError:
        return None
    return found if found.version == FILE_VERSION else None


def restore(folder: LogFolder, segments: Sequence[Segment], *, now_ms: int) -> Producers:
    """The producers of a log that is in order, and of each segment the transactions that it aborts.

    Where a file does not reach the end of its segment, headers are read, and it is made anew. Producers that
    are found so count as active now: nobody has noted when they were. A file behind it says more than that:
    of a compacted segment most batches are gone, and with them sequences.
    """
    producers = Producers()
    for segment in segments:
        found = load_producers(folder, segment.base)
        if found is not None and not segment.base <= found.end <= segment.offset_next:
            found = None
        segment.aborted = NOTHING_ABORTED
        offset = segment.base
        if found is not None:
            producers = Producers(found.table)
            for aborted in found.aborted:
                segment.abort(aborted)
            offset = found.end
        if offset < segment.offset_next:
            _read_on(folder, segment, offset, producers, now_ms)
            save_producers(folder, segment.base, picture(segment, producers))
    return producers


def picture(segment: Segment, producers: Producers) -> SegmentProducers:
    """What is known at the end of the segment, which is the log's end."""
    return SegmentProducers(segment.offset_next, dict(producers.table), list(segment.aborted))


def _read_on(folder: LogFolder, segment: Segment, offset: int, producers: Producers, now_ms: int) -> None:
    """Take note of the segment's batches from `offset` on."""
    for header, marker in _batches_of_producers(folder, segment, offset):
        if not header.is_control:
            producers.take(header, now_ms)
        elif marker is not None:
            kind, coordinator_epoch = marker
            aborted = producers.end(header, coordinator_epoch, now_ms, commit=kind == COMMIT)
            if aborted is not None and kind == ABORT:
                segment.abort(aborted)


def _batches_of_producers(
    folder: LogFolder, segment: Segment, offset: int
) -> Iterator[tuple[BatchHeader, tuple[int, int] | None]]:
    """The headers of batches with a producer id from `offset` on, and what control batches say."""
    files = folder.files
    handle = files.open(folder.segment_path(segment.base))
    try:
        place = Place(segment.base, -1, segment.index.saved, segment.size)
        for position, header in walk(files, handle, position_of(folder, place, offset), segment.size):
            if header.producer_id < 0 or header.next_offset <= offset:
                continue
            marker = None
            if header.is_control:
                try:
                    _, records = decode_batch(read_exactly(files, handle, position, header.size))
                except BatchError as error:
                    raise StoreError(f"a segment is damaged at byte {position}: {error}") from error
                marker = decode_marker(records[0]) if records else None
            yield header, marker
    finally:
        files.close(handle)
