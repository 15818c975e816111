"""Delayed retry: messages that come back to a quorum queue are held for a while before they are ready (R53).

The n-th time a message waits n times `x-delayed-retry-min`, at most `x-delayed-retry-max`. It is then ready
in its original place. While it waits it is neither ready nor unacknowledged: a queue counts such messages
apart (`delayed_count`), its limits count them as if they were ready, and a purge drops them.

A queue of another type has it by a *redelivery policy* (A34): what a receiver has rejected comes back, the
n-th time after `x-redelivery-delay` times `x-redelivery-multiplier` to the power of n - 1, at most
`x-redelivery-delay-max`, and dies when it was rejected more than `x-redelivery-max` times. What is merely
given back is ready at once.

Not here: which messages come back, and how often they did (`attempts`).

Source: RabbitMQ 4.3, "Quorum Queues", delayed retry; the source of v4.3.5 for what it leaves open. Invariant:
there is a timer for the first message of those that wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.lane import Lane
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run

RUNS_AT_ONCE = 500
"""Runs that become ready in one turn: about a millisecond's work."""

DISABLED = "disabled"


class RetryRule(NamedTuple):
    """Which messages are held, and how long."""

    failed: bool
    """Those whose delivery failed."""
    returned: bool
    """Those that were merely given back."""
    min_ms: int
    max_ms: int
    multiplier: float = 0
    """How much longer each time; 0: once, twice, three times as long."""

    def covers(self, *, failed: bool) -> bool:
        """Is a message held that comes back like that?"""
        return self.failed if failed else self.returned

    def delay_ms(self, attempts: int) -> int:
        """How long a message is held that has come back so often, as the queue counts it."""
        times = max(1, attempts)
        if not self.multiplier:
            return min(self.min_ms * times, self.max_ms)
        factor = self.multiplier ** min(times - 1, EXPONENT_MAX)
        return int(min(self.min_ms * factor, self.max_ms))


REDELIVERY = ("x-redelivery-max", "x-redelivery-delay", "x-redelivery-multiplier", "x-redelivery-delay-max")
REDELIVERIES, REDELIVERY_DELAY_MS = 6, 1000
"""ActiveMQ's policy where it does not say."""
REDELIVERY_DELAY_MAX_MS = 86_400_000
EXPONENT_MAX = 64
"""Beyond it any delay is the longest."""


def redelivery_of(settings: Mapping[str, Any]) -> tuple[int, RetryRule] | None:
    """How often what is rejected comes back to a queue with these settings, and when; None: it does not."""
    if settings.get("x-queue-type") in ("quorum", "stream") or not any(key in settings for key in REDELIVERY):
        return None
    delay_ms = int(settings.get("x-redelivery-delay", REDELIVERY_DELAY_MS))
    longest = int(settings.get("x-redelivery-delay-max", REDELIVERY_DELAY_MAX_MS))
    multiplier = float(settings.get("x-redelivery-multiplier", 1))
    rule = RetryRule(True, False, delay_ms, longest, multiplier)
    return int(settings.get("x-redelivery-max", REDELIVERIES)), rule


def retry_rule_of(settings: Mapping[str, Any]) -> RetryRule | None:
    """What these settings of a queue ask for; None: nothing is held.

    Other types of queues do not have it and take no notice. Without a maximum it is the minimum; without a
    minimum nothing is held, because a policy may be yet to say it.
    """
    kind = settings.get("x-delayed-retry-type", DISABLED)
    min_ms = settings.get("x-delayed-retry-min")
    if settings.get("x-queue-type") != "quorum" or kind == DISABLED or min_ms is None:
        return None
    max_ms = settings.get("x-delayed-retry-max", min_ms)
    return RetryRule(kind in ("all", "failed"), kind in ("all", "returned"), int(min_ms), int(max_ms))


def retry_problem(definition: Mapping[str, Any]) -> str | None:
    """What is wrong with the keys of a policy together, each of which is valid; None: nothing."""
    kind = definition.get("delayed-retry-type", DISABLED)
    min_ms, max_ms = definition.get("delayed-retry-min"), definition.get("delayed-retry-max")
    if min_ms is None:
        required = f"delayed-retry-min is required when delayed-retry-type is {kind}"
        return None if kind == DISABLED else required
    if max_ms is not None and max_ms < min_ms:
        return f"delayed-retry-max ({max_ms}) must not be smaller than delayed-retry-min ({min_ms})"
    return None


class Delayed:
    """The messages of one queue that are held; see the module."""

    def __init__(self, queue: Queue, changes: Changes) -> None:
        self._queue = queue
        self._changes = changes
        self._heap: list[tuple[int, int, Run]] = []
        self._order = count()
        self._hot = 0
        """How many of the runs are in memory."""
        self._timer_ms: int | None = None

    def __repr__(self) -> str:
        return f"<Delayed {self._queue.name} runs={len(self._heap)} timer={self._timer_ms}>"

    def add(self, run: Run, due_ms: int) -> None:
        """Hold messages until this time."""
        heappush(self._heap, (due_ms, next(self._order), run))
        self._queue.delayed_count += len(run.sequences)
        self._queue.delayed_bytes += run.body_bytes
        self._hot += run.messages is not None
        self._look_at(due_ms)

    def _look_at(self, due_ms: int) -> None:
        if self._timer_ms is None or due_ms < self._timer_ms:
            self._timer_ms = due_ms
            self._changes.timed.append((due_ms, self))

    def on_timer(self, now_ms: int) -> None:
        """Let those be ready whose time has come."""
        if self._timer_ms is not None and self._timer_ms <= now_ms:
            self._timer_ms = None
        heap, queue = self._heap, self._queue
        for _ in range(RUNS_AT_ONCE):
            if not heap or heap[0][0] > now_ms:
                break
            _, _, run = heappop(heap)
            queue.delayed_count -= len(run.sequences)
            queue.delayed_bytes -= run.body_bytes
            self._hot -= run.messages is not None
            if run.messages is None:
                # Of its parts only the engine knows how many bytes they have.
                queue.estimated = True
            run.lane.ready_again(run)
        if heap:
            self._look_at(heap[0][0])

    def waiting(self, lane: Lane) -> Iterator[tuple[Run, int]]:
        """What is held of a lane, and until when; in no particular order."""
        for due_ms, _, run in self._heap:
            if run.lane is lane:
                yield run, due_ms

    def give_up(self, resident_max: int) -> None:
        """Let go of messages that the disk holds as well, until so many bytes are in memory."""
        changes = self._changes
        for _, _, run in reversed(self._heap):
            if changes.resident_bytes <= resident_max or not self._hot:
                return
            if run.messages is not None and run.location is not None and run.location.segment >= 0:
                changes.resident_bytes -= run.held_bytes
                run.messages = None
                self._hot -= 1

    def forget(self) -> None:
        """Hold nothing any more; the lanes have let go of it."""
        self._heap.clear()
        self._hot = self._queue.delayed_count = self._queue.delayed_bytes = 0
