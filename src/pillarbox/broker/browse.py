"""Browsing: a receiver is shown the messages of a queue, which stay where they are (A37).

It is shown what was there when it came: first what others have and have not answered, then what is ready, in
order, as the queue stands while it looks; what is gone by then it does not see. Some messages a turn, whether
they are in memory or on disk, and none while its connection takes no more.

Source: ActiveMQ 5.17, asked with `tests/compare_messaging/scenarios/stomp_on_activemq.py`. Not here: how a
protocol says that this was all. Invariant: a browser changes nothing in its queue.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from pillarbox.broker.lane import due_ms_of
from pillarbox.broker.run import Run

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.core import Core
    from pillarbox.broker.lane import Lane
    from pillarbox.broker.ledger import Entry
    from pillarbox.engine.base import Location, Message

BROWSE: Final = "x-browse"
"""Argument of a consumer: it looks and takes nothing."""

SHOWN_AT_ONCE: Final = 100
"""Messages in one turn: about a millisecond's work, if a selector has to look into them."""
OUT_MAX: Final = 10_000
"""Deliveries that are out and are shown; beyond them only what is ready is."""
RETRY_MS: Final = 10
"""After so long it is looked whether the connection takes more."""

_START = attrgetter("sequences.start")


def _start_out(out: tuple[Run, Entry]) -> int:
    return out[0].sequences.start


def _last(run: Run) -> int:
    return run.sequences[-1]


class Peek:
    """Messages on disk that are to be shown: see `Cold`."""

    def __init__(
        self, lane: Lane, run: Run, arrived: Callable[[Sequence[tuple[int, Message]]], None]
    ) -> None:
        self.lane = lane
        self.sequences: Sequence[int] = run.sequences
        self.location: Location | None = run.location
        self.stored = run.stored
        self.arrived = arrived


