"""Record what `pillarbox monitor` shows of Pillarbox and of a RabbitMQ under the same load, for the docs;
and of Kafka's side.

python -m scripts.record_monitor        writes the blocks in docs/monitor.md
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from bench.peers import Peer, Pillarbox, RabbitMQ
from scripts.demo import data_shop, shop

ROOT = Path(__file__).parent.parent

PAGE = ROOT / "docs" / "monitor.md"
LOAD_S = 30


def record(peer: Peer) -> str:
    """The table after some time of load."""
    command = [sys.executable, "-m", "pillarbox", "monitor", "--once"]
    with peer, shop(f"amqp://guest:guest@127.0.0.1:{peer.amqp_port}/%2F"):
        time.sleep(LOAD_S)
        command += ["--url", f"http://127.0.0.1:{peer.management_port}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(line.rstrip() for line in shown.splitlines())


def record_kafka() -> str:
    """The tables of topics and of groups."""
    shown = []
    peer = Pillarbox(options=("--memory", "--kafka-port", "0"))
    with peer as running, data_shop(f"127.0.0.1:{running.ports['kafka']}"):
        time.sleep(LOAD_S)
        for subject in ("--topics", "--groups"):
            command = [sys.executable, "-m", "pillarbox", "monitor", "--once", subject]
            command += ["--url", f"http://127.0.0.1:{peer.management_port}"]
            shown.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return "\n".join(line.rstrip() for line in "".join(shown).splitlines())


def main() -> int:
    text = PAGE.read_text()
    kafka = f"```text\n{record_kafka()}\n```"
    text, found = re.subn(r"```text\nKafka.*?```", lambda _: kafka, text, flags=re.S)
    assert found == 1, f"{PAGE} has no place for topics and groups"
    for name, peer in (("pillarbox", Pillarbox()), ("rabbitmq", RabbitMQ(plugins=["rabbitmq_management"]))):
        mark = f"<!-- not run: recorded of {name} -->\n```text\n"
        shown = record(peer)
        text, found = re.subn(rf"{re.escape(mark)}.*?```", lambda _: f"{mark}{shown}\n```", text, flags=re.S)  # noqa: B023
        assert found == 1, f"{PAGE} has no place for {name}"
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
