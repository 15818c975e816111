"""File systems for tests: one that remembers every operation and what a crash may leave, one that fails.

`SimulatedFiles` keeps a whole file system in memory and logs what changes it. From the log, `crash_images`
rebuilds the states that a power cut at a given moment may leave behind: what was synced is there; of what
was not, any part may be: writes dropped, kept or torn at 512-byte sectors, file sizes grown without
their data, renames, creates and removes of an unsynced folder missing from some point on. A state is an
`Image`, from which a new `SimulatedFiles` starts, so that recovery can be crashed as well.

`FaultyFiles` passes everything on to another `Files` and fails where it is told to: disk full, a sync that
fails, a read-only file system.

Both are meant for whole-broker tests too: anything that takes `Files` runs on them, also from threads.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pillarbox.store.files import Files, StoreError

SECTOR = 512
"""The unit that a disk writes whole or not at all."""


@dataclass
class Image:
    """What is on the medium: folders, and files with their contents."""

    folders: frozenset[str] = frozenset()
    files: dict[str, bytes] = field(default_factory=dict)


class Operation(NamedTuple):
    """One change, in the order in which they were made. `node` is the number of a file's contents."""

    kind: str
    node: int = -1
    path: str = ""
    target: str = ""
    position: int = 0
    data: bytes = b""
    note: Any = None


class _Node:
    __slots__ = ("content", "number")

    def __init__(self, number: int, content: bytes = b"") -> None:
        self.number = number
        self.content = bytearray(content)


class SimulatedFiles:
    """A file system in memory; see the module. Every change is appended to `log`."""

    def __init__(self, image: Image | None = None) -> None:
        image = image or Image()
        self.start = image
        self.log: list[Operation] = []
        self._lock = threading.RLock()
        self._numbers = 0
        self._folders = {"/", *image.folders}
        self._names: dict[str, _Node] = {}
        for path, content in image.files.items():
            self._names[path] = self._node(content)
        self._handles: dict[int, tuple[_Node, bool]] = {}
        self._next_handle = 3
        self._locks: dict[str, int] = {}

    def note(self, event: Any) -> None:
        """Put a test's own event into the log: what had been promised up to here."""
        with self._lock:
            self.log.append(Operation("note", note=event))

    def image(self) -> Image:
        """The current contents, as a process sees them (and as a killed process leaves them)."""
        with self._lock:
            return Image(
                frozenset(self._folders), {path: bytes(node.content) for path, node in self._names.items()}
            )

    def release_locks(self) -> None:
        """What the system does when a process is gone."""
        with self._lock:
            self._locks.clear()

    # --- Files -------------------------------------------------------------------------------------

    def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
        with self._lock:
            node = self._names.get(path)
            if node is None:
                if not create or os.path.dirname(path) not in self._folders:
                    raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
                node = self._names[path] = self._node()
                self.log.append(Operation("create", node.number, path))
            handle = self._next_handle
            self._next_handle += 1
            self._handles[handle] = (node, create or write)
            return handle

    def close(self, handle: int) -> None:
        with self._lock:
            del self._handles[handle]
            for path, held in list(self._locks.items()):
                if held == handle:
                    del self._locks[path]

    def read(self, handle: int, position: int, size: int) -> bytes:
        with self._lock:
            return bytes(self._handles[handle][0].content[position : position + size])

    def write(self, handle: int, position: int, chunks: Sequence[bytes | bytearray | memoryview]) -> int:
        data = b"".join(chunks)
        with self._lock:
            node = self._writable(handle)
            if data:
                _write(node.content, position, data)
                self.log.append(Operation("write", node.number, position=position, data=data))
        return len(data)

    def allocate(self, handle: int, size: int) -> None:
        with self._lock:
            node = self._writable(handle)
            if size > len(node.content):
                self._resize(node, size)

    def truncate(self, handle: int, size: int) -> None:
        with self._lock:
            node = self._writable(handle)
            if size != len(node.content):
                self._resize(node, size)

    def sync(self, handle: int) -> None:
        with self._lock:
            self.log.append(Operation("sync", self._handles[handle][0].number))

    def size(self, handle: int) -> int:
        with self._lock:
            return len(self._handles[handle][0].content)

    def exists(self, path: str) -> bool:
        with self._lock:
            return path in self._names or path in self._folders

    def names(self, folder: str) -> list[str]:
        with self._lock:
            inside = [*self._names, *self._folders]
            return sorted(
                os.path.basename(path) for path in inside if os.path.dirname(path) == folder != path
            )

    def make_folder(self, folder: str) -> None:
        with self._lock:
            while folder not in self._folders:
                self._folders.add(folder)
                # The real one syncs the parent before it goes on, so a folder is never in doubt.
                self.log.append(Operation("make_folder", path=folder))
                folder = os.path.dirname(folder)

    def sync_folder(self, folder: str) -> None:
        with self._lock:
            self.log.append(Operation("sync_folder", path=folder))

    def rename(self, source: str, target: str) -> None:
        assert os.path.dirname(source) == os.path.dirname(target)
        with self._lock:
            if source not in self._names:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", source)
            self._names[target] = self._names.pop(source)
            self.log.append(Operation("rename", path=source, target=target))

    def remove(self, path: str) -> None:
        with self._lock:
            if path not in self._names:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            del self._names[path]
            self.log.append(Operation("remove", path=path))

    def remove_folder(self, folder: str) -> None:
        with self._lock:
            if self.names(folder):
                raise OSError(errno.ENOTEMPTY, "Directory not empty", folder)
            self._folders.discard(folder)
            self.log.append(Operation("remove_folder", path=folder))

    def lock(self, path: str) -> int:
        with self._lock:
            if path in self._locks:
                raise StoreError(f"the data folder {os.path.dirname(path)} is in use by another process")
            handle = self._locks[path] = self.open(path, create=True)
            return handle

    def free_bytes(self, folder: str) -> int:
        return 1 << 40

    # --- helpers -----------------------------------------------------------------------------------

    def _node(self, content: bytes = b"") -> _Node:
        self._numbers += 1
        return _Node(self._numbers, content)

    def _writable(self, handle: int) -> _Node:
        node, writable = self._handles[handle]
        if not writable:
            raise OSError(errno.EBADF, "Bad file descriptor")
        return node

    def _resize(self, node: _Node, size: int) -> None:
        _resize(node.content, size)
        self.log.append(Operation("resize", node.number, position=size))


