"""Whole connections under input that nobody planned: the same every time, then libFuzzer's where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fuzzing
from tests.protocols.kafka import fuzz_connection
from tests.protocols.kafka.fuzz_connection import Attack

SEEDS = tuple(fuzz_connection.seeds())
ATTACKS_EACH = 20
ATTACK_STEPS = 150
CHANGED_RUNS = 800
FUZZ_RUNS = 500


@pytest.mark.row("K1")
def test_every_seed_keeps_the_promises() -> None:
    """Each key, conversations, what is no request; see `fuzz_connection` for the promises."""
    fuzzing.check_all(fuzz_connection.check, SEEDS)


@pytest.mark.row("K1")
def test_connections_keep_their_promises_on_changed_seeds() -> None:
    """The same changes in every run; the input that fails is in the message."""
    fuzzing.check_changed(fuzz_connection.check, SEEDS, CHANGED_RUNS)


@pytest.mark.row("K1")
@pytest.mark.parametrize("block", range(4))
def test_requests_that_make_sense_as_often_as_not_never_break_the_broker(block: int) -> None:
    """Every key in any version, with what earlier answers gave out; a failing seed is in the message."""
    for seed in range(block * ATTACKS_EACH, (block + 1) * ATTACKS_EACH):
        try:
            Attack(seed).run(ATTACK_STEPS)
        except Exception as fault:
            raise AssertionError(f"seed {seed}") from fault


@pytest.mark.row("K1")
@fuzzing.needs_atheris
def test_connections_survive_a_bounded_run_of_libfuzzer(tmp_path: Path) -> None:
    fuzzing.run_bounded("tests.protocols.kafka.fuzz_connection", FUZZ_RUNS, tmp_path)
