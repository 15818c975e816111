"""The data folder: whose it is, which format it has, and where things stand in it.

    FORMAT        one line: `pillarbox 1 <id>`; the id is made once and marks the folder's barriers
    LOCK          held by the one process that has the folder open
    checkpoint-*  see engine/checkpoint.py
    journal/      segments of the journal, <id>.log
    backlog/      segments with messages that outlived the journal, <id>.log; one id space for both

Not here: what the files say. A folder that is not empty and has no FORMAT is somebody else's, and a
format newer than ours is not touched; both are refused in words.
"""

from __future__ import annotations

import os
import secrets
from typing import NamedTuple

from pillarbox.store.files import Files, StoreError, read_file, write_file

FORMAT_NAME = "FORMAT"
LOCK_NAME = "LOCK"
FORMAT_VERSION = 1
PRODUCT = "pillarbox"

JOURNAL = "journal"
BACKLOG = "backlog"
SEGMENT_SUFFIX = ".log"

UNFINISHED = frozenset({LOCK_NAME, FORMAT_NAME + ".tmp", "lost+found"})
"""What a folder of ours may hold before its FORMAT is in place, or a fresh file system at its root."""


class Folder(NamedTuple):
    """An opened and locked data folder."""

    path: str
    id: str
    lock: int


def open_folder(files: Files, path: str) -> Folder:
    """Lock a data folder, making it if there is none; StoreError in words if it cannot be used."""
    try:
        files.make_folder(path)
        _refuse_foreign(files, path)
        lock = files.lock(os.path.join(path, LOCK_NAME))
    except OSError as error:
        raise StoreError(f"the data folder {path} cannot be used: {error.strerror or error}") from error
    try:
        if not files.exists(os.path.join(path, FORMAT_NAME)):
            _make_format(files, path)
        folder = Folder(path, read_format(files, path), lock)
        for name in (JOURNAL, BACKLOG):
            files.make_folder(os.path.join(path, name))
        return folder
    except OSError as error:
        files.close(lock)
        raise StoreError(f"the data folder {path} cannot be used: {error.strerror or error}") from error
    except StoreError:
        files.close(lock)
        raise


def read_format(files: Files, path: str) -> str:
    """Return the folder's id; StoreError if it is not a data folder that this version reads."""
    try:
        text = read_file(files, os.path.join(path, FORMAT_NAME)).decode("ascii", "replace")
    except FileNotFoundError:
        raise StoreError(f"{path} is not a Pillarbox data folder: it has no file {FORMAT_NAME}") from None
    words = text.split()
    if len(words) != 3 or words[0] != PRODUCT or not words[1].isdecimal():
        raise StoreError(f"{os.path.join(path, FORMAT_NAME)} does not say `{PRODUCT} <version> <id>`")
    version = int(words[1])
    if version > FORMAT_VERSION:
        raise StoreError(
            f"the data folder {path} has format {version}; this version of Pillarbox reads formats up to "
            f"{FORMAT_VERSION}: use a newer one"
        )
    return words[2]


def _refuse_foreign(files: Files, path: str) -> None:
    names = files.names(path)
    if FORMAT_NAME not in names and not UNFINISHED.issuperset(names):
        raise StoreError(
            f"the data folder {path} is not empty and holds no Pillarbox data: give an empty or a new folder"
        )


def _make_format(files: Files, path: str) -> None:
    line = f"{PRODUCT} {FORMAT_VERSION} {secrets.token_hex(8)}\n"
    write_file(files, os.path.join(path, FORMAT_NAME), [line.encode("ascii")])


def segment_path(folder: str, kind: str, segment: int) -> str:
    """Where a segment of this kind (`JOURNAL`, `BACKLOG`) stands."""
    return os.path.join(folder, kind, f"{segment:012d}{SEGMENT_SUFFIX}")


def segment_ids(files: Files, folder: str, kind: str) -> list[int]:
    """The segments of this kind that are there, ascending."""
    names = files.names(os.path.join(folder, kind))
    stems = [name.removesuffix(SEGMENT_SUFFIX) for name in names if name.endswith(SEGMENT_SUFFIX)]
    return sorted(int(stem) for stem in stems if stem.isdecimal())