def _write(content: bytearray, position: int, data: bytes) -> None:
    if position > len(content):
        content.extend(bytes(position - len(content)))
    content[position : position + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


# --- what a crash may leave ------------------------------------------------------------------------------


class Medium:
    """What is certainly on the medium after some operations, and what is still under way.

    `apply` takes the operations of a log one by one; `images` gives states that a power cut right then may
    leave.
    """

    def __init__(self, start: Image) -> None:
        self.folders = {"/", *start.folders}
        self.names: dict[str, int] = {}
        self.contents: dict[int, bytes] = {}
        for number, (path, content) in enumerate(start.files.items(), 1):
            self.names[path] = number
            self.contents[number] = content
        self.data: dict[int, list[Operation]] = {}
        """Unsynced writes and size changes, by node."""
        self.entries: dict[str, list[Operation]] = {}
        """Unsynced creates, renames and removes, by folder."""

    def apply(self, operation: Operation) -> None:
        kind = operation.kind
        if kind in ("write", "resize"):
            self.data.setdefault(operation.node, []).append(operation)
        elif kind == "sync":
            done = self.data.pop(operation.node, [])
            self.contents[operation.node] = _with_all(self.contents.get(operation.node, b""), done)
        elif kind in ("create", "rename", "remove"):
            self.entries.setdefault(os.path.dirname(operation.path), []).append(operation)
        elif kind == "sync_folder":
            for entry in self.entries.pop(operation.path, []):
                _apply_entry(self.names, entry)
        elif kind == "make_folder":
            self.folders.add(operation.path)
        elif kind == "remove_folder":
            self.folders.discard(operation.path)

    @property
    def settled(self) -> bool:
        """Nothing is under way: there is only one state to be in."""
        return not self.data and not self.entries

    def images(self, chance: random.Random, count: int) -> Iterator[Image]:
        """All applied, none applied, last write torn at every kind of place, then random mixtures."""
        yield self._image(_keep_all, _with_all)
        if self.settled:
            return
        yield self._image(_keep_none, _with_none)
        yield self._image(_keep_all, _with_none)
        yield self._image(_keep_all, _grown_without_data)
        for _ in range(count):
            yield self._image(
                lambda entries: _keep_some(entries, chance), lambda old, done: _torn(old, done, chance)
            )

    def _image(
        self,
        keep: Callable[[list[Operation]], Iterable[Operation]],
        mix: Callable[[bytes, list[Operation]], bytes],
    ) -> Image:
        names = dict(self.names)
        for entries in self.entries.values():
            for entry in keep(entries):
                _apply_entry(names, entry)
        files = {}
        for path, number in names.items():
            content = self.contents.get(number, b"")
            done = self.data.get(number)
            files[path] = mix(content, done) if done else content
        return Image(frozenset(self.folders), files)


def crash_images(
    start: Image, log: Sequence[Operation], *, seed: int = 0, mixtures: int = 3
) -> Iterator[tuple[int, Image]]:
    """(operations done, image) for every moment of a log and several states that each may leave."""
    medium = Medium(start)
    chance = random.Random(seed)
    for image in medium.images(chance, mixtures):
        yield 0, image
    for done, operation in enumerate(log, 1):
        medium.apply(operation)
        if operation.kind != "note":
            for image in medium.images(chance, mixtures):
                yield done, image


def _apply_entry(names: dict[str, int], entry: Operation) -> None:
    if entry.kind == "create":
        names[entry.path] = entry.node
    elif entry.kind == "remove":
        names.pop(entry.path, None)
    elif entry.path in names:
        names[entry.target] = names.pop(entry.path)


def _keep_all(entries: list[Operation]) -> list[Operation]:
    return entries


def _keep_none(entries: list[Operation]) -> list[Operation]:
    return []


def _keep_some(entries: list[Operation], chance: random.Random) -> list[Operation]:
    """Up to some point, as a journaling file system does, or any of them, as POSIX allows."""
    if chance.random() < 0.5:
        return entries[: chance.randint(0, len(entries))]
    return [entry for entry in entries if chance.random() < 0.6]


def _with_all(old: bytes, done: list[Operation]) -> bytes:
    content = bytearray(old)
    for operation in done:
        if operation.kind == "write":
            _write(content, operation.position, operation.data)
        else:
            _resize(content, operation.position)
    return bytes(content)


def _with_none(old: bytes, done: list[Operation]) -> bytes:
    return old


def _grown_without_data(old: bytes, done: list[Operation]) -> bytes:
    """The size reached the medium, the data did not: the new part reads as zeros."""
    size = len(_with_all(old, done))
    return old[:size].ljust(size, b"\0")


def _torn(old: bytes, done: list[Operation], chance: random.Random) -> bytes:
    """Each operation done, dropped, or done in some of its sectors; dropped sectors keep what was there."""
    content = bytearray(old)
    style = chance.random()
    for number, operation in enumerate(done):
        last = number == len(done) - 1
        if style < 0.4:
            fate = "torn" if last else "done"
        else:
            fate = chance.choice(("done", "done", "dropped", "torn"))
        if fate == "dropped":
            continue
        if operation.kind == "resize":
            _resize(content, operation.position)
        elif fate == "done":
            _write(content, operation.position, operation.data)
        else:
            _write_sectors(content, operation.position, operation.data, chance)
    return bytes(content)


def _write_sectors(content: bytearray, position: int, data: bytes, chance: random.Random) -> None:
    ends = [*range(SECTOR - position % SECTOR, len(data), SECTOR), len(data)]
    prefix = chance.random() < 0.5
    stop = chance.randint(0, len(ends) - 1)
    first = 0
    for place, end in enumerate(ends):
        if place < stop if prefix else chance.random() < 0.5:
            _write(content, position + first, data[first:end])
        first = end
    if chance.random() < 0.3:
        # The size made it although the last sectors did not.
        content.extend(bytes(max(0, position + len(data) - len(content))))


# --- faults ----------------------------------------------------------------------------------------------

CHANGES = frozenset(
    (
        "open_to_write",
        "write",
        "allocate",
        "truncate",
        "make_folder",
        "rename",
        "remove",
        "remove_folder",
        "lock",
    )
)
"""Operations that a read-only file system refuses."""


class FaultyFiles:
    """Passes on to `inner`, except where a fault was set."""

    def __init__(self, inner: Files) -> None:
        self.inner = inner
        self._faults: dict[str, tuple[int, int, str]] = {}
        self._room: int | None = None

    def fail(self, operation: str, error: int, *, after: int = 0, path: str = "") -> None:
        """Let an operation fail with this errno once it was done `after` times more, and ever after.

        `operation` is the method's name; opening for writing is `open_to_write`. `path`: only where it
        occurs in the path, for operations that have one.
        """
        self._faults[operation] = (error, after, path)

    def disk_full_after(self, size: int) -> None:
        """Let writes fail with ENOSPC when this many more bytes were written; the last one falls short."""
        self._room = size

    def read_only(self) -> None:
        """Refuse every change with EROFS."""
        for operation in CHANGES:
            self.fail(operation, errno.EROFS)

    def heal(self) -> None:
        """Remove all faults."""
        self._faults.clear()
        self._room = None

    def _check(self, operation: str, path: str = "") -> None:
        fault = self._faults.get(operation)
        if fault is None or fault[2] not in path:
            return
        error, after, where = fault
        if after > 0:
            self._faults[operation] = (error, after - 1, where)
            return
        raise OSError(error, os.strerror(error), path or None)

    def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
        self._check("open_to_write" if create or write else "open", path)
        return self.inner.open(path, create=create, write=write)

    def close(self, handle: int) -> None:
        self.inner.close(handle)

    def read(self, handle: int, position: int, size: int) -> bytes:
        self._check("read")
        return self.inner.read(handle, position, size)

    def write(self, handle: int, position: int, chunks: Sequence[bytes | bytearray | memoryview]) -> int:
        self._check("write")
        if self._room is not None:
            size = sum(map(len, chunks))
            if size > self._room:
                self.inner.write(handle, position, [b"".join(chunks)[: self._room]])
                self._room = 0
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._room -= size
        return self.inner.write(handle, position, chunks)

    def allocate(self, handle: int, size: int) -> None:
        self._check("allocate")
        self.inner.allocate(handle, size)

    def truncate(self, handle: int, size: int) -> None:
        self._check("truncate")
        self.inner.truncate(handle, size)

    def sync(self, handle: int) -> None:
        self._check("sync")
        self.inner.sync(handle)

    def size(self, handle: int) -> int:
        return self.inner.size(handle)

    def exists(self, path: str) -> bool:
        return self.inner.exists(path)

    def names(self, folder: str) -> list[str]:
        return self.inner.names(folder)

    def make_folder(self, folder: str) -> None:
        if not self.inner.exists(folder):
            self._check("make_folder", folder)
        self.inner.make_folder(folder)

    def sync_folder(self, folder: str) -> None:
        self._check("sync_folder", folder)
        self.inner.sync_folder(folder)

    def rename(self, source: str, target: str) -> None:
        self._check("rename", target)
        self.inner.rename(source, target)

    def remove(self, path: str) -> None:
        self._check("remove", path)
        self.inner.remove(path)

    def remove_folder(self, folder: str) -> None:
        self._check("remove_folder", folder)
        self.inner.remove_folder(folder)

    def lock(self, path: str) -> int:
        self._check("lock", path)
        return self.inner.lock(path)

    def free_bytes(self, folder: str) -> int:
        return self._room if self._room is not None else self.inner.free_bytes(folder)
