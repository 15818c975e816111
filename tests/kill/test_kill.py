"""A killed broker has lost nothing that it confirmed; a stopped one has forgotten nothing that was settled.

`make crash` does the same two hundred times; what is compared stands in `model`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .rounds import run


@pytest.mark.parametrize("seed", [11, 12])
def test_broker_killed_under_load_keeps_what_it_confirmed(seed: int, tmp_path: Path) -> None:
    """DESIGN 7: a confirmed message is never lost, whatever kills the process; nothing is invented."""
    counts = run(tmp_path, seed, ["kill"] * 10)
    assert counts["kill"] == 10
    assert counts["confirmed"] > 1000
    assert counts["found"] > 1000


def test_broker_stopped_under_load_forgets_nothing_and_brings_nothing_back(tmp_path: Path) -> None:
    """What was settled stays so, all else is there, and redelivered flags tell what was delivered."""
    counts = run(tmp_path, 13, ["stop"] * 10)
    assert counts["stop"] == 10
    assert counts["settled"] > 1000
    assert counts["found"] > 1000
