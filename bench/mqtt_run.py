"""Pillarbox beside Mosquitto and RabbitMQ's MQTT plugin under the same load: `python -m bench.mqtt_run`.

Every row is played on each broker in turn, in interleaved rounds; the median counts. Mosquitto has no limit
to what it queues, as the others have none by default; RabbitMQ 3 has no QoS 2. Writes `bench/mqtt.json` and
the tables in `bench/MQTT.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from bench import machine
from bench.beside import Peer, Results, Row, compare, render, setting
from bench.messaging_peers import Mosquitto
from bench.mqtt_load import Load, measure
from bench.peers import Pillarbox, RabbitMQ

HERE = Path(__file__).resolve().parent
ROUNDS = 3
WITHOUT_LIMITS = ("max_queued_messages 0", "max_inflight_messages 1000")

ROWS = (
    Row("QoS 0, one publisher, one subscriber", Load(messages=200_000)),
    Row("QoS 1, window 100", Load(messages=60_000, qos=1)),
    Row("QoS 2, window 100", Load(messages=20_000, qos=2), "RabbitMQ 3"),
    Row("QoS 0, fan-in: 50 publishers, one subscriber", Load(messages=3_000, publishers=50)),
    Row("QoS 0, fan-out: one publisher, 200 subscribers", Load(messages=500, subscribers=200)),
    Row("QoS 0, fan-out: one publisher, 1,000 subscribers", Load(messages=200, subscribers=1_000)),
)

UNREAD = (
    Row(
        "100,000 messages of 1 KiB with QoS 1 to a subscriber that reads none",
        Load(messages=100_000, size=1_024, qos=1, reads=0),
    ),
)
"""Played last, by brokers of their own: what they have queued stays there."""


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


def page(results: Results, unread: Results, about: dict[str, str]) -> str:
    """What `bench/MQTT.md` says."""
    return (
        "# MQTT beside other brokers\n\nWritten by `python -m bench.mqtt_run`: messages that reached their"
        f" subscribers a second.\n\n{setting(about)}\n{render(results)}\n"
        "A subscriber that is connected and does not read: messages taken from the publisher a second, and"
        f" memory of the broker.\n\n{render(unread, 'publish_per_s')}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mqtt_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    about = machine.machine()
    with contextlib.ExitStack() as stack:
        results = compare(ROWS, peers(stack), measure, rounds)
    with contextlib.ExitStack() as stack:
        unread = compare(UNREAD, peers(stack), measure, 1)
    (HERE / "mqtt.json").write_text(
        json.dumps({"machine": about, "rows": results, "unread": unread}, indent=1) + "\n"
    )
    (HERE / "MQTT.md").write_text(page(results, unread, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
