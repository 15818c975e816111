"""What Kafka's clients do to a broker while it is measured: confluent-kafka (librdkafka), with its threads.

Each function does one thing to one broker and returns its figures. Not here: which loads there are, peers,
tables (`kafka_run`).
"""

from __future__ import annotations

import multiprocessing
import statistics
import struct
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench import machine
from bench.kafka_peer import Kafka
from bench.peers import HOST, Pillarbox

TIMEOUT_S = 60.0
SENT_NS = struct.Struct(">q")

Broker = Pillarbox | Kafka
Where = dict[str, Any]
"""How a client finds its broker."""


class Row(NamedTuple):
    """One load."""

    size: int
    """Bytes of a value."""
    acks: str = "all"
    codec: str = "none"
    partitions: int = 1
    messages: int = 300_000
    """In a round."""

    @property
    def title(self) -> str:
        parts = [f"{self.size} bytes", f"acks {self.acks}", self.codec]
        return ", ".join(parts + ([f"{self.partitions} partitions"] if self.partitions > 1 else []))


class Figures(NamedTuple):
    """What one round of one row showed."""

    produced: float
    """Messages a second, until the last was answered."""
    consumed: float
    cpu_s: float
    """Of the broker, for a million messages in and out."""


class Latency(NamedTuple):
    """From `produce` to the message in the hands of another process, in milliseconds."""

    p50_ms: float
    p99_ms: float
    cpu_s: float
    """Of the broker, for a million messages."""


class Wide(NamedTuple):
    """What very many topics cost."""

    created_s: float
    """Until all were there, asked for in one request."""
    produced: float
    """Messages a second, to all of them in turn."""
    consumed: float
    grown_mib: float
    """Of the broker's resident memory."""


def bootstrap(peer: Broker) -> str:
    return peer.bootstrap if isinstance(peer, Kafka) else f"{HOST}:{peer.ports['kafka']}"


def measure(peer: Broker, topic: str, *, row: Row) -> Figures:
    """Make a topic, fill it, read it."""
    where: Where = {"bootstrap.servers": bootstrap(peer)}
    _create(where, [topic], row.partitions)
    partitions = [(topic, number) for number in range(row.partitions)]
    before_s = machine.cpu_s(peer.pid)
    produced_s = _produce(where, row, partitions)
    consumed_s = _consume(where, partitions, row.messages)
    cpu_s = (machine.cpu_s(peer.pid) - before_s) * 1e6 / row.messages
    return Figures(row.messages / produced_s, row.messages / consumed_s, cpu_s)


def measure_topics(peer: Broker, prefix: str, *, count: int, each: int) -> Wide:
    """So many topics, with so many messages of 100 bytes each."""
    where: Where = {"bootstrap.servers": bootstrap(peer)}
    names = [f"{prefix}-{number}" for number in range(count)]
    before_mib = machine.rss_mb(peer.pid)
    began = time.perf_counter()
    _create(where, names)
    created_s = time.perf_counter() - began
    row = Row(100, messages=count * each)
    partitions = [(name, 0) for name in names]
    produced_s = _produce(where, row, partitions)
    consumed_s = _consume(where, partitions, row.messages)
    grown_mib = machine.rss_mb(peer.pid) - before_mib
    return Wide(created_s, row.messages / produced_s, row.messages / consumed_s, grown_mib)


def measure_latency(peer: Broker, topic: str, *, rate: int, seconds: float) -> Latency:
    """Messages of 100 bytes at a steady rate, each sent at once and read by another process."""
    where: Where = {"bootstrap.servers": bootstrap(peer)}
    _create(where, [topic])
    count = int(rate * seconds)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    reader = context.Process(target=_read_latencies, args=(where, topic, count, theirs))
    reader.start()
    try:
        assert ours.poll(TIMEOUT_S), "no reader came up"
        ours.recv()
        producer = Producer({**where, "linger.ms": 0, "acks": "all"})
        producer.list_topics(topic, timeout=TIMEOUT_S)
        before_s = machine.cpu_s(peer.pid)
        began = time.perf_counter()
        for number in range(count):
            while (ahead_s := began + number / rate - time.perf_counter()) > 0:
                producer.poll(min(ahead_s, 0.001))
            producer.produce(topic, SENT_NS.pack(time.monotonic_ns()).ljust(100, b"x"))
        assert producer.flush(TIMEOUT_S) == 0, "not everything was answered in time"
        assert ours.poll(TIMEOUT_S), "not everything came in time"
        took_ms: list[float] = ours.recv()
        cpu_s = (machine.cpu_s(peer.pid) - before_s) * 1e6 / count
    finally:
        reader.terminate()
        reader.join()
    # The first ones wait for connections and for code that was never run.
    cuts = statistics.quantiles(took_ms[count // 10 :], n=100)
    return Latency(cuts[49], cuts[98], cpu_s)


def _read_latencies(where: Where, topic: str, count: int, to: Connection) -> None:
    consumer = Consumer({**where, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    consumer.poll(1)  # Its fetch is on the way.
    to.send("ready")
    took_ms: list[float] = []
    while len(took_ms) < count:
        for one in consumer.consume(100, 0.01):
            (sent_ns,) = SENT_NS.unpack_from(one.value())
            took_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
    to.send(took_ms)
    consumer.close()


def _create(where: Where, names: Sequence[str], partitions: int = 1) -> None:
    asked = [NewTopic(name, partitions, 1) for name in names]
    admin = AdminClient(where)  # Answers come as long as it is there.
    for made in admin.create_topics(asked, request_timeout=TIMEOUT_S).values():
        made.result(TIMEOUT_S)


def _produce(where: Where, row: Row, partitions: Sequence[tuple[str, int]]) -> float:
    """Seconds until everything was answered."""
    producer = Producer(
        {
            **where,
            "acks": row.acks,
            "compression.type": row.codec,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    # Half of it is like the rest of it, as in most text.
    half = row.size // 2
    body = (b"pillarbox " * row.size)[:half] + bytes(i * 37 % 251 for i in range(row.size - half))
    producer.list_topics(partitions[0][0], timeout=TIMEOUT_S)
    began = time.perf_counter()
    for number in range(row.messages):
        topic, partition = partitions[number % len(partitions)]
        while True:
            try:
                producer.produce(topic, body, partition=partition)
                break
            except BufferError:
                producer.poll(0.01)
        if number % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0, "not everything was answered in time"
    return time.perf_counter() - began


def _consume(where: Where, partitions: Sequence[tuple[str, int]], count: int) -> float:
    """Seconds until everything was read."""
    consumer = Consumer(
        {
            **where,
            "group.id": "bench",
            "enable.auto.commit": False,
            # Without these the client lies idle for a second whenever it has read 64 MB ahead.
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 1 << 20,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in partitions])
    began = time.perf_counter()
    seen = 0
    while seen < count:
        found = consumer.consume(min(10_000, count - seen), TIMEOUT_S)
        assert found, f"{seen} of {count} came"
        seen += len(found)
    took_s = time.perf_counter() - began
    consumer.close()
    return took_s
