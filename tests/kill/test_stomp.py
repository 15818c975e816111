"""A43, A44: SIGKILL under persistent messages of STOMP and under transactions.

`python -m tests.kill.stomp` and `python -m tests.kill.stomp_moves` do more of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .stomp import StompRounds
from .stomp_moves import Moves

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


@pytest.mark.row("A5", "A44")
def test_transaction_over_several_destinations_is_whole_or_was_none(tmp_path: Path) -> None:
    """A44: two messages and an acknowledgement, whenever the broker is killed."""
    moves = Moves(tmp_path, seed=44)
    try:
        for _ in range(ROUNDS):
            moves.round()
        moves.finish()
    finally:
        moves.broker.kill()
    assert moves.mover.committed
    assert moves.mover.aborted
