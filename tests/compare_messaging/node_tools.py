"""Clients of npm, each in a node process: the scenarios of a file in tests/clients/node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.compare_messaging.case import Case

NODE = Path(__file__).resolve().parents[1] / "clients" / "node"


def missing(package: str) -> str:
    """Why a client cannot run here, or the empty string."""
    if shutil.which("node") is None:
        return "node is not installed (Debian: apt-get install nodejs npm)"
    if not (NODE / "node_modules" / package).is_dir():
        return f"the npm client {package} is not installed: run `npm ci` in tests/clients/node"
    return ""


def play(case: Case, file: str, name: str) -> None:
    """Run one scenario; each line that it prints is one of the transcript."""
    done = subprocess.run(
        ["node", file, str(case.port), case.name(""), name],
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
