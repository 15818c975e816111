"""Eviction: which messages give way in a full queue where it is not simply the oldest (A40).

A queue with `x-overflow: drop-lowest-priority` loses, of its lowest priority, the oldest; one with
`drop-superseded` what a newer message with the same value of the header `x-overflow-property` has replaced,
and what has no such header. Where no message of a queue that does have the header was replaced, or none has
it, the oldest goes. Only the `LOOKED_AT` oldest of those that are ready, in memory and have never been out
are looked at, so it costs no more in a long queue. Not here: when there are too many (`Queue.trim`).

Source: ActiveMQ's eviction strategies, which look at a thousand messages as well. Invariant: a queue without
one takes no step for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillarbox.broker.dialects import Neutral
    from pillarbox.broker.lane import Lane
    from pillarbox.broker.queue import Queue
    from pillarbox.engine.base import Message

DROP_LOWEST_PRIORITY: Final = "drop-lowest-priority"
DROP_SUPERSEDED: Final = "drop-superseded"

LOOKED_AT: Final = 1000
"""Messages: ActiveMQ's number."""

Ready = list[tuple[int, "Message"]]
"""Messages by sequence, ascending."""


class Eviction:
    """A way to choose what gives way."""

    def evict(self, queue: Queue, excess: int) -> bool:
        """Drop some messages of a queue that has so many too many (1 where it is the bytes); False: none."""
        for lane in reversed(queue.lanes):
            ready = list(islice(_ready(lane), LOOKED_AT))
            gone = self.choose(ready, excess) if ready else ()
            if gone:
                lane.evict(frozenset(gone))
                return True
        return False

    def choose(self, ready: Ready, excess: int) -> list[int]:
        """The sequences of those that go; none if the oldest of the queue is to go."""
        raise NotImplementedError


class LowestPriority(Eviction):
    """The oldest of the lowest priority."""

    def choose(self, ready: Ready, excess: int) -> list[int]:
        lowest = nsmallest(excess, [(message.priority, sequence) for sequence, message in ready])
        return [sequence for _, sequence in lowest]


class Superseded(Eviction):
    """What a newer message with the same value of a property has replaced."""

    def __init__(self, name: str, said: Callable[[Message], Neutral]) -> None:
        self._name = name
        self._said = said
        self._values: dict[int, Any] = {}
        """Of messages that were looked at before: most of them are there the next time, too."""

    def choose(self, ready: Ready, excess: int) -> list[int]:
        known, newest = self._values, dict[Any, int]()
        self._values = values = {
            sequence: known[sequence] if sequence in known else self._value(message)
            for sequence, message in ready
        }
        for sequence, value in values.items():
            if value is not None:
                newest[value] = sequence
        if not newest:
            return []
        kept = set(newest.values())
        return [sequence for sequence in values if sequence not in kept]

    def _value(self, message: Message) -> Any:
        """What the property says; None: nothing that could be compared."""
        value = self._said(message).headers.get(self._name)
        return value if isinstance(value, str | int | float | bytes) else None


def _ready(lane: Lane) -> Iterator[tuple[int, Message]]:
    for position, run in enumerate(islice(lane.ready, LOOKED_AT)):
        if run.messages is not None:
            part = run if position else lane.untaken(0)
            yield from zip(part.sequences, part.messages or (), strict=True)


def equip(queue: Queue, settings: Mapping[str, Any], said: Callable[[Message], Neutral]) -> None:
    """Have a queue with limits choose what gives way, if its settings say so.

    `said`: what a message says, in the words of all protocols.
    """
    eviction: Eviction
    overflow = settings.get("x-overflow")
    if overflow == DROP_LOWEST_PRIORITY:
        eviction = LowestPriority()
    elif overflow == DROP_SUPERSEDED:
        eviction = Superseded(str(settings.get("x-overflow-property", "")), said)
    else:
        return
    if queue.limits is not None:
        queue.limits = msgspec.structs.replace(queue.limits, eviction=eviction)
