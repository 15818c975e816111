"""Leader epochs of a log, and the file that keeps them."""

from __future__ import annotations

import pytest

from pillarbox.store.log_state import LogState, load_state, save_state
from pillarbox.testing.faults import SimulatedFiles

FOLDER = "/logs/orders-0"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [(-1, (-1, -1)), (0, (0, 10)), (1, (1, 20)), (2, (2, 30)), (3, (2, 30)), (4, (4, 50)), (5, (-1, -1))],
)
def test_the_end_of_an_epoch_is_where_the_next_known_one_begins(asked: int, answer: tuple[int, int]) -> None:
    """KIP-320: the largest epoch that is not above the asked one, and the offset after its last record."""
    state = LogState(10, [(1, 10), (2, 20), (4, 30)])
    assert state.end_of_epoch(asked, 50) == answer


def test_a_new_epoch_takes_the_place_of_one_that_has_no_records() -> None:
    state = LogState(0, [(0, 0)])
    state.begin_epoch(1, 10)
    state.begin_epoch(2, 10)
    assert state.epochs == [(0, 0), (2, 10)]
    with pytest.raises(AssertionError, match="epoch 2 does not follow on 2"):
        state.begin_epoch(2, 20)


def test_trimming_keeps_the_epoch_that_the_start_is_in() -> None:
    state = LogState(0, [(0, 0), (1, 10), (2, 20)])
    state.trim(9)
    assert state.epochs == [(0, 9), (1, 10), (2, 20)]
    state.trim(10)
    assert state.epochs == [(1, 10), (2, 20)]
    state.trim(25)
    assert (state.start, state.epochs) == (25, [(2, 25)])


def test_the_file_comes_back_as_it_was_and_damage_is_noticed() -> None:
    files = SimulatedFiles()
    files.make_folder(FOLDER)
    assert load_state(files, FOLDER) is None
    state = LogState(7, [(0, 7), (3, 99)])
    save_state(files, FOLDER, state)
    assert load_state(files, FOLDER) == state
    image = files.image()
    image.files[f"{FOLDER}/state"] = image.files[f"{FOLDER}/state"].replace(b"99", b"98")
    assert load_state(SimulatedFiles(image), FOLDER) is None
