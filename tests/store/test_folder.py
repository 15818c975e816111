"""The data folder: its format, its owner, its lock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.store.files import DiskFiles, StoreError
from pillarbox.store.folder import BACKLOG, JOURNAL, open_folder, segment_ids, segment_path
from pillarbox.testing.faults import SimulatedFiles, crash_images


def test_a_new_folder_gets_a_format_with_an_id_that_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    files = DiskFiles()
    first = open_folder(files, path)
    files.close(first.lock)
    again = open_folder(files, path)
    files.close(again.lock)
    assert (tmp_path / "data" / "FORMAT").read_text() == f"pillarbox 1 {first.id}\n"
    assert first.id == again.id
    assert len(first.id) == 16
    assert sorted(os.listdir(path)) == ["FORMAT", "LOCK", "backlog", "journal"]


def test_an_empty_folder_is_taken_also_with_what_a_file_system_puts_there(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    files = DiskFiles()
    files.close(open_folder(files, str(tmp_path)).lock)
    assert (tmp_path / "FORMAT").exists()


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="is not empty and holds no Pillarbox data"):
        open_folder(DiskFiles(), str(tmp_path))
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_newer_format_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("pillarbox 2 0123456789abcdef\n")
    with pytest.raises(
        StoreError, match="has format 2; this version of Pillarbox reads formats up to 1: use a newer"
    ):
        open_folder(DiskFiles(), str(tmp_path))
    # Refused does not mean locked.
    (tmp_path / "FORMAT").write_text("pillarbox 1 0123456789abcdef\n")
    DiskFiles().close(open_folder(DiskFiles(), str(tmp_path)).lock)


@pytest.mark.parametrize("text", ["", "pillarbox", "rabbitmq 1 x\n", "pillarbox one x\n", "pillarbox 1\n"])
def test_a_format_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "FORMAT").write_text(text)
    with pytest.raises(StoreError, match="does not say `pillarbox <version> <id>`"):
        open_folder(DiskFiles(), str(tmp_path))


def test_a_file_in_place_of_the_folder_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(StoreError, match="cannot be used: Not a directory"):
        open_folder(DiskFiles(), str(tmp_path / "data" / "sub"))


def test_a_power_cut_while_a_folder_is_made_leaves_one_that_opens() -> None:
    files = SimulatedFiles()
    made = open_folder(files, "/data").id
    for done, image in crash_images(files.start, files.log, mixtures=10):
        again = open_folder(SimulatedFiles(image), "/data")
        assert done < len(files.log) or again.id == made


def test_segments_are_found_by_their_names_alone() -> None:
    files = SimulatedFiles()
    open_folder(files, "/data")
    for segment in (12, 3):
        files.close(files.open(segment_path("/data", JOURNAL, segment), create=True))
    files.close(files.open("/data/journal/000000000005.log.tmp", create=True))
    files.close(files.open("/data/journal/notes.log", create=True))
    assert segment_ids(files, "/data", JOURNAL) == [3, 12]
    assert segment_ids(files, "/data", BACKLOG) == []
