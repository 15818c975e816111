"""Record what RabbitMQ says to each of `VALUES`, and what its rabbitmqctl says of shovels.

    python -m tests.shovel

needs Debian's package.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.peers import HOST, RabbitMQ, await_true
from tests.management.http import Client
from tests.shovel.values import VALUES

FOLDER = Path(__file__).resolve().parent / "recordings"
PLUGINS = ("rabbitmq_management", "rabbitmq_shovel", "rabbitmq_shovel_management")


def answer(api: Client, value: Any) -> dict[str, Any]:
    """The status of setting it, and why not; it is removed again."""
    reply = api.request("PUT", "parameters/shovel/%2F/x", {"value": value})
    if reply.status == 201:
        # One that is to go when its queue is moved may be gone already.
        assert api.request("DELETE", "parameters/shovel/%2F/x").status in (204, 404)
    if reply.status != 400:
        return {"status": reply.status}
    # RabbitMQ 3.10 writes texts for a page of HTML, which later ones do not, and breaks long lines.
    reason = re.sub(r"\n +", "", html.unescape(reply.document["reason"]))
    return {"status": reply.status, "reason": reason}


LINES = """
rabbitmqctl shovel_status
rabbitmqctl -q shovel_status
rabbitmqctl shovel_status --formatter json
PUT
rabbitmqctl shovel_status
rabbitmqctl -s shovel_status
rabbitmqctl shovel_status --formatter json
rabbitmqctl shovel_status --formatter csv
rabbitmqctl restart_shovel nope
rabbitmqctl restart_shovel -p nowhere s
rabbitmqctl restart_shovel
rabbitmqctl restart_shovel a b
rabbitmqctl restart_shovel s
PUT
rabbitmqctl delete_shovel nope
rabbitmqctl delete_shovel
rabbitmqctl delete_shovel s
rabbitmqctl list_parameters
rabbitmqctl shovel_status
""".strip().splitlines()
"""What is asked of rabbitmqctl; at PUT the good value is set as `s`, and is waited for until it runs."""

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def said_by(tool: Callable[..., subprocess.CompletedProcess[str]], api: Client, node: str) -> Iterator[Any]:
    """What the commands say, line by line, without what differs from run to run."""
    for line in LINES:
        if line == "PUT":
            api.request("PUT", "parameters/shovel/%2F/s", {"value": VALUES["good"]})
            await_true(lambda: "running" in str(api.get("shovels")), 30, "it runs")
            continue
        done = tool(*line.split())
        texts = (TIME.sub("TIME", text.replace(node, "NODE")) for text in (done.stdout, done.stderr))
        yield [line, done.returncode, *texts]


def main() -> int:
    if reason := RabbitMQ.missing():
        print(reason, file=sys.stderr)
        return 1
    with RabbitMQ(plugins=PLUGINS) as peer:
        api = Client(f"http://{HOST}:{peer.management_port}")
        answers = {name: answer(api, value) for name, value in VALUES.items()}
        said = list(said_by(peer.tool, api, peer.node))
        api.close()
    with RabbitMQ(plugins=PLUGINS[:1]) as peer:
        api = Client(f"http://{HOST}:{peer.management_port}")
        for component in ("federation-upstream", "nonsense"):
            reply = api.request("PUT", f"parameters/{component}/%2F/x", {"value": {}})
            answers[component] = {"status": reply.status, "reason": reply.document["reason"]}
        api.close()
    recorded = {"peer": f"RabbitMQ {peer.version}", "answers": answers, "said": said}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "validation.json").write_text(json.dumps(recorded, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
