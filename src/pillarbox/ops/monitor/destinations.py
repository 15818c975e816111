"""Destinations and subscribers, as users of STOMP, MQTT and ActiveMQ know them, of a Pillarbox (A82)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pillarbox.ops.monitor.queues import product_of
from pillarbox.ops.monitor.table import Column, Document, Subject, count, number_of

UNKNOWN = "?"
"""Shown for a number that nobody knows."""


def known(value: int | None) -> str:
    return UNKNOWN if value is None else count(value)


def _known(value: object) -> int | None:
    return value if isinstance(value, int) else None


class DestinationTotals(NamedTuple):
    """Of all destinations. `pending`: what nobody knows is left out."""

    product: str
    queues: int
    topics: int
    pending: int
    consumers: int
    connections: int

    def parts(self) -> list[str]:
        return [
            self.product,
            f"{count(self.queues)} queues",
            f"{count(self.topics)} topics",
            f"{count(self.pending)} pending",
            f"{count(self.consumers)} consumers",
            f"{count(self.connections)} connections",
        ]


class DestinationRow(NamedTuple):
    """A queue or a topic. None: nobody knows."""

    vhost: str
    name: str
    kind: str
    pending: int | None
    in_flight: int | None
    consumers: int
    enqueued: int | None
    dispatched: int | None
    dequeued: int | None


def destination_row_of(destination: Document) -> DestinationRow:
    """Read a destination's document."""
    return DestinationRow(
        str(destination.get("vhost", "")),
        str(destination.get("name", "")),
        str(destination.get("kind", "")),
        _known(destination.get("pending")),
        _known(destination.get("in_flight")),
        number_of(destination.get("consumers")),
        _known(destination.get("enqueued")),
        _known(destination.get("dispatched")),
        _known(destination.get("dequeued")),
    )


def destination_totals_of(overview: Document, rows: Sequence[DestinationRow]) -> DestinationTotals:
    """Read the overview, and count."""
    return DestinationTotals(
        product_of(overview),
        sum(1 for row in rows if row.kind == "queue"),
        sum(1 for row in rows if row.kind == "topic"),
        sum(row.pending or 0 for row in rows),
        sum(row.consumers for row in rows),
        _connections(overview),
    )


def _connections(overview: Document) -> int:
    objects = overview.get("object_totals")
    return number_of(objects.get("connections")) if isinstance(objects, Mapping) else 0


class SubscriberTotals(NamedTuple):
    """Of all subscribers."""

    product: str
    subscribers: int
    offline: int
    pending: int
    in_flight: int
    connections: int

    def parts(self) -> list[str]:
        return [
            self.product,
            f"{count(self.subscribers)} subscribers",
            f"{count(self.offline)} offline",
            f"{count(self.pending)} pending",
            f"{count(self.in_flight)} in flight",
            f"{count(self.connections)} connections",
        ]


class SubscriberRow(NamedTuple):
    """A subscriber; `name` is its queue, in which client id and name are."""

    vhost: str
    name: str
    client: str
    subscription: str
    state: str
    destination: str
    selector: str
    pending: int
    in_flight: int
    dispatched: int
    dequeued: int


def subscriber_row_of(subscriber: Document) -> SubscriberRow:
    """Read a subscriber's document."""
    return SubscriberRow(
        str(subscriber.get("vhost", "")),
        str(subscriber.get("name", "")),
        str(subscriber.get("client_id", "")),
        str(subscriber.get("subscription", "")),
        "active" if subscriber.get("active") else "offline",
        str(subscriber.get("destination", "")),
        str(subscriber.get("selector", "")),
        number_of(subscriber.get("pending")),
        number_of(subscriber.get("in_flight")),
        number_of(subscriber.get("dispatched")),
        number_of(subscriber.get("dequeued")),
    )


def subscriber_totals_of(overview: Document, rows: Sequence[SubscriberRow]) -> SubscriberTotals:
    """Read the overview, and count."""
    return SubscriberTotals(
        product_of(overview),
        len(rows),
        sum(1 for row in rows if row.state == "offline"),
        sum(row.pending for row in rows),
        sum(row.in_flight for row in rows),
        _connections(overview),
    )


DESTINATIONS = Subject(
    "destinations",
    "/overview",
    "/destinations",
    "/destinations/{vhost}",
    "vhost,name,kind,pending,in_flight,consumers,enqueued,dispatched,dequeued",
    (
        Column("vhost", "virtual host"),
        Column("name", "name"),
        Column("kind", "kind"),
        Column("pending", "pending", True, known),
        Column("in_flight", "in flight", True, known),
        Column("consumers", "consumers", True, count),
        Column("enqueued", "enqueued", True, known),
        Column("dispatched", "dispatched", True, known),
        Column("dequeued", "dequeued", True, known),
    ),
    destination_row_of,
    destination_totals_of,
    "pending",
    "pending, lately",
)
SUBSCRIBERS = Subject(
    "subscribers",
    "/overview",
    "/subscribers",
    "/subscribers/{vhost}",
    "vhost,name,client_id,subscription,active,destination,selector,pending,in_flight,dispatched,dequeued",
    (
        Column("vhost", "virtual host"),
        Column("client", "client"),
        Column("subscription", "subscription"),
        Column("state", "state"),
        Column("destination", "subscribed to"),
        Column("selector", "selector"),
        Column("name", "queue"),
        Column("pending", "pending", True, count),
        Column("in_flight", "in flight", True, count),
        Column("dispatched", "dispatched", True, count),
        Column("dequeued", "dequeued", True, count),
    ),
    subscriber_row_of,
    subscriber_totals_of,
    "pending",
    "pending, lately",
)
