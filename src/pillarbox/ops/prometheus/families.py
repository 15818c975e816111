"""What there is to measure: tables of metrics, and what reads each from the core.

Three documents: totals (`/metrics`), each object by itself (`/metrics/per-object`), chosen families of
objects (`/metrics/detailed?family=...&vhost=...`), whose names begin with `rabbitmq_detailed_`.

Source: RabbitMQ's Prometheus plugin (3.10.8, 3.13). Cost of totals: O(1), of objects: O(objects), in steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.broker.alarms import DISK, MEMORY
from pillarbox.broker.counters import SIZE_BOUNDS
from pillarbox.ops.prometheus.exposition import COUNTER, GAUGE, HISTOGRAM, Family, Labels, Sample
from pillarbox.ops.resources import process_bytes

if TYPE_CHECKING:
    from pillarbox.broker.client import ClientChannel
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.node import Node
    from pillarbox.ops.management.samples import Sampler

PREFIX = "rabbitmq_"
PROTOCOL: Labels = {"protocol": "amqp091"}
QUEUE_TYPES = {
    "classic": "rabbit_classic_queue",
    "quorum": "rabbit_quorum_queue",
    "stream": "rabbit_stream_queue",
}
"""Types of queues → what RabbitMQ's metrics call them."""


class Source(NamedTuple):
    """Where values are read."""

    core: Core
    node: Node
    sampler: Sampler
    longest_tick_s: Callable[[], float]
    turns: Callable[[], int]


class Metric(NamedTuple):
    """A row: a metric with one value, or one of each object."""

    name: str
    kind: str
    help: str
    read: Callable[[Any], float]


def _gauge(name: str, help: str, read: Callable[[Any], float]) -> Metric:
    return Metric(PREFIX + name, GAUGE, help, read)


def _counter(name: str, help: str, read: Callable[[Any], float]) -> Metric:
    return Metric(PREFIX + name, COUNTER, help, read)


# --- totals ------------------------------------------------------------------------------------------------

NODE = (
    _gauge("process_open_fds", "Open file descriptors", lambda s: s.node.files_open),
    _gauge("process_max_fds", "Open file descriptors limit", lambda s: s.node.files_max),
    _gauge("process_resident_memory_bytes", "Memory used in bytes", lambda s: process_bytes()),
    _gauge(
        "resident_memory_limit_bytes", "Memory high watermark in bytes", lambda s: s.node.watch.memory_max
    ),
    _gauge("disk_space_available_bytes", "Disk space available in bytes", lambda s: s.node.watch.disk_free),
    _gauge(
        "disk_space_available_limit_bytes",
        "Free disk space low watermark in bytes",
        lambda s: s.node.watch.disk_free_min,
    ),
    _gauge(
        "erlang_uptime_seconds",
        "Node uptime",
        lambda s: (s.core.changes.now_ms - s.node.started_ms) / 1000,
    ),
    _gauge(
        "alarms_memory_used_watermark",
        "is 1 if VM memory watermark is in effect",
        lambda s: MEMORY in s.core.alarms,
    ),
    _gauge(
        "alarms_free_disk_space_watermark",
        "is 1 if free disk space watermark is in effect",
        lambda s: DISK in s.core.alarms,
    ),
    _gauge("connections", "Connections currently open", lambda s: len(s.core.sessions)),
    _gauge("channels", "Channels currently open", lambda s: len(_channels(s.core))),
    _gauge("consumers", "Consumers currently connected", lambda s: _consumers(s.core)),
    _gauge("queues", "Queues available", lambda s: sum(len(one.queues) for one in _vhosts(s.core))),
    _gauge("exchanges", "Exchanges", lambda s: sum(len(one.exchanges) + 1 for one in _vhosts(s.core))),
    _gauge("vhosts", "Virtual hosts", lambda s: len(s.core.vhosts)),
    Metric(
        "pillarbox_longest_tick_seconds", GAUGE, "The longest turn of the loop", lambda s: s.longest_tick_s()
    ),
    Metric("pillarbox_turns_total", COUNTER, "Turns of the loop", lambda s: s.turns()),
)

