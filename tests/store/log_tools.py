"""What the tests of the partition log share: batches, and a log whose strands run when the test says so."""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.store.batch import TRANSACTIONAL, Record, decode_batch, encode_records
from pillarbox.store.files import Files
from pillarbox.store.log import PartitionLog
from pillarbox.store.log_base import Appended, LogOptions, Strands
from pillarbox.store.segment import Slice
from pillarbox.store.strand import Strand
from pillarbox.store.tail import TailBudget

NOW = 1_700_000_000_000


def batch(*values: bytes, at: int = NOW) -> bytes:
    """One batch as a producer sends it, all its records with the timestamp `at`."""
    records = [Record(0, at, None, value, []) for value in values]
    return b"".join(encode_records(records).chunks)


def produced(
    producer_id: int,
    sequence: int,
    *values: bytes,
    epoch: int = 0,
    transactional: bool = False,
    at: int = NOW,
) -> bytes:
    """One batch of an idempotent producer."""
    encoded = encode_records(
        [Record(0, at, None, value, []) for value in values],
        attributes=TRANSACTIONAL if transactional else 0,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
    )
    return b"".join(encoded.chunks)


def records_of(found: Slice) -> list[tuple[int, bytes]]:
    """(offset, value) of every record in a slice; also proves that the slice is whole, intact batches."""
    data = b"".join(found.chunks)
    assert len(data) == found.size
    records: list[tuple[int, bytes]] = []
    position = 0
    while position < len(data):
        header, decoded = decode_batch(data, position)
        records += [(record.offset, record.value or b"") for record in decoded]
        position += header.size
    if records:
        assert found.offset_first == records[0][0]
        assert found.offset_next == records[-1][0] + 1
    return records


class ManualWorker:
    """A worker that works when the test says so."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def wake(self) -> None:
        """The test runs `work` itself."""

    def stop(self) -> None:
        self.work()


class ManualStrand:
    """A strand, and what came back from it and is not yet posted."""

    def __init__(self) -> None:
        self.posted: list[Callable[[], None]] = []
        self.strand = Strand(self._make, self.posted.append, lambda: None)

    def _make(self, work: Callable[[], None]) -> ManualWorker:
        self.worker = ManualWorker(work)
        return self.worker

    def run(self) -> bool:
        """Prepare, run and finish what is there; whether anything was."""
        self.strand.flush()
        self.worker.work()
        done = bool(self.posted)
        while self.posted:
            self.posted.pop(0)()
        return done


class Owner:
    """A listener that notes what it is told, and the log that it belongs to."""

    def __init__(
        self,
        files: Files,
        folder: str,
        *,
        tail_bytes: int = 1 << 20,
        now_ms: int = NOW,
        clean: bool = True,
        options: LogOptions | None = None,
    ) -> None:
        self.written_tickets: list[int] = []
        self.synced_tickets: list[int] = []
        self.slices: dict[int, Slice] = {}
        self.times: dict[int, int] = {}
        self.errors: dict[int, Exception] = {}
        self.failures: list[str] = []
        self.write, self.syncs, self.reads = ManualStrand(), ManualStrand(), ManualStrand()
        self.files = files
        self.now_ms = now_ms
        self.ticket = 0
        self.log = PartitionLog.open(
            files,
            folder,
            options or LogOptions(),
            self,
            Strands(self.write.strand, self.syncs.strand, self.reads.strand),
            TailBudget(tail_bytes),
            now_ms=now_ms,
            clean=clean,
        )

    # --- the listener --------------------------------------------------------------------------------------

    def written(self, ticket: int) -> None:
        self.written_tickets.append(ticket)

    def synced(self, ticket: int) -> None:
        self.synced_tickets.append(ticket)

    def loaded(self, ticket: int, found: Slice) -> None:
        self.slices[ticket] = found

    def found(self, ticket: int, offset: int) -> None:
        self.times[ticket] = offset

    def load_failed(self, ticket: int, error: Exception) -> None:
        self.errors[ticket] = error

    def failed(self, reason: str) -> None:
        self.failures.append(reason)

    # --- what tests do -------------------------------------------------------------------------------------

    def append(self, *batches: bytes) -> int:
        self.ticket += 1
        return self.log.append(b"".join(batches), self.ticket, now_ms=self.now_ms).offset_first

    def send(self, data: bytes) -> Appended:
        """Append one batch, and let it be written."""
        self.ticket += 1
        appended = self.log.append(data, self.ticket, now_ms=self.now_ms)
        self.drain()
        return appended

    def end(self, producer_id: int, *, commit: bool, epoch: int = 0, coordinator_epoch: int = 0) -> int:
        """End a producer's transaction, and let the marker be written; its offset."""
        self.ticket += 1
        appended = self.log.append_marker(
            producer_id, epoch, coordinator_epoch, self.ticket, commit=commit, now_ms=self.now_ms
        )
        self.drain()
        return appended.offset_first

    def drain(self) -> None:
        """Let all strands finish what they were given."""
        while self.write.run() | self.syncs.run() | self.reads.run():
            pass

    def store(self, *batches: bytes) -> int:
        """Append and let it be written."""
        first = self.append(*batches)
        self.drain()
        return first

    def read_slice(self, offset: int, size_max: int = 1 << 20, *, end: int | None = None) -> Slice:
        """Read, from memory or after the load."""
        self.ticket += 1
        found = self.log.read(offset, size_max, self.ticket, offset_end=end)
        if found is None:
            self.drain()
            if self.ticket in self.errors:
                raise self.errors[self.ticket]
            found = self.slices.pop(self.ticket)
        return found

    def read(
        self, offset: int, size_max: int = 1 << 20, *, end: int | None = None
    ) -> list[tuple[int, bytes]]:
        return records_of(self.read_slice(offset, size_max, end=end))

    def read_all(self, offset: int | None = None, size_max: int = 300) -> list[tuple[int, bytes]]:
        """Read on from `offset` (default: the start) to the end, a slice at a time."""
        at = self.log.offsets().start if offset is None else offset
        records: list[tuple[int, bytes]] = []
        while (found := self.read_slice(at, size_max)).size:
            records += records_of(found)
            at = found.offset_next
        return records

    def find_time(self, timestamp_ms: int) -> int:
        self.ticket += 1
        found = self.log.find_time(timestamp_ms, self.ticket)
        if found is None:
            self.drain()
            found = self.times.pop(self.ticket)
        return found

    def close(self) -> None:
        self.drain()
        self.log.close()
