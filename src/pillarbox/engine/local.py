"""The engine on one machine: a journal of groups in local files, checkpoints, and messages read back.

Purpose: `LocalEngine` implements `Journal` over a data folder. `open` recovers, `close` leaves a clean
checkpoint. Everything here runs on the domain's thread and waits for nothing, except `open` and `close`; the
scheduler that is passed in runs the committer, the loads and the copying elsewhere.

Invariants: `synced` is reported in the order of tickets and never before the disk said so (durability
"fsync": after fdatasync; "os": after the write). After a failed write or sync nothing is reported any more.
A segment is removed only when a durable checkpoint does without it and no load in flight reads it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from pillarbox.engine.base import (
    UID_KINDS,
    Group,
    JournalListener,
    Location,
    Message,
    Recovery,
    Snapshot,
)
from pillarbox.engine.checkpoint import Checkpoint
from pillarbox.engine.compaction import resting_of
from pillarbox.engine.facts import Codec
from pillarbox.engine.logs import Logs
from pillarbox.engine.replay import Replay, repair
from pillarbox.engine.schedulers import Scheduler
from pillarbox.errors import StartupError
from pillarbox.store.committer import QUICK_SYNC_US, Committer, Entry
from pillarbox.store.files import Files, StoreError
from pillarbox.store.folder import open_folder, segment_path
from pillarbox.store.journal import barrier_of
from pillarbox.store.readers import Readers

SEGMENT_BYTES = 64 << 20
"""A journal segment is closed at this size; one is also begun at every checkpoint and every start."""
CHECKPOINT_BYTES = 64 << 20
"""Journal bytes after which a checkpoint is due: a restart replays them in well under a second."""
CHECKPOINT_RECORDS = 100_000
"""Records after which a checkpoint is due: replay costs some microseconds for each, however small."""
CHECKPOINT_RUNS = 1_000_000
"""The same for (record, queue) pairs, of which a fan-out makes many per record."""
CHECKPOINT_FREED_BYTES = 256 << 20
"""Bytes on the disk that nobody needs any more after which a checkpoint is due, since only that gives them
back: who drains a large queue appends little."""
COMMIT_HERE_BYTES = 64 << 10
"""Bytes that are written and synced on the domain's thread at most: a disk takes them in hardly more time
than one byte. While it takes more, the thread had better go on with what comes next."""
LINGERING_BYTES_MAX = 1 << 20
"""Bytes that are not durable beyond which nothing lingers any more."""
BEHIND_FACTOR = 4
"""Checkpoints' worth of records that may pile up before publishers are slowed: some 150 MB of memory."""
URGENCY_MAX = 5
"""The largest factor by which a checkpoint's turns grow when the next one is overdue: about 1.2 ms."""
SLICE_MESSAGES = 500
"""Messages decoded in one slice on the domain's thread: about 0.3 ms."""

DURABILITIES = ("fsync", "os")

Request = tuple[int, Sequence[int], Location]


NO_TICKET = -1
"""Of an entry that is no group but a request to sync."""

_log = logging.getLogger("pillarbox.engine")


class _Held(msgspec.Struct, gc=False):
    """An entry that waits for logs, or behind one that does."""

    entry: Entry
    ticket: int
    """Of its group, if that has to be released, else `NO_TICKET`."""
    urgent: bool


class _Pending(msgspec.Struct, gc=False):
    """A group on its way to the disk."""

    serial: int
    ticket: int
    segment: int
    position: int
    bytes: int