CHURN = {
    "connections_opened_total": ("connection_created", "Total number of connections opened"),
    "connections_closed_total": ("connection_closed", "Total number of connections closed or terminated"),
    "channels_opened_total": ("channel_created", "Total number of channels opened"),
    "channels_closed_total": ("channel_closed", "Total number of channels closed"),
    "queues_declared_total": ("queue_declared", "Total number of queues declared"),
    "queues_created_total": ("queue_created", "Total number of queues created"),
    "queues_deleted_total": ("queue_deleted", "Total number of queues deleted"),
}
"""Metric → counter of the broker, and help."""

MESSAGES = {
    "received_total": (("publish",), (), "Total number of messages received from publishers"),
    "received_confirm_total": (
        ("confirm",),
        (),
        "Messages received from publishers using publisher confirms",
    ),
    "confirmed_total": (("confirm",), (), "Total number of messages confirmed to publishers"),
    "routed_total": (("publish",), ("unroutable",), "Total number of messages routed to queues or streams"),
    "unroutable_dropped_total": (
        ("unroutable",),
        ("return_unroutable",),
        "Messages dropped: no queue wanted them",
    ),
    "unroutable_returned_total": (("return_unroutable",), (), "Messages returned: no queue wanted them"),
    "delivered_total": (
        ("deliver", "deliver_no_ack", "get", "get_no_ack"),
        (),
        "Total number of messages delivered to consumers",
    ),
    "delivered_consume_auto_ack_total": (("deliver_no_ack",), (), "Delivered, automatic acknowledgement"),
    "delivered_consume_manual_ack_total": (("deliver",), (), "Delivered, manual acknowledgement"),
    "delivered_get_auto_ack_total": (("get_no_ack",), (), "Got, automatic acknowledgement"),
    "delivered_get_manual_ack_total": (("get",), (), "Got, manual acknowledgement"),
    "get_empty_total": (("get_empty",), (), "basic.get of an empty queue"),
    "redelivered_total": (("redeliver",), (), "Total number of messages redelivered"),
    "acknowledged_total": (("ack",), (), "Total number of message acknowledgements received from consumers"),
}
"""Metric → counters of channels that are added, those that are taken away, and help."""

LENGTHS = {
    "queue_messages_ready": (("messages_ready",), "Messages ready to be delivered to consumers"),
    "queue_messages_unacked": (("messages_unacknowledged",), "Messages delivered but not yet acknowledged"),
    "queue_messages": (
        ("messages_ready", "messages_unacknowledged"),
        "Sum of ready and unacknowledged messages",
    ),
}
DEATHS = ("confirmed", "delivery_limit", "expired", "maxlen", "rejected")


def totals(source: Source) -> Iterator[Family]:
    """The document of totals."""
    core, node = source.core, source.node
    yield from _identity(source)
    for metric in NODE:
        yield Family(metric.name, metric.kind, metric.help, [({}, metric.read(source))])
    for name, (counter, help) in CHURN.items():
        yield Family(PREFIX + name, COUNTER, help, [({}, getattr(core.churn, counter))])
    found = source.sampler.totals_of_all()
    for name, (parts, help) in LENGTHS.items():
        yield Family(PREFIX + name, GAUGE, help, [({}, sum(found[part] for part in parts))])
    publishers = sum(1 for channel in _channels(core) if channel.counters.publish)
    yield Family(
        f"{PREFIX}global_publishers", GAUGE, "Publishers currently connected", [(PROTOCOL, publishers)]
    )
    yield Family(
        f"{PREFIX}global_consumers", GAUGE, "Consumers currently connected", [(PROTOCOL, _consumers(core))]
    )
    for name, (plus, minus, help) in MESSAGES.items():
        value = sum(found[part] for part in plus) - sum(found[part] for part in minus)
        yield Family(f"{PREFIX}global_messages_{name}", COUNTER, help, [(PROTOCOL, value)])
    yield Family(
        f"{PREFIX}message_size_bytes", HISTOGRAM, "Size of messages received from publishers", _sizes(core)
    )
    for reason in DEATHS:
        yield Family(
            f"{PREFIX}global_messages_dead_lettered_{reason}_total",
            COUNTER,
            f"Total number of messages dead-lettered: {reason}",
            [
                ({"queue_type": QUEUE_TYPES[kind], "dead_letter_strategy": strategy}, count)
                for (kind, strategy, why), count in core.changes.deaths.items()
                if why == reason
            ],
        )
    assert node is source.node


