"""Files that live and die with the process: what partition logs stand on in a broker that keeps nothing.

Purpose: `Files` over dicts, so that a log in memory is the same code as one on disk. Not here: crashes and
faults (`pillarbox.testing.faults` simulates those).
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence


class MemoryFiles:
    """See the module; the methods are those of `Files`.

    Threads may use it side by side: each method changes one object in one step of the interpreter.
    """

    def __init__(self) -> None:
        self._contents: dict[str, bytearray] = {}
        self._folders: set[str] = set()
        self._open: dict[int, bytearray] = {}
        self._handle = 0

    def __repr__(self) -> str:
        return f"<MemoryFiles files={len(self._contents)} open={len(self._open)}>"

    def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
        content = self._contents.get(path)
        if content is None:
            if not create:
                raise FileNotFoundError(path)
            content = self._contents[path] = bytearray()
        self._handle += 1
        self._open[self._handle] = content
        return self._handle

    def close(self, handle: int) -> None:
        del self._open[handle]

    def read(self, handle: int, position: int, size: int) -> bytes:
        return bytes(self._open[handle][position : position + size])

    def write(self, handle: int, position: int, chunks: Sequence[bytes | bytearray | memoryview]) -> int:
        content = self._open[handle]
        self.allocate(handle, position)
        start = position
        for chunk in chunks:
            content[position : position + len(chunk)] = chunk
            position += len(chunk)
        return position - start

    def allocate(self, handle: int, size: int) -> None:
        content = self._open[handle]
        if len(content) < size:
            content.extend(bytes(size - len(content)))

    def truncate(self, handle: int, size: int) -> None:
        self.allocate(handle, size)
        del self._open[handle][size:]

    def sync(self, handle: int) -> None:
        pass

    def size(self, handle: int) -> int:
        return len(self._open[handle])

    def exists(self, path: str) -> bool:
        return path in self._contents or path in self._folders

    def names(self, folder: str) -> list[str]:
        # Every file of every log is looked at, so by the cheapest means: a thousand logs are made one by one.
        prefix = f"{folder}/" if folder else ""
        start = len(prefix)
        within = [path[start:] for path in (*self._contents, *self._folders) if path.startswith(prefix)]
        return sorted(name for name in within if "/" not in name)

    def make_folder(self, folder: str) -> None:
        while folder and folder not in self._folders:
            self._folders.add(folder)
            folder = posixpath.dirname(folder)

    def sync_folder(self, folder: str) -> None:
        pass

    def rename(self, source: str, target: str) -> None:
        self._contents[target] = self._contents.pop(source)

    def remove(self, path: str) -> None:
        if self._contents.pop(path, None) is None:
            raise FileNotFoundError(path)

    def remove_folder(self, folder: str) -> None:
        self._folders.discard(folder)

    def lock(self, path: str) -> int:
        return self.open(path, create=True)

    def free_bytes(self, folder: str) -> int:
        return 1 << 40
