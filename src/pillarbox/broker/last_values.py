"""Last values: of the messages of a queue that have the same value of a header, the newest alone waits (A27).

A message that comes takes the place of the one before it, but its own turn: that one is forgotten, unless
somebody has it, and forgotten when it comes back. Messages without the header stand for themselves. After a
restart, and of what is on disk alone, a queue learns the values when it reads them back, which is before
anything of it is handed out.

Not here: how a message is taken out of its lane (`choosing_lane`). Source: Artemis, "Last-Value Queues";
2.44.0 asked with `tests/compare_messaging/scenarios/stomp_on_artemis.py`.
Invariant: the place of a value is that of its newest message known, which may be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pillarbox.broker.choosing_lane import ChoosingLane
    from pillarbox.broker.queue import Queue
    from pillarbox.engine.base import Message

LAST_VALUE_KEY: Final = "x-last-value-key"
"""Argument of a queue: the header."""
SPARE: Final = 1024
"""Values of which nothing waits that may be known beside the others."""


class Place(NamedTuple):
    """Where a message stands, or stood."""

    lane: ChoosingLane
    sequence: int
    accepted_ms: int

    def is_after(self, other: Place) -> bool:
        """Did it come later? Messages of different priorities are told apart by their times alone."""
        if self.lane is other.lane:
            return self.sequence > other.sequence
        return self.accepted_ms > other.accepted_ms


class LastValues:
    """See the module. `header_of`: the header of a message; None: it has none."""

    def __init__(self, queue: Queue, key: str, header_of: Callable[[Message, str], Any]) -> None:
        self.key = key
        self._queue = queue
        self._header_of = header_of
        self._newest: dict[str, Place] = {}
        self._size_max = SPARE

    def __repr__(self) -> str:
        return f"<LastValues {self.key!r} of {self._queue.name!r} known={len(self._newest)}>"

    def note(self, lane: ChoosingLane, messages: Iterable[tuple[int, Message]]) -> None:
        """Messages, with their sequences, have come, or come back, or been read; the older ones go."""
        newest = self._newest
        for sequence, message in messages:
            value = self._header_of(message, self.key)
            if not isinstance(value, str | int | float):
                continue
            text, place = str(value), Place(lane, sequence, message.accepted_ms)
            former = newest.get(text)
            if former is None or not former.is_after(place):
                newest[text] = place
                if former is not None and former[:2] != place[:2]:
                    former.lane.strike(former.sequence)
            else:
                lane.strike(sequence)
        if len(newest) > self._size_max:
            self._tidy()

    def _tidy(self) -> None:
        """Forget values of which nothing waits and nobody has anything."""
        out = {
            (entry.lane, sequence)
            for entry in self._queue.outstanding()
            for sequence in entry.run.sequences[entry.start : entry.stop]
        }
        for text, place in list(self._newest.items()):
            if place[:2] not in out and not place.lane.holds(place.sequence):
                del self._newest[text]
        self._size_max = 2 * len(self._newest) + SPARE