def _sizes(core: Core) -> Iterator[Sample]:
    """Buckets, each with what is in the smaller ones as well, then how many and how large all were."""
    total = 0
    for bound, count in zip((*map(str, SIZE_BOUNDS), "+Inf"), core.sizes.counts, strict=True):
        total += count
        yield {**PROTOCOL, "le": bound}, total, "_bucket"
    yield PROTOCOL, total, "_count"
    yield PROTOCOL, core.sizes.body_bytes, "_sum"


def _identity(source: Source) -> Iterator[Family]:
    node = source.node
    cluster = source.core.global_parameters.get("cluster_name", node.name)
    build = {"rabbitmq_version": node.version, "product_name": "Pillarbox", "runtime": node.runtime}
    yield Family(f"{PREFIX}build_info", GAUGE, "RabbitMQ & runtime version info", [(build, 1)])
    names = {
        "rabbitmq_node": node.name,
        "rabbitmq_cluster": str(cluster),
        "rabbitmq_cluster_permanent_id": node.name,
    }
    yield Family(f"{PREFIX}identity_info", GAUGE, "RabbitMQ node & cluster identity info", [(names, 1)])


def _vhosts(core: Core) -> list[VHost]:
    return list(core.vhosts.values())


def _channels(core: Core) -> list[ClientChannel]:
    return [channel for session in core.sessions for channel in session.channels]


def _consumers(core: Core) -> int:
    return sum(len(channel.consumers) for channel in _channels(core))


# --- objects -----------------------------------------------------------------------------------------------

QUEUE_COARSE = (
    _gauge("queue_messages_ready", "Messages ready to be delivered to consumers", lambda q: q.ready_count),
    _gauge(
        "queue_messages_unacked", "Messages delivered but not yet acknowledged", lambda q: q.unacked_count
    ),
    _gauge(
        "queue_messages",
        "Sum of ready and unacknowledged messages",
        lambda q: q.ready_count + q.unacked_count + q.dead_count,
    ),
)
QUEUE_CONSUMERS = (_gauge("queue_consumers", "Consumers on a queue", lambda q: len(q.consumers)),)
QUEUE_BYTES = (
    _gauge("queue_messages_ready_bytes", "Size in bytes of ready messages", lambda q: q.ready_bytes),
    _gauge(
        "queue_messages_unacked_bytes", "Size in bytes of unacknowledged messages", lambda q: q.unacked_bytes
    ),
    _gauge(
        "queue_messages_bytes", "Size in bytes of all messages", lambda q: q.ready_bytes + q.unacked_bytes
    ),
)
QUEUE_DELIVERY = (
    _counter("queue_messages_published_total", "Messages published to queues", lambda q: q.counters.publish),
    _counter(
        "queue_messages_delivered_total", "Delivered, automatic ack", lambda q: q.counters.deliver_no_ack
    ),
    _counter("queue_messages_delivered_ack_total", "Delivered, manual ack", lambda q: q.counters.deliver),
    _counter("queue_messages_acked_total", "Acknowledged", lambda q: q.counters.ack),
    _counter("queue_messages_redelivered_total", "Redelivered", lambda q: q.counters.redeliver),
    _counter("queue_get_total", "Got, automatic ack", lambda q: q.counters.get_no_ack),
    _counter("queue_get_ack_total", "Got, manual ack", lambda q: q.counters.get),
    _counter("queue_get_empty_total", "basic.get that found nothing", lambda q: q.counters.get_empty),
)
CHANNEL = (
    _gauge("channel_consumers", "Consumers on a channel", lambda c: len(c.consumers)),
    _counter("channel_messages_published_total", "Published into a channel", lambda c: c.counters.publish),
    _counter("channel_messages_confirmed_total", "Confirmed on a channel", lambda c: c.counters.confirm),
    _counter("channel_messages_delivered_total", "Delivered, automatic", lambda c: c.counters.deliver_no_ack),
    _counter("channel_messages_delivered_ack_total", "Delivered, manual ack", lambda c: c.counters.deliver),
    _counter("channel_messages_acked_total", "Acknowledged on a channel", lambda c: c.counters.ack),
)
CONNECTION = (
    _gauge("connection_channels", "Channels on a connection", lambda s: len(s.channels)),
    _counter(
        "connection_incoming_bytes_total",
        "Bytes received",
        lambda s: s.head.traffic.recv_oct if s.head else 0,
    ),
    _counter(
        "connection_outgoing_bytes_total", "Bytes sent", lambda s: s.head.traffic.send_oct if s.head else 0
    ),
)
EXCHANGE = (
    _counter("exchange_messages_published_in_total", "Published into", lambda e: e.counters.publish_in),
    _counter(
        "exchange_messages_published_out_total", "Published out to queues", lambda e: e.counters.publish_out
    ),
)
VHOST = (_gauge("cluster_vhost_status", "Whether a virtual host runs", lambda v: 1),)

