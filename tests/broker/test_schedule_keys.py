"""The keys of a schedule (R28) against a sorted list, over many chunks."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.broker import schedule_keys
from pillarbox.broker.schedule_keys import Keys
from pillarbox.engine.base import DUE_SEQUENCE_BITS

CHUNK_KEYS = 8


def _lives(modulus: int, key: int) -> bool:
    return key % modulus == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 50), max_size=20)),
        st.tuples(st.just("add packed"), st.lists(st.integers(0, 50), max_size=40)),
        st.tuples(st.just("pop"), st.integers(1, 30)),
        st.tuples(st.just("sift"), st.integers(2, 6)),
    ),
    max_size=40,
)


@pytest.mark.row("R28")
@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_keys_come_in_order_whenever_they_were_added(steps: list[tuple[str, list[int] | int]]) -> None:
    """R28: and what a checkpoint sees are the keys of one moment, whatever happens after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule_keys, "CHUNK_KEYS", CHUNK_KEYS)
        keys, expected, sequence = Keys(), [], 0
        for action, value in steps:
            before, pieces = sorted(expected), keys.pieces()
            assert list(keys.ascending()) == before
            if isinstance(value, int) and action == "sift":
                lives = partial(_lives, value)
                for _ in keys.sift(lives):
                    pass
                # The first key of a chunk stays.
                left = list(keys.ascending())
                assert [key for key in left if lives(key)] == [key for key in expected if lives(key)]
                assert set(left) <= set(expected)
                expected = left
            elif isinstance(value, int):
                for _ in range(min(value, len(expected))):
                    assert keys.first == expected[0]
                    assert keys.pop() == expected.pop(0)
            else:
                added = [due_ms << DUE_SEQUENCE_BITS | sequence + place for place, due_ms in enumerate(value)]
                sequence += len(added)
                (keys.add if action == "add" else keys.add_packed)(added)
                expected = sorted([*expected, *added])
            assert len(keys) == len(expected)
            assert keys.first == (expected[0] if expected else None)
            assert sorted(key for piece in pieces for key in piece) == before


@pytest.mark.row("R28")
def test_packed_keys_are_never_mostly_waste() -> None:
    """R28: one message in each chunk that waits for years does not keep the others' bytes."""
    keys, years = Keys(), 1 << 90
    for turn in range(100):
        keys.add([years + turn, *range(turn * 10_000, turn * 10_000 + 1999)])
        for _ in range(1999):
            keys.pop()
    assert len(keys) == 100
    assert sum(len(packed) for _, _, packed, _ in keys._chunks) <= 100 * 12 * schedule_keys.LEFT_SHARE
