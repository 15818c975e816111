"""amqplib, the npm client, in a node process: the scenarios of node/scenarios.mjs."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest
from broker_target import HERE, Target

NODE = HERE / "node"
TIMEOUT_S = 60

# scenario: rows that it proves
SCENARIOS: dict[str, tuple[str, ...]] = {
    "publish_and_get": ("R60", "R67"),
    "confirms": ("R61", "R42", "R71"),
    "nacked_publish": ("R47", "R61"),
    "mandatory_return": ("R27",),
    "prefetch_and_acknowledge": ("R65", "R66"),
    "nack_requeues_and_dead_letters": ("R66", "R48"),
    "exchanges": ("R22", "R24", "R41"),
    "direct_reply_to": ("R70",),
    "expiration": ("R44", "R48"),
    "channel_errors": ("404", "406"),
    "server_cancels": ("R64",),
    "purge_and_delete_count": ("R56",),
    "large_and_empty_bodies": ("R60",),
    "small_frames": ("R3", "T11"),
    "wrong_password": ("R7",),
    "update_secret": ("R8",),
}
TO_COME: set[str] = set()


def run_node(*arguments: str) -> str:
    """Run the script; without node or its packages skip here, and fail where CI must have them."""
    missing = ""
    if shutil.which("node") is None:
        missing = "node is not installed (Debian: apt-get install nodejs npm)"
    elif not (NODE / "node_modules" / "amqplib").is_dir():
        missing = f"amqplib is not installed: run `npm ci` in {NODE.relative_to(HERE.parent.parent)}"
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    done = subprocess.run(
        ["node", "scenarios.mjs", *arguments],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_scenario_is_run() -> None:
    """The table above names what the script has."""
    assert run_node("--list").split() == list(SCENARIOS)


def parameter(scenario: str) -> Any:
    marks = [pytest.mark.row(*SCENARIOS[scenario])]
    if missing := TO_COME & set(SCENARIOS[scenario]):
        marks.append(pytest.mark.to_come(*missing))
    return pytest.param(scenario, marks=marks)


@pytest.mark.parametrize("scenario", [parameter(each) for each in SCENARIOS])
def test_amqplib(broker: Target, name: str, scenario: str) -> None:
    """One scenario in a node process of its own."""
    run_node(broker.url(), name, scenario)
