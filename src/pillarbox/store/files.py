"""The one place that touches the file system: the seam at which tests record and inject faults.

Purpose: `Files` names every file operation that the stores need, and `DiskFiles` does them for real.
Tests put a simulated one in its place (`pillarbox.testing.faults`), which records what was done,
rebuilds what a power cut may leave, and fails on demand. Not here: formats, names of files, threads.

Contract, which both implementations keep:

- A handle is an int. Reads and writes name their position; there is no file cursor.
- `write` writes everything or raises; a caller never sees a short write.
- After `sync` the contents and the size of a file survive a power cut. Its *name* does so only after
  `sync_folder` of the folder that holds it; the same goes for `rename` and `remove`.
- After a failed `sync` nothing is known about the file's unsynced contents, and a second `sync` that
  succeeds proves nothing: callers must not retry.
- Trouble is an `OSError` from the system, or a `StoreError` whose text is a sentence for the operator.

POSIX only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pillarbox.errors import StartupError

WRITE_CHUNKS_MAX = 1024
"""Buffers per pwritev call: the smallest IOV_MAX of the systems we run on (Linux, macOS, FreeBSD: 1024)."""

ROOM_BYTES = 128 << 20
"""Free space that copying which can wait leaves to what cannot: two segments of the journal."""

HAS_PWRITEV = hasattr(os, "pwritev")

FULL_SYNC = 51
"""fcntl's F_FULLFSYNC on macOS, where fsync does not reach the medium."""


def demand_room(files: Files, folder: str, size: int) -> None:
    """Raise ENOSPC unless so much can be written in a folder and `ROOM_BYTES` are left."""
    if files.free_bytes(folder) < size + ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class StoreError(StartupError):
    """A data folder or file cannot be used; the text says why, in a sentence for the operator."""


class Files(Protocol):
    """What the stores may ask of a file system."""

    def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
        """Open a file; `create` makes a missing one (and implies `write`). FileNotFoundError if missing."""

    def close(self, handle: int) -> None: ...

    def read(self, handle: int, position: int, size: int) -> bytes:
        """Read up to `size` bytes from `position`; fewer only at the end of the file."""

    def write(self, handle: int, position: int, chunks: Sequence[bytes | bytearray | memoryview]) -> int:
        """Write the chunks one after another from `position`; return how many bytes that was."""

    def allocate(self, handle: int, size: int) -> None:
        """Make the file at least `size` bytes long (zeros), its blocks reserved where that is possible."""

    def truncate(self, handle: int, size: int) -> None: ...

    def sync(self, handle: int) -> None:
        """Wait until contents and size are on the medium."""

    def size(self, handle: int) -> int: ...

    def exists(self, path: str) -> bool: ...

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty if there is no such folder."""

    def make_folder(self, folder: str) -> None:
        """Make a folder and its missing parents, names synced; no error if it exists."""

    def sync_folder(self, folder: str) -> None:
        """Wait until creates, renames and removes in this folder are on the medium."""

    def rename(self, source: str, target: str) -> None:
        """Rename within one folder, replacing `target` in one step."""

    def remove(self, path: str) -> None: ...

    def remove_folder(self, folder: str) -> None:
        """Remove an empty folder."""

    def lock(self, path: str) -> int:
        """Hold a lock file until the handle is closed or the process ends; StoreError if another holds it."""

    def free_bytes(self, folder: str) -> int:
        """Bytes that this user may still write to the folder's file system."""


def read_exactly(files: Files, handle: int, position: int, size: int) -> bytes:
    """Read `size` bytes; StoreError if the file ends before."""
    data = files.read(handle, position, size)
    if len(data) != size:
        raise StoreError(
            f"a file ends at byte {position + len(data)} where {size} bytes from {position} were due"
        )
    return data


def read_file(files: Files, path: str) -> bytes:
    """Read a whole small file; FileNotFoundError if there is none."""
    handle = files.open(path)
    try:
        return files.read(handle, 0, files.size(handle))
    finally:
        files.close(handle)


def write_file(files: Files, path: str, chunks: Sequence[bytes]) -> None:
    """Put a file in place in one step: after a power cut it is the old one or the new one, never a part."""
    temporary = path + ".tmp"
    handle = files.open(temporary, create=True)
    try:
        files.truncate(handle, 0)
        files.write(handle, 0, chunks)
        files.sync(handle)
    finally:
        files.close(handle)
    files.rename(temporary, path)
    files.sync_folder(os.path.dirname(path))


class DiskFiles:
    """The real file system."""

    def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
        mode = os.O_RDWR | os.O_CREAT if create else os.O_RDWR if write else os.O_RDONLY
        return os.open(path, mode | os.O_CLOEXEC, 0o640)

    def close(self, handle: int) -> None:
        os.close(handle)

    def read(self, handle: int, position: int, size: int) -> bytes:
        data = os.pread(handle, size, position)
        if len(data) == size or not data:
            return data
        # A short read is the end of the file, a signal, or Linux's limit of 2 GiB per call.
        parts = [data]
        done = len(data)
        while done < size and (data := os.pread(handle, size - done, position + done)):
            parts.append(data)
            done += len(data)
        return b"".join(parts)

    def write(self, handle: int, position: int, chunks: Sequence[bytes | bytearray | memoryview]) -> int:
        if len(chunks) == 1:
            size = len(chunks[0])
            done = os.pwrite(handle, chunks[0], position)
            if done < size:
                self._write_rest(handle, bytes(chunks[0]), done, position)
            return size
        total = 0
        for first in range(0, len(chunks), WRITE_CHUNKS_MAX):
            part = chunks[first : first + WRITE_CHUNKS_MAX]
            size = sum(map(len, part))
            done = _pwritev(handle, part, position + total)
            if done < size:
                self._write_rest(handle, b"".join(part), done, position + total)
            total += size
        return total

    def _write_rest(self, handle: int, data: bytes, done: int, position: int) -> None:
        """Go on after a short write: it either gets through or raises the reason (disk full)."""
        view = memoryview(data)
        while done < len(data):
            done += os.pwrite(handle, view[done:], position + done)

    def allocate(self, handle: int, size: int) -> None:
        if size <= os.fstat(handle).st_size:
            return
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
        else:
            os.ftruncate(handle, size)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        _sync(handle)

    def size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def make_folder(self, folder: str) -> None:
        path = Path(folder)
        missing = []
        while not path.exists():
            missing.append(path)
            path = path.parent
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o750)
            self.sync_folder(str(path.parent))

    def sync_folder(self, folder: str) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync_names(handle)
        finally:
            os.close(handle)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def remove_folder(self, folder: str) -> None:
        os.rmdir(folder)

    def lock(self, path: str) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            os.close(handle)
            who = f"process {holder}" if holder.isdecimal() else "another process"
            raise StoreError(f"the data folder {os.path.dirname(path)} is in use by {who}") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        return handle

    def free_bytes(self, folder: str) -> int:
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize


if sys.platform == "darwin":

    def _sync(handle: int) -> None:
        try:
            fcntl.fcntl(handle, FULL_SYNC)
        except OSError:
            # Network file systems refuse F_FULLFSYNC; fsync is the strongest that they have.
            os.fsync(handle)

    _sync_names = _sync
else:
    _sync = os.fdatasync
    _sync_names = os.fsync


def _pwritev(handle: int, chunks: Sequence[bytes | bytearray | memoryview], position: int) -> int:
    if HAS_PWRITEV:
        return os.pwritev(handle, chunks, position)
    return os.pwrite(handle, b"".join(chunks), position)
