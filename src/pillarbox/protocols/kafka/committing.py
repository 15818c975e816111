"""Waiting until partitions have committed what was appended to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition


class Committing:
    """Calls `then`, once, with the positions of those that will never be committed, when all others are.

    `wanted`: partitions, and offsets up to which they shall be committed. It calls at once where they are.
    """

    def __init__(
        self, wanted: Sequence[tuple[Partition, int]], then: Callable[[Sequence[int]], None]
    ) -> None:
        self._waiting = dict(enumerate(wanted))
        self._then = then
        self._lost: list[int] = []
        if not wanted:
            then(())
            return
        for partition, _ in wanted:
            partition.watchers[self._look] = None
        self._look()

    def __repr__(self) -> str:
        return f"<Committing waiting={len(self._waiting)}>"

    def _look(self) -> None:
        """A partition has committed more, or will never again."""
        if self._then is _nothing:
            return
        for position, (partition, end) in list(self._waiting.items()):
            if partition.log.committed >= end or partition.failure is not None:
                if partition.log.committed < end:
                    self._lost.append(position)
                del self._waiting[position]
                if all(other is not partition for other, _ in self._waiting.values()):
                    partition.watchers.pop(self._look, None)
        if not self._waiting:
            then, self._then = self._then, _nothing
            then(self._lost)


def _nothing(lost: Sequence[int]) -> None:
    """It has called."""
