"""The npm client `mqtt`, in a node process: the scenarios of tests/clients/node/mqtt.mjs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario

PROTOCOL = "mqtt"
PEER = "mosquitto"

NODE = Path(__file__).resolve().parents[2] / "clients" / "node"


def missing() -> str:
    if shutil.which("node") is None:
        return "node is not installed (Debian: apt-get install nodejs npm)"
    if not (NODE / "node_modules" / "mqtt").is_dir():
        return "the npm client mqtt is not installed: run `npm ci` in tests/clients/node"
    return ""


def play(case: Case, name: str) -> None:
    """Run one scenario; each line that it prints is one of the transcript."""
    done = subprocess.run(
        ["node", "mqtt.mjs", str(case.port), case.name(""), name],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    for line in done.stdout.splitlines():
        case.saw(*json.loads(line))
    if done.returncode:
        raise RuntimeError(done.stderr)


@scenario("R141")
def publish_and_subscribe(case: Case) -> None:
    play(case, "publish_and_subscribe")


@scenario("R141")
def sessions_and_wills(case: Case) -> None:
    play(case, "sessions_and_wills")
