"""Queues that go when nobody has used them for a while (`x-expires`, R45).

Used is a queue that has consumers, or is declared or got from. Not here: messages that expire (`lane`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.scheduler import Scheduler


class QueueExpiry:
    """Deletes a queue that nobody has used for its `x-expires` (R45)."""

    def __init__(self, scheduler: Scheduler, queue: Queue, remove: Callable[[Queue], None]) -> None:
        self._scheduler = scheduler
        self._queue = queue
        self._remove = remove

    def start(self) -> None:
        """Look when the time may be over."""
        assert self._queue.expires_ms is not None
        self._scheduler.at(self._queue.used_ms + self._queue.expires_ms, self)

    def on_timer(self, now_ms: int) -> None:
        queue = self._queue
        if queue.deleted or queue.expires_ms is None:
            return
        if queue.consumers:
            queue.used_ms = now_ms
        due_ms = queue.used_ms + queue.expires_ms
        if due_ms <= now_ms:
            self._remove(queue)
        else:
            self._scheduler.at(due_ms, self)
