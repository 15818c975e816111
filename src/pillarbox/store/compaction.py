"""Compaction of a partition log: of each key the last record is kept (K34), offsets and order as they were.

Purpose: what a pass over a log does. `Cleaning` first notes where the last record of each key is among what
was appended since the last pass, then writes the segments anew, neighbours together while there is room,
without what has a successor, what was aborted, and tombstones and markers whose time is over. Not here: when
a pass begins, and how a new segment takes the place of old ones (`log_compaction`).

It is a generator of steps, each for one batch, to be run off the domain's thread, a slice at a time. It reads
sealed segments and writes files with the suffix `.clean` beside them; nothing else is touched.

Rules, after Apache Kafka's `LogCleaner` (KIP-534 for the horizon):

- A tombstone, a record without a value, stays for `delete_retention_ms` from the pass that first saw it, so
  that readers who are on their way learn of it. That moment, the delete horizon, is kept in the batch: bit 6
  of its attributes says that its base timestamp is one. Markers of transactions, once nothing of the
  transaction is left, have the same time.
- What cannot be read, which its producer alone can have caused, stays as it is.
- A batch keeps its first and last offset, and the last one that is left in a new segment reaches to where the
  old one ended: recovery finds no hole, and readers come to the end. Only where nothing at all is left there
  is an empty batch: librdkafka takes an answer that has nothing else for a batch that was cut short.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import NamedTuple

from pillarbox.store.batch import (
    CODEC_MASK,
    DELETE_HORIZON,
    HEADER_SIZE,
    LOG_APPEND_TIME,
    BatchError,
    BatchHeader,
    Record,
    decode_records,
    encode_payload,
    read_header,
    repack,
)
from pillarbox.store.codecs import CodecMissing, compress, decompress
from pillarbox.store.files import StoreError, demand_room, read_exactly
from pillarbox.store.index import encode_entries
from pillarbox.store.log_io import LogFolder
from pillarbox.store.log_state import pack_line
from pillarbox.store.producer_files import NOT_KNOWN, SegmentProducers, encode_producers, load_producers
from pillarbox.store.producers import NO_SEQUENCE, Aborted, is_aborted
from pillarbox.store.segment import Segment, walk

KEYS_MAX = 500_000
"""Keys of one pass: some 75 MB. What comes behind the record that exceeds it waits for the next pass."""

DIGEST_BYTES = 16
"""Keys that are longer are remembered by a digest of this size: no two of them will ever share one."""

DELTA_MAX = 2**31 - 1
"""Offsets that one new segment may span: its last batch may have to reach over all of them."""

WRITE_BYTES = 1 << 18
"""New batches are written once they are so many bytes."""


class Source(NamedTuple):
    """A sealed segment as it was when the pass began; copies, since the log goes on."""

    base: int
    offset_next: int
    size: int
    aborted: tuple[Aborted, ...]


class Cleaned(NamedTuple):
    """One new segment, complete and durable under its temporary names."""

    segment: Segment
    offset_next: int
    """It takes the place of all segments from its base to here."""


Step = Cleaned | int
"""What a step did: a new segment, or so many bytes of work."""


class Cleaning:
    """One pass; see the module. `sources` are all segments that it may touch, from the log's first on."""

    def __init__(
        self,
        folder: LogFolder,
        sources: Sequence[Source],
        *,
        cleaned: int,
        segment_bytes: int,
        index_interval_bytes: int,
        delete_retention_ms: int,
        now_ms: int,
        has_producers: bool,
        aborted: Sequence[Aborted],
        keys_max: int = KEYS_MAX,
    ) -> None:
        self.until = cleaned
        """The offset up to which the pass comes, known when its first half is done."""
        self._folder = folder
        self._sources = sources
        self._segment_bytes = segment_bytes
        self._index_interval_bytes = index_interval_bytes
        self._delete_retention_ms = delete_retention_ms
        self._now_ms = now_ms
        self._has_producers = has_producers
        self._keys_max = keys_max
        self._aborted = aborted
        """Transactions with records in the sources that were aborted, wherever their markers are."""
        self._latest: dict[bytes, int] = {}
        """Of each key, by `_digest`, the offset of its last record."""
        self._alive: set[int] = set()
        """Producers of whose transaction something is left."""

    def __repr__(self) -> str:
        return f"<Cleaning until={self.until} keys={len(self._latest)}>"

    def steps(self) -> Iterator[Step]:
        """Do the pass. OSError and StoreError end it; what it left behind is no part of the log."""
        yield from self._survey()
        sources = [source for source in self._sources if source.base < self.until]
        while sources:
            group = yield from self._rewrite(sources)
            del sources[: len(group)]

    # --- the first half -----------------------------------------------------------------------------------

    def _survey(self) -> Iterator[int]:
        for source in self._sources:
            if source.offset_next <= self.until:
                continue
            for header, data in self._batches(source):
                if header.next_offset <= self.until:
                    continue
                if len(self._latest) >= self._keys_max:
                    return
                self._note(header, data)
                self.until = header.next_offset
                yield header.size

    def _note(self, header: BatchHeader, data: bytes) -> None:
        if header.is_control or is_aborted(header, self._aborted):
            return
        for record in _records(header, data) or ():
            if record.key is not None:
                self._latest[_digest(record.key)] = record.offset

    # --- the second half ----------------------------------------------------------------------------------

    def _rewrite(self, sources: Sequence[Source]) -> Generator[Step, None, list[Source]]:
        """Write as many of the first segments anew as there is room for in one; return these.

        No new segment comes of one that is clean as it is.
        """
        size_max = min(self._segment_bytes, sum([source.size for source in sources]))
        demand_room(self._folder.files, self._folder.folder, size_max)
        new = _NewSegment(self._folder, sources[0].base, self._index_interval_bytes, self._now_ms)
        group: list[Source] = []
        changed = False
        try:
            for source in sources:
                room = new.size + source.size <= self._segment_bytes
                if group and not (room and source.offset_next - new.base <= DELTA_MAX):
                    break
                group.append(source)
                for header, data in self._batches(source):
                    kept = self._kept(header, data)
                    changed = changed or kept != data
                    if kept is not None:
                        new.add(kept)
                        for aborted in source.aborted:
                            if aborted.offset_last == header.base_offset:
                                new.segment.abort(aborted)
                    yield header.size
            changed = changed or len(group) > 1
            if changed:
                new.end_at(header)
                self._finish(new.segment, group[-1])
        except BaseException:
            changed = False
            raise
        finally:
            new.close()
            if not changed:
                self._discard(new.base)
        if changed:
            yield Cleaned(new.segment, group[-1].offset_next)
        return group

    def _discard(self, base: int) -> None:
        """Remove what was written of a new segment: of a full disk it may be the rest."""
        folder = self._folder
        for path in (folder.segment_path(base), folder.index_path(base), folder.producers_path(base)):
            with suppress(OSError):
                folder.files.remove(folder.clean_path(path))

    def _finish(self, segment: Segment, last: Source) -> None:
        """Put the new segment's other files beside it, and make their names durable."""
        folder, base = self._folder, segment.base
        index = segment.index
        entries = [*index.unsaved, segment.end_entry(final=True)]
        self._write(folder.index_path(base), [encode_entries(base, entries)])
        if self._has_producers:
            known = load_producers(folder, last.base)
            found = (
                SegmentProducers(segment.offset_next, {}, [], NOT_KNOWN)
                if known is None
                else SegmentProducers(segment.offset_next, known.table, list(segment.aborted))
            )
            self._write(folder.producers_path(base), pack_line(encode_producers(found)))
        folder.files.sync_folder(folder.folder)
        index.mark_saved(len(index.unsaved), finals=1)
        segment.written = segment.size
        segment.sealed = True

    def _write(self, path: str, chunks: list[bytes]) -> None:
        files = self._folder.files
        handle = files.open(self._folder.clean_path(path), create=True)
        try:
            files.truncate(handle, 0)
            files.write(handle, 0, chunks)
            files.sync(handle)
        finally:
            files.close(handle)

    # --- one batch ----------------------------------------------------------------------------------------

    def _kept(self, header: BatchHeader, data: bytes) -> bytes | None:
        """What stays of a batch; `data` itself if that is all of it, None if it is nothing."""
        if header.base_offset >= self.until:
            return data
        if header.is_control:
            return self._kept_marker(header, data)
        if not header.record_count or is_aborted(header, self._aborted):
            return None
        records = _records(header, data)
        if records is None:
            return data
        horizon = header.base_timestamp if header.attributes & DELETE_HORIZON else None
        over = horizon is not None and horizon <= self._now_ms
        latest = self._latest
        kept = [
            record
            for record in records
            if record.key is not None
            and latest.get(_digest(record.key), -1) <= record.offset
            and not (over and record.value is None)
        ]
        if not kept:
            return None
        if header.is_transactional:
            self._alive.add(header.producer_id)
        if horizon is None and any(record.value is None for record in kept):
            horizon = self._now_ms + self._delete_retention_ms
            return _encode(header, kept, horizon)
        return data if len(kept) == len(records) else _encode(header, kept, horizon)

    def _kept_marker(self, header: BatchHeader, data: bytes) -> bytes | None:
        """A marker stays while its transaction has records, and then for the time of a tombstone."""
        if header.producer_id in self._alive:
            self._alive.discard(header.producer_id)
            return data
        if header.attributes & DELETE_HORIZON:
            return None if header.base_timestamp <= self._now_ms else data
        records = _records(header, data)
        return _encode(header, records, self._now_ms + self._delete_retention_ms) if records else None

    def _batches(self, source: Source) -> Iterator[tuple[BatchHeader, bytes]]:
        files = self._folder.files
        handle = files.open(self._folder.segment_path(source.base))
        try:
            for position, header in walk(files, handle, 0, source.size):
                yield header, read_exactly(files, handle, position, header.size)
        finally:
            files.close(handle)


