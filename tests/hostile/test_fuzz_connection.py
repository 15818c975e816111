"""Whatever a connection is sent, the answer is AMQP's: no exception leaves it, and nothing is left behind."""

from __future__ import annotations

import pytest

from tests.hostile.fuzz_connection import Attack

SEEDS_EACH = 40


@pytest.mark.parametrize("block", range(8))
def test_random_frames_never_break_the_broker(block: int) -> None:
    """`Attack.run` ends both connections and counts what is left; a failing seed is in the message."""
    for seed in range(block * SEEDS_EACH, (block + 1) * SEEDS_EACH):
        attack = Attack(seed)
        try:
            attack.run(150)
        except Exception as fault:
            raise AssertionError(f"seed {seed} after {attack.frames} frames") from fault
        assert attack.frames > 100
