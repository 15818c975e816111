"""What is registered is there after a restart and after a crash, with its ids and versions (K79)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from tests.registry.asking import STRING, Asking, record
from tests.registry.needs import REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]


def seen(ask: Asking) -> dict[str, Any]:
    """Everything that a registry says."""
    names = ask.get("/subjects?deleted=true")
    return {
        "config": ask.get("/config"),
        "mode": ask.get("/mode"),
        "schemas": ask.get("/schemas?deleted=true"),
        "levels": [ask("GET", f"/config/{name}").document for name in names],
        "modes": [ask("GET", f"/mode/{name}").document for name in names],
        "versions": {name: ask.get(f"/subjects/{name}/versions?deleted=true") for name in names},
        "referrers": ask.get("/subjects/a/versions/1/referencedby"),
    }


def fill(ask: Asking) -> None:
    ask.register("a", record("R", "x"))
    outer = record("Outer", {"name": "r", "type": "R"})
    ask.register("outer", outer, references=[{"name": "R", "subject": "a", "version": 1}])
    ask("PUT", "/config", {"compatibility": "FULL_TRANSITIVE"})
    ask("PUT", "/config/b", {"compatibility": "NONE", "normalize": True})
    for schema in (STRING, '"int"', '"long"'):
        ask.register("b", schema)
    ask("DELETE", "/subjects/b/versions/2")
    ask("DELETE", "/subjects/b/versions/3")
    ask("DELETE", "/subjects/b/versions/3?permanent=true")
    ask("PUT", "/mode/b", {"mode": "READONLY"})


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    with Broker(str(tmp_path), schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        fill(ask)
        before = seen(ask)
    for _ in range(2):
        with Broker(str(tmp_path), schema_registry_port=0) as broker:
            ask = Asking(broker.schema_registry_url)
            assert seen(ask) == before
    with Broker(str(tmp_path), schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        assert ask.register("c", '"double"') == 6, "the id of what was removed is not given again"


PROGRAM = """
import sys
from pillarbox import Broker

with Broker(sys.argv[1], schema_registry_port=0) as broker:
    print(broker.schema_registry_url, flush=True)
    sys.stdin.read()
"""


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """SIGKILL right after an answer: no checkpoint, nothing written that was not synced before it."""
    for count in range(1, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        ask = Asking(process.stdout.readline().strip())
        assert ask.get("/schemas/types")
        assert len(ask.get("/subjects")) == count - 1
        assert ask.register(f"s{count}", record(f"R{count}", "x")) == count
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    with Broker(str(tmp_path), schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        assert ask.get("/subjects") == ["s1", "s2", "s3"]
        assert [ask.get(f"/subjects/s{number}/versions/1")["id"] for number in (1, 2, 3)] == [1, 2, 3]


def test_nothing_is_registered_where_nothing_can_be_stored() -> None:
    """A failed disk: what is there can still be read, and what is new is refused."""
    with Broker(schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        ask.register("x", STRING)
        broker.call(lambda server: server.core.failed("the disk is gone"))
        assert ask("POST", "/subjects/y/versions", {"schema": STRING}).code == (500, 50001)
        assert ask("PUT", "/config", {"compatibility": "NONE"}).code == (500, 50001)
        assert ask.get("/subjects") == ["x"]
