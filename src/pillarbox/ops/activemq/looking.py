"""Looking at messages that stay where they are: a browser (`broker.browse`) of the user who is logged in.

Nothing in the queue changes by it: no message counts as delivered, and those that are out are shown as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.browse import BROWSE
from pillarbox.broker.consumer import Pool
from pillarbox.broker.ledger import Ledger

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.dialects import Dialects, Neutral
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.engine.base import Message
    from pillarbox.errors import Reason
    from pillarbox.ops.activemq.view import View

LOOKED_AT_MAX: Final = 10_000
"""Messages that a selector is tried on in one request, and that one request may move."""
LOOKED_AT_BYTES_MAX: Final = 64 << 20


class Seen(NamedTuple):
    """A message of a queue. `number`: see `number_of`."""

    number: int
    said: Neutral
    message: Message
    redelivered: bool


def number_of(priority: int, sequence: int) -> int:
    """A number for a message, the same for as long as it is in its queue, over restarts as well."""
    return (sequence + 1 << 8) + priority


class _Onlooker:
    """Sink and outlet of one look; it is over when `over` is set."""

    writable = True
    channel_count = 0

    def __init__(self, dialects: Dialects, wants: Callable[[Seen], bool], skip: int, count_max: int) -> None:
        self._dialects = dialects
        self._wants = wants
        self._skip = skip
        self._count_max = count_max
        self._looked_at = self._bytes = 0
        self.seen: list[Seen] = []
        self.counted = 0
        """How many were wanted, those that were skipped included."""
        self.over = asyncio.Event()

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        for sequence, message in zip(run.sequences, run.messages or (), strict=False):
            if self.over.is_set():
                return
            self._looked_at += 1
            number = number_of(run.lane.priority, sequence)
            one = Seen(number, self._dialects.said(message), message, run.redelivered)
            if self._wants(one):
                self.counted += 1
                if self.counted > self._skip and len(self.seen) < self._count_max:
                    self.seen.append(one)
                    self._bytes += len(message.body)
            if (
                (self._count_max and len(self.seen) >= self._count_max)
                or self._looked_at >= LOOKED_AT_MAX
                or self._bytes > LOOKED_AT_BYTES_MAX
            ):
                self.over.set()

    def consumer_cancelled(self, consumer: Consumer) -> None:
        self.over.set()

    def disconnect(self, reason: Reason, text: str) -> None:
        self.over.set()

    def shut_down(self, text: str) -> None:
        self.over.set()

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """Nothing is published."""

    def refuse(self, tag_first: int, tag_last: int) -> None:
        """Nothing is published."""

    def time_answers(self, queue: Queue) -> None:
        """Nothing is to be answered."""

    def blocked(self, reason: str) -> None:
        """Nothing is published."""

    def unblocked(self) -> None:
        """Nothing is published."""


async def look(
    view: View, queue: str, wants: Callable[[Seen], bool], *, skip: int = 0, count_max: int
) -> tuple[list[Seen], int]:
    """Messages of a queue that are wanted, from its head, and how many there were with those before them.

    With a `count_max` of 0 all are only counted. At most `LOOKED_AT_MAX` are looked at. Raises BrokerError.
    """
    view.begin()
    onlooker = _Onlooker(view.core.dialects, wants, skip, count_max)
    session = view.core.open_session(view.user, view.vhost, onlooker)
    try:
        consumer = session.consume(
            queue,
            onlooker,
            Ledger(),
            tag="looking",
            no_ack=True,
            exclusive=False,
            prefetch=0,
            pool=Pool(),
            priority=0,
            arguments={BROWSE: True},
            on_end=onlooker.over.set,
        )
        view.core.wake()
        try:
            await onlooker.over.wait()
        finally:
            assert consumer.browser is not None
            consumer.browser.stop()
    finally:
        view.begin()
        session.close()
    return onlooker.seen, onlooker.counted
