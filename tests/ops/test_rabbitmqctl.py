"""Our `rabbitmqctl` and its sisters say what the real ones said, and say it beside a RabbitMQ (R128, T17).

The recording is made by `python -m tests.ops.rabbitmqctl_scenario`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.peers import HOST, Peer, Pillarbox, RabbitMQ, free_ports
from tests.ops.differences import DIFFERENT
from tests.ops.rabbitmqctl_scenario import DEFINITIONS, RECORDING, lines, words

pytestmark = pytest.mark.row("R128")

TIMEOUT_S = 60
NODE = "pillarbox@localhost"


def environment(peer: Peer) -> dict[str, str]:
    ours = ("PILLARBOX_", "RABBITMQ_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PILLARBOX_URL": f"http://{HOST}:{peer.management_port}", "LC_ALL": "C.UTF-8"}


def run(env: dict[str, str], *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pillarbox", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        env={**env, **more},
        check=False,
    )


@pytest.fixture(scope="module")
def env() -> Iterator[dict[str, str]]:
    """The environment of somebody beside a Pillarbox."""
    with Pillarbox(options=("--memory",)) as peer:
        yield environment(peer)


def test_scenario_was_recorded_as_it_is() -> None:
    assert [each["line"] for each in json.loads(RECORDING.read_text())["said"]] == lines()


def shown(text: str) -> list[str]:
    """Lines without their order: which thing is listed first is nobody's promise."""
    return sorted(line.removeprefix(",") for line in text.splitlines())


def test_says_what_the_real_ones_said(env: dict[str, str], tmp_path: Path) -> None:
    """T17. Exit codes, standard output and, for its first sentence, standard error."""
    definitions = tmp_path / "definitions.json"
    definitions.write_text(json.dumps(DEFINITIONS))
    wrong = []
    for said in json.loads(RECORDING.read_text())["said"]:
        done = run(env, *words(said["line"], definitions))
        ours, errors = (
            text.replace(NODE, "NODE").replace(str(definitions), "{definitions}")
            for text in (done.stdout, done.stderr)
        )
        same = done.returncode == said["status"] and shown(ours) == shown(said["stdout"])
        same = same and errors.split("\n\n")[0].strip() == said["stderr"].split("\n\n")[0].strip()
        if not same and said["line"] not in DIFFERENT:
            wrong.append((said, (done.returncode, ours, errors)))
    for said, got in wrong:
        print(said["line"])
        print("  real", said["status"], repr(said["stdout"]), repr(said["stderr"][:300]))
        print("  ours", got[0], repr(got[1]), repr(got[2][:300]))
    assert not wrong


LIVE = (
    ("rabbitmq-diagnostics", "-q", "check_port_connectivity"),
    ("rabbitmq-diagnostics", "listeners", "--formatter", "json"),
    ("rabbitmq-diagnostics", "check_port_listener", "1"),
    ("rabbitmqctl", "list_queues", "name", "type", "durable", "arguments"),
    ("rabbitmqctl", "list_users", "--formatter", "json"),
)


@pytest.mark.skipif(bool(RabbitMQ.missing()), reason=RabbitMQ.missing() or "installed")
def test_says_the_same_beside_a_real_rabbitmq() -> None:
    """What depends on ports and counts cannot be recorded. Everything else about it is the same as well."""
    with RabbitMQ(plugins=("rabbitmq_management",)) as peer:
        env = environment(peer)
        run(env, "queues", "declare", "q1")
        for tool, *arguments in LIVE:
            theirs, ours = peer.tool(tool, *arguments), run(env, tool, *arguments)
            assert (ours.returncode, shown(ours.stderr)) == (theirs.returncode, shown(theirs.stderr)), tool
            if "json" in arguments:
                assert sorted_json(ours.stdout) == sorted_json(theirs.stdout)
            else:
                assert shown(ours.stdout) == shown(theirs.stdout)


def sorted_json(text: str) -> Any:
    """A document in which the order of lists does not count."""

    def key(value: Any) -> Any:
        return json.dumps(value, sort_keys=True)

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: ordered(one) for name, one in value.items()}
        return sorted(map(ordered, value), key=key) if isinstance(value, list) else value

    return ordered(json.loads(text))


# What only ours do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["rabbitmqctl", "rabbitmq-diagnostics"])
@pytest.mark.parametrize("formatter", ["table", "json"])
def test_status_and_cluster_status_are_there(env: dict[str, str], tool: str, formatter: str) -> None:
    for name in ("status", "cluster_status"):
        done = run(env, tool, name, "--formatter", formatter, "-q")
        assert (done.returncode, done.stderr) == (0, "")
        assert NODE in done.stdout
        if formatter == "json":
            assert json.loads(done.stdout)["alarms"] == []


