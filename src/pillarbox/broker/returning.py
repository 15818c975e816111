"""Returning: the deliveries of receivers that have gone go back to their queues, a part in each tick.

A receiver may leave hundreds of thousands behind; to put all of them back at once would hold up everybody
else. Until the last one is back their queues hand nothing out, so that the order is kept: what was out comes
before what is ready. Whoever counts messages may see some of them as unacknowledged until then; who has to
tell a peer that everything is back waits (`when_done`). A few deliveries go back at once.

Source: RabbitMQ puts them back in the queue's own process, one queue at a time. Invariant: a queue is held
exactly while a ledger that is under way has something of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pillarbox.broker.ledger import Ledger
    from pillarbox.broker.queue import Queue

ENTRIES_AT_ONCE = 400
"""Entries of ledgers that go back in one turn: about two milliseconds' work."""


class Return(NamedTuple):
    """A ledger under way, and the queues that wait for it."""

    ledger: Ledger
    queues: set[Queue]


class Returning:
    """See the module. `wake` asks for a tick soon."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.under_way: deque[Return] = deque()
        self._promised: deque[tuple[Return, Callable[[], None]]] = deque()

    def __repr__(self) -> str:
        return f"<Returning under_way={len(self.under_way)}>"

    def give_back(self, ledger: Ledger) -> None:
        """Release everything that is out of a ledger which nobody uses any more."""
        if not ledger.release_first(ENTRIES_AT_ONCE):
            return
        queues = ledger.queues()
        for queue in queues:
            queue.hold()
        self.under_way.append(Return(ledger, queues))
        self._wake()

    def when_done(self, then: Callable[[], None]) -> None:
        """Call back when everything is back that is under way now: at once, if there is nothing."""
        if self.under_way:
            self._promised.append((self.under_way[-1], then))
        else:
            then()

    def step(self) -> None:
        """Give back the next part of what is under way; a tick comes soon if that was not all."""
        first = self.under_way[0]
        if not first.ledger.release_first(ENTRIES_AT_ONCE):
            self.under_way.popleft()
            for queue in first.queues:
                queue.go_on()
            while self._promised and self._promised[0][0] is first:
                self._promised.popleft()[1]()
        if self.under_way:
            self._wake()
