"""A checkpoint as a file: definitions, queues, and where every unsettled message rests.

Name `checkpoint-<number>`; put in place by rename, so one that is there is whole. Content: the magic, then
sections, each of them

    size u32 (of the payload) | crc u32 (of kind and payload) | kind u8 | payload

    C  msgpack [number, segment, offset]                                once, first
    D  msgpack [[kind, key, value], ...]                                definitions, in order
    L  segment, position, size, messages: four i64 a record             the table of locations
    Q  msgpack [[uid, sequence_next, delivered_through, runs], ...]     a long queue in several rows
    R  facts as a group has them (`returned`)                           messages that came back, if any did
    T  uid, due_below: i64 each; keys of twelve bytes                   when messages of a schedule are due
    E  empty                                                            once, last

A run is start, stop, step, place in the table, body_bytes, accepted_ms: six i64. Each location stands in the
table once, however many queues share the record. Sections are small, so that neither writing nor
reading holds more than one, and whoever writes can step aside between them.

Not here: how a checkpoint is made (`checkpoint`) or used (`replay`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TypeVar

import msgspec

from pillarbox.engine.base import Location, ReturnedFact, StoredRun
from pillarbox.engine.returned import decode_returned, encode_returned
from pillarbox.store.crc import crc32c
from pillarbox.store.files import Files, StoreError

MAGIC = b"PBCHECK1"
PREFIX = "checkpoint-"
UNFINISHED = ".tmp"
HEAD = b"C"
DEFINITIONS = b"D"
LOCATIONS = b"L"
QUEUES = b"Q"
RETURNED = b"R"
DUE = b"T"
END = b"E"
SECTIONS = {
    HEAD: "the head",
    DEFINITIONS: "definitions",
    LOCATIONS: "locations",
    QUEUES: "queues",
    RETURNED: "returned messages",
    DUE: "due times",
    END: "the end",
}
"""What `pillarbox check` calls them."""

SECTION_ITEMS = 500
"""Definitions, locations or queues per section: a fraction of a millisecond of work."""
SECTION_BYTES = 64 << 10
"""Packed runs, or values of definitions, per section, about."""
_SECTION = struct.Struct(">IIc")
_RUN = struct.Struct(">6q")
_LOCATION = struct.Struct(">4q")
_DUE = struct.Struct(">2q")
KEY_BYTES = 12
SECTION_KEYS = 2000
"""Keys in a section: a fraction of a millisecond of work."""

T = TypeVar("T")

QueueRow = tuple[int, int, int, bytes]
"""uid, sequence_next, delivered_through, packed runs."""
DueRow = tuple[int, int, bytes]
"""uid, due_below, packed keys: see `QueueState.due`."""
LocationRow = tuple[int, int, int, int]
"""segment, position, size, messages."""


class CheckpointFile(msgspec.Struct):
    """The state at the moment when the journal went on in `segment`, whose first group has base `offset`."""

    number: int
    segment: int
    offset: int
    definitions: Iterable[tuple[str, str, bytes]]
    locations: Iterable[LocationRow]
    queues: Iterable[QueueRow]
    """A queue's rows follow each other."""
    returned: Iterable[ReturnedFact] = ()
    due: Iterable[DueRow] = ()


def pack_runs(runs: Sequence[StoredRun], places: Sequence[int]) -> bytes:
    """Runs with the places of their locations in the table."""
    flat = [
        number
        for run, place in zip(runs, places, strict=True)
        for number in (
            run.sequences.start,
            run.sequences.stop,
            run.sequences.step,
            place,
            run.body_bytes,
            run.accepted_ms,
        )
    ]
    return struct.pack(f">{len(flat)}q", *flat)


def unpack_runs(packed: bytes) -> Iterator[tuple[range, int, int, int]]:
    """(sequences, place of the location, body_bytes, accepted_ms) of each run."""
    for start, stop, step, place, body_bytes, accepted_ms in _RUN.iter_unpack(packed):
        yield range(start, stop, step), place, body_bytes, accepted_ms


def pack_keys(keys: Sequence[int]) -> bytes:
    """Keys of a schedule (see `DUE_SEQUENCE_BITS`), big-endian."""
    return b"".join([key.to_bytes(KEY_BYTES, "big") for key in keys])


