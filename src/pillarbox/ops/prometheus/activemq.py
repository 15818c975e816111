"""Metrics under the names that people have from ActiveMQ (A84): /metrics/activemq and /metrics/artemis.

ActiveMQ Classic has no metrics of its own: the names are what `jmx_exporter` makes of its management beans,
by the example that it comes with (`activemq_queue_queue_size{destination}`), and with the bean's kind in the
name (`org_apache_activemq_Queue_QueueSize{brokerName,destinationName}`). Values are those of the beans
(`ops.activemq.attributes`), so Jolokia tells the same. Counters whose names do not end in `_total` are
untyped, as with jmx_exporter. Artemis' are those of its own plugin, by broker, address and queue; a
subscription is a queue at the address of its topic, all others at the one that they were given or that of
their name.

What nobody knows is left out. `scheduled_message_count` of a queue is what came back to it and waits, and
what senders have scheduled for it in ActiveMQ's words; what waits in other exchanges, for topics for one, is
told at the address of each. One virtual host is seen, `default_vhost`.

Source: jmx_exporter's `example_configs/activemq.yml`; Artemis' manual, "Metrics". Cost: O(queues and
subscriptions) for each metric, in steps.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.broker.anycast import address_of
from pillarbox.broker.jms_destinations import numbers_of
from pillarbox.broker.schedule_header import SCHEDULED_QUEUES
from pillarbox.ops.activemq.attributes import OF_BROKER, OF_QUEUE, OF_SCHEDULER, OF_TOPIC
from pillarbox.ops.activemq.beans import BROKER
from pillarbox.ops.activemq.view import View
from pillarbox.ops.messaging import seen
from pillarbox.ops.prometheus.exposition import COUNTER, GAUGE, STEP, UNTYPED, Family, Labels, Sample

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.schedule_places import Places
    from pillarbox.broker.vhost import VHost

ARTEMIS_BROKER: Final = "0.0.0.0"
"""As a broker of Artemis is called that was given no name."""
OF_DESTINATIONS: Final = {
    "QueueSize": GAUGE,
    "InFlightCount": GAUGE,
    "ConsumerCount": GAUGE,
    "ProducerCount": GAUGE,
    "EnqueueCount": UNTYPED,
    "DequeueCount": UNTYPED,
    "DispatchCount": UNTYPED,
    "ExpiredCount": UNTYPED,
    "MemoryUsageByteCount": GAUGE,
    "MemoryPercentUsage": GAUGE,
    "MemoryLimit": GAUGE,
}
"""Attributes of queues and topics, and their kinds as metrics."""
OF_THE_BROKER: Final = {
    "CurrentConnectionsCount": ("connections", GAUGE, 1.0),
    "TotalConnectionsCount": ("connections_total", COUNTER, 1.0),
    "TotalMessageCount": ("message_total", GAUGE, 1.0),
    "TotalEnqueueCount": ("enqueue_total", COUNTER, 1.0),
    "TotalDequeueCount": ("dequeue_total", COUNTER, 1.0),
    "TotalConsumerCount": ("consumer_total", GAUGE, 1.0),
    "TotalProducerCount": ("producer_total", GAUGE, 1.0),
    "MemoryPercentUsage": ("memory_usage_ratio", GAUGE, 0.01),
    "StorePercentUsage": ("store_usage_ratio", GAUGE, 0.01),
    "TempPercentUsage": ("temp_usage_ratio", GAUGE, 0.01),
}
"""Attribute → metric of the example, kind, and what its values are multiplied by."""
SCHEDULED: Final = "ScheduledMessageCount"

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _snake(attribute: str) -> str:
    return _WORD.sub("_", attribute).lower()


# --- ActiveMQ Classic --------------------------------------------------------------------------------------


def classic(view: View) -> Iterator[Family]:
    """/metrics/activemq."""
    host = view.core.vhosts.get(view.vhost)
    if host is None:
        return
    topics: list[seen.Topic] = []
    yield from _gathered(host, topics)
    for attribute, (name, kind, factor) in OF_THE_BROKER.items():
        value: Any = OF_BROKER[attribute](view)
        if hasattr(value, "send"):
            value = yield from _stepped(value)
        yield Family(f"activemq_{name}", kind, attribute, [({}, value * factor)])
        labels = {"brokerName": BROKER}
        plain_kind = UNTYPED if kind == COUNTER else kind
        yield Family(f"org_apache_activemq_Broker_{attribute}", plain_kind, attribute, [(labels, value)])
    waiting = float(OF_SCHEDULER[SCHEDULED](view))
    labels = {"brokerName": BROKER, "service": "JobScheduler", "name": "JMS"}
    yield Family(f"org_apache_activemq_Broker_{SCHEDULED}", GAUGE, SCHEDULED, [(labels, waiting)])
    for attribute, kind in OF_DESTINATIONS.items():
        for what, samples in (
            ("Queue", _samples(seen.queues(host), OF_QUEUE[attribute], view)),
            ("Topic", _samples(iter(topics), OF_TOPIC[attribute], view)),
        ):
            found = list(samples) if what == "Topic" else samples
            plain, labelled = _twice(found)
            yield Family(f"activemq_{what.lower()}_{_snake(attribute)}", kind, attribute, plain)
            yield Family(f"org_apache_activemq_{what}_{attribute}", kind, attribute, labelled)


def _samples(
    things: Iterator[Any], read: Callable[[View, Any], Any], view: View
) -> Iterator[tuple[str, float]]:
    for thing in things:
        value = read(view, thing)
        if value is not None:
            yield thing.name, value


def _twice(found: Any) -> tuple[Iterator[Sample], Iterator[Sample]]:
    """The same values with the labels of both forms; the second is read when the first has been."""
    known: list[tuple[str, float]] = []

    def plain() -> Iterator[Sample]:
        for name, value in found:
            known.append((name, value))
            yield {"destination": name}, value

    def labelled() -> Iterator[Sample]:
        for name, value in known:
            yield {"brokerName": BROKER, "destinationName": name}, value

    return plain(), labelled()


# --- Artemis -----------------------------------------------------------------------------------------------


class AtAddress(NamedTuple):
    """A queue of Artemis: an anycast queue, or a subscription at the address of a topic."""

    address: str
    queue: Queue


def _bytes(queue: Queue) -> int:
    return queue.ready_bytes + queue.unacked_bytes + queue.dead_bytes


QUEUES: Final[dict[str, tuple[str, Callable[[Queue], float]]]] = {
    "message_count": (
        "messages in the queue, with those that are out",
        lambda queue: numbers_of(queue).pending,
    ),
    "persistent_size": ("bytes of their bodies", _bytes),
    "delivering_message_count": ("messages that are out", lambda queue: queue.unacked_count),
    "delivering_persistent_size": ("bytes of their bodies", lambda queue: queue.unacked_bytes),
    "messages_added": ("messages that came in", lambda queue: queue.counters.publish),
    "messages_acknowledged": (
        "messages that were acknowledged",
        lambda queue: numbers_of(queue).dequeued,
    ),
    "messages_expired": ("messages whose time was over", lambda queue: queue.counters.expired),
    "messages_killed": (
        "messages that were rejected, or came back too often",
        lambda queue: queue.counters.killed,
    ),
    "consumer_count": ("consumers", lambda queue: queue.consumer_count),
}
"""Metric → what it is, and how it is read. All are gauges, as with Artemis."""


def artemis(view: View) -> Iterator[Family]:
    """/metrics/artemis."""
    host = view.core.vhosts.get(view.vhost)
    if host is None:
        return
    topics: list[seen.Topic] = []
    yield from _gathered(host, topics)
    broker = {"broker": ARTEMIS_BROKER}
    memory, limit = view.core.changes.resident_bytes, view.node.config.memory_budget
    stored = yield from _stepped(OF_BROKER["StorePercentUsage"](view))
    for name, help, value in (
        ("connection_count", "connections", float(len(view.core.sessions))),
        ("total_connection_count", "connections since the start", view.core.churn.connection_created),
        ("address_memory_usage", "bytes of memory that messages take", memory),
        ("address_memory_usage_percentage", "the same as a part of what they may take", 100 * memory / limit),
        ("disk_store_usage", "what messages take of the disk, as a part of what is free", stored / 100),
    ):
        yield Family(f"artemis_{name}", GAUGE, help, [(broker, value)])
    for name, (help, read) in QUEUES.items():
        yield Family(f"artemis_{name}", GAUGE, help, _of_queues(host, topics, read))
    places = yield from _stepped(seen.scheduled(host))
    if places is not None:
        samples = _scheduled(host, topics, places)
        yield Family("artemis_scheduled_message_count", GAUGE, "messages that wait for their time", samples)
    yield Family("artemis_address_size", GAUGE, "bytes of bodies at the address", _sizes(host, topics))
    yield Family("artemis_routed_message_count", GAUGE, "messages that came in", _routed(host, topics))


def _of_queues(
    host: VHost, topics: list[seen.Topic], read: Callable[[Queue], float]
) -> Iterator[tuple[Labels, float]]:
    for at in _at_addresses(host, topics):
        yield {"broker": ARTEMIS_BROKER, "address": at.address, "queue": at.queue.name}, read(at.queue)


def _scheduled(host: VHost, topics: list[seen.Topic], places: Places) -> Iterator[tuple[Labels, float]]:
    """Of queues, also those that are not there any more; and of other exchanges in which messages wait."""
    yield from _of_queues(host, topics, lambda queue: queue.delayed_count + places.count_of(queue.name))
    for name, count in places.counts.items():
        if name not in host.queues:
            yield {"broker": ARTEMIS_BROKER, "address": name, "queue": name}, count
    for exchange in list(host.exchanges.values()):
        schedule = exchange.schedule
        if schedule is not None and exchange.name != SCHEDULED_QUEUES:
            at = {"broker": ARTEMIS_BROKER, "address": exchange.name, "queue": schedule.queue.name}
            yield at, schedule.waiting_count


def _sizes(host: VHost, topics: list[seen.Topic]) -> Iterator[tuple[Labels, float]]:
    for queue in seen.queues(host):
        yield {"broker": ARTEMIS_BROKER, "address": queue.name}, _bytes(queue)
    for topic in topics:
        yield {"broker": ARTEMIS_BROKER, "address": topic.name}, sum(map(_bytes, topic.subscribers))


def _at_addresses(host: VHost, topics: list[seen.Topic]) -> Iterator[AtAddress]:
    """Each queue once; whoever is subscribed to several topics stands at the first one."""
    for queue in seen.queues(host):
        yield AtAddress(address_of(host, queue) or queue.name, queue)
    told: set[Queue] = set()
    for topic in topics:
        for queue in topic.subscribers:
            if queue not in told and not queue.deleted:
                told.add(queue)
                yield AtAddress(topic.name, queue)


def _routed(host: VHost, topics: list[seen.Topic]) -> Iterator[tuple[Labels, float]]:
    others: Counter[str] = Counter()
    """What came to queues of other names, by their address."""
    for queue in seen.queues(host):
        address = address_of(host, queue)
        if address is not None:
            others[address] += queue.counters.publish
    for queue in seen.queues(host):
        if address_of(host, queue) is None:
            count = queue.counters.publish + others.pop(queue.name, 0)
            yield {"broker": ARTEMIS_BROKER, "address": queue.name}, count
    for address, count in others.items():
        yield {"broker": ARTEMIS_BROKER, "address": address}, count
    for topic in topics:
        numbers = topic.numbers
        if numbers is not None:
            yield {"broker": ARTEMIS_BROKER, "address": topic.name}, numbers.enqueued


# --- in steps ----------------------------------------------------------------------------------------------


def _gathered(host: VHost, topics: list[seen.Topic]) -> Iterator[Family]:
    """Gather the topics."""
    found = yield from _stepped(seen.topics(host))
    topics += found.values()


def _stepped(steps: Any) -> Any:
    """The result of work in steps, while others have their turns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield STEP
