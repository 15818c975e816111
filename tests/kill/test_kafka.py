"""K60: SIGKILL under idempotent and transactional load; `python -m tests.kill.kafka` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kafka import KafkaRounds

ROUNDS = 4


@pytest.mark.row("K7", "K56", "K60", "K62")
def test_broker_killed_under_transactions_shows_each_of_them_whole_or_not_at_all(tmp_path: Path) -> None:
    rounds = KafkaRounds(tmp_path, seed=60)
    for _ in range(ROUNDS):
        rounds.round()
    rounds.finish()
    assert rounds.counts["transactions"], "nothing was committed before a kill"
    assert rounds.counts["settled by share groups"], "no share group was at work"
    assert rounds.counts["copied"], "nothing of it was there after one"
