"""The queues and exchanges that every round has, and where a message goes.

All kinds of exchange that copy, choose or pass on: the default one, direct, fanout to many queues, topic,
and an exchange bound to an exchange. One queue has priorities. Beside them a queue that is not durable and
has to be gone after every restart.
"""

from __future__ import annotations

from typing import NamedTuple

from .model import PRIORITY_MAX
from .wire import Client

FAN = tuple(f"fan.{number}" for number in range(6))
RATED = "rated"
"""The queue with priorities."""
QUEUES = ("plain", "direct.0", "direct.1", "direct.2", "topic.0", "topic.1", RATED, *FAN)
PASSING = "passing"
"""The queue that is not durable."""

EXCHANGES = (("direct", "direct"), ("fan", "fanout"), ("topic", "topic"), ("chain", "fanout"))
BINDINGS = (
    ("direct.0", "direct", "0"),
    ("direct.1", "direct", "1"),
    ("direct.2", "direct", "2"),
    ("direct.0", "direct", "both"),
    ("direct.1", "direct", "both"),
    ("topic.0", "topic", "orders.*"),
    ("topic.1", "topic", "#"),
    ("plain", "chain", ""),
    (RATED, "chain", ""),
    (RATED, "direct", "both"),
    *((name, "fan", "") for name in FAN),
)


class Route(NamedTuple):
    """Publishing to this exchange with this key puts a message into exactly these durable queues."""

    exchange: str
    key: str
    targets: tuple[str, ...]


ROUTES = (
    Route("", "plain", ("plain",)),
    Route("", RATED, (RATED,)),
    Route("direct", "0", ("direct.0",)),
    Route("direct", "1", ("direct.1",)),
    Route("direct", "2", ("direct.2",)),
    Route("direct", "both", ("direct.0", "direct.1", RATED)),
    Route("topic", "orders.new", ("topic.0", "topic.1")),
    Route("topic", "other", ("topic.1",)),
    Route("fan", "", FAN),
    Route("chain", "", ("plain", RATED, *FAN)),
    Route("direct", "nowhere", ()),
)


def declare(client: Client) -> None:
    """Ask for everything; what is there already stays as it is."""
    for name, kind in EXCHANGES:
        client.declare_exchange(name, kind)
    for name in QUEUES:
        client.declare_queue(name, priority_max=PRIORITY_MAX if name == RATED else 0)
    for queue, exchange, key in BINDINGS:
        client.bind_queue(queue, exchange, key)
    client.bind_exchange("fan", "chain", "")
    client.declare_queue(PASSING, durable=False)
    client.bind_queue(PASSING, "fan", "")
