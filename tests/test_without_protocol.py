"""A protocol is a folder and its rows: without it everything else is there and works.

Without `--quick` the script looks at types, layers, docs and the rest of the tests as well.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.without_protocol import PROTOCOLS, ROOT

TIMEOUT_S = 100
"""It takes five seconds where nothing else goes on."""


@pytest.mark.row("R110")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_broker_works_without_a_protocol_that_was_taken_out(protocol: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "without_protocol.py"), protocol, "--quick"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
