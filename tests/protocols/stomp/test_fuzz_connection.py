"""Whole connections under input that nobody planned: the same every time, then libFuzzer's where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fuzzing
from tests.protocols.stomp import fuzz_connection

SEEDS = tuple(fuzz_connection.seeds())
CHANGED_RUNS = 500
FUZZ_RUNS = 400


@pytest.mark.row("A1", "A10")
def test_every_seed_keeps_the_promises() -> None:
    """Each frame, each beginning, each dialect; see `fuzz_connection` for the promises."""
    fuzzing.check_all(fuzz_connection.check, SEEDS)


@pytest.mark.row("A1", "A10")
def test_connections_keep_their_promises_on_changed_seeds() -> None:
    """The same changes in every run; the input that fails is in the message."""
    fuzzing.check_changed(fuzz_connection.check, SEEDS, CHANGED_RUNS)


@fuzzing.needs_atheris
def test_connections_survive_a_bounded_run_of_libfuzzer(tmp_path: Path) -> None:
    fuzzing.run_bounded("tests.protocols.stomp.fuzz_connection", FUZZ_RUNS, tmp_path)