class Browser:
    """See the module. `consumer`: one that its queue does not know; `on_end` is called when this was all."""

    def __init__(self, core: Core, consumer: Consumer, on_end: Callable[[], None]) -> None:
        self._core = core
        self._consumer = consumer
        self._on_end = on_end
        queue = consumer.queue
        self._lanes = deque([(lane, lane.sequence_next) for lane in queue.lanes])
        self._cursor = 0
        entries = islice((entry for lane in queue.lanes for entry in lane.outstanding), OUT_MAX)
        out = [(entry.run.cut(slice(entry.start, entry.stop)), entry) for entry in entries]
        self._out = deque(sorted(out, key=_start_out))
        """What consumers have, as it was when this began."""
        self._shown: set[tuple[Lane, int]] = set()
        """Those of them that were shown, and may have come back since."""
        self._ended = False
        core.chores.in_turn(self._go_on)

    def __repr__(self) -> str:
        return f"<Browser of {self._consumer.queue.name!r} at {self._cursor} ended={self._ended}>"

    def stop(self) -> None:
        """Show nothing more, and do not say so."""
        self._ended = True

    def on_timer(self, now_ms: int) -> None:
        """See `Timed`: perhaps the connection takes more by now."""
        self._go_on()

    def _go_on(self) -> None:
        if self._ended:
            return
        if self._consumer.queue.deleted:
            self._end()
        elif not self._consumer.outlet.writable:
            core = self._core
            core.scheduler.at(core.changes.now_ms + RETRY_MS, self)
            core.wake()
        elif not self._show_some():
            self._core.chores.in_turn(self._go_on)

    def _end(self) -> None:
        self._ended = True
        self._on_end()

    # --- what comes next -----------------------------------------------------------------------------

    def _show_some(self) -> bool:
        """Show what one turn allows. True: nothing more is to be done now."""
        left = SHOWN_AT_ONCE
        while left > 0 and self._out:
            run, entry = self._out.popleft()
            if run.messages is None:
                if entry not in run.lane.outstanding:
                    # It is settled, and may be gone from the disk, or it is back, and is shown in its place.
                    continue
                run = entry.run.cut(slice(entry.start, entry.stop))
                self._core.changes.cold.append(Peek(run.lane, run, partial(self._out_arrived, run)))
                self._core.wake()
                return True
            self._show_out(run)
            left -= len(run.sequences)
        while left > 0 and self._lanes:
            lane, end = self._lanes[0]
            for run in _ahead(lane, self._cursor):
                start = bisect_left(run.sequences, self._cursor)
                stop = min(bisect_left(run.sequences, end), start + left)
                if start >= stop:
                    break
                part = run.cut(slice(start, stop))
                if part.messages is None:
                    self._core.changes.cold.append(Peek(lane, part, self._arrived))
                    self._core.wake()
                    return True
                self._cursor = part.sequences[-1] + 1
                self._show(part)
                left -= len(part.sequences)
                if left <= 0:
                    return False
            self._lanes.popleft()
            self._cursor = 0
        if not self._lanes and not self._out:
            self._end()
            return True
        return False

    def _show_out(self, run: Run) -> None:
        self._show(run)
        self._shown.update([(run.lane, sequence) for sequence in run.sequences])

    def _out_arrived(self, run: Run, pairs: Sequence[tuple[int, Message]]) -> None:
        """What a consumer has, and only the disk had, is here; what cannot be read is passed over."""
        if not self._ended and not self._consumer.queue.deleted:
            for sequence, message in pairs:
                self._show_out(_single(run.lane, sequence, message, redelivered=run.redelivered))
        self._core.chores.in_turn(self._go_on)

    def _arrived(self, pairs: Sequence[tuple[int, Message]]) -> None:
        """What was asked for is here; what cannot be read is passed over."""
        if self._ended or self._consumer.queue.deleted:
            self._go_on()
            return
        lane = self._lanes[0][0]
        for sequence, message in pairs:
            seen = sequence <= lane.delivered_through
            self._show(_single(lane, sequence, message, redelivered=seen))
            self._cursor = sequence + 1
        if not pairs:
            self._lanes.popleft()
            self._cursor = 0
        self._core.chores.in_turn(self._go_on)

    def _show(self, run: Run) -> None:
        """Show those of these messages that are wanted."""
        consumer, messages = self._consumer, run.messages
        assert messages is not None
        start = 0
        for is_wanted, part in groupby(range(len(messages)), partial(self._wants, run)):
            stop = start + sum([1 for _ in part])
            if is_wanted:
                tag = consumer.ledger.skip(stop - start)
                consumer.deliver(run.cut(slice(start, stop)), tag)
            start = stop

    def _wants(self, run: Run, position: int) -> bool:
        assert run.messages is not None
        if self._shown and (run.lane, run.sequences[position]) in self._shown:
            return False
        message = run.messages[position]
        due_ms = due_ms_of(message, run.lane.lifetime_of(run.sequences[position]))
        if due_ms is not None and due_ms < self._core.changes.now_ms:
            return False
        selector = self._consumer.selector
        if selector is None:
            return True
        from pillarbox.broker.selectors import lookup_of

        return selector(lookup_of(self._core.dialects.said(message)))


def _single(lane: Lane, sequence: int, message: Message, *, redelivered: bool) -> Run:
    """One message as a run."""
    sequences = range(sequence, sequence + 1)
    size = len(message.body)
    return Run(lane, sequences, [message], size, None, redelivered, message.accepted_ms, False)


def _ahead(lane: Lane, cursor: int) -> Iterator[Run]:
    """What is ready of a lane from this sequence on, in order."""
    if lane.released:
        yield from sorted(_singled(lane.released, cursor), key=_START)
    if lane.passed:
        shelf = lane.passed
        for position in range(shelf.at(cursor), len(shelf.stretches)):
            yield from [run for run in shelf.stretches[position].runs() if run.sequences[-1] >= cursor]
    ready = lane.ready
    for position in range(bisect_left(ready, cursor, key=_last), len(ready)):
        yield lane.untaken(position)


def _singled(runs: list[Run], cursor: int) -> Iterator[Run]:
    """Those that reach this far; messages of stripes, between which there may be others, one by one."""
    for run in runs:
        if run.sequences[-1] >= cursor:
            if run.sequences.step == 1:
                yield run
            else:
                for position in range(len(run.sequences)):
                    yield run.cut(slice(position, position + 1))
