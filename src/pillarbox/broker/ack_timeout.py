"""Time limits for answers: a receiver that leaves a delivery unanswered for too long is told so (R54).

Nobody writes down when a delivery went out. Instead a watch looks at its ledger now and then and notes
which tag is next: whatever has a lower tag and is still out was out then; so was all that a queue has
delivered in which nothing happened since. So deliveries cost nothing more, and nobody is called overdue too
early, or more than two looks too late. Off unless the broker has a limit for all queues or a queue has one
of its own (`x-consumer-timeout`), which counts for its deliveries instead.

Source: RabbitMQ 3.13 `rabbit_channel:evaluate_consumer_timeout`, which looks once a minute. Like there, only
the oldest delivery of a receiver is looked at: one that may stay for longer hides those behind it. A limit of
0 is none here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pillarbox.broker.ledger import Entry, Ledger
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.scheduler import Scheduler

LOOK_MS_MAX = 60_000
"""How often a ledger is looked at, at least: as often as RabbitMQ does."""

LOOK_MS_MIN = 100
"""And at most, so that a limit of nearly nothing is no load: it is kept to this."""

LOOKS = 4
"""Looks within the shortest limit, where that is less than four minutes."""


def own_timeout_ms(arguments: Mapping[str, Any]) -> int | None:
    """A queue's own limit; like RabbitMQ, a value that is no number is not looked at. None: it has none."""
    value = arguments.get("x-consumer-timeout")
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class AckTimeout:
    """The watch over one ledger; `on_overdue` is called once, with the delivery and the limit.

    Whoever wants it must keep it: timers keep nothing alive.
    """

    def __init__(
        self, scheduler: Scheduler, ledger: Ledger, default_ms: int, on_overdue: Callable[[Entry, int], None]
    ) -> None:
        self._scheduler = scheduler
        self._ledger = ledger
        self._default_ms = default_ms
        self._on_overdue = on_overdue
        self._shortest_ms = 0
        """The shortest limit there is; 0: nothing was watched yet."""
        self._due_ms = 0
        self._looks: deque[tuple[int, int]] = deque()
        """(time, next tag then), from the first that still says something."""

    def __repr__(self) -> str:
        return f"<AckTimeout {self._ledger!r} shortest_ms={self._shortest_ms}>"

    def watch(self, queue: Queue, now_ms: int) -> None:
        """Look after deliveries of this queue as well, from now on."""
        limit_ms = self._limit_ms(queue)
        if limit_ms and (not self._shortest_ms or limit_ms < self._shortest_ms):
            self._shortest_ms = limit_ms
            self._look_again(now_ms)

    def _look_again(self, now_ms: int) -> None:
        self._due_ms = now_ms + min(LOOK_MS_MAX, max(LOOK_MS_MIN, self._shortest_ms // LOOKS))
        self._scheduler.at(self._due_ms, self)

    def _limit_ms(self, queue: Queue) -> int:
        own_ms = queue.ack_timeout_ms
        return self._default_ms if own_ms is None else own_ms

    def on_timer(self, now_ms: int) -> None:
        """Look at the oldest delivery of the ledger. Cost: O(1), but for looks that it has outlived."""
        if now_ms < self._due_ms:
            # A shorter limit came between, and with it a second timer: one of them is enough.
            return
        tag_next = self._ledger.tag_next
        if not self._looks or self._looks[-1][1] < tag_next:
            self._looks.append((now_ms, tag_next))
        overdue = self._overdue(now_ms)
        if overdue is not None:
            self._on_overdue(*overdue)
        else:
            self._look_again(now_ms)

    def _overdue(self, now_ms: int) -> tuple[Entry, int] | None:
        oldest = next(self._ledger.entries(), None)
        looks = self._looks
        while looks and (oldest is None or looks[0][1] <= oldest.tag_first):
            looks.popleft()
        if oldest is None:
            return None
        queue = oldest.lane.queue
        limit_ms = self._limit_ms(queue)
        # A queue in which nothing has happened since has not delivered since.
        if limit_ms and now_ms - min(looks[0][0], queue.active_ms) >= limit_ms:
            return oldest, limit_ms
        return None
