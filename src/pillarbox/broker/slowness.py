"""Slowness: a consumer is slow while messages wait for it that it could have had, but for answers that it
owes or bytes that it does not read (A40).

How long, counts from when it became so or its receiver has last done anything: got something, or answered.
Not here: who looks, after how long that matters and what is done about it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer


class Slowness:
    """What one who looks at consumers now and then knows of them."""

    def __init__(self) -> None:
        self._since: dict[Consumer, tuple[int, tuple[int, int]]] = {}
        """When those that are slow became so, and how far their receivers had come."""
        self._told: set[Consumer] = set()

    def __repr__(self) -> str:
        return f"<Slowness slow={len(self._since)} told={len(self._told)}>"

    def is_news(self, consumer: Consumer, now_ms: int, after_ms: int) -> bool:
        """Is it slow for so long by now? Told once, until it is not slow any more."""
        if not _is_slow(consumer):
            self.forget(consumer)
            return False
        # Of consumers that share a ledger the one that works speaks for all.
        progress = consumer.ledger.tag_next, consumer.ledger.count
        before = self._since.get(consumer)
        if before is None or before[1] != progress:
            before = self._since[consumer] = now_ms, progress
        if consumer in self._told or now_ms - before[0] < after_ms:
            return False
        self._told.add(consumer)
        return True

    def forget(self, consumer: Consumer) -> None:
        """It is gone, or not slow."""
        self._since.pop(consumer, None)
        self._told.discard(consumer)

    def keep(self, consumers: Collection[Consumer]) -> None:
        """Forget all others."""
        for consumer in [one for one in self._since if one not in consumers]:
            self.forget(consumer)


def _is_slow(consumer: Consumer) -> bool:
    spent = consumer.credit <= 0 or consumer.pool.credit <= 0
    return consumer.queue.ready_count > 0 and (spent or not consumer.outlet.writable)
