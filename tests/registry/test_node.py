"""npm's clients of the registry, unmodified, in a node process: the scenarios of node/scenarios.mjs (K79)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pillarbox import Broker
from tests.registry.needs import REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

NODE = Path(__file__).parent / "node"
PACKAGES = ("@confluentinc/schemaregistry", "@kafkajs/confluent-schema-registry")
TIMEOUT_S = 60
SCENARIOS = ("every_call", "avro", "json", "protobuf", "rules", "contexts", "kafkajs_registry")


def run_node(*arguments: str) -> str:
    """Run the script; without node or its packages skip here, and fail where CI must have them."""
    missing = ""
    if shutil.which("node") is None:
        missing = "node is not installed (Debian: apt-get install nodejs npm)"
    elif not all((NODE / "node_modules" / package).is_dir() for package in PACKAGES):
        missing = "npm's clients are not installed: run `npm ci` in tests/registry/node"
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
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_scenario_is_run() -> None:
    """The table above names what the script has."""
    assert tuple(run_node().split()) == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_client_in_node(scenario: str, broker: Broker) -> None:
    run_node(broker.schema_registry_url, scenario)
