"""A consistent copy of a data folder, also from under a running broker: what `pillarbox backup` makes.

The copy is a state that a crash could have left: everything that was confirmed before the copy began is in
it, and what was on its way may be. Nothing in the source is changed or locked, and the broker is not asked.

How: a checkpoint holds as long as nothing that it needs is gone, and segments are removed only after the
checkpoint that needed them. So everything is opened first (an open file stays readable when it is removed),
and if the checkpoints are still the same after that, what is open belongs together; otherwise all is done
again.
Segments only grow, and each begins when the one before is complete. The last one may grow while it is
read: it is read from its end to its beginning, so that whatever is seen stands behind complete writes. Within
a block the system may read from the front to the back, and pass a write on the way; so a block is read twice,
and kept of the second time as far as the first one saw anything.

Not here: partition logs. Source: the order of work in `checkpoint` and `store.committer`.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pillarbox.engine.checkpoint_file import PREFIX as CHECKPOINT
from pillarbox.engine.checkpoint_file import checkpoint_numbers, checkpoint_path
from pillarbox.store.files import Files, StoreError, read_file, write_file
from pillarbox.store.folder import (
    BACKLOG,
    FORMAT_NAME,
    JOURNAL,
    LOCK_NAME,
    read_format,
    segment_ids,
    segment_path,
)

COPY_BYTES = 4 << 20
"""Bytes copied at once."""

ATTEMPTS_MAX = 20
"""Checkpoints that may come in between; each takes seconds, opening the files milliseconds."""


KNOWN = (FORMAT_NAME, LOCK_NAME, JOURNAL, BACKLOG, "lost+found")
"""What begins the names of a data folder's entries, besides checkpoints."""


class Copied(NamedTuple):
    """What a copy is made of."""

    files: int
    bytes: int


def back_up(source: str, target: str, files: Files) -> Copied:
    """Copy a data folder to a new or empty folder. StoreError in words if that cannot be done.

    The file that makes the target a data folder is written last: an unfinished copy is not taken for one.
    """
    read_format(files, source)
    if files.names(target):
        raise StoreError(f"the folder {target} is not empty: give an empty or a new one")
    _refuse_unknown(source, files)
    files.make_folder(target)
    opened = _open_all(source, files)
    try:
        size = 0
        for name in (JOURNAL, BACKLOG):
            files.make_folder(os.path.join(target, name))
        for name, handle in opened:
            size += _copy(files, handle, os.path.join(target, name))
        for name in (JOURNAL, BACKLOG, ""):
            files.sync_folder(os.path.join(target, name) if name else target)
        write_file(
            files, os.path.join(target, FORMAT_NAME), [read_file(files, os.path.join(source, FORMAT_NAME))]
        )
        return Copied(len(opened), size)
    finally:
        _close(files, opened)


def _refuse_unknown(source: str, files: Files) -> None:
    """A copy that leaves out what a newer version keeps would be worse than none."""
    known = (CHECKPOINT, *KNOWN)
    strange = [name for name in files.names(source) if not name.startswith(known)]
    if strange:
        raise StoreError(f"the data folder {source} holds {strange[0]}, which cannot be copied")


def _open_all(source: str, files: Files) -> list[tuple[str, int]]:
    """Open everything that belongs to one state: (name within the folder, handle)."""
    for _ in range(ATTEMPTS_MAX):
        opened: list[tuple[str, int]] = []
        before = checkpoint_numbers(files, source)
        try:
            for path in _paths(source, files, list(before)):
                opened.append((os.path.relpath(path, source), files.open(path)))
        except FileNotFoundError:
            _close(files, opened)
            continue
        if checkpoint_numbers(files, source) == before:
            return opened
        _close(files, opened)
    raise StoreError(f"the data folder {source} changes faster than it can be opened: try again")


def _paths(source: str, files: Files, checkpoints: list[int]) -> list[str]:
    # The backlog before the journal, because what a later checkpoint has moved there is still in the journal.
    paths = [checkpoint_path(source, number) for number in checkpoints]
    for kind in (BACKLOG, JOURNAL):
        paths += [segment_path(source, kind, segment) for segment in segment_ids(files, source, kind)]
    return paths


def _copy(files: Files, handle: int, target: str) -> int:
    """Copy a file from its end to its beginning; stretches of zeros become holes."""
    copy = files.open(target, create=True)
    try:
        size = end = files.size(handle)
        while end:
            start = (end - 1) // COPY_BYTES * COPY_BYTES
            block = files.read(handle, start, end - start)
            if seen := len(block.rstrip(b"\0")):
                again = files.read(handle, start, seen)
                # The zeros may be the end of what was written.
                files.write(copy, start, [again, bytes(len(block) - len(again))])
            end = start
        files.sync(copy)
        return size
    finally:
        files.close(copy)


def _close(files: Files, opened: list[tuple[str, int]]) -> None:
    for _, handle in opened:
        files.close(handle)
