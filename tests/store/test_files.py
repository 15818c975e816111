"""The real file system behind the seam."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.store.files import DiskFiles, StoreError, read_exactly, read_file, write_file


def test_write_takes_more_chunks_than_one_system_call_does(tmp_path: Path) -> None:
    files = DiskFiles()
    chunks = [b"%d," % i for i in range(5000)]
    handle = files.open(str(tmp_path / "f"), create=True)
    assert files.write(handle, 3, chunks) == len(b"".join(chunks))
    files.sync(handle)
    assert files.read(handle, 3, 10**6) == b"".join(chunks)
    assert files.size(handle) == 3 + len(b"".join(chunks))
    files.close(handle)


def test_read_exactly_says_where_a_file_ends(tmp_path: Path) -> None:
    files = DiskFiles()
    (tmp_path / "f").write_bytes(b"12345")
    handle = files.open(str(tmp_path / "f"))
    with pytest.raises(StoreError, match="ends at byte 5 where 4 bytes from 3"):
        read_exactly(files, handle, 3, 4)
    files.close(handle)


def test_allocate_lengthens_and_never_shortens(tmp_path: Path) -> None:
    files = DiskFiles()
    handle = files.open(str(tmp_path / "f"), create=True)
    files.allocate(handle, 4096)
    assert files.read(handle, 0, 5000) == bytes(4096)
    files.allocate(handle, 100)
    assert files.size(handle) == 4096
    files.truncate(handle, 7)
    assert files.size(handle) == 7
    files.close(handle)


def test_write_file_replaces_in_one_step(tmp_path: Path) -> None:
    files = DiskFiles()
    write_file(files, str(tmp_path / "f"), [b"a long first version"])
    write_file(files, str(tmp_path / "f"), [b"sec", b"ond"])
    assert read_file(files, str(tmp_path / "f")) == b"second"
    assert files.names(str(tmp_path)) == ["f"]


def test_folders_are_made_with_parents_and_listed_sorted(tmp_path: Path) -> None:
    files = DiskFiles()
    files.make_folder(str(tmp_path / "a" / "b"))
    files.make_folder(str(tmp_path / "a" / "b"))
    for name in ("2", "10", "1"):
        files.close(files.open(str(tmp_path / "a" / name), create=True))
    assert files.names(str(tmp_path / "a")) == ["1", "10", "2", "b"]
    assert files.names(str(tmp_path / "missing")) == []
    files.remove_folder(str(tmp_path / "a" / "b"))
    files.remove(str(tmp_path / "a" / "1"))
    files.rename(str(tmp_path / "a" / "2"), str(tmp_path / "a" / "3"))
    files.sync_folder(str(tmp_path / "a"))
    assert files.names(str(tmp_path / "a")) == ["10", "3"]


def test_open_without_create_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DiskFiles().open(str(tmp_path / "f"), write=True)
    assert not DiskFiles().exists(str(tmp_path / "f"))


def test_a_second_lock_is_refused_with_the_holders_process_id(tmp_path: Path) -> None:
    files = DiskFiles()
    held = files.lock(str(tmp_path / "LOCK"))
    with pytest.raises(StoreError, match=f"{tmp_path} is in use by process {os.getpid()}"):
        files.lock(str(tmp_path / "LOCK"))
    files.close(held)
    files.close(files.lock(str(tmp_path / "LOCK")))


def test_free_bytes_is_what_the_system_says(tmp_path: Path) -> None:
    assert DiskFiles().free_bytes(str(tmp_path)) > 0
