"""Topics, and groups with their lag, of a Pillarbox with a Kafka port: a row each (K57, K76)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pillarbox.ops.monitor.table import Column, Document, Subject, count, number_of, rate, rate_of

UNKNOWN = "?"
"""Shown for a lag that nobody knows."""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(value: float) -> str:
    """Bytes in three digits or so."""
    unit = 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:,.0f} {UNITS[unit]}" if value >= 100 or not unit else f"{value:.1f} {UNITS[unit]}"


def lag(value: int | None) -> str:
    return UNKNOWN if value is None else count(value)


class ClusterTotals(NamedTuple):
    """Of the whole cluster. Rates are records and bytes a second."""

    cluster: str
    topics: int
    partitions: int
    groups: int
    connections: int
    messages_in: float
    bytes_in: float
    bytes_out: float

    def parts(self) -> list[str]:
        return [
            f"Kafka {self.cluster}".strip(),
            f"{count(self.topics)} topics",
            f"{count(self.partitions)} partitions",
            f"{count(self.groups)} groups",
            f"{count(self.connections)} connections",
            f"in {rate(self.messages_in)}/s",
            f"in {size(self.bytes_in)}/s",
            f"out {size(self.bytes_out)}/s",
        ]


def totals_of(cluster: Document, rows: Sequence[object]) -> ClusterTotals:
    """Read the cluster's document."""
    return ClusterTotals(
        str(cluster.get("version", "")),
        number_of(cluster.get("topics")),
        number_of(cluster.get("partitions")),
        number_of(cluster.get("groups")),
        number_of(cluster.get("connections")),
        rate_of(cluster, "messages_in"),
        rate_of(cluster, "bytes_in"),
        rate_of(cluster, "bytes_out"),
    )


class TopicRow(NamedTuple):
    """One topic."""

    name: str
    partitions: int
    messages: int
    size: int
    messages_in: float
    bytes_in: float
    bytes_out: float


def topic_row_of(topic: Document) -> TopicRow:
    """Read a topic's document."""
    return TopicRow(
        str(topic.get("name", "")),
        number_of(topic.get("partitions")),
        number_of(topic.get("messages")),
        number_of(topic.get("size")),
        rate_of(topic, "messages_in"),
        rate_of(topic, "bytes_in"),
        rate_of(topic, "bytes_out"),
    )


class GroupRow(NamedTuple):
    """One group. `lag` None: nobody knows. `read`: by how much its offsets grow, records a second."""

    name: str
    type: str
    state: str
    members: int
    topics: str
    partitions: int
    lag: int | None
    read: float


def group_row_of(group: Document) -> GroupRow:
    """Read a group's document."""
    topics, behind = group.get("topics"), group.get("lag")
    return GroupRow(
        str(group.get("name", "")),
        str(group.get("type", "")),
        str(group.get("state", "")),
        number_of(group.get("members")),
        ", ".join(map(str, topics)) if isinstance(topics, list) else "",
        number_of(group.get("partitions")),
        behind if isinstance(behind, int) else None,
        max(0.0, rate_of(group, "committed")),
    )


TOPICS = Subject(
    "topics",
    "/kafka/cluster",
    "/kafka/topics",
    "",
    "name,partitions,messages,size,messages_in_details.rate,bytes_in_details.rate,bytes_out_details.rate",
    (
        Column("name", "topic"),
        Column("partitions", "partitions", True, count),
        Column("messages", "records", True, count),
        Column("size", "on disk", True, size),
        Column("messages_in", "records in/s", True, rate),
        Column("bytes_in", "in/s", True, size),
        Column("bytes_out", "out/s", True, size),
    ),
    topic_row_of,
    totals_of,
    "messages",
    "records, lately",
)
GROUPS = Subject(
    "groups",
    "/kafka/cluster",
    "/kafka/groups",
    "",
    "name,type,state,members,topics,partitions,lag,committed_details.rate",
    (
        Column("name", "group"),
        Column("type", "type"),
        Column("state", "state"),
        Column("members", "members", True, count),
        Column("topics", "topics"),
        Column("partitions", "partitions", True, count),
        Column("lag", "lag", True, lag),
        Column("read", "read/s", True, rate),
    ),
    group_row_of,
    totals_of,
    "lag",
    "lag, lately",
)
