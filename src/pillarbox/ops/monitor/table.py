"""What is shown: rows of numbers, read from documents of the management API. Pure.

Rates are those that the broker has measured over its last interval, so they are the same for whoever asks,
whenever this program asked before. A queue that says nothing of a rate has none: 0.

Source: RabbitMQ's management API; a queue is idle when it has `idle_since` (R122). Invariant: rows that a
filter hides count in the totals all the same, because these are the broker's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

HISTORY = 24
"""Samples of a sparkline."""
BLOCKS = "▁▂▃▄▅▆▇█"

Document = Mapping[str, Any]


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


class Column(NamedTuple):
    """How a field of a row is shown. `numeric` ones stand to the right, and sort from the largest."""

    field: str
    title: str
    numeric: bool = False
    show: Callable[[Any], str] = str


class Totals(NamedTuple):
    """What stands above the rows: of everything, whatever is filtered."""

    queues: int
    ready: int
    unacknowledged: int
    incoming: float
    deliver: float
    ack: float
    connections: int
    product: str


def count(value: int) -> str:
    return f"{value:,}"


def rate(value: float) -> str:
    """A rate in three digits or so; nothing for nothing."""
    if not value:
        return "0"
    if value >= 100_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


COLUMNS = (
    Column("vhost", "virtual host"),
    Column("name", "name"),
    Column("state", "state"),
    Column("ready", "ready", True, count),
    Column("unacknowledged", "unacked", True, count),
    Column("total", "total", True, count),
    Column("incoming", "incoming/s", True, rate),
    Column("deliver", "deliver/s", True, rate),
    Column("ack", "ack/s", True, rate),
)
BY_FIELD = {column.field: column for column in COLUMNS}

QUEUE_FIELDS = (
    "vhost,name,state,idle_since,messages,messages_ready,messages_unacknowledged,"
    "message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.ack_details.rate"
)
"""The `columns` to ask for: all that `row_of` reads."""


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
        _number(queue.get("messages_ready")),
        _number(queue.get("messages_unacknowledged")),
        _number(queue.get("messages")),
        _rate(stats, "publish"),
        _rate(stats, "deliver_get"),
        _rate(stats, "ack"),
    )


def totals_of(overview: Document, rows: Sequence[Row]) -> Totals:
    """Read the overview; the rates are those of the rows, which it may have and they may not."""
    stats = overview.get("message_stats")
    lengths = overview.get("queue_totals")
    lengths = lengths if isinstance(lengths, Mapping) else {}
    objects = overview.get("object_totals") or {}
    name = overview.get("product_name") or "RabbitMQ"
    version = overview.get("product_version") or overview.get("rabbitmq_version") or ""
    return Totals(
        len(rows),
        _number(lengths.get("messages_ready")),
        _number(lengths.get("messages_unacknowledged")),
        _rate(stats, "publish"),
        _rate(stats, "deliver_get"),
        _rate(stats, "ack"),
        _number(objects.get("connections")),
        f"{name} {version}".strip(),
    )


def arranged(rows: Iterable[Row], *, sort: str, reverse: bool = False, contains: str = "") -> list[Row]:
    """Those with this in their name, by a field: numbers from the largest, texts from A; or reversed."""
    found = [row for row in rows if contains.lower() in row.name.lower()]
    found.sort(key=lambda row: (row.vhost, row.name))
    found.sort(key=lambda row: getattr(row, sort), reverse=BY_FIELD[sort].numeric != reverse)
    return found


class History:
    """The last totals of each queue, for sparklines. Bound: `HISTORY` numbers a queue that exists."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[int]] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Note what the queues hold now, and forget those that are gone."""
        seen = {}
        for row in rows:
            key = row.vhost, row.name
            seen[key] = self._seen.get(key) or deque(maxlen=HISTORY)
            seen[key].append(row.total)
        self._seen = seen

    def sparkline(self, row: Row) -> str:
        """How the total went, the newest last."""
        return sparkline(self._seen.get((row.vhost, row.name), ()))


def sparkline(values: Iterable[int]) -> str:
    """Numbers as a line of blocks; the highest block is the largest of them."""
    found = list(values)
    most = max(found, default=0)
    if most <= 0:
        return BLOCKS[0] * len(found)
    return "".join(BLOCKS[max(0, value) * (len(BLOCKS) - 1) // most] for value in found)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _rate(stats: Any, name: str) -> float:
    details = stats.get(f"{name}_details") if isinstance(stats, Mapping) else None
    found = details.get("rate") if isinstance(details, Mapping) else None
    return float(found) if isinstance(found, int | float) else 0.0
