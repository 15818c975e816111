"""Record what `pillarbox monitor` shows of Pillarbox and of a RabbitMQ under the same load, for the docs.

python -m scripts.record_monitor        writes the blocks in docs/monitor.md
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from bench.peers import Peer, Pillarbox, RabbitMQ
from scripts.demo import shop

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


def main() -> int:
    text = PAGE.read_text()
    for name, peer in (("pillarbox", Pillarbox()), ("rabbitmq", RabbitMQ(plugins=["rabbitmq_management"]))):
        mark = f"<!-- not run: recorded of {name} -->\n```text\n"
        shown = record(peer)
        text, found = re.subn(rf"{re.escape(mark)}.*?```", lambda _: f"{mark}{shown}\n```", text, flags=re.S)  # noqa: B023
        assert found == 1, f"{PAGE} has no place for {name}"
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
