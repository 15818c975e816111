"""R141: SIGKILL under QoS 2; `python -m tests.kill.mqtt` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .mqtt import MqttRounds

ROUNDS = 5


@pytest.mark.row("R141", "A64")
def test_every_message_of_quality_2_comes_exactly_once_whatever_kills_the_broker(tmp_path: Path) -> None:
    rounds = MqttRounds(tmp_path, seed=141)
    for _ in range(ROUNDS):
        rounds.round()
    rounds.finish()
    assert rounds.writer.sent > ROUNDS
