"""Queues, of Pillarbox or of any RabbitMQ: a row each.

Source: RabbitMQ's management API; a queue is idle when it has `idle_since` (R122).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pillarbox.ops.monitor.table import Column, Document, Subject, count, number_of, rate, rate_of


class Row(NamedTuple):
    """One queue. Rates are messages a second."""

    vhost: str
    name: str
    state: str
    ready: int
    unacknowledged: int
    total: int
    incoming: float
    deliver: float
    ack: float


class Totals(NamedTuple):
    """Of all queues."""

    queues: int
    ready: int
    unacknowledged: int
    incoming: float
    deliver: float
    ack: float
    connections: int
    product: str

    def parts(self) -> list[str]:
        return [
            self.product,
            f"{count(self.queues)} queues",
            f"{count(self.connections)} connections",
            f"{count(self.ready)} ready",
            f"{count(self.unacknowledged)} unacked",
            f"incoming {rate(self.incoming)}/s",
            f"deliver {rate(self.deliver)}/s",
            f"ack {rate(self.ack)}/s",
        ]


def row_of(queue: Document) -> Row:
    """Read a queue's document."""
    stats = queue.get("message_stats")
    state = str(queue.get("state", "running"))
    if state == "running" and queue.get("idle_since"):
        state = "idle"
    return Row(
        str(queue.get("vhost", "")),
        str(queue.get("name", "")),
        state,
        number_of(queue.get("messages_ready")),
        number_of(queue.get("messages_unacknowledged")),
        number_of(queue.get("messages")),
        rate_of(stats, "publish"),
        rate_of(stats, "deliver_get"),
        rate_of(stats, "ack"),
    )


def totals_of(overview: Document, rows: Sequence[Row]) -> Totals:
    """Read the overview; the rates are those of the rows, which it may have and they may not."""
    stats = overview.get("message_stats")
    lengths = overview.get("queue_totals")
    lengths = lengths if isinstance(lengths, Mapping) else {}
    objects = overview.get("object_totals") or {}
    return Totals(
        len(rows),
        number_of(lengths.get("messages_ready")),
        number_of(lengths.get("messages_unacknowledged")),
        rate_of(stats, "publish"),
        rate_of(stats, "deliver_get"),
        rate_of(stats, "ack"),
        number_of(objects.get("connections")),
        product_of(overview),
    )


def product_of(overview: Document) -> str:
    """Who was asked, and its version."""
    name = overview.get("product_name") or "RabbitMQ"
    version = overview.get("product_version") or overview.get("rabbitmq_version") or ""
    return f"{name} {version}".strip()


QUEUES = Subject(
    "queues",
    "/overview",
    "/queues",
    "/queues/{vhost}",
    "vhost,name,state,idle_since,messages,messages_ready,messages_unacknowledged,"
    "message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.ack_details.rate",
    (
        Column("vhost", "virtual host"),
        Column("name", "name"),
        Column("state", "state"),
        Column("ready", "ready", True, count),
        Column("unacknowledged", "unacked", True, count),
        Column("total", "total", True, count),
        Column("incoming", "incoming/s", True, rate),
        Column("deliver", "deliver/s", True, rate),
        Column("ack", "ack/s", True, rate),
    ),
    row_of,
    totals_of,
    "total",
    "total, lately",
)
