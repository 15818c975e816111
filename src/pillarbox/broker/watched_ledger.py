"""A ledger that tells which messages are handed out and which are consumed, for whoever wants to hear (A38).

A core makes such ones if its operator asks for it (`Core.make_ledger`); plain ones take no step for it. Told
is what is in memory: of messages that were given up meanwhile and rest on disk nobody hears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pillarbox.broker.ledger import GIVEN_BACK, Entry, Ledger, Outcome

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.engine.base import Message

DISPATCHED, CONSUMED = "MessageDispatched", "MessageConsumed"

Tell = Callable[[str, "Queue", "list[Message]"], None]
"""Hears of messages that were handed out (`DISPATCHED`), or settled for good by whoever got them, refused
ones as well (`CONSUMED`)."""


class WatchedLedger(Ledger):
    """See the module."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def skip(self, count: int, run: Run | None = None) -> int:
        if run is not None and run.messages is not None:
            self._tell(DISPATCHED, run.lane.queue, run.messages)
            self._tell(CONSUMED, run.lane.queue, run.messages)
        return super().skip(count, run)

    def add(self, consumer: Consumer | None, run: Run) -> int:
        if run.messages is not None:
            self._tell(DISPATCHED, run.lane.queue, run.messages)
        return super().add(consumer, run)

    def _settle_part(self, entry: Entry, start: int, stop: int, outcome: Outcome) -> int:
        messages, queue = entry.run.messages, entry.lane.queue
        comes_again = outcome in GIVEN_BACK or (outcome is Outcome.REJECTED and queue.redelivers)
        if messages is not None and not comes_again:
            self._tell(CONSUMED, queue, messages[start:stop])
        return super()._settle_part(entry, start, stop, outcome)
