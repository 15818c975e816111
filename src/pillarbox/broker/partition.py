"""A partition: one log, and everybody who waits for something of it.

It is what a stream queue keeps its messages in and what readers of a topic read from: the same object for
every protocol. Who asks for what is not in memory gives two calls, one for the answer and one for the fault;
who waits for new records or for durability watches. Not here: the log itself (`store.log`), what records
mean, the messages of a tick and their confirms (`stream`, `streams`).

Invariant: watchers are told after `committed` has moved, and after the stream itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pillarbox.broker.counters import LogCounters
from pillarbox.engine.logs import OffsetOutOfRange

if TYPE_CHECKING:
    from pillarbox.broker.streams import Streams
    from pillarbox.engine.logs import Appended, Buffer, LogOptions, PartitionLog, Slice

Watcher = Callable[[], None]
Failed = Callable[[Exception], None]
"""Gets OffsetOutOfRange for what retention has removed meanwhile, else what the disk says."""


class Partition:
    """See the module. `committed_to` hears of every ticket that is as durable as the log was asked to be."""

    def __init__(
        self, streams: Streams, uid: int, name: str, options: LogOptions, committed_to: Callable[[int], None]
    ) -> None:
        self.uid = uid
        self.name = name
        self._streams = streams
        self._committed_to = committed_to
        self._asked: dict[int, tuple[Callable[[Any], None], Failed]] = {}
        """Who asked the log for something, by ticket: answer and fault."""
        self.watchers: dict[Watcher, None] = {}
        """Called when more is committed; whoever has enough takes itself away."""
        self.traffic = LogCounters()
        self.all_traffic = streams.traffic
        """Of all partitions together, with those that are gone: whoever counts adds to both."""
        self.failure: str | None = None
        """Why the log can store nothing more."""
        self.log: PartitionLog = streams.open_log(uid, options, self)

    def __repr__(self) -> str:
        return f"<Partition {self.name} {self.log!r}>"

    # --- asking --------------------------------------------------------------------------------------

    def append(self, batches: Buffer, *, append_time: bool = False) -> Appended:
        """Put batches into the log as they came, at once.

        Durable when `log.committed` has reached `offset_next`. Raises what `PartitionLog.append` raises,
        INTERNAL_ERROR if nothing can be stored any more.
        """
        self._streams.demand_storage()
        streams = self._streams
        return self.log.append(batches, streams.ticket, now_ms=streams.now_ms, append_time=append_time)

    def append_marker(self, producer_id: int, epoch: int, coordinator_epoch: int, *, commit: bool) -> int:
        """End a producer's transaction here; return the offset up to which that has to be committed.

        Raises what `PartitionLog.append_marker` raises.
        """
        streams = self._streams
        return self.log.append_marker(
            producer_id, epoch, coordinator_epoch, streams.ticket, commit=commit, now_ms=streams.now_ms
        ).offset_next

    def read(
        self,
        offset: int,
        size_max: int,
        answered: Callable[[Slice], None],
        failed: Failed,
        *,
        offset_end: int | None = None,
    ) -> Slice | None:
        """See `PartitionLog.read`; None: one of the two calls will be made."""
        ticket = self._streams.take_ticket()
        found = self.log.read(offset, size_max, ticket, offset_end=offset_end)
        if found is None:
            self._asked[ticket] = answered, failed
        return found

    def find_time(self, timestamp_ms: int, answered: Callable[[int], None], failed: Failed) -> int | None:
        """See `PartitionLog.find_time`; None: one of the two calls will be made."""
        ticket = self._streams.take_ticket()
        offset = self.log.find_time(timestamp_ms, ticket)
        if offset is None:
            self._asked[ticket] = answered, failed
        return offset

    def close(self) -> None:
        """Its stream was deleted: whoever watches looks, and finds that it is gone."""
        self.failure = "the stream was deleted"
        self._tell()
        self.watchers.clear()

    # --- what the log says: see `LogListener` --------------------------------------------------------

    def written(self, ticket: int) -> None:
        if not self.log.options.syncs_each_write:
            self._committed(ticket)

    def synced(self, ticket: int) -> None:
        if self.log.options.syncs_each_write:
            self._committed(ticket)

    def _committed(self, ticket: int) -> None:
        self._committed_to(ticket)
        if self.watchers:
            self._tell()

    def _tell(self) -> None:
        for watcher in list(self.watchers):
            try:
                watcher()
            except Exception as error:
                self.watchers.pop(watcher, None)
                self._streams.fence.report(error)

    def loaded(self, ticket: int, found: Slice) -> None:
        self._asked.pop(ticket)[0](found)

    def found(self, ticket: int, offset: int) -> None:
        self._asked.pop(ticket)[0](offset)

    def load_failed(self, ticket: int, error: Exception) -> None:
        """What the disk refuses ends all storing; what retention has removed does not, nor a read that the
        deletion of the stream has overtaken."""
        failed = self._asked.pop(ticket)[1]
        if self.failure is None and not isinstance(error, OffsetOutOfRange):
            self._streams.failed(f"reading stream {self.name!r} failed: {error}")
        failed(error)

    def failed(self, reason: str) -> None:
        self.failure = reason
        self._streams.failed(reason)
        self._tell()
