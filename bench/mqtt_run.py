"""Pillarbox beside Mosquitto and RabbitMQ's MQTT plugin under the same load: `python -m bench.mqtt_run`.

Every row is played on each broker in turn, in interleaved rounds; the median counts. Mosquitto has no limit
to what it queues, as the others have none by default; RabbitMQ 3 has no QoS 2. Writes `bench/mqtt.json` and
the table in `bench/MQTT.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from bench import machine
from bench.messaging_peers import Mosquitto
from bench.mqtt_load import Load, measure
from bench.peers import Pillarbox, RabbitMQ

HERE = Path(__file__).resolve().parent
ROUNDS = 3
WITHOUT_LIMITS = ("max_queued_messages 0", "max_inflight_messages 1000")
FIGURES = ("publish_per_s", "consume_per_s", "cpu_s_per_million", "rss_peak_mb")


class Row(NamedTuple):
    """One load."""

    title: str
    load: Load
    without: str = ""
    """Whose names begin so cannot do it."""


ROWS = (
    Row("QoS 0, one publisher, one subscriber", Load(messages=200_000)),
    Row("QoS 1, window 100", Load(messages=60_000, qos=1)),
    Row("QoS 2, window 100", Load(messages=20_000, qos=2), "RabbitMQ 3"),
    Row("QoS 0, fan-in: 50 publishers, one subscriber", Load(messages=3_000, publishers=50)),
    Row("QoS 0, fan-out: one publisher, 200 subscribers", Load(messages=500, subscribers=200)),
)


class Peer(NamedTuple):
    """A running broker."""

    name: str
    port: int
    pid: int


def peers(stack: contextlib.ExitStack) -> list[Peer]:
    """Those that are installed, started; Pillarbox first."""
    ours = stack.enter_context(Pillarbox(options=("--mqtt-port", "0")))
    found = [Peer(f"Pillarbox {ours.version}", ours.ports["mqtt"], ours.pid)]
    if reason := Mosquitto.missing():
        print(f"no Mosquitto: {reason}", file=sys.stderr)
    else:
        mosquitto = stack.enter_context(Mosquitto(config=WITHOUT_LIMITS))
        found.append(Peer(f"Mosquitto {mosquitto.version}", mosquitto.port, mosquitto.pid))
    if reason := RabbitMQ.missing():
        print(f"no RabbitMQ: {reason}", file=sys.stderr)
    else:
        rabbit = stack.enter_context(RabbitMQ(plugins=("rabbitmq_mqtt",)))
        found.append(Peer(f"RabbitMQ {rabbit.version}", rabbit.ports["rabbitmq_mqtt"], rabbit.pid))
    return found


def compare(rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Row → peer → median of each figure."""
    with contextlib.ExitStack() as stack:
        running = peers(stack)
        results: dict[str, dict[str, dict[str, float]]] = {}
        for row in ROWS:
            able = [peer for peer in running if not row.without or not peer.name.startswith(row.without)]
            seen: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in able}
            for _ in range(rounds):
                for peer in able:
                    seen[peer.name].append(measure(row.load, peer.port, peer.pid))
            results[row.title] = {
                name: {figure: statistics.median(one[figure] for one in found) for figure in FIGURES}
                for name, found in seen.items()
            }
            print(row.title, results[row.title], flush=True)
    return results


def render(results: dict[str, dict[str, dict[str, float]]], about: dict[str, str]) -> str:
    """The page."""
    names = list(next(iter(results.values())))
    ours, others = names[0], names[1:]
    heads = ["load", *(f"{name}: messages/s" for name in names), *(f"ratio to {name}" for name in others)]
    heads += [f"CPU s per million: {name}" for name in names] + [f"peak MiB: {name}" for name in names]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" + " --: |" * (len(heads) - 1)]
    for title, found in results.items():

        def shown(figure: str, form: str, found: dict[str, dict[str, float]] = found) -> list[str]:
            return [format(found[name][figure], form) if name in found else "-" for name in names]

        rate = found[ours]["consume_per_s"]
        ratios = [f"{rate / found[name]['consume_per_s']:.1f} x" if name in found else "-" for name in others]
        cells = [title, *shown("consume_per_s", ",.0f"), *ratios]
        cells += [*shown("cpu_s_per_million", ".1f"), *shown("rss_peak_mb", ".0f")]
        lines.append(f"| {' | '.join(cells)} |")
    setting = "; ".join(f"{name} {value}" for name, value in about.items())
    return (
        "# MQTT beside other brokers\n\nWritten by `python -m bench.mqtt_run`: messages that reached their"
        f" subscribers a second.\n\nMachine: {setting}.\n\n" + "\n".join(lines) + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mqtt_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    about = machine.machine()
    results = compare(parser.parse_args().rounds)
    (HERE / "mqtt.json").write_text(json.dumps({"machine": about, "rows": results}, indent=1) + "\n")
    (HERE / "MQTT.md").write_text(render(results, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
