"""Pillarbox beside ActiveMQ Classic and RabbitMQ's STOMP plugin, one load: `python -m bench.stomp_run`.

Every row is played on each broker in turn, in interleaved rounds; the median counts. All are as they are
installed; persistent messages are on the disk when their receipt comes, with all of them. Writes
`bench/stomp.json` and the table in `bench/STOMP.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from bench import machine
from bench.beside import Peer, Results, Row, compare, render, setting
from bench.messaging_peers import ActiveMQ
from bench.peers import Pillarbox, RabbitMQ
from bench.stomp_load import Load, measure

HERE = Path(__file__).resolve().parent
ROUNDS = 3

PERSISTENT = {"persistent": 1, "receipts": 1}
ROWS = (
    Row("transient, ack auto", Load(messages=100_000)),
    Row("transient, ack client (250 at once)", Load(messages=100_000, ack="client")),
    Row("transient, ack client-individual", Load(messages=50_000, ack="client-individual")),
    Row(
        "persistent, a receipt each, window 100, ack client",
        Load(messages=20_000, ack="client", **PERSISTENT),
    ),
    Row(
        "persistent, a receipt each, window 2, ack client",
        Load(messages=1_000, window=2, ack="client", **PERSISTENT),
    ),
    Row(
        "persistent, 20 publishers with window 20",
        Load(messages=1_000, publishers=20, window=20, **PERSISTENT),
    ),
    Row("topic, one publisher, 50 subscribers", Load(messages=1_000, topic=1, subscribers=50)),
)


def peers(stack: contextlib.ExitStack) -> list[Peer]:
    """Those that are installed, started; Pillarbox first."""
    ours = stack.enter_context(Pillarbox(options=("--stomp-port", "0")))
    found = [Peer(f"Pillarbox {ours.version}", ours.ports["stomp"], ours.pid)]
    if reason := ActiveMQ.missing():
        print(f"no ActiveMQ: {reason}", file=sys.stderr)
    else:
        activemq = stack.enter_context(ActiveMQ())
        found.append(Peer(f"ActiveMQ {activemq.version}", activemq.port, activemq.pid))
    if reason := RabbitMQ.missing():
        print(f"no RabbitMQ: {reason}", file=sys.stderr)
    else:
        rabbit = stack.enter_context(RabbitMQ(plugins=("rabbitmq_stomp",)))
        found.append(Peer(f"RabbitMQ {rabbit.version}", rabbit.ports["rabbitmq_stomp"], rabbit.pid))
    return found


def page(results: Results, about: dict[str, str]) -> str:
    """What `bench/STOMP.md` says."""
    return (
        "# STOMP beside other brokers\n\nWritten by `python -m bench.stomp_run`: messages that reached their"
        f" subscribers a second.\n\n{setting(about)}\n{render(results)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stomp_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    about = machine.machine()
    with contextlib.ExitStack() as stack:
        results = compare(ROWS, peers(stack), measure, parser.parse_args().rounds)
    (HERE / "stomp.json").write_text(json.dumps({"machine": about, "rows": results}, indent=1) + "\n")
    (HERE / "STOMP.md").write_text(page(results, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
