"""A look at what waits in a schedule takes nothing out of it (A82)."""

from __future__ import annotations

from random import Random

from pillarbox.broker.schedule_keys import CHUNK_KEYS, Keys


def test_keys_first_ones_are_told_in_order_and_stay() -> None:
    random = Random(1)
    keys, known = Keys(), []
    for _ in range(5):
        some = [random.getrandbits(90) for _ in range(CHUNK_KEYS // 2 + 100)]
        keys.add(some)
        known += some
    known.sort()
    for taken in (0, 1, 700):
        for _ in range(taken):
            assert keys.pop() == known.pop(0)
        for count in (0, 1, 20, 300):
            assert keys.smallest(count) == known[:count]
    assert len(keys) == len(known)
    assert Keys().smallest(5) == []
