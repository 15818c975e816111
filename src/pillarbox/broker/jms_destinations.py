"""Destinations: queues and topics, as users of JMS tell them apart.

A topic is a key of `amq.topic`, where those of all protocols are. What a subscription to it reads is no queue
to others, except if it is one of a virtual topic (A25).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.exchange import TOPICS

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost

ADVISORIES: Final = "ActiveMQ.Advisory"
"""The exchange of ActiveMQ's own topics (see `advisories`)."""
VIRTUAL_CONSUMER: Final = "Consumer."
"""How queues begin that get what a topic gets and are queues nevertheless (A25)."""


class Numbers(NamedTuple):
    """Of a destination or a subscriber. `pending` is what is not settled yet, `in_flight` the part of it that
    is out; the others have been counted since the start. `killed`: what its receivers could not cope with,
    whether it is a dead letter or dropped."""

    pending: int
    in_flight: int
    enqueued: int
    dispatched: int
    dequeued: int
    expired: int = 0
    killed: int = 0


def numbers_of(queue: Queue) -> Numbers:
    """How a queue stands."""
    counters = queue.counters
    unasked = counters.deliver_no_ack + counters.get_no_ack
    return Numbers(
        queue.ready_count + queue.unacked_count + queue.delayed_count + queue.dead_count,
        queue.unacked_count,
        counters.publish,
        counters.deliver + counters.get + unasked,
        counters.ack + unasked,
        counters.expired,
        counters.killed,
    )


def name_of(key: str) -> str:
    """A topic pattern of AMQP as one of ActiveMQ."""
    return f"{key[:-1]}>" if key == "#" or key.endswith(".#") else key


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name meets a pattern of ActiveMQ: `*` is one word, `>` at the end any number of them.

    Elsewhere `>` is a word like any other. So it is of topics as well.
    """
    words = pattern.split(".")
    is_open = words[-1] == ">"
    while words and words[-1] == ">":
        words.pop()
    count = len(words)

    def matches(name: str) -> bool:
        parts = name.split(".")
        if len(parts) != count and not (is_open and len(parts) > count):
            return False
        return all(word in ("*", part) for word, part in zip(words, parts, strict=False))

    return matches


def kind_of(queue: Queue) -> str:
    return "Queue" if queue.owner is None else "TempQueue"


def kind_of_topic(owner: Session | None) -> str:
    return "Topic" if owner is None else "TempTopic"


def is_queue(vhost: VHost, queue: Queue) -> bool:
    """Is it one that others know as a queue, and not what a subscription to a topic reads?"""
    if queue.name.startswith(VIRTUAL_CONSUMER):
        return True
    return not any(binding.source.name in (TOPICS, ADVISORIES) for binding in vhost.bindings_to(queue))


def destinations_of(vhost: VHost, queue: Queue) -> Iterator[tuple[str, str]]:
    """What a consumer of this queue is a consumer of: `Queue` and its name, or `Topic` and its pattern."""
    if is_queue(vhost, queue):
        yield "Queue", queue.name
        return
    for binding in vhost.bindings_to(queue):
        if binding.source.name == TOPICS:
            yield "Topic", name_of(binding.key)


def consumer_count(vhost: VHost, where: str, name: str) -> int:
    """How many consumers a destination has; of durable subscriptions also those that nobody reads.

    A pattern has none: ActiveMQ counts those of the topics that it fits.
    """
    if where == "Queue":
        queue = vhost.queues.get(name)
        return 0 if queue is None else queue.consumer_count
    if "*" in name or name.endswith(">"):
        return 0
    queues = vhost.exchanges[TOPICS].resolve((name,)).queues
    return sum(max(queue.consumer_count, int(queue.durable)) for queue in queues)