def unpack_keys(packed: bytes) -> list[int]:
    """The inverse of `pack_keys`."""
    from_bytes = int.from_bytes
    return [from_bytes(packed[at : at + KEY_BYTES], "big") for at in range(0, len(packed), KEY_BYTES)]


def locations_of(rows: Iterable[LocationRow]) -> list[Location]:
    """The table as objects; records that have the same place, which merging leaves behind, share one."""
    shared: dict[tuple[int, int], Location] = {}
    table = []
    for row in rows:
        location = shared.get(row[:2])
        if location is None:
            location = shared[row[:2]] = Location(*row)
        table.append(location)
    return table


def checkpoint_path(folder: str, number: int) -> str:
    return os.path.join(folder, f"{PREFIX}{number:012d}")


def checkpoint_numbers(files: Files, folder: str) -> list[int]:
    """Numbers of the checkpoints that are there, ascending."""
    stems = [name.removeprefix(PREFIX) for name in files.names(folder) if name.startswith(PREFIX)]
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def stale_checkpoints(files: Files, folder: str, number: int) -> list[str]:
    """Paths of those before this one, and of what was never finished."""
    older = [checkpoint_path(folder, one) for one in checkpoint_numbers(files, folder) if one < number]
    names = [name for name in files.names(folder) if name.startswith(PREFIX) and name.endswith(UNFINISHED)]
    return [*older, *(os.path.join(folder, name) for name in names)]


# --- writing ---------------------------------------------------------------------------------------------


def sections_of(checkpoint: CheckpointFile) -> Iterator[bytes]:
    """The file's contents in small pieces, each a fraction of a millisecond of work."""
    yield MAGIC
    yield from _sections(checkpoint)


class CheckpointWriter:
    """Writes a checkpoint beside its place and renames it into it. Every method blocks."""

    def __init__(self, files: Files, folder: str, number: int) -> None:
        self._files = files
        self._folder = folder
        self._path = checkpoint_path(folder, number)
        self._handle = -1
        self._position = 0
        self.renamed = False
        """From here on the one before it may be gone, or this one, as a power cut likes."""

    def open(self) -> None:
        self._handle = self._files.open(self._path + UNFINISHED, create=True)
        self._files.truncate(self._handle, 0)

    def write(self, chunks: Sequence[bytes]) -> None:
        self._position += self._files.write(self._handle, self._position, chunks)

    def finish(self) -> None:
        """The checkpoint is on the medium, under its name, when this returns."""
        self._files.sync(self._handle)
        self.close()
        self._files.rename(self._path + UNFINISHED, self._path)
        self.renamed = True
        self._files.sync_folder(self._folder)

    def close(self) -> None:
        if self._handle >= 0:
            self._files.close(self._handle)
            self._handle = -1

    def discard(self) -> None:
        """Remove what was written, before it is `renamed`."""
        self.close()
        with suppress(FileNotFoundError):
            self._files.remove(self._path + UNFINISHED)


def write_checkpoint(files: Files, folder: str, checkpoint: CheckpointFile) -> None:
    """Write a whole checkpoint at once; for small ones."""
    writer = CheckpointWriter(files, folder, checkpoint.number)
    writer.open()
    try:
        writer.write(list(sections_of(checkpoint)))
        writer.finish()
    finally:
        writer.close()


def _sections(checkpoint: CheckpointFile) -> Iterator[bytes]:
    encode = msgspec.msgpack.encode
    yield _section(HEAD, encode((checkpoint.number, checkpoint.segment, checkpoint.offset)))
    for definitions in _definition_batches(checkpoint.definitions):
        yield _section(DEFINITIONS, encode(definitions))
    for rows in _batches(checkpoint.locations):
        yield _section(LOCATIONS, b"".join([_LOCATION.pack(*row) for row in rows]))
    queues: list[QueueRow] = []
    size = 0
    for queue in checkpoint.queues:
        queues.append(queue)
        size += len(queue[3])
        if size >= SECTION_BYTES or len(queues) >= SECTION_ITEMS:
            yield _section(QUEUES, encode(queues))
            queues, size = [], 0
    yield _section(QUEUES, encode(queues))
    for facts in _batches(checkpoint.returned):
        yield _section(RETURNED, encode_returned(facts))
    for uid, below, packed in checkpoint.due:
        yield _section(DUE, _DUE.pack(uid, below) + packed)
    yield _section(END, b"")


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, SECTION_ITEMS)):
        yield batch