class _NewSegment:
    """A segment that is being written under its temporary name."""

    def __init__(self, folder: LogFolder, base: int, index_interval_bytes: int, now_ms: int) -> None:
        self.segment = Segment(base, now_ms)
        self._files = folder.files
        self._index_interval_bytes = index_interval_bytes
        self._handle = self._files.open(folder.clean_path(folder.segment_path(base)), create=True)
        self._files.truncate(self._handle, 0)
        self._chunks: list[bytes] = []
        self._written = 0
        self._last: bytes | None = None
        """The last batch is held back, since it may have to reach further."""

    @property
    def base(self) -> int:
        return self.segment.base

    @property
    def size(self) -> int:
        return self.segment.size + len(self._last or b"")

    def add(self, batch: bytes) -> None:
        self._put_last()
        self._last = batch

    def end_at(self, last: BatchHeader) -> None:
        """Let the segment end where this batch, which may be gone, did; it is complete and durable then."""
        if self._last is None:
            self._last = repack(last, b"", count=0, attributes=last.attributes & ~CODEC_MASK)
        self._last = _reaching(self._last, last.next_offset)
        self._put_last()
        self._write()
        self._files.sync(self._handle)

    def _put_last(self) -> None:
        if self._last is not None:
            self.segment.add(read_header(self._last), interval_bytes=self._index_interval_bytes)
            self._chunks.append(self._last)
            if self.segment.size - self._written >= WRITE_BYTES:
                self._write()

    def _write(self) -> None:
        self._files.write(self._handle, self._written, self._chunks)
        self._written = self.segment.size
        self._chunks = []

    def close(self) -> None:
        self._files.close(self._handle)


