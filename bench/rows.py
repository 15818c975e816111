# ruff: noqa: E501
"""The table of workloads: each row is one `Load` and the figures by which brokers are compared in it.

A figure ending in `_per_s` is better when larger, one ending in `_ms` when smaller. The first rows flatter a
broker that batches; the later ones do not. Client-bound rows measure the client more than the broker and
count neither for the geometric mean nor as the worst row.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from bench.amqp_load import Load

END_TO_END = ("end_to_end_per_s",)
PUBLISHED = ("publish_per_s",)
FILL_DRAIN = ("fill_per_s", "drain_per_s")
LATENCY = ("latency_p50_ms", "latency_p99_ms", "latency_p999_ms")
QUICK_PART = 20  # --quick plays this fraction of the messages.


class Row(NamedTuple):
    name: str
    title: str
    load: Load
    figures: tuple[str, ...] = END_TO_END
    client_bound: bool = False

    def quick(self) -> Row:
        """Return the row with a fraction of its messages: to see that it works, not to compare."""
        messages = max(self.load.messages // QUICK_PART, self.load.batch_size, 20)
        return self._replace(load=dataclasses.replace(self.load, messages=messages))


# fmt: off
ROWS: tuple[Row, ...] = (
    Row("transient", "1 publisher, 1 consumer, automatic acknowledgement", Load(messages=500_000)),
    Row("manual-ack", "manual acknowledgement, prefetch 1000", Load(messages=500_000, prefetch=1000)),
    Row("durable", "persistent, confirms (window 1000), manual acknowledgement", Load(messages=300_000, persistent=True, confirm=1000, prefetch=1000)),
    Row("body-1k", "1 KiB bodies, manual acknowledgement", Load(messages=300_000, size=1024, prefetch=1000)),
    Row("queues-2", "2 publishers, 2 consumers, 2 queues", Load(messages=250_000, publishers=2, consumers=2, queues=2)),
    Row("queues-4", "4 publishers, 4 consumers, 4 queues", Load(messages=125_000, publishers=4, consumers=4, queues=4)),
    Row("quorum", "quorum queue, persistent, confirms (window 100)", Load(messages=100_000, persistent=True, confirm=100, prefetch=1000, queue_type="quorum")),
    Row("ttl", "time to live of the queue, manual acknowledgement", Load(messages=300_000, prefetch=1000, arguments="x-message-ttl=600000")),
    Row("priority", "queue of 5 priorities, manual acknowledgement", Load(messages=300_000, prefetch=1000, arguments="x-max-priority=5", priorities=5)),
    Row("dead-letters", "everything rejected, its dead letters consumed", Load(messages=100_000, prefetch=1000, reject=True)),
    Row("delayed", "x-delayed-message exchange with a delay of 1 s, persistent, confirms (window 1000), manual acknowledgement", Load(messages=100_000, persistent=True, confirm=1000, prefetch=1000, delay_ms=1000)),
    Row("transactions", "persistent, transactions of 50", Load(messages=20_000, persistent=True, commit=True, consumers=0), PUBLISHED),
    Row("stream", "stream, persistent, confirms (window 1000)", Load(messages=100_000, queue_type="stream", persistent=True, confirm=1000, consumers=0), PUBLISHED),
    Row("stream-10", "stream, persistent, confirms (window 1000), 10 readers of everything", Load(messages=50_000, queue_type="stream", persistent=True, confirm=1000, consumers=10, prefetch=1000, reader_offset="first")),
    Row("ack-each", "manual acknowledgement, one ack a message", Load(messages=300_000, prefetch=1000, ack_each=True)),
    Row("prefetch-1", "4 consumers with prefetch 1 on one queue", Load(messages=50_000, consumers=4, prefetch=1)),
    Row("synchronous", "synchronous confirm (window 1), persistent", Load(messages=3_000, persistent=True, confirm=1, batch=1, consumers=0), PUBLISHED),
    Row("keys-5000", "5,000 routing keys through a fanout exchange", Load(messages=300_000, keys=5000, prefetch=500)),
    Row("fanout-100", "durable fan-out to 100 queues, confirms (window 100)", Load(messages=2_000, fanout=100, persistent=True, confirm=100, batch=10), PUBLISHED),
    Row("queues-1000", "round 1,000 durable queues, confirms (window 2000)", Load(messages=40_000, queues=1000, spread=True, consumers=0, persistent=True, confirm=2000), PUBLISHED),
    Row("backlog", "backlog of 300,000 persistent messages", Load(messages=300_000, backlog=True, persistent=True, prefetch=1000), FILL_DRAIN),
    Row("body-1m", "1 MiB bodies, manual acknowledgement", Load(messages=1_500, size=1 << 20, batch=1, prefetch=10)),
    Row("tls", "TLS, manual acknowledgement, prefetch 1000", Load(messages=300_000, prefetch=1000, tls=True)),
    Row("slow-500", "500 slow connections beside one fast pair", Load(messages=300_000, prefetch=1000, trickle=500)),
    Row("latency", "5,000/s, transient", Load(messages=30_000, rate=5000), LATENCY),
    Row("latency-durable", "5,000/s, persistent, manual acknowledgement", Load(messages=30_000, rate=5000, persistent=True, prefetch=100), LATENCY),
    Row("pika", "pika: BlockingConnection, one ack a message", Load(client="pika", messages=30_000, prefetch=1000), client_bound=True),
    Row("aio-pika", "aio-pika: persistent, confirms, one ack a message", Load(client="aio-pika", messages=15_000, persistent=True, confirm=50, prefetch=1000), client_bound=True),
    Row("celery", "Celery: tasks through a real worker", Load(client="celery", messages=10_000, prefetch=10), client_bound=True),
)
# fmt: on
