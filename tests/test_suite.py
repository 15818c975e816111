"""How the suite itself is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("most", "code"), [(1, pytest.ExitCode.USAGE_ERROR), (1000, pytest.ExitCode.OK)])
def test_more_tests_than_wanted_are_not_run(most: int, code: int) -> None:
    """CI tries again what fails, as long as it is little."""
    command = [sys.executable, "-m", "pytest", f"--at-most={most}", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "tests/test_clock.py"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == code, run.stdout
    assert (f"tests are more than {most}" in run.stdout + run.stderr) == (code != 0)
