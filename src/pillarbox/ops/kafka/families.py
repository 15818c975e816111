"""Metrics of Kafka's side, under the names that people have dashboards and alerts for (K76).

`kafka_exporter` (danielqsj) reads a cluster as a client and names brokers, topics and groups: Grafana's
dashboard 7589 reads these. The `kafka_server_brokertopicmetrics_*` are what `jmx_exporter` makes of Kafka's
own, with a topic or without one for all. Like kafka_exporter, what a group has not committed is -1.

Source: kafka_exporter's README and table of metrics, 1.9; jmx_exporter's example for Kafka. Cost: O(topics),
and O(committed offsets) for groups, in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.ops.management.stats import values_of
from pillarbox.ops.prometheus.exposition import COUNTER, GAUGE, Family, Labels, Sample

if TYPE_CHECKING:
    from pillarbox.broker.stream import StreamQueue
    from pillarbox.ops.management.node import Node
    from pillarbox.protocols.kafka.groups.seen import Place, SeenGroup
    from pillarbox.protocols.kafka.view import View

UNKNOWN = -1
PARTITION = "kafka_topic_partition_"
GROUP = "kafka_consumergroup_"
SERVER = "kafka_server_brokertopicmetrics_"

Read = Callable[[Any, "View"], float]


class Metric(NamedTuple):
    """A row: one value of each partition, or of each place that a group is at."""

    name: str
    help: str
    read: Read


OF_PARTITION = (
    Metric("current_offset", "Current Offset of a Broker at Topic/Partition", lambda s, v: s.log.committed),
    Metric(
        "oldest_offset", "Oldest Offset of a Broker at Topic/Partition", lambda s, v: s.log.offsets().start
    ),
    Metric("leader", "Leader Broker ID of this Topic/Partition", lambda s, v: v.cluster.node_id),
    Metric("leader_is_preferred", "1 if Topic/Partition is using the Preferred Broker", lambda s, v: 1),
    Metric("replicas", "Number of Replicas for this Topic/Partition", lambda s, v: 1),
    Metric("in_sync_replica", "Number of In-Sync Replicas for this Topic/Partition", lambda s, v: 1),
    Metric("under_replicated_partition", "1 if Topic/Partition is under Replicated", lambda s, v: 0),
)
OF_PLACE = (
    Metric("current_offset", "Current Offset of a ConsumerGroup at Topic/Partition", lambda p, v: _offset(p)),
    Metric("lag", "Current Approximate Lag of a ConsumerGroup at Topic/Partition", lambda p, v: _lag(p)),
)
OF_GROUP_AND_TOPIC = (
    Metric(
        "current_offset_sum",
        "Current Offset of a ConsumerGroup at Topic for all partitions",
        lambda places, v: sum(place.offset or 0 for place in places),
    ),
    Metric(
        "lag_sum",
        "Current Approximate Lag of a ConsumerGroup at Topic for all partitions",
        lambda places, v: sum(place.lag or 0 for place in places),
    ),
)
TRAFFIC = {
    "messages_in": ("messagesin_total", "Records that came in"),
    "bytes_in": ("bytesin_total", "Bytes of batches that came in"),
    "bytes_out": ("bytesout_total", "Bytes of batches that went out to consumers"),
    "produce": ("totalproducerequests_total", "Times that somebody wrote to a partition"),
    "fetch": ("totalfetchrequests_total", "Times that somebody asked a partition for records"),
}
"""Counter → metric, and help."""


def _offset(place: Place) -> float:
    return UNKNOWN if place.offset is None else place.offset


def _lag(place: Place) -> float:
    return UNKNOWN if place.lag is None else place.lag


def totals(view: View) -> Iterator[Family]:
    """What there is only once."""
    yield Family("kafka_brokers", GAUGE, "Number of Brokers in the Kafka Cluster", [({}, 1)])
    yield from _traffic(view, topics=False)


def families(view: View, node: Node) -> Iterator[Family]:
    """Everything, each topic and group by itself."""
    cluster = view.cluster
    yield Family("kafka_brokers", GAUGE, "Number of Brokers in the Kafka Cluster", [({}, 1)])
    addresses = (f"{one.host}:{one.port}" for one in node.listeners if one.protocol.startswith("kafka"))
    broker = {"id": str(cluster.node_id), "address": cluster.advertised or next(addresses, "")}
    yield Family("kafka_broker_info", GAUGE, "Information about the Kafka Broker", [(broker, 1)])
    yield Family(
        "kafka_topic_partitions",
        GAUGE,
        "Number of partitions for this Topic",
        (({"topic": topic.name}, len(topic.partitions)) for topic in view.topics.all()),
    )
    for metric in OF_PARTITION:
        yield Family(PARTITION + metric.name, GAUGE, metric.help, _of_partitions(view, metric.read))
    yield from _traffic(view, topics=True)
    yield from _of_groups(view)


def _partitions(view: View) -> Iterator[tuple[Labels, StreamQueue]]:
    for topic in view.topics.all():
        for index, stream in enumerate(topic.partitions):
            yield {"topic": topic.name, "partition": str(index)}, stream


def _of_partitions(view: View, read: Read) -> Iterator[Sample]:
    for labels, stream in _partitions(view):
        yield labels, read(stream, view)


def _traffic(view: View, *, topics: bool) -> Iterator[Family]:
    found: list[tuple[Labels, dict[str, int]]] = [({}, values_of(view.traffic))]
    if topics:
        found += [({"topic": topic.name}, view.traffic_of(topic)[0]) for topic in view.topics.all()]
    for counter, (name, help) in TRAFFIC.items():
        yield Family(SERVER + name, COUNTER, help, [(labels, values[counter]) for labels, values in found])


def _of_groups(view: View) -> Iterator[Family]:
    groups = list(view.groups())
    yield Family(
        f"{GROUP}members",
        GAUGE,
        "Amount of members in a consumer group",
        [({"consumergroup": group.name}, group.member_count) for group in groups],
    )
    for metric in OF_PLACE:
        yield Family(GROUP + metric.name, GAUGE, metric.help, _of_places(groups, view, metric.read))
    for metric in OF_GROUP_AND_TOPIC:
        yield Family(GROUP + metric.name, GAUGE, metric.help, _of_their_topics(groups, view, metric.read))


def _of_places(groups: Sequence[SeenGroup], view: View, read: Read) -> Iterator[Sample]:
    for group in groups:
        for place in group.places:
            labels = {"consumergroup": group.name, "topic": place.topic, "partition": str(place.partition)}
            yield labels, read(place, view)


def _of_their_topics(groups: Sequence[SeenGroup], view: View, read: Read) -> Iterator[Sample]:
    for group in groups:
        by_topic: dict[str, list[Place]] = {}
        for place in group.places:
            by_topic.setdefault(place.topic, []).append(place)
        for topic, places in by_topic.items():
            yield {"consumergroup": group.name, "topic": topic}, read(places, view)
