"""Consumers and their credit.

A consumer receives from one queue through a sink (see `sink`). Its credit is how many more deliveries it
may get; a pool is credit that several consumers share. Every protocol's flow control maps to these two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pillarbox.broker.arguments import EXCLUSIVE
from pillarbox.broker.lean import NO_DICT

if TYPE_CHECKING:
    from pillarbox.broker.browse import Browser
    from pillarbox.broker.ledger import Ledger
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.broker.selectors import Selector
    from pillarbox.broker.sink import Outlet, Sink

UNLIMITED = 1 << 62
"""Credit that no number of deliveries uses up, so that the hot path need not ask whether it is limited."""


class Pool:
    """Credit shared by all consumers that name it."""

    __slots__ = ("credit", "is_limited", "limit", "waiting")

    def __init__(self, credit: int = UNLIMITED) -> None:
        self.credit = self.limit = credit
        self.is_limited = credit < UNLIMITED
        """Can its credit ever be used up?"""
        self.waiting: dict[Queue, dict[Consumer, None]] = NO_DICT
        """Consumers that had their turn when the pool was used up, by queue."""

    def set_limit(self, limit: int) -> None:
        """Let so many deliveries be out from now on; those that are count."""
        self.limit, former = limit, self.limit
        self.is_limited = limit < UNLIMITED
        self.give_back(limit - former)

    def wait(self, consumer: Consumer) -> None:
        """Have a blocked consumer looked at when there is credit again."""
        if self.waiting is NO_DICT:
            self.waiting = {}
        self.waiting.setdefault(consumer.queue, {})[consumer] = None

    def give_back(self, count: int) -> None:
        """Add credit; whoever waits for it is looked at again."""
        self.credit += count
        if self.waiting and self.credit > 0:
            waiting, self.waiting = self.waiting, NO_DICT
            for queue, consumers in waiting.items():
                queue.unblock(consumers)
                queue.wake()


class Consumer:
    """A receiver on one queue."""

    __slots__ = (
        "arguments",
        "blocked",
        "browser",
        "credit",
        "exclusive",
        "head",
        "ledger",
        "no_ack",
        "outlet",
        "pool",
        "prefetch",
        "priority",
        "queue",
        "selector",
        "sink",
        "sole",
        "tag",
    )

    def __init__(
        self,
        queue: Queue,
        sink: Sink,
        outlet: Outlet,
        ledger: Ledger,
        *,
        tag: str,
        no_ack: bool = False,
        exclusive: bool = False,
        prefetch: int = 0,
        pool: Pool | None = None,
        priority: int = 0,
        arguments: Mapping[str, Any] | None = None,
        selector: Selector | None = None,
    ) -> None:
        self.queue = queue
        self.sink = sink
        self.outlet = outlet
        self.ledger = ledger
        self.tag = tag
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.prefetch = prefetch
        self.credit = UNLIMITED if no_ack or prefetch == 0 else prefetch
        self.pool = Pool() if pool is None else pool
        """Without acknowledgement it takes nothing out of the pool, but waits while that is empty."""
        self.priority = priority
        self.arguments: Mapping[str, Any] = dict(arguments) if arguments else NO_DICT
        self.selector = selector
        """What messages have to meet to be this consumer's; None: it takes whatever comes."""
        self.sole = bool(self.arguments.get(EXCLUSIVE))
        """While it is there, others get nothing, but for such a one of a higher priority."""
        self.blocked = 0
        """Not 0: it had its turn without credit, as the how many-th, and waits until it has some."""
        self.browser: Browser | None = None
        """What shows it the messages of its queue, which does not know it then."""
        self.head: Any = None
        """Whatever the head wants to keep with the consumer."""

    def deliver(self, run: Run, tag_first: int) -> None:
        """Have the sink send a run (see `Sink`). If that fails, the connection ends."""
        try:
            self.sink.deliver(self, run, tag_first)
        except Exception as error:
            self.broke(error)

    def broke(self, error: Exception) -> None:
        """The sink has failed: it gets nothing more, and its connection ends (see `fence`)."""
        self.outlet.writable = False
        self.queue.fence.broke(self.outlet, self.outlet.shut_down, error)

    def __repr__(self) -> str:
        return f"<Consumer {self.tag!r} on {self.queue.name!r} credit={self.credit}>"
