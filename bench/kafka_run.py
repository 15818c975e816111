"""Pillarbox beside a real Apache Kafka under the same client: `python -m bench.kafka_run`.

confluent-kafka (librdkafka) produces to a topic and then consumes it, against both brokers in turn, in
interleaved rounds; the median counts. Topics are as each broker makes them for a client, so what is answered
is written and not synced, on both (T15). Kafka runs with the virtual machine that its own start script asks
for. The client takes much of two cores itself: figures are of the pair, processor time is the broker's alone.

Writes `bench/kafka.json` and the table in `bench/KAFKA.md`. Not here: latency of single messages, groups.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench import machine
from bench.kafka_peer import USUAL_JVM, Kafka, missing
from bench.peers import HOST, Pillarbox

HERE = Path(__file__).resolve().parent
ROUNDS = 3
TIMEOUT_S = 60.0


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


ROWS = (
    *(Row(100, acks=acks) for acks in ("0", "1", "all")),
    *(Row(1000, acks=acks, messages=150_000) for acks in ("0", "1", "all")),
    *(Row(1000, codec=codec, messages=150_000) for codec in ("gzip", "snappy", "lz4", "zstd")),
    Row(100, partitions=100),
)


class Figures(NamedTuple):
    """What one round of one row showed."""

    produced: float
    """Messages a second, until the last was answered."""
    consumed: float
    cpu_s: float
    """Of the broker, for a million messages in and out."""


def bootstrap(peer: Pillarbox | Kafka) -> str:
    return peer.bootstrap if isinstance(peer, Kafka) else f"{HOST}:{peer.ports['kafka']}"


def measure(peer: Pillarbox | Kafka, row: Row, topic: str) -> Figures:
    """One round: make a topic, fill it, read it."""
    where: dict[str, Any] = {"bootstrap.servers": bootstrap(peer)}
    admin = AdminClient(where)
    for made in admin.create_topics([NewTopic(topic, row.partitions, 1)]).values():
        made.result(TIMEOUT_S)
    before_s = machine.cpu_s(peer.pid)
    produced = _produce(where, row, topic)
    consumed = _consume(where, row, topic)
    cpu_s = (machine.cpu_s(peer.pid) - before_s) * 1e6 / row.messages
    return Figures(row.messages / produced, row.messages / consumed, cpu_s)


def _produce(where: dict[str, Any], row: Row, topic: str) -> float:
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
    body = (b"pillarbox " * row.size)[: row.size // 2] + bytes(
        i * 37 % 251 for i in range(row.size - row.size // 2)
    )
    producer.list_topics(topic, timeout=TIMEOUT_S)
    began = time.perf_counter()
    for number in range(row.messages):
        while True:
            try:
                producer.produce(topic, body, partition=number % row.partitions)
                break
            except BufferError:
                producer.poll(0.01)
        if number % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0, "not everything was answered in time"
    return time.perf_counter() - began


def _consume(where: dict[str, Any], row: Row, topic: str) -> float:
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
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(row.partitions)])
    began = time.perf_counter()
    seen = 0
    while seen < row.messages:
        found = consumer.consume(10_000, TIMEOUT_S)
        assert found, f"{seen} of {row.messages} came"
        seen += len(found)
    took = time.perf_counter() - began
    consumer.close()
    return took


def compare(rows: Sequence[Row], rounds: int) -> Iterator[tuple[Row, dict[str, Figures]]]:
    """The medians of every row, of both brokers."""
    with ExitStack() as stack:
        peers: list[Pillarbox | Kafka] = [stack.enter_context(Pillarbox(options=("--kafka-port", "0")))]
        if reason := missing():
            print(f"no Apache Kafka: {reason}", file=sys.stderr)
        else:
            peers.append(stack.enter_context(Kafka(jvm=USUAL_JVM)))
        for number, row in enumerate(rows):
            found: dict[str, list[Figures]] = {peer.name: [] for peer in peers}
            for turn in range(rounds):
                for peer in peers:
                    found[peer.name].append(measure(peer, row, f"bench-{number}-{turn}"))
            medians = {
                name: Figures(*(statistics.median(column) for column in zip(*figures, strict=True)))
                for name, figures in found.items()
            }
            yield row, medians
        sizes = {peer.name: machine.rss_mb(peer.pid) for peer in peers}
        print(f"resident MiB at the end: {sizes}", file=sys.stderr)


def started(peer: Pillarbox | Kafka) -> tuple[float, float]:
    """Seconds until a peer answers, and its resident MiB when it has done nothing else for two seconds."""
    began = time.perf_counter()
    with peer:
        took = time.perf_counter() - began
        AdminClient({"bootstrap.servers": bootstrap(peer)}).list_topics(timeout=TIMEOUT_S)
        time.sleep(2)
        return took, machine.rss_mb(peer.pid)


def table(results: dict[str, Any]) -> str:
    """The page that `bench/KAFKA.md` is."""
    names = list(next(iter(results["rows"].values())))
    lines = [
        "# Pillarbox beside Apache Kafka",
        "",
        "Written by `python -m bench.kafka_run`: how it is measured stands there.",
        "",
        f"- Machine: {results['machine']}",
        f"- Interpreter of Pillarbox: {results['interpreter']}",
        "",
    ]
    ours, *others = names
    heads = ["workload"]
    for rate in ("produced a second", "consumed a second"):
        heads += [f"{rate}: {name}" for name in names] + ["ratio"] * len(others)
    heads += [f"CPU s per million: {name}" for name in names]
    lines += [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for title, figures in results["rows"].items():
        cells = [title]
        for what in (0, 1):
            cells += [f"{figures[name][what]:,.0f}" for name in names]
            cells += [f"{figures[ours][what] / figures[name][what]:.1f} x" for name in others]
        cells += [f"{figures[name][2]:.1f}" for name in names]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| | start, s | idle, MiB |", "| --- | --: | --: |"]
    lines += [f"| {name} | {took:.2f} | {size:.0f} |" for name, (took, size) in results["starts"].items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.kafka_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each row (default %(default)s)")
    arguments = parser.parse_args()
    rows = {}
    for row, medians in compare(ROWS, arguments.rounds):
        rows[row.title] = medians
        shown = ", ".join(
            f"{name} {one.produced:,.0f} in {one.consumed:,.0f} out" for name, one in medians.items()
        )
        print(f"{row.title}: {shown}", flush=True)
    makers: list[Pillarbox | Kafka] = [Pillarbox(options=("--kafka-port", "0"))]
    if not missing():
        makers.append(Kafka(jvm=USUAL_JVM))
    results = {
        "rows": rows,
        "starts": {peer.name: started(peer) for peer in makers},
        "machine": ", ".join(f"{name} {value}" for name, value in machine.machine().items()),
        "interpreter": ", ".join(f"{name} {value}" for name, value in machine.interpreter().items()),
    }
    (HERE / "kafka.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "KAFKA.md").write_text(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
