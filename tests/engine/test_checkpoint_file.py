"""Checkpoints as files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.engine.base import Location, StoredRun
from pillarbox.engine.checkpoint_file import (
    CheckpointFile,
    CheckpointReader,
    checkpoint_path,
    locations_of,
    pack_keys,
    pack_runs,
    read_last_checkpoint,
    sections_of,
    unpack_keys,
    unpack_runs,
    write_checkpoint,
)
from pillarbox.store.files import StoreError
from pillarbox.testing.faults import Image, SimulatedFiles

INT = st.integers(0, 2**62)
ROWS = st.lists(st.tuples(INT, INT, st.integers(-1, 2**62), st.binary(max_size=99)), max_size=5)


def written(checkpoint: CheckpointFile) -> SimulatedFiles:
    files = SimulatedFiles(Image(frozenset({"/data"})))
    write_checkpoint(files, "/data", checkpoint)
    return files


@given(
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5), st.binary(max_size=9)), max_size=5),
    st.lists(st.tuples(INT, INT, INT, INT), max_size=5),
    ROWS,
    st.lists(st.tuples(INT, INT, st.lists(st.integers(0, 2**96 - 1), max_size=4)), max_size=4),
)
def test_a_checkpoint_reads_as_it_was_written(
    definitions: list[tuple[str, str, bytes]],
    locations: list[tuple[int, int, int, int]],
    queues: list[tuple[int, int, int, bytes]],
    due: list[tuple[int, int, list[int]]],
) -> None:
    packed = [(uid, below, pack_keys(keys)) for uid, below, keys in due]
    files = written(CheckpointFile(3, 7, 99, definitions, locations, queues, (), packed))
    found = CheckpointReader(files, checkpoint_path("/data", 3))
    assert (found.number, found.segment, found.offset) == (3, 7, 99)
    assert list(found.definitions()) == definitions
    assert list(found.locations()) == locations
    assert list(found.queues()) == queues
    assert [(uid, below, unpack_keys(keys)) for uid, below, keys in found.due()] == due


def test_a_large_checkpoint_comes_in_small_sections() -> None:
    """No unit of work grows with the number of queues."""
    queues = [(uid, 1, -1, bytes(48)) for uid in range(20_000)]
    locations = [(1, i, 1, 1) for i in range(20_000)]
    sections = list(sections_of(CheckpointFile(1, 0, 0, [], locations, queues)))
    assert len(sections) > 80
    assert max(map(len, sections)) < 100_000


def test_any_damage_is_noticed() -> None:
    files = written(CheckpointFile(1, 2, 3, [("queue", "1", b"q")], [(1, 2, 3, 4)], [(1, 2, 3, bytes(48))]))
    path = checkpoint_path("/data", 1)
    content = files.image().files[path]
    for place in range(len(content)):
        for damaged in (
            content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :],
            content[:place],
        ):
            with pytest.raises(StoreError):
                CheckpointReader(SimulatedFiles(Image(frozenset({"/data"}), {path: damaged})), path)


def test_runs_round_trip() -> None:
    runs = [StoredRun(range(5, 9), Location(), 7, 8), StoredRun(range(9, 30, 3), Location(), 0, 2**50)]
    assert list(unpack_runs(pack_runs(runs, [3, 0]))) == [
        (range(5, 9), 3, 7, 8),
        (range(9, 30, 3), 0, 0, 2**50),
    ]


def test_records_at_one_place_become_one_location() -> None:
    one, two, three = locations_of([(1, 2, 3, 4), (1, 9, 3, 4), (1, 2, 3, 4)])
    assert one is three
    assert one is not two


def test_the_newest_good_checkpoint_counts() -> None:
    files = written(CheckpointFile(9, 0, 0, [], [], []))
    write_checkpoint(files, "/data", CheckpointFile(10, 1, 0, [], [], []))
    warnings: list[str] = []
    found = read_last_checkpoint(files, "/data", warnings)
    assert (found and found.number, warnings) == (10, [])

    image = files.image()
    image.files[checkpoint_path("/data", 10)] = b"PBCHECK1"
    found = read_last_checkpoint(SimulatedFiles(image), "/data", warnings)
    assert found is not None
    assert found.number == 9
    assert warnings == [
        "the checkpoint /data/checkpoint-000000000010 does not begin as one; the one before it is used"
    ]


def test_only_damaged_checkpoints_are_refused() -> None:
    files = SimulatedFiles(Image(frozenset({"/data"}), {checkpoint_path("/data", 1): b"PBCHECK1"}))
    with pytest.raises(StoreError, match="does not begin as one"):
        read_last_checkpoint(files, "/data", [])
    assert read_last_checkpoint(SimulatedFiles(), "/data", []) is None
