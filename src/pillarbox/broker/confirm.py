"""Confirms: telling a publisher that its messages are safe, or that they were refused.

A publisher's messages count from 1. At the end of a tick what it published is sealed: messages that the
journal keeps wait for the tick's group, everything else is confirmed at once, and nothing overtakes: what a
full queue refused (R47) has its turn among the others.

Source: RabbitMQ confirm.select (85, 10). Invariant: no confirm leaves before its group is durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pillarbox.broker.lean import NO_LIST
from pillarbox.errors import Reason

if TYPE_CHECKING:
    from pillarbox.broker.fence import Fence
    from pillarbox.broker.sink import Waiting


class Publisher:
    """The publishing side of one sink: how many messages came, how many are sealed."""

    __slots__ = ("listed", "published", "refused", "sealed", "sink", "stored", "waiting")

    def __init__(self, sink: Waiting) -> None:
        self.sink = sink
        self.published = 0
        self.sealed = 0
        self.waiting = 0
        """Sealed ranges that are not confirmed yet."""
        self.stored = False
        """Something since the last seal goes to the journal."""
        self.listed = False
        self.refused: list[int] = NO_LIST
        """Numbers since the last seal that a queue has refused."""


class Confirms:
    """All publishers of a broker that wait for a confirm."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self.listed: list[Publisher] = []
        """Publishers with something to seal."""
        self.stored = False
        """Some of that goes to the journal: somebody will wait for its group."""
        self._sealed: deque[tuple[int, Publisher, int, int, bool]] = deque()
        """(ticket, publisher, first number, last number, whether they were refused)"""
        self._synced = -1
        """The last ticket whose group is durable: what waited for it and is sealed later waits no more."""

    @property
    def waiting(self) -> int:
        """Publishers whose messages of this tick are not sealed yet, or that wait for an earlier group."""
        return len(self.listed) + len(self._sealed)

    def accept(self, publisher: Publisher, count: int, stored: bool, refused: Sequence[int] = ()) -> None:
        """Note `count` more publishes; `stored`: some of them wait for the journal; `refused`: positions of
        those that were refused."""
        if refused:
            first = publisher.published + 1
            publisher.refused = [*publisher.refused, *(first + position for position in refused)]
        publisher.published += count
        if stored:
            publisher.stored = self.stored = True
        if not publisher.listed:
            publisher.listed = True
            self.listed.append(publisher)

    def seal(self, ticket: int) -> None:
        """Tie what was accepted since the last call to the group with this ticket."""
        listed, self.listed = self.listed, []
        self.stored = False
        for publisher in listed:
            first, last = publisher.sealed + 1, publisher.published
            publisher.sealed = last
            publisher.listed = False
            if publisher.refused:
                self._seal_refused(ticket, publisher, first, last)
            elif (publisher.stored and ticket > self._synced) or publisher.waiting:
                publisher.stored = False
                publisher.waiting += 1
                self._sealed.append((ticket, publisher, first, last, False))
            else:
                publisher.stored = False
                self._tell(publisher, first, last, False)

    def _seal_refused(self, ticket: int, publisher: Publisher, first: int, last: int) -> None:
        numbers, publisher.refused = publisher.refused, NO_LIST
        wait = (publisher.stored and ticket > self._synced) or publisher.waiting > 0
        publisher.stored = False
        for start, stop, refused in _stretches(first, last, numbers):
            if wait:
                publisher.waiting += 1
                self._sealed.append((ticket, publisher, start, stop, refused))
            else:
                self._tell(publisher, start, stop, refused)

    def fail(self, text: str) -> None:
        """Nothing that waits will ever be safe: end the connections of all who wait, and say why."""
        waiting = dict.fromkeys([publisher for _, publisher, _, _, _ in self._sealed])
        waiting |= dict.fromkeys([publisher for publisher in self.listed if publisher.stored])
        self._sealed.clear()
        self._synced = -1
        self.listed = [publisher for publisher in self.listed if publisher not in waiting]
        for publisher in waiting:
            publisher.sealed = publisher.published
            publisher.waiting = 0
            publisher.stored = publisher.listed = False
            publisher.refused = NO_LIST
            publisher.sink.disconnect(Reason.INTERNAL_ERROR, text)

    def synced(self, ticket: int) -> None:
        """Confirm everything that is tied to groups up to this one."""
        self._synced = ticket
        sealed = self._sealed
        while sealed and sealed[0][0] <= ticket:
            _, publisher, first, last, refused = sealed.popleft()
            publisher.waiting -= 1
            self._tell(publisher, first, last, refused)

    def _tell(self, publisher: Publisher, first: int, last: int, refused: bool) -> None:
        sink = publisher.sink
        try:
            if refused:
                sink.refuse(first, last)
            else:
                sink.confirm(first, last)
        except Exception as error:
            self._fence.broke(sink, partial(sink.disconnect, Reason.INTERNAL_ERROR), error)


def _stretches(first: int, last: int, refused: list[int]) -> Iterator[tuple[int, int, bool]]:
    """The numbers first..last in stretches (first, last, refused or not), in order."""
    following = first
    position = 0
    while position < len(refused):
        start = refused[position]
        end = position
        while end + 1 < len(refused) and refused[end + 1] == refused[end] + 1:
            end += 1
        if following < start:
            yield following, start - 1, False
        yield start, refused[end], True
        following = refused[end] + 1
        position = end + 1
    if following <= last:
        yield following, last, False
