"""What a partition log has to remember beside its segments: its first offset, and its leader epochs.

Purpose: the file `state` of a log's folder, replaced in one step; and the history of leader epochs, by
which a client finds out where its own copy and the log part (Kafka's OffsetForLeaderEpoch). Not here: when
an epoch begins.

The file has two lines: JSON, and the CRC-32C of the first in hex. A newer version is refused in words.
Version 1 knows neither producers nor compaction, and a log without either is written so.
"""

from __future__ import annotations

import os

import msgspec

from pillarbox.store.crc import crc32c
from pillarbox.store.files import Files, StoreError, read_file, write_file

STATE_NAME = "state"
STATE_VERSION = 2
PLAIN_VERSION = 1
"""What a log without producers and compaction is written as, so that an older Pillarbox can read it."""
NO_EPOCH = -1
NO_OFFSET = -1


class LogState(msgspec.Struct):
    """The contents of the file. `epochs` holds (epoch, its first offset), both growing."""

    start: int = 0
    epochs: list[tuple[int, int]] = []
    version: int = PLAIN_VERSION
    has_producers: bool = False
    """Some batch had a producer id (`producer_files`)."""
    cleaned: int = 0
    """Below, no key has a second record (`compaction`)."""
    swap: tuple[int, int] | None = None
    """The compacted segment with this base takes the place of all from there to the second offset."""

    def copy(self) -> LogState:
        """A copy that may go to another thread."""
        return msgspec.structs.replace(self, epochs=list(self.epochs))

    def note_producers(self) -> None:
        self.has_producers = True
        self.version = STATE_VERSION

    def note_cleaned(self, offset: int) -> None:
        self.cleaned = offset
        self.version = STATE_VERSION

    def note_swap(self, base: int, offset_next: int) -> None:
        self.swap = base, offset_next
        self.version = STATE_VERSION

    @property
    def epoch_last(self) -> int:
        return self.epochs[-1][0] if self.epochs else NO_EPOCH

    def begin_epoch(self, epoch: int, offset: int) -> None:
        """Records from `offset` on are of this epoch; one that had none yet is forgotten."""
        assert epoch > self.epoch_last, f"epoch {epoch} does not follow on {self.epoch_last}"
        self.cut(offset)
        self.epochs.append((epoch, offset))

    def cut(self, offset: int) -> None:
        """Nothing is kept from `offset` on: forget the epochs that began there or later."""
        self.cleaned = min(self.cleaned, offset)
        while self.epochs and self.epochs[-1][1] >= offset:
            self.epochs.pop()

    def trim(self, start: int) -> None:
        """Nothing is kept below `start`: forget the epochs that ended there or earlier."""
        self.start = start
        while len(self.epochs) > 1 and self.epochs[1][1] <= start:
            del self.epochs[0]
        if self.epochs and self.epochs[0][1] < start:
            self.epochs[0] = (self.epochs[0][0], start)

    def end_of_epoch(self, epoch: int, offset_end: int) -> tuple[int, int]:
        """The last epoch up to `epoch` that has records, and the offset after its last one.

        (NO_EPOCH, NO_OFFSET) for an epoch of the future. One from before all that is known ends where the
        first known one begins. Source: KIP-101, KIP-320.
        """
        if epoch < 0 or epoch > self.epoch_last:
            return NO_EPOCH, NO_OFFSET
        end = offset_end
        for known, first in reversed(self.epochs):
            if known <= epoch:
                return known, end
            end = first
        return epoch, end


def save_state(files: Files, folder: str, state: LogState) -> None:
    write_file(files, os.path.join(folder, STATE_NAME), pack_line(msgspec.json.encode(state)))


def load_state(files: Files, folder: str) -> LogState | None:
    """The saved state; None if there is none or it is damaged; StoreError if it is of a newer version."""
    path = os.path.join(folder, STATE_NAME)
    try:
        line = unpack_line(read_file(files, path))
    except FileNotFoundError:
        return None
    if line is None:
        return None
    version = msgspec.json.decode(line, type=_Version).version
    if version > STATE_VERSION:
        raise StoreError(
            f"{path} has version {version}; this version of Pillarbox reads versions up to "
            f"{STATE_VERSION}: use a newer one"
        )
    return msgspec.json.decode(line, type=LogState)


def pack_line(line: bytes) -> list[bytes]:
    """A line of JSON, and one with its checksum: what small files of a log look like."""
    return [line, b"\n%08x\n" % crc32c(line)]


def unpack_line(data: bytes) -> bytes | None:
    """The line that `pack_line` was given; None if it is damaged."""
    line, _, rest = data.partition(b"\n")
    return line if rest.strip() == b"%08x" % crc32c(line) else None


class _Version(msgspec.Struct):
    version: int