Wanted = Callable[[str], bool]
"""Is this virtual host asked for?"""


def _queues(core: Core, wanted: Wanted) -> Iterator[tuple[Labels, Queue]]:
    for vhost in _vhosts(core):
        if wanted(vhost.name):
            for queue in list(vhost.queues.values()):
                yield {"vhost": vhost.name, "queue": queue.name}, queue


def _exchanges(core: Core, wanted: Wanted) -> Iterator[tuple[Labels, Exchange]]:
    for vhost in _vhosts(core):
        if wanted(vhost.name):
            for exchange in list(vhost.exchanges.values()):
                yield {"vhost": vhost.name, "exchange": exchange.name}, exchange


def _named(core: Core, wanted: Wanted) -> Iterator[tuple[str, Session]]:
    """Connections, each with a name that no other has: those of the broker's own are all called the same."""
    names: Counter[str] = Counter()
    for session in list(core.sessions):
        if wanted(session.vhost.name):
            name = session.describe()
            names[name] += 1
            yield name if names[name] == 1 else f"{name} #{names[name]}", session


def _sessions(core: Core, wanted: Wanted) -> Iterator[tuple[Labels, Session]]:
    for name, session in _named(core, wanted):
        yield {"connection": name}, session


def _each_channel(core: Core, wanted: Wanted) -> Iterator[tuple[Labels, ClientChannel]]:
    for name, session in _named(core, wanted):
        for channel in list(session.channels):
            yield {"channel": f"{name} ({channel.number})"}, channel


def _each_vhost(core: Core, wanted: Wanted) -> Iterator[tuple[Labels, VHost]]:
    for vhost in _vhosts(core):
        if wanted(vhost.name):
            yield {"vhost": vhost.name}, vhost


class Group(NamedTuple):
    """A family of `/metrics/detailed`: metrics of one kind of object."""

    name: str
    objects: Callable[[Core, Wanted], Iterator[tuple[Labels, Any]]]
    metrics: Sequence[Metric]


GROUPS = (
    Group("queue_coarse_metrics", _queues, QUEUE_COARSE),
    Group("queue_consumer_count", _queues, QUEUE_CONSUMERS),
    Group("queue_metrics", _queues, QUEUE_BYTES),
    Group("queue_delivery_metrics", _queues, QUEUE_DELIVERY),
    Group("channel_metrics", _each_channel, CHANNEL),
    Group("connection_coarse_metrics", _sessions, CONNECTION),
    Group("exchange_metrics", _exchanges, EXCHANGE),
    Group("vhost_status", _each_vhost, VHOST),
)


def per_object(source: Source) -> Iterator[Family]:
    """Every object by itself, after what there is only once."""
    yield from _identity(source)
    for metric in NODE:
        yield Family(metric.name, metric.kind, metric.help, [({}, metric.read(source))])
    for group in GROUPS:
        yield from _of_group(source.core, group, lambda vhost: True)


def detailed(source: Source, groups: Iterable[str], vhosts: frozenset[str]) -> Iterator[Family]:
    """Chosen groups, of these virtual hosts or (none named) of all; unknown groups have nothing."""
    yield from _identity(source)
    chosen = set(groups)
    for group in GROUPS:
        if group.name in chosen:
            for family in _of_group(source.core, group, lambda vhost: not vhosts or vhost in vhosts):
                yield family._replace(name=family.name.replace(PREFIX, f"{PREFIX}detailed_", 1))


def _of_group(core: Core, group: Group, wanted: Wanted) -> Iterator[Family]:
    for metric in group.metrics:
        yield Family(metric.name, metric.kind, metric.help, _samples(core, group, metric, wanted))


def _samples(core: Core, group: Group, metric: Metric, wanted: Wanted) -> Iterator[Sample]:
    for labels, thing in group.objects(core, wanted):
        yield labels, metric.read(thing)