class LocalEngine:
    """See the module. Nothing on disk is touched before `open`."""

    def __init__(
        self,
        folder: str,
        files: Files,
        scheduler: Scheduler,
        *,
        durability: str = "fsync",
        segment_bytes: int = SEGMENT_BYTES,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        checkpoint_records: int = CHECKPOINT_RECORDS,
        allocate_bytes: int = SEGMENT_BYTES,
        now_ns: Callable[[], int] | None = None,
        quick_sync_us: int = QUICK_SYNC_US,
    ) -> None:
        assert durability in DURABILITIES, durability
        self._path = folder
        self._files = files
        self._scheduler = scheduler
        self._sync = durability == "fsync"
        self._segment_bytes = segment_bytes
        self._checkpoint_bytes = checkpoint_bytes
        self._checkpoint_records = checkpoint_records
        self._allocate_bytes = allocate_bytes
        self._now_ns = now_ns
        self._quick_sync_us = quick_sync_us
        self._codec = Codec()
        self._readers = Readers(files, folder)
        self.logs = Logs(files, folder, scheduler, sync=self._sync)
        self._listener: JournalListener | None = None
        self._failure: str | None = None
        self._pending: deque[_Pending] = deque()
        self._held: deque[_Held] = deque()
        """Entries that the committer may not have yet. Invariant: the first of them waits for a release."""
        self._released = 0
        """Groups up to this ticket need not wait."""
        self._serial = 0
        self._waiters: deque[tuple[int, Callable[[], None]]] = deque()
        """What to call when the entry of that serial is done, in ascending order."""
        self.unsynced_bytes = 0
        """Bytes taken and not yet durable: what slows publishers down."""
        self._loads = 0
        """Loads that are not answered yet."""
        self._removing = 0
        self._pins: dict[int, int] = {}
        self._doomed: dict[int, str] = {}
        self._checkpoint: Checkpoint | None = None
        self._checkpoint_number = 0
        self.checkpoint_error: str | None = None
        """Why the last checkpoint failed, if it did."""
        self._bytes_since = self._records_since = self._runs_since = 0
        self._freed_since = 0
        self._resting: dict[int, tuple[int, int]] = {}
        """Of queues of which much rests on the disk since the last checkpoint, how much: messages, bytes."""

    # --- life --------------------------------------------------------------------------------------

    def open(self) -> Recovery:
        """Lock and recover the folder, making it if there is none. StartupError in words if that fails."""
        folder = open_folder(self._files, self._path)
        self._lock = folder.lock
        try:
            barrier = barrier_of(folder.id)
            replayed = Replay(self._files, self._path, barrier).run()
            repair(self._files, self._path, replayed)
        except OSError as error:
            self._files.close(self._lock)
            raise StoreError(
                f"the data folder {self._path} cannot be read: {error.strerror or error}"
            ) from error
        except StartupError:
            self._files.close(self._lock)
            raise
        self._offset = replayed.offset_next
        self._segment = replayed.segment_next
        self._segment_next = self._segment + 1
        self._position = 0
        self._checkpoint_number = replayed.checkpoint.number if replayed.checkpoint is not None else 0
        self._bytes_since, self._records_since = replayed.bytes, replayed.records
        self.rests(resting_of(replayed.recovery))
        self._committer = Committer(
            self._files,
            self._path,
            self._scheduler.worker,
            self._on_done_elsewhere,
            self._on_failed_elsewhere,
            barrier=barrier,
            sync=self._sync,
            allocate_bytes=self._allocate_bytes,
            now_ns=self._now_ns,
            quick_sync_us=self._quick_sync_us,
        )
        return replayed.recovery

    def attach(self, listener: JournalListener) -> None:
        """Say who is told; before the first append."""
        self._listener = listener

    def close(self, snapshot: Snapshot | None = None) -> None:
        """Wait for the disk, write a last checkpoint if there is a snapshot, let go of the folder.

        Blocks. The listener is still told what became durable meanwhile.
        """
        run_until = self._scheduler.run_until
        self._committer.hurry()
        run_until(lambda: not self._pending or self._failure is not None)
        run_until(lambda: self._checkpoint is None or self._failure is not None)
        if snapshot is not None and self._failure is None:
            self.checkpoint(snapshot)
            run_until(lambda: self._checkpoint is None or self._failure is not None)
        run_until(lambda: not self._loads and not self._removing)
        self.logs.close()
        self._committer.stop()
        self._scheduler.close()
        self._readers.close()
        self._files.close(self._lock)

    # --- journal -----------------------------------------------------------------------------------

    def append(self, group: Group) -> None:
        """Take a group and fill the locations of its messages; answered by `synced`."""
        self._serial = serial = self._serial + 1
        encoded = self._codec.encode_group(group, self._offset)
        held = group.held and group.ticket > self._released
        if encoded is None:
            self._submit(Entry(serial, self._segment, self._position, []), group.ticket, 0, held=held)
            return
        position = self._position
        if position and position + encoded.size > self._segment_bytes:
            self._segment = self.new_segment()
            position = 0
        self._position = position + encoded.size
        runs = 0
        for fact, (value_position, value_size, messages) in zip(group.messages, encoded.places, strict=True):
            location = fact.location
            location.segment = self._segment
            location.position = position + value_position
            location.size = value_size
            location.messages = messages
            runs += len(fact.targets)
        self._offset += encoded.records
        self._bytes_since += encoded.size
        self._records_since += encoded.records
        self._runs_since += runs
        if self._resting:
            self._note_freed(group)
        self.unsynced_bytes += encoded.size
        entry = Entry(serial, self._segment, position, encoded.chunks)
        small = self.unsynced_bytes <= COMMIT_HERE_BYTES
        if group.lone and small and not self._held and not held:
            self._pending.append(_Pending(serial, group.ticket, entry.segment, position, encoded.size))
            if self._committer.commit_now(entry, self._on_done):
                return
            self._pending.pop()
        urgent = group.waited or self.unsynced_bytes > LINGERING_BYTES_MAX
        self._submit(entry, group.ticket, encoded.size, urgent=urgent, held=held)

    def release(self, ticket: int) -> None:
        """Let groups go to the disk that waited for logs, and those behind them; see `Journal`."""
        self._released = max(self._released, ticket)
        held = self._held
        while held and held[0].ticket <= self._released:
            one = held.popleft()
            self._committer.submit(one.entry, urgent=one.urgent)

    def load(self, ticket: int, requests: Sequence[Request]) -> None:
        """Bring back cold messages; answered by `loaded`, later if one of them is not written yet."""
        self._loads += 1

        def begin() -> None:
            self._begin_load(ticket, requests)

        if self._pending and self._failure is None:
            written = self._pending[0].segment, self._pending[0].position
            if any((location.segment, location.position) >= written for _, _, location in requests):
                self._waiters.append((self._serial, begin))
                self._committer.hurry()
                return
        begin()

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Begin a checkpoint; a no-op while one is under way."""
        if self._checkpoint is not None or self._failure is not None:
            return
        self._checkpoint_number += 1
        self._checkpoint = Checkpoint(self, self._files, self._path, self._scheduler, self._checkpoint_number)
        self._bytes_since = self._records_since = self._runs_since = self._freed_since = 0
        self._checkpoint.start(snapshot)

    @property
    def checkpoint_due(self) -> bool:
        """Enough was appended since the last checkpoint that another is worth its cost."""
        return self._checkpoint is None and (
            self._bytes_since >= self._checkpoint_bytes
            or self._records_since >= self._checkpoint_records
            or self._runs_since >= CHECKPOINT_RUNS
            or self._freed_since >= CHECKPOINT_FREED_BYTES
        )

    @property
    def checkpoint_behind(self) -> bool:
        """So many records came in while a checkpoint was under way that publishers should be slowed.

        Otherwise memory would grow with every record that waits to be merged, hundreds of bytes each.
        """
        return self._records_since >= BEHIND_FACTOR * self._checkpoint_records

    def _note_freed(self, group: Group) -> None:
        """Note how much on the disk nobody needs any more, about."""
        resting = self._resting
        gone: list[tuple[int, int | None]] = [
            (fact.uid, sum(map(len, fact.sequences))) for fact in group.settled if fact.uid in resting
        ]
        if group.definitions:
            removed = [fact for fact in group.definitions if fact.value is None and fact.kind in UID_KINDS]
            gone += [(uid, None) for fact in removed if (uid := int(fact.key)) in resting]
        for uid, count in gone:
            messages, size = resting.pop(uid, (0, 0))
            if count is not None and count < messages:
                left = size - size * count // messages
                resting[uid] = messages - count, left
                size -= left
            self._freed_since += size

    # --- commits -----------------------------------------------------------------------------------

    def _submit(
        self, entry: Entry, ticket: int, size: int, *, urgent: bool = True, held: bool = False
    ) -> None:
        self._pending.append(_Pending(entry.ticket, ticket, entry.segment, entry.position, size))
        if held or self._held:
            self._held.append(_Held(entry, ticket if held else NO_TICKET, urgent))
        else:
            self._committer.submit(entry, urgent=urgent)

    def _on_done_elsewhere(self, serial: int) -> None:
        self._scheduler.call_soon(lambda: self._on_done(serial))

    def _on_done(self, serial: int) -> None:
        """Everything up to this serial is as durable as it was asked to be."""
        pending = self._pending
        ticket = NO_TICKET
        while pending and pending[0].serial <= serial:
            done = pending.popleft()
            self.unsynced_bytes -= done.bytes
            if done.ticket != NO_TICKET:
                ticket = done.ticket
        if ticket != NO_TICKET and self._listener is not None:
            self._listener.synced(ticket)
        waiters = self._waiters
        while waiters and waiters[0][0] <= serial:
            waiters.popleft()[1]()

    def _on_failed_elsewhere(self, reason: str) -> None:
        self._scheduler.call_soon(lambda: self.fail(reason))

    def fail(self, reason: str) -> None:
        """Nothing is acknowledged from here on; said once. Loads go on with what can be read.

        Also for the domain, when a log has failed; see `Journal`.
        """
        if self._failure is not None:
            return
        self._failure = reason
        self._checkpoint = None
        self._pending.clear()
        self._held.clear()
        self.unsynced_bytes = 0
        _log.error("%s; nothing is stored any more until the broker is started again", reason)
        if self._listener is not None:
            self._listener.failed(reason)
        waiters, self._waiters = self._waiters, deque()
        for _, callback in waiters:
            callback()

    # --- loads -------------------------------------------------------------------------------------

    def _begin_load(self, ticket: int, requests: Sequence[Request]) -> None:
        # A location may change while the load is under way; the bytes at its old place do not.
        places = [(location.segment, location.position, location.size) for _, _, location in requests]
        for segment, _, _ in places:
            self._pins[segment] = self._pins.get(segment, 0) + 1

        def done(values: list[bytes | str] | BaseException) -> None:
            for segment, _, _ in places:
                self._unpin(segment)
            if isinstance(values, BaseException):
                raise values
            self._decode(ticket, requests, values)

        self._scheduler.run_in_thread(lambda: self._read(places), done)

    def _read(self, places: Sequence[tuple[int, int, int]]) -> list[bytes | str]:
        """In a thread: the bytes of each record, or why they cannot be had."""
        values: list[bytes | str] = []
        for segment, position, size in places:
            try:
                values.append(self._readers.read(segment, position, size))
            except (OSError, StoreError) as error:
                values.append(f"reading segment {segment} at byte {position} failed: {error}")
        return values

    def _decode(self, ticket: int, requests: Sequence[Request], values: Sequence[bytes | str]) -> None:
        self._decode_slice(ticket, requests, values, [])

    def _decode_slice(
        self,
        ticket: int,
        requests: Sequence[Request],
        values: Sequence[bytes | str],
        records: list[list[tuple[int, Message]]],
    ) -> None:
        """Decode some records, then the rest in further slices, then answer."""
        budget = SLICE_MESSAGES
        while len(records) < len(requests):
            if budget <= 0:
                self._scheduler.call_soon(lambda: self._decode_slice(ticket, requests, values, records))
                return
            uid, sequences, _ = requests[len(records)]
            records.append(self._decode_one(uid, sequences, values[len(records)]))
            budget -= len(sequences) + SLICE_MESSAGES // 50
        self._loads -= 1
        if self._listener is not None:
            self._listener.loaded(ticket, records)

    def _decode_one(
        self, uid: int, sequences: Sequence[int], value: bytes | str
    ) -> list[tuple[int, Message]]:
        if isinstance(value, str):
            self.fail(value)
            return []
        try:
            return self._codec.decode_messages(value, uid, sequences)
        except StoreError as error:
            self.fail(str(error))
            return []

    def _unpin(self, segment: int) -> None:
        self._pins[segment] -= 1
        if not self._pins[segment]:
            del self._pins[segment]
            kind = self._doomed.pop(segment, None)
            if kind is not None:
                self.remove_segment(kind, segment)

    # --- what a checkpoint needs (`checkpoint.Host`) -----------------------------------------------

    def rotate(self) -> tuple[int, int]:
        """Go on in a new segment; return its id and the base offset of the next group."""
        if self._position:
            self._segment = self.new_segment()
            self._position = 0
        return self._segment, self._offset

    def new_segment(self) -> int:
        """An unused segment id."""
        segment = self._segment_next
        self._segment_next += 1
        return segment

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back when all that was appended so far is on the medium, whatever the durability."""

        def done() -> None:
            # After a failure, waiting loads are let go, but this is never true again.
            if self._failure is None:
                callback()

        self._serial += 1
        self._waiters.append((self._serial, done))
        self._submit(Entry(self._serial, self._segment, self._position, [], sync=True), NO_TICKET, 0)

    def urgency(self) -> int:
        """How many times the usual work a turn of a checkpoint should do.

        Small records come in faster than a busy loop leaves time to checkpoint them; each turn then takes
        a larger share, still within 2 ms, until the checkpoint keeps up.
        """
        return 1 + min(URGENCY_MAX - 1, self._records_since // self._checkpoint_records)

    def merged(self, uid: int, sequences: range, location: Location) -> None:
        if self._listener is not None:
            self._listener.merged(uid, sequences, location)

    def rests(self, resting: dict[int, tuple[int, int]]) -> None:
        """Know what rests on the disk; see `checkpoint.Host`."""
        self._resting = resting

    def remove_segment(self, kind: str, segment: int) -> None:
        """Remove a segment file as soon as no load in flight needs it."""
        if segment in self._pins:
            self._doomed[segment] = kind
            return
        self._readers.drop(segment)
        self._removing += 1
        path = segment_path(self._path, kind, segment)
        self._scheduler.run_in_thread(lambda: self._files.remove(path), self._on_removed, background=True)

    def _on_removed(self, result: BaseException | None) -> None:
        # A file that could not be removed is removed by the next start, which finds no use for it.
        self._removing -= 1
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result

    def checkpoint_ended(self, error: str | None, *, fatal: bool) -> None:
        """The checkpoint is done, or was given up until enough was appended for another one."""
        self._checkpoint = None
        if error is not None:
            self.checkpoint_error = error
            _log.warning("%s", error)
            if fatal:
                self.fail(error)
        else:
            self.checkpoint_error = None
        if self._listener is not None:
            self._listener.checkpointed()
