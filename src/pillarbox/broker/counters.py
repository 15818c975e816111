"""What is counted, for whoever shows it: totals since a thing was made, added to once per batch.

Counters only grow. When a channel or connection goes, what it has counted is added to the past of its virtual
host, and when that goes, to the past of the broker, so that totals over living things and the past are totals
over everything. Rates and charts are made of
samples of them (see `ops`); `samples` is where these are kept, so that they go with the thing.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Counters:
    """A set of totals: `NAMES`, each an attribute."""

    __slots__ = ("samples",)
    NAMES: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.samples: Any = None
        """Whatever the sampler wants to keep with the thing."""
        for name in self.NAMES:
            setattr(self, name, 0)

    def __repr__(self) -> str:
        counts = (f"{name}={getattr(self, name)}" for name in self.NAMES if getattr(self, name))
        return f"<{type(self).__name__} {' '.join(counts)}>"

    def add(self, other: Counters) -> None:
        """Count what another one has counted as well."""
        for name in self.NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class QueueCounters(Counters):
    """Of a queue: what came into it, and what became of it. Nobody samples what died there."""

    NAMES = ("publish", "deliver", "deliver_no_ack", "get", "get_no_ack", "get_empty", "ack", "redeliver")
    __slots__ = (*NAMES, "expired", "killed")

    publish: int
    deliver: int
    deliver_no_ack: int
    get: int
    get_no_ack: int
    get_empty: int
    ack: int
    redeliver: int

    def __init__(self) -> None:
        super().__init__()
        self.expired = 0
        """Messages whose time was over."""
        self.killed = 0
        """Messages that a receiver rejected for good, or that came back too often."""


class ExchangeCounters(Counters):
    """Of an exchange: messages that came in, and message copies that went out to queues."""

    NAMES = ("publish_in", "publish_out")
    __slots__ = NAMES

    publish_in: int
    publish_out: int


class ChannelCounters(Counters):
    """Of a channel, or whatever a client uses as one: what it published, and what it got."""

    NAMES = (
        "publish",
        "confirm",
        "unroutable",
        "return_unroutable",
        "deliver",
        "deliver_no_ack",
        "get",
        "get_no_ack",
        "get_empty",
        "ack",
        "redeliver",
    )
    __slots__ = NAMES

    publish: int
    confirm: int
    unroutable: int
    """Messages that no queue wanted."""
    return_unroutable: int
    """Those of them that went back to their publisher."""
    deliver: int
    deliver_no_ack: int
    get: int
    get_no_ack: int
    get_empty: int
    ack: int
    redeliver: int


class TrafficCounters(Counters):
    """Of a connection: bytes, and how often they were read and written."""

    NAMES = ("recv_oct", "recv_cnt", "send_oct", "send_cnt")
    __slots__ = NAMES

    recv_oct: int
    recv_cnt: int
    send_oct: int
    send_cnt: int


class LogCounters(Counters):
    """Of a partition since the start: records and bytes that came in, bytes that went out as they lie in the
    log, and how often it was asked for either."""

    NAMES = ("messages_in", "bytes_in", "bytes_out", "produce", "fetch")
    __slots__ = NAMES

    messages_in: int
    bytes_in: int
    bytes_out: int
    produce: int
    fetch: int


class ChurnCounters(Counters):
    """Of the broker: what was made, and what went."""

    NAMES = (
        "connection_created",
        "connection_closed",
        "channel_created",
        "channel_closed",
        "queue_declared",
        "queue_created",
        "queue_deleted",
    )
    __slots__ = NAMES

    connection_created: int
    connection_closed: int
    channel_created: int
    channel_closed: int
    queue_declared: int
    queue_created: int
    queue_deleted: int


SIZE_BOUNDS = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000)
"""Largest body, in bytes, of each bucket but the last, which has no end: RabbitMQ 4.0's."""


class MessageSizes:
    """How large published messages were, in buckets.

    A run of messages that came in one piece is counted at once, all in the bucket of their average: looking
    at each would cost every message. Whoever publishes adds inline, which saves the call:
    `counts[bisect_left(SIZE_BOUNDS, body_bytes // count)] += count`. The sum is exact.
    """

    __slots__ = ("body_bytes", "counts")

    def __init__(self) -> None:
        self.counts = [0] * (len(SIZE_BOUNDS) + 1)
        self.body_bytes = 0

    def __repr__(self) -> str:
        return f"<MessageSizes {sum(self.counts)} of {self.body_bytes} bytes>"