def _reaching(batch: bytes, offset_next: int) -> bytes:
    """The batch with its last offset moved on, as if its last records had been removed.

    It has no sequence any more, since that would be counted from the last offset.
    """
    header = read_header(batch)
    if header.next_offset == offset_next:
        return batch
    header = header._replace(
        last_offset_delta=offset_next - 1 - header.base_offset, base_sequence=NO_SEQUENCE
    )
    payload = batch[HEADER_SIZE:]
    return repack(header, payload, count=header.record_count, attributes=header.attributes)


def _digest(key: bytes) -> bytes:
    return key if len(key) < DIGEST_BYTES else blake2b(key, digest_size=DIGEST_BYTES).digest()


def _records(header: BatchHeader, data: bytes) -> list[Record] | None:
    """The records of a batch; None if they cannot be read. StoreError if the codec's library is missing."""
    try:
        payload = decompress(header.codec, data[HEADER_SIZE:])
        return decode_records(payload, 0, len(payload), header)
    except CodecMissing as error:
        raise StoreError(str(error)) from error
    except BatchError:
        return None


def _encode(header: BatchHeader, records: list[Record], horizon: int | None) -> bytes:
    """A batch with these of its records; with a horizon, that is its base timestamp."""
    attributes = header.attributes
    base_timestamp = header.base_timestamp
    if horizon is not None:
        attributes |= DELETE_HORIZON
        base_timestamp = horizon
    newest = header.max_timestamp
    if not attributes & LOG_APPEND_TIME:
        newest = max(record.timestamp_ms for record in records)
    payload = compress(header.codec, encode_payload(records, header.base_offset, base_timestamp))
    return repack(
        header,
        payload,
        count=len(records),
        attributes=attributes,
        base_timestamp=base_timestamp,
        max_timestamp=newest,
    )
