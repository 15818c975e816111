"""Where the messages that wait in a schedule will go: how many to each destination (A84).

A schedule knows when its messages are due, and not what is in them. When somebody first asks for these
numbers, all records that rest on the disk are read once, by a walk; from then on what comes and goes is
counted. Beside each record the lane keeps a number for the destination of each of its messages, four bytes,
since what is dropped is not read. Whoever does not ask pays nothing.

A destination is the routing key with which a message was published. Not here: what becomes of it when the
message fires. Invariant: `counts` says how many of the messages that are known wait; each is known once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pillarbox.broker.schedule_lane import Block, ScheduleLane
    from pillarbox.engine.base import Message

UNKNOWN: Final = (1 << 32) - 1
"""In place of the number of a message that has not been read."""


def unknown(count: int) -> array[int]:
    """Numbers of so many messages of which nothing is known."""
    return array("I", [UNKNOWN]) * count


def joined_places(one: Block, gap: int, other: Block) -> array[int] | None:
    """The numbers of two blocks and of those between, which are gone; None: nothing is known of any."""
    if one.places is None and other.places is None:
        return None
    first = unknown(one.count) if one.places is None else one.places
    last = unknown(other.count) if other.places is None else other.places
    return first + unknown(gap) + last


class Places:
    """Counts of one schedule; see the module. `below`: the sequence of what comes next."""

    def __init__(self, below: int) -> None:
        self.complete = False
        """All that waits is known."""
        self._below = below
        self._seen: set[int] = set()
        """What the walk has seen that is in memory alone, while it goes on."""
        self._names: list[str] = []
        self._counts: list[int] = []
        self._numbers: dict[str, int] = {}
        """By name; a number is free again when nothing waits for its name."""
        self._free: list[int] = []

    def __repr__(self) -> str:
        return f"<Places of {len(self._numbers)} complete={self.complete}>"

    @property
    def counts(self) -> dict[str, int]:
        """How many messages wait, by destination."""
        return {name: self._counts[number] for name, number in self._numbers.items()}

    def count_of(self, name: str) -> int:
        """How many of them wait for this one."""
        number = self._numbers.get(name)
        return 0 if number is None else self._counts[number]

    def came(self, messages: Iterable[Message]) -> array[int]:
        """Count messages that have come; return their numbers."""
        return array("I", [self._count(message) for message in messages])

    def went(self, block: Block | None, sequence: int, message: Message | None) -> None:
        """A message waits no more; `block`: its record, if it has one."""
        if block is not None:
            number = UNKNOWN if block.places is None else block.places[sequence - block.first]
            if number != UNKNOWN:
                self._forget(number)
        elif self.complete or sequence >= self._below or sequence in self._seen:
            assert message is not None, "what has no record is in memory"
            self._seen.discard(sequence)
            self._forget(self._numbers[message.address.routing_key])

    def see(self, lane: ScheduleLane, sequence: int, message: Message | None) -> None:
        """Learn of a message that a walk has read; some come twice. None: it cannot be read."""
        if message is None:
            return
        block = lane.on_disk(sequence)
        if block is None:
            if sequence < self._below and sequence not in self._seen:
                self._seen.add(sequence)
                self._count(message)
            return
        if block.places is None:
            block.places = unknown(block.count)
        position = sequence - block.first
        if block.places[position] == UNKNOWN:
            block.places[position] = self._count(message)

    def learned(self) -> None:
        """The walk is over."""
        self.complete = True
        self._seen.clear()

    def _count(self, message: Message) -> int:
        name = message.address.routing_key
        number = self._numbers.get(name)
        if number is None:
            if self._free:
                number = self._free.pop()
                self._names[number] = name
            else:
                number = len(self._names)
                self._names.append(name)
                self._counts.append(0)
            self._numbers[name] = number
        self._counts[number] += 1
        return number

    def _forget(self, number: int) -> None:
        self._counts[number] -= 1
        if not self._counts[number]:
            del self._numbers[self._names[number]]
            self._free.append(number)
