"""Why is a queue as it is? One sentence, and findings: what a person would look up to answer that (I8).

Each finding is one function in `FINDINGS` that looks at one thing and says it in words, or nothing. They read
the state of this moment; how long a delivery has been out is what `Stalls` has seen.

Not here: HTTP, pages. A new reason for being stuck is a new function and its place in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.broker.consumer import UNLIMITED
from pillarbox.broker.stream import StreamQueue
from pillarbox.ops.management.fields import STRING, array

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.core import Core
    from pillarbox.broker.ledger import Entry
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.vhost import VHost

NOTE, WARNING, PROBLEM = "note", "warm", "bad"
"""How serious a finding is: a fact, something to know, a reason for messages to wait."""

CONSUMERS_SHOWN = 10

_FINDING = {"type": "object", "properties": {"code": STRING, "severity": STRING, "text": STRING}}
EXPLANATION = {"type": "object", "properties": {"summary": STRING, "findings": array(_FINDING)}}
"""The schema of an explanation's document."""


class Finding(NamedTuple):
    """One thing that was found. `code` stays the same from release to release."""

    code: str
    severity: str
    text: str


class Stalls:
    """Since when the oldest delivery of each queue has been out, as far as it was looked at: `look` from time
    to time, and it is right to that interval. Bound: one entry a queue with deliveries out."""

    def __init__(self) -> None:
        self._oldest: dict[Queue, tuple[Entry, int]] = {}

    def look(self, queue: Queue, now_ms: int) -> None:
        """Look at a queue; cost: O(1)."""
        oldest = next(queue.outstanding(), None) if queue.unacked_count else None
        if oldest is None:
            self._oldest.pop(queue, None)
            return
        known = self._oldest.get(queue)
        if known is None or known[0] is not oldest:
            self._oldest[queue] = oldest, now_ms

    def forget_deleted(self) -> None:
        for queue in [one for one in self._oldest if one.deleted]:
            del self._oldest[queue]

    def since_ms(self, queue: Queue) -> int | None:
        """When the oldest delivery was first seen to be out; None: not yet."""
        known = self._oldest.get(queue)
        return known[1] if known is not None and known[0] in known[0].lane.outstanding else None


class Case(NamedTuple):
    """What is to be explained."""

    queue: Queue
    vhost: VHost
    core: Core
    now_ms: int
    stalls: Stalls


def summary(case: Case) -> str:
    """The queue in one sentence."""
    queue = case.queue
    consumers = len(queue.consumers)
    parts = [f"{queue.ready_count:,} ready", f"{queue.unacked_count:,} unacknowledged"]
    if queue.delayed_count:
        parts.append(f"{queue.delayed_count:,} held back")
    parts.append(f"{consumers:,} consumer{'' if consumers == 1 else 's'}" if consumers else "no consumer")
    return "; ".join(parts)


def explain(case: Case) -> list[Finding]:
    """Everything that was found, the most serious first."""
    return most_serious_first(finding for find in FINDINGS for finding in find(case))


def most_serious_first(findings: Iterable[Finding]) -> list[Finding]:
    """In the order in which people want to read them."""
    order = (PROBLEM, WARNING, NOTE)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


# --- what there is to find ---------------------------------------------------------------------------------


def _storage(case: Case) -> Iterator[Finding]:
    if case.core.failure is not None:
        yield Finding("storage-failed", PROBLEM, f"nothing can be stored: {case.core.failure}")
    if case.queue.unreadable:
        yield Finding(
            "unreadable", PROBLEM, "some of its messages cannot be read back from disk: see the log"
        )


def _publishers(case: Case) -> Iterator[Finding]:
    if case.core.alarm is not None:
        yield Finding("alarm", PROBLEM, f"publishers are blocked: the broker is {case.core.alarm}")
    elif case.core.held:
        yield Finding("flow", WARNING, "publishers are slowed down: the disk is behind")


def _nobody(case: Case) -> Iterator[Finding]:
    queue = case.queue
    if queue.ready_count and not queue.consumers:
        since = ago(case.now_ms - queue.used_ms)
        if queue.in_log:
            # Nothing waits there: a stream keeps its messages whether somebody reads them or not.
            yield Finding("no-reader", NOTE, f"nobody reads it; it was used last {since} ago")
        else:
            yield Finding("no-consumer", PROBLEM, f"nobody consumes; it was used last {since} ago")


def _paused(case: Case) -> Iterator[Finding]:
    if case.queue.paused:
        yield Finding("paused", PROBLEM, "an operator has paused it: consumers get nothing for now")


def _readers(case: Case) -> Iterator[Finding]:
    """How far readers of a stream are from its end."""
    queue = case.queue
    if isinstance(queue, StreamQueue):
        for consumer in islice(queue.consumers, CONSUMERS_SHOWN):
            behind = queue.behind(consumer)
            if behind:
                who = f"consumer {consumer.tag} ({_client(case.core, consumer)})"
                yield Finding("reader-behind", NOTE, f"{who} is {behind:,} behind the end")


