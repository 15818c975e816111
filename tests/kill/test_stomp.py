"""A43: SIGKILL under persistent messages of STOMP; `python -m tests.kill.stomp` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .stomp import StompRounds

ROUNDS = 5


@pytest.mark.row("R142", "A3", "A5", "A43")
def test_what_had_its_receipt_is_there_whatever_kills_the_broker(tmp_path: Path) -> None:
    rounds = StompRounds(tmp_path, seed=43)
    try:
        for _ in range(ROUNDS):
            rounds.round()
        rounds.finish()
    finally:
        rounds.broker.kill()
    assert rounds.writer.promised
    assert rounds.reader.settled
