"""Pillarbox beside a real Apache Kafka under the same client: `python -m bench.kafka_run`.

confluent-kafka (librdkafka) produces to a topic and then consumes it, against both brokers in turn, in
interleaved rounds; the median counts. Topics are as each broker makes them for a client, so what is answered
is written and not synced, on both (T15). Kafka runs with the virtual machine that its own start script asks
for. The client takes much of two cores itself: figures are of the pair, processor time is the broker's alone.
Then, on the same two brokers: latency at a steady rate, and a thousand topics.

Writes `bench/kafka.json` and the table in `bench/KAFKA.md`. Not here: what clients do (`kafka_load`), groups.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient

from bench import machine
from bench.beside import take_turns
from bench.kafka_load import TIMEOUT_S, Broker, Row, bootstrap, measure, measure_latency, measure_topics
from bench.kafka_peer import USUAL_JVM, Kafka, missing
from bench.peers import Pillarbox

HERE = Path(__file__).resolve().parent
ROUNDS = 3
ROWS = (
    *(Row(100, acks=acks) for acks in ("0", "1", "all")),
    *(Row(1000, acks=acks, messages=300_000) for acks in ("0", "1", "all")),
    *(Row(1000, codec=codec, messages=300_000) for codec in ("gzip", "snappy", "lz4", "zstd")),
    Row(100, partitions=100),
)
RATES = (1_000, 5_000)
LATENCY_S = 10.0
TOPICS = 1_000
MESSAGES_EACH = 100

_numbers = itertools.count()

Medians = dict[str, tuple[float, ...]]
"""Figures by the peer's name."""


class Start(NamedTuple):
    """A peer that has nothing to do."""

    took_s: float
    """Until it answers."""
    idle_mib: float
    """Resident, two seconds later."""


def makers() -> list[Broker]:
    """The peers that there are."""
    found: list[Broker] = [Pillarbox(options=("--kafka-port", "0"))]
    if reason := missing():
        print(f"no Apache Kafka: {reason}", file=sys.stderr)
    else:
        found.append(Kafka(jvm=USUAL_JVM))
    return found


def medians(peers: Sequence[Broker], rounds: int, act: Callable[[Broker, str], tuple[float, ...]]) -> Medians:
    """Let the peers take turns, each time with another name for a topic; the median of each figure."""
    found = take_turns(peers, rounds, lambda peer: act(peer, f"bench-{next(_numbers)}"))
    result = {name: tuple(map(statistics.median, zip(*turns, strict=True))) for name, turns in found.items()}
    print(", ".join(f"{name} {[round(one, 2) for one in each]}" for name, each in result.items()), flush=True)
    return result


def started(peer: Broker) -> Start:
    began = time.perf_counter()
    with peer:
        took_s = time.perf_counter() - began
        AdminClient({"bootstrap.servers": bootstrap(peer)}).list_topics(timeout=TIMEOUT_S)
        time.sleep(2)
        return Start(took_s, machine.rss_mb(peer.pid))


def compare(rounds: int, part: float) -> dict[str, Any]:
    """Everything, by the table that it stands in; `part` of the messages and of the time."""
    results: dict[str, Any] = {"rows": {}, "latency": {}, "topics": {}}
    with ExitStack() as stack:
        peers = [stack.enter_context(peer) for peer in makers()]
        for row in ROWS:
            print(row.title, end=": ")
            load = row._replace(messages=int(row.messages * part))
            results["rows"][row.title] = medians(peers, rounds, partial(measure, row=load))
        for rate in RATES:
            print(title := f"{rate:,} a second", end=": ")
            paced = partial(measure_latency, rate=rate, seconds=LATENCY_S * part)
            results["latency"][title] = medians(peers, rounds, paced)
        count = int(TOPICS * part)
        print(title := f"{count:,} topics", end=": ")
        wide = partial(measure_topics, count=count, each=MESSAGES_EACH)
        results["topics"][title] = medians(peers, 1, wide)
        results["end_mib"] = {peer.name: (machine.rss_mb(peer.pid),) for peer in peers}
    results["starts"] = {peer.name: started(peer) for peer in makers()}
    return results


Column = tuple[str, str, int]
"""Its words, the format of its figures, and what the ratio is: of ours to theirs (1), of theirs to ours (-1),
or not shown (0)."""

TABLES: dict[str, tuple[Column, ...]] = {
    "rows": (
        ("produced a second", ",.0f", 1),
        ("consumed a second", ",.0f", 1),
        ("CPU s per million", ".1f", 0),
    ),
    "latency": (("p50 ms", ".2f", -1), ("p99 ms", ".2f", -1), ("CPU s per million", ".1f", 0)),
    "topics": (
        ("created in s", ".1f", -1),
        ("produced a second", ",.0f", 1),
        ("consumed a second", ",.0f", 1),
        ("memory for them, MiB", ".0f", -1),
    ),
}


def table(first: str, columns: Sequence[Column], rows: dict[str, Medians]) -> list[str]:
    """A table in Markdown: for each column the peers' figures, and how many times better ours is."""
    ours, *others = next(iter(rows.values()))
    heads = [first]
    for words, _, direction in columns:
        heads += [f"{words}: {name}" for name in (ours, *others)] + ["ratio"] * (len(others) * abs(direction))
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for title, figures in rows.items():
        cells = [title]
        for place, (_, form, direction) in enumerate(columns):
            cells += [format(figures[name][place], form) for name in (ours, *others)]
            ratios = [figures[ours][place] / figures[name][place] for name in others]
            cells += [f"{ratio**direction:.1f} x" for ratio in ratios if direction]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def page(results: dict[str, Any]) -> str:
    """What `bench/KAFKA.md` is."""
    lines = [
        "# Pillarbox beside Apache Kafka",
        "",
        "Written by `python -m bench.kafka_run`: how it is measured stands there.",
        "",
        f"- Machine: {results['machine']}",
        f"- Interpreter of Pillarbox: {results['interpreter']}",
        "",
    ]
    firsts = {"rows": "workload", "latency": "at a steady rate", "topics": ""}
    for name, columns in TABLES.items():
        lines += table(firsts[name], columns, results[name])
    lines += ["| | start, s | idle, MiB | at the end, MiB |", "| --- | --: | --: | --: |"]
    for name, (took_s, idle_mib) in results["starts"].items():
        (end_mib,) = results["end_mib"][name]
        lines.append(f"| {name} | {took_s:.2f} | {idle_mib:.0f} | {end_mib:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.kafka_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each row (default %(default)s)")
    parser.add_argument(
        "--part", type=float, default=1.0, help="of the size; less than 1 writes nothing (default 1)"
    )
    arguments = parser.parse_args()
    results = compare(arguments.rounds, arguments.part)
    results["machine"] = ", ".join(f"{name} {value}" for name, value in machine.machine().items())
    results["interpreter"] = ", ".join(f"{name} {value}" for name, value in machine.interpreter().items())
    if arguments.part < 1:
        print(page(results))
        return 0
    (HERE / "kafka.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "KAFKA.md").write_text(page(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
