"""Segments open for reading: an LRU of handles, shared by the threads that load and copy.

A read may run in any thread. A segment that is dropped while it is being read is closed when that read is
done. Not here: when a segment may be removed (the engine counts the loads that still need it).
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from pillarbox.store.files import Files, StoreError
from pillarbox.store.folder import BACKLOG, JOURNAL, segment_path

HANDLES_MAX = 64
"""Open segments kept: enough for the segments that are being drained at a time, far below any ulimit."""


class _Open:
    __slots__ = ("doomed", "handle", "users")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.users = 0
        self.doomed = False


class Readers:
    """Reads from segments by id."""

    def __init__(self, files: Files, folder: str) -> None:
        self._files = files
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _Open] = OrderedDict()

    def read(self, segment: int, position: int, size: int) -> bytes:
        """Exactly `size` bytes of a segment; OSError or StoreError if they are not there."""
        opened = self._acquire(segment)
        try:
            data = self._files.read(opened.handle, position, size)
        finally:
            self._release(opened)
        if len(data) != size:
            raise StoreError(f"segment {segment} ends before byte {position + size}")
        return data

    def drop(self, segment: int) -> None:
        """Forget a segment that is going to be removed."""
        with self._lock:
            opened = self._open.pop(segment, None)
            if opened is not None:
                self._close_or_doom(opened)

    def close(self) -> None:
        with self._lock:
            for opened in self._open.values():
                self._close_or_doom(opened)
            self._open.clear()

    def _acquire(self, segment: int) -> _Open:
        with self._lock:
            opened = self._open.get(segment)
            if opened is None:
                opened = self._open[segment] = _Open(self._open_file(segment))
                if len(self._open) > HANDLES_MAX:
                    self._close_or_doom(self._open.popitem(last=False)[1])
            else:
                self._open.move_to_end(segment)
            opened.users += 1
            return opened

    def _release(self, opened: _Open) -> None:
        with self._lock:
            opened.users -= 1
            if opened.doomed and not opened.users:
                self._files.close(opened.handle)

    def _close_or_doom(self, opened: _Open) -> None:
        if opened.users:
            opened.doomed = True
        else:
            self._files.close(opened.handle)

    def _open_file(self, segment: int) -> int:
        for kind in (BACKLOG, JOURNAL):
            try:
                return self._files.open(segment_path(self._folder, kind, segment))
            except FileNotFoundError:
                continue
        raise StoreError(f"segment {segment} is missing")