def test_ping_needs_no_account(env: dict[str, str]) -> None:
    """T17: a health check goes on when guest is gone or has another password."""
    for words_ in (("ping",), ("check_running",), ("-q", "ping")):
        assert run(env, "rabbitmq-diagnostics", *words_, PILLARBOX_PASSWORD="no").returncode == 0
        assert run(env, "rabbitmq-diagnostics", *words_, PILLARBOX_USER="somebody").returncode == 0
    done = run(env, "rabbitmq-diagnostics", "check_local_alarms", PILLARBOX_PASSWORD="no")
    assert (done.returncode, done.stderr) == (69, "Error:\nLogin failed\n")


@pytest.mark.parametrize("line", ["rabbitmq-diagnostics -q ping", "rabbitmqctl await_startup --timeout 0.3"])
def test_nobody_there_is_69_or_75(env: dict[str, str], line: str) -> None:
    (port,) = free_ports(1)
    done = run(env, *line.split(), PILLARBOX_URL=f"http://{HOST}:{port}")
    assert done.returncode == (75 if "await" in line else 69)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


def test_password_may_come_from_standard_input(env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pillarbox", "rabbitmqctl", "-q", "add_user", "typist"]
    subprocess.run(command, input=b"typed\n", env=env, check=True, timeout=TIMEOUT_S)
    assert run(env, "rabbitmqctl", "authenticate_user", "typist", "typed").stdout.endswith("Success\n")
    done = run(env, "rabbitmqctl", "-q", "add_user", "nobody")
    assert (done.returncode, done.stderr) == (65, "Error:\nPassword is not provided via argument or stdin\n")


def test_definitions_go_out_and_in(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    assert run(env, "rabbitmqctl", "export_definitions", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    out = run(env, "rabbitmqctl", "export_definitions", "-").stdout
    assert json.loads(out) == json.loads(file.read_text())
    assert run(env, "rabbitmqctl", "import_definitions", str(file)).returncode == 0
    assert run(env, "rabbitmqctl", "import_definitions", "/nowhere").returncode == 65


def test_parts_of_pillarbox_are_enabled_and_others_are_not_there() -> None:
    """Scripts that enable plugins do so before a broker runs."""
    (port,) = free_ports(1)
    env = {**os.environ, "PILLARBOX_URL": f"http://{HOST}:{port}"}
    done = run(env, "rabbitmq-plugins", "enable", "--offline", "rabbitmq_management")
    assert (done.returncode, done.stderr) == (0, "")
    done = run(env, "rabbitmq-plugins", "enable", "rabbitmq_federation")
    assert (done.returncode, done.stderr) == (69, "Error:\nPillarbox does not have rabbitmq_federation\n")
    assert "rabbitmq_management\n" in run(env, "rabbitmq-plugins", "list", "-q", "-m").stdout


def test_command_of_another_tool_and_unknown_ones_are_named(env: dict[str, str]) -> None:
    done = run(env, "rabbitmqctl", "check_running")
    assert (done.returncode, done.stdout) == (64, "")
    assert "rabbitmq-diagnostics" in done.stderr
    assert "Did you mean 'list_queues'?" in run(env, "rabbitmqctl", "list_queue").stderr
    assert run(env, "rabbitmqctl", "stop_app").returncode == 64


# Under their own names -----------------------------------------------------------------------------------


def test_shims_run_ours_and_replace_nobody_elses(env: dict[str, str], tmp_path: Path) -> None:
    env = {**env, "PATH": f"{tmp_path}:{env['PATH']}"}
    done = run(env, "install-shims", str(tmp_path))
    assert done.returncode == 0, done
    assert shutil.which("rabbitmqctl", path=env["PATH"]) == str(tmp_path / "rabbitmqctl")
    ping = subprocess.run(
        ["rabbitmq-diagnostics", "-q", "ping"], env=env, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert (ping.returncode, ping.stdout) == (0, "Ping succeeded\n")
    assert run(env, "install-shims", str(tmp_path)).returncode == 0

    (tmp_path / "rabbitmqctl").write_text("#!/bin/sh\necho the real one\n")
    refused = run(env, "install-shims", str(tmp_path))
    assert refused.returncode == 1
    assert "somebody else's" in refused.stderr
    assert "the real one" in (tmp_path / "rabbitmqctl").read_text()
    assert run(env, "install-shims", str(tmp_path), "--force").returncode == 0
