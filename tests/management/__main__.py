"""Record what RabbitMQ's management API answers: `python -m tests.management` (needs Debian's package).

Starts a node of its own with rabbitmq_management, puts the prepared load on it and writes each document, as
it came, to `recordings/rabbitmq-<version>.json`. The tests compare its keys and types with ours.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika

from bench.peers import RabbitMQ
from tests.management.load import prepared
from tests.management.paths import PATHS

FOLDER = Path(__file__).resolve().parent / "recordings"
INTERVAL_MS = 1000
SAMPLES = 8


def get(port: int, path: str, user: str = "guest", password: str = "guest") -> tuple[int, Any]:
    """The status and the document, or its text if it is none."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/{path}")
    request.add_header("Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, _document(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _document(error.read())


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def main() -> int:
    if reason := RabbitMQ.missing():
        print(reason, file=sys.stderr)
        return 1
    config = [f"collect_statistics_interval = {INTERVAL_MS}"]
    with RabbitMQ(plugins=["rabbitmq_management"], config=config) as peer:
        peer.ctl("set_policy", "longer", "^orders$", '{"max-length": 500}', "--apply-to", "queues")
        with prepared(peer.amqp_port) as connection:
            for _ in range(SAMPLES):
                # More than one sample is needed for a rate.
                connection.process_data_events(time_limit=INTERVAL_MS / 1000)
            recorded = record(peer.management_port, connection)
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps({"version": peer.version, "documents": recorded}, indent=1, sort_keys=True)
    (FOLDER / f"rabbitmq-{peer.version}.json").write_text(text + "\n")
    return 0


def record(port: int, connection: pika.BlockingConnection) -> dict[str, Any]:
    """All documents by the path as the tests name it."""
    names = {
        "node": get(port, "nodes")[1][0]["name"],
        "connection": get(port, "connections")[1][0]["name"],
        "channel": get(port, "channels")[1][0]["name"],
    }
    recorded = {}
    for path in PATHS:
        connection.process_data_events(time_limit=0)
        filled = path.format(**{key: quote(name, safe="") for key, name in names.items()})
        status, document = get(port, filled)
        recorded[path] = {"status": status, "document": document}
    return recorded


if __name__ == "__main__":
    sys.exit(main())
