"""R141: SIGKILL under QoS 1 and 2; `python -m tests.kill.mqtt` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .mqtt import MqttRounds

ROUNDS = 5


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_published_comes_whatever_kills_the_broker(qos: int, tmp_path: Path) -> None:
    """With QoS 2 exactly once, with QoS 1 at least once and in order."""
    rounds = MqttRounds(tmp_path, seed=141, qos=qos)
    try:
        for _ in range(ROUNDS):
            rounds.round()
        rounds.finish()
    finally:
        rounds.broker.kill()
    assert rounds.writer.sent > ROUNDS