def _definition_batches(items: Iterable[tuple[str, str, bytes]]) -> Iterator[list[tuple[str, str, bytes]]]:
    batch: list[tuple[str, str, bytes]] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item[2])
        if len(batch) >= SECTION_ITEMS or size >= SECTION_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _section(kind: bytes, payload: bytes) -> bytes:
    return _SECTION.pack(len(payload), crc32c(payload, crc32c(kind)), kind) + payload


# --- reading ---------------------------------------------------------------------------------------------


class CheckpointReader:
    """One checkpoint, verified when it is made and read section by section afterwards."""

    def __init__(self, files: Files, path: str) -> None:
        """StoreError if the file is damaged. Cost: it is read once, in small pieces."""
        self._files = files
        self._path = path
        self.number, self.segment, self.offset = self._head()
        complete = False
        for kind, _ in self._sections():
            complete = kind == END
        if not complete:
            raise StoreError(f"the checkpoint {path} is cut short")

    def definitions(self) -> Iterator[tuple[str, str, bytes]]:
        for payload in self._payloads(DEFINITIONS):
            yield from self._decode(payload, list[tuple[str, str, bytes]])

    def locations(self) -> Iterator[LocationRow]:
        for payload in self._payloads(LOCATIONS):
            yield from _LOCATION.iter_unpack(payload)

    def queues(self) -> Iterator[QueueRow]:
        for payload in self._payloads(QUEUES):
            yield from self._decode(payload, list[QueueRow])

    def returned(self) -> Iterator[ReturnedFact]:
        for payload in self._payloads(RETURNED):
            yield from decode_returned(payload)

    def due(self) -> Iterator[DueRow]:
        for payload in self._payloads(DUE):
            if (len(payload) - _DUE.size) % KEY_BYTES or len(payload) < _DUE.size:
                raise StoreError(f"the checkpoint {self._path} cannot be read: due times of a wrong size")
            uid, below = _DUE.unpack_from(payload)
            yield uid, below, payload[_DUE.size :]

    def _head(self) -> tuple[int, int, int]:
        for kind, payload in self._sections():
            if kind == HEAD:
                return self._decode(payload, tuple[int, int, int])
            break
        raise StoreError(f"the checkpoint {self._path} does not begin as one")

    def _decode(self, payload: bytes, kind: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(payload, type=kind)
        except msgspec.DecodeError as error:
            raise StoreError(f"the checkpoint {self._path} cannot be read: {error}") from error

    def _payloads(self, wanted: bytes) -> Iterator[bytes]:
        return (payload for kind, payload in self._sections() if kind == wanted)

    def _sections(self) -> Iterator[tuple[bytes, bytes]]:
        handle = self._files.open(self._path)
        try:
            size = self._files.size(handle)
            if self._files.read(handle, 0, len(MAGIC)) != MAGIC:
                raise StoreError(f"the checkpoint {self._path} does not begin as one")
            position = len(MAGIC)
            while position + _SECTION.size <= size:
                head = self._files.read(handle, position, _SECTION.size)
                length, crc, kind = _SECTION.unpack(head)
                position += _SECTION.size
                if position + length > size:
                    break
                payload = self._files.read(handle, position, length)
                if crc32c(payload, crc32c(kind)) != crc:
                    name = SECTIONS.get(kind, "an unknown section")
                    raise StoreError(
                        f"the checkpoint {self._path} is damaged: a checksum does not hold ({name})"
                    )
                position += length
                yield kind, payload
        finally:
            self._files.close(handle)


def read_last_checkpoint(files: Files, folder: str, warnings: list[str]) -> CheckpointReader | None:
    """The newest good checkpoint, None if there never was one; StoreError if there are only damaged ones.

    A damaged one that has a good predecessor is passed over with a warning. That is safe, because the
    predecessor is removed before the first segment that it needs.
    """
    trouble: StoreError | None = None
    for number in reversed(checkpoint_numbers(files, folder)):
        try:
            checkpoint = CheckpointReader(files, checkpoint_path(folder, number))
        except StoreError as error:
            trouble = trouble or error
            continue
        if trouble is not None:
            warnings.append(f"{trouble}; the one before it is used")
        return checkpoint
    if trouble is not None:
        raise trouble
    return None
