"""All streams of a broker: their turns, their confirms, their clock.

A tick's messages for streams go into their logs when its group goes into the journal, under the same ticket;
what was published in the tick is confirmed when the journal and every log have reported it. A log that is
slow holds up the confirms behind it, since publishers get theirs in order, and nothing else.

Not here: what one stream does (`stream`). Invariant: while there is no stream, nothing here is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from pillarbox.broker.counters import LogCounters
from pillarbox.broker.promises import Promises
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.fence import Fence
    from pillarbox.broker.stream import StreamQueue
    from pillarbox.engine.base import Message
    from pillarbox.engine.logs import Aborted, LogListener, LogOptions, Logs, PartitionLog, Slice

JOURNAL = "journal"
"""Stands for the journal where logs stand for themselves."""

HOUSEKEEPING_MS = 10_000
"""How often logs let time pass: retention by age, the sync of idle logs. Finer ages make little sense where
whole segments go."""


class StreamCodec(Protocol):
    """What a head does with messages on their way into a log and out of it."""

    def encode(self, messages: list[Message]) -> Iterator[bytes]:
        """As record batches of a bounded size, in order, one record for each message."""

    def decode(self, found: Slice, aborted: list[Aborted]) -> Decoded:
        """What readers get of it: no control records, nothing of these transactions."""


class Decoded(msgspec.Struct, eq=False):
    """Messages of a stretch of a log, as readers get them."""

    first: int
    next: int
    """Where to read on."""
    messages: list[Message]
    filters: list[str | None]
    """What readers with a filter compare (R82), one for each message."""
    offsets: list[int] | None
    """The offset of each message; None: there is one for every offset from the first on."""


class Streams:
    """See the module."""

    def __init__(self, core: Core, logs: Logs | None) -> None:
        self._core = core
        self._logs = logs
        self.make_codec: Callable[[], StreamCodec]
        """How a head makes its codec, when the first stream needs it."""
        self.dirty: list[StreamQueue] = []
        """Streams whose readers may get something; each stands here at most once."""
        self.grown: dict[StreamQueue, None] = {}
        """Streams that took messages in this tick."""
        self._open: dict[StreamQueue, None] = {}
        self._owing: dict[object, tuple[int, int]] = {}
        """Who owes an answer, the journal or a log: (all up to here is durable, the last asked for)."""
        self._ticket = 0
        self._timed = False
        self.traffic = LogCounters()
        """Of all streams that there are and were."""

    def __repr__(self) -> str:
        return f"<Streams open={len(self._open)} owing={len(self._owing)}>"

    @cached_property
    def codec(self) -> StreamCodec:
        return self.make_codec()

    # --- logs --------------------------------------------------------------------------------------

    @property
    def durability(self) -> Literal["fsync", "os"]:
        return self._store().durability

    def _store(self) -> Logs:
        if self._logs is None:
            raise BrokerError(Reason.NOT_IMPLEMENTED, "this broker keeps no streams")
        return self._logs

    def open_log(self, uid: int, options: LogOptions, listener: LogListener) -> PartitionLog:
        """Open the log of a stream, or make it."""
        core = self._core
        try:
            log = self._store().open_log(uid, options, listener, now_ms=core.changes.now_ms)
        except OSError as error:
            text = f"the log of a stream cannot be opened: {error.strerror or error}"
            raise BrokerError(Reason.INTERNAL_ERROR, text) from None
        return log

    def add(self, queue: StreamQueue) -> None:
        """A stream has come."""
        core = self._core
        if not self._open and core.synced_ticket < core.journal_ticket:
            # From here on somebody asks what the journal owes.
            self._owing[JOURNAL] = (core.synced_ticket, core.journal_ticket)
        self._open[queue] = None
        if not self._timed:
            self._timed = True
            core.scheduler.at(core.changes.now_ms + HOUSEKEEPING_MS, self)

    def forget(self, queue: StreamQueue) -> None:
        """A stream was deleted: nobody waits for it, and its log goes.

        Not before its deletion is durable: a restart that has forgotten that finds the stream, and wants all
        of its records.
        """
        self._open.pop(queue, None)
        self.grown.pop(queue, None)
        if queue in self._owing:
            self._owing[queue] = (self._core.ticket, self._core.ticket)
            self.committed(queue, self._core.ticket)

        def forgotten(failure: str | None) -> None:
            if failure is None:
                self._store().remove(queue.uid)

        self._promises.when_durable(forgotten)

    @cached_property
    def _promises(self) -> Promises:
        return Promises(self._core)

    def keep_only(self, uids: set[int]) -> None:
        """After a start: remove the logs of all other uids."""
        if self._logs is not None:
            self._logs.keep_only(uids)

    def on_timer(self, now_ms: int) -> None:
        """Let time pass in all logs."""
        for queue in self._open:
            queue.log.tick(now_ms)
            queue.keep_time(now_ms)
        self._timed = bool(self._open)
        if self._timed:
            self._core.scheduler.at(now_ms + HOUSEKEEPING_MS, self)

    # --- a tick ------------------------------------------------------------------------------------

    @property
    def ticket(self) -> int:
        """Of the last tick that brought something to keep: what goes into a log beside a tick has it, too."""
        return self._core.ticket

    @property
    def now_ms(self) -> int:
        return self._core.changes.now_ms

    @property
    def fence(self) -> Fence:
        """Around what those do who watch a partition."""
        return self._core.fence

    def take_ticket(self) -> int:
        """A ticket for a question to a log."""
        self._ticket += 1
        return self._ticket

    def wake(self) -> None:
        self._core.wake()

    def demand_storage(self) -> None:
        self._core.demand_storage()

    def serve(self, budget: int) -> int:
        """Let readers have what there is; return how many messages. What is left waits for the next tick."""
        dirty, self.dirty = self.dirty, []
        done = 0
        for queue in dirty:
            queue.queued = False
            if done < budget:
                done += queue.serve(max(1, budget // len(dirty)))
            else:
                queue.wake()
        return done

    def append(self, ticket: int) -> None:
        """Give logs what this tick brought; `ticket` is that of the tick's group."""
        grown, self.grown = self.grown, {}
        for queue in grown:
            self.began(queue, ticket)
            queue.append_taken(ticket)

    # --- confirms ----------------------------------------------------------------------------------

    @property
    def any(self) -> bool:
        return bool(self._open or self._owing)

    def began(self, who: object, ticket: int) -> None:
        """The journal, or a log, owes an answer to this ticket."""
        through, _ = self._owing.get(who, (ticket - 1, 0))
        self._owing[who] = (through, ticket)

    def passed(self, who: object, ticket: int) -> int:
        """It has answered; return the ticket up to which nobody owes anything."""
        owed = self._owing.get(who)
        if owed is not None:
            if ticket >= owed[1]:
                del self._owing[who]
            else:
                self._owing[who] = (ticket, owed[1])
        return min((through for through, _ in self._owing.values()), default=self._core.ticket)

    @property
    def logs_through(self) -> int:
        """The ticket up to which no log owes anything, whatever the journal owes."""
        owed = [through for who, (through, _) in self._owing.items() if who is not JOURNAL]
        return min(owed, default=self._core.ticket)

    def committed(self, queue: StreamQueue, ticket: int) -> None:
        """A log has all up to this ticket as durable as it was asked to be."""
        through = self.passed(queue, ticket)
        self._core.journal.release(self.logs_through)
        self._core.confirms.synced(through)
        self._core.wake()

    def failed(self, reason: str) -> None:
        """A log can store nothing more, which ends all storing, as when the journal fails."""
        self._core.fail(reason)