def _delayed(case: Case) -> Iterator[Finding]:
    """What waits elsewhere and may come here."""
    sources = dict.fromkeys(binding.source for binding in case.vhost.bindings_to(case.queue))
    for exchange in sources:
        if exchange.schedule is not None and exchange.schedule.waiting_count:
            count = exchange.schedule.waiting_count
            text = f"exchange '{exchange.name}', which is bound to it, holds delayed messages: {count:,}"
            yield Finding("delayed-messages", NOTE, text)


def _consumers(case: Case) -> Iterator[Finding]:
    """Those who could get something and do not, one by one; who waits for its turn to be the active one."""
    queue = case.queue
    for consumer in islice((one for one in queue.consumers if one not in queue.standby), CONSUMERS_SHOWN):
        who = f"consumer {consumer.tag} ({_client(case.core, consumer)})"
        if not consumer.outlet.writable:
            yield Finding("not-reading", PROBLEM, f"{who} does not read what it was sent: its socket is full")
        elif consumer.credit <= 0:
            yield Finding(
                "prefetch-full", PROBLEM, f"{who} has its prefetch of {consumer.prefetch:,} in hand"
            )
        elif consumer.pool.credit <= 0:
            limit = consumer.pool.limit
            yield Finding(
                "channel-prefetch-full", PROBLEM, f"{who}: its channel's prefetch of {limit:,} is used up"
            )
        elif queue.unacked_count and consumer.credit < UNLIMITED:
            held = consumer.prefetch - consumer.credit
            yield Finding("working", NOTE, f"{who} has {held:,} of {consumer.prefetch:,} in hand")
    if queue.standby:
        yield Finding("single-active", NOTE, f"a single consumer is active; {len(queue.standby):,} stand by")


def _oldest(case: Case) -> Iterator[Finding]:
    queue = case.queue
    oldest = next(queue.outstanding(), None)
    if oldest is None:
        return
    who = f"tag {oldest.tag_first}"
    if oldest.consumer is not None:
        who += f" of consumer {oldest.consumer.tag} ({_client(case.core, oldest.consumer)})"
    since_ms = case.stalls.since_ms(queue)
    held = f"held {ago(case.now_ms - since_ms)}" if since_ms is not None else "held a few seconds"
    yield Finding("oldest-unacknowledged", NOTE, f"oldest unacknowledged: {who}, {held}")


def _coming_back(case: Case) -> Iterator[Finding]:
    if case.queue.held:
        text = "messages of receivers that have gone are on their way back; nobody gets anything before"
        yield Finding("coming-back", WARNING, text)
    if case.queue.delayed_count:
        text = f"came back and held until the retry is due: {case.queue.delayed_count:,}"
        yield Finding("delayed-retry", NOTE, text)


def _limits(case: Case) -> Iterator[Finding]:
    queue = case.queue
    if queue.limits is not None and not queue.limits.have_room(queue, 1, 0):
        what = "the oldest are dropped" if queue.limits.eviction is None else "some are dropped"
        what = "new messages are refused" if queue.limits.rejects else what
        yield Finding("full", WARNING, f"it is full: {what}")


def _dead_letters(case: Case) -> Iterator[Finding]:
    rule = case.queue.dead_letters
    if case.queue.dead_count:
        text = f"dead letters that no queue takes: {case.queue.dead_count:,}; they are tried again"
        yield Finding("undelivered-dead-letters", WARNING, text)
    if rule is not None and not rule.vhost.has_exchange(rule.exchange):
        fate = "are kept" if rule.at_least_once else "are lost"
        text = f"its dead-letter exchange '{rule.exchange}' does not exist: dead letters {fate}"
        yield Finding("no-dead-letter-exchange", WARNING, text)


def _expiry(case: Case) -> Iterator[Finding]:
    queue = case.queue
    if queue.expires_ms is not None and not queue.consumers:
        left = ago(max(0, queue.used_ms + queue.expires_ms - case.now_ms))
        yield Finding("expires", NOTE, f"it will be deleted in {left} unless somebody uses it")


FINDINGS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _storage,
    _publishers,
    _nobody,
    _paused,
    _consumers,
    _readers,
    _oldest,
    _coming_back,
    _delayed,
    _limits,
    _dead_letters,
    _expiry,
)


def _client(core: Core, consumer: Consumer) -> str:
    for session in core.sessions:
        if session.outlet is consumer.outlet:
            return session.describe()
    return "a client that is gone"


def ago(milliseconds: int) -> str:
    """A time as 00:04:10, or in days."""
    seconds = milliseconds // 1000
    days, seconds = divmod(seconds, 86_400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days} d {clock}" if days else clock
