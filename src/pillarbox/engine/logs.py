"""The engine's partition logs: one folder for each, by uid, and the strands that all of them share.

Purpose: open, close and remove logs; let their works run where the engine's other works run. Not here: what a
log does (`store.log`), and what records mean: `broker.stream` for stream queues.

Invariants: a log's folder is named by its uid, which is never used again, so a folder that nobody asks for
after a start belongs to nobody and is removed. A removed log lets its works in flight end first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Literal

from pillarbox.store.log_base import NOT_FOUND, Appended, LogListener, LogOptions, OffsetOutOfRange, Strands

if TYPE_CHECKING:
    from pillarbox.engine.schedulers import Scheduler
    from pillarbox.store.files import Files
    from pillarbox.store.log import PartitionLog
    from pillarbox.store.producers import Aborted
    from pillarbox.store.segment import Buffer, Slice
    from pillarbox.store.strand import Strand
    from pillarbox.store.tail import TailBudget

__all__ = [
    "NOT_FOUND",
    "Aborted",
    "Appended",
    "Buffer",
    "LogListener",
    "LogOptions",
    "Logs",
    "OffsetOutOfRange",
    "PartitionLog",
    "Slice",
]

LOGS = "logs"
"""The folder of logs within the data folder."""

TAIL_BYTES = 16 << 20
"""Memory for what was written last, for all logs together: readers at the end need no disk."""

_log = logging.getLogger("pillarbox.engine")


class Logs:
    """See the module. Nothing is touched, imported or begun before the first log is opened."""

    def __init__(
        self, files: Files, folder: str, scheduler: Scheduler, *, sync: bool, tail_bytes: int = TAIL_BYTES
    ) -> None:
        self._files = files
        self._folder = os.path.join(folder, LOGS)
        self._scheduler = scheduler
        self.durability: Literal["fsync", "os"] = "fsync" if sync else "os"
        self._tail_bytes = tail_bytes
        self._budget: TailBudget | None = None
        self._strands: Strands | None = None
        self._flushing = False
        self._open: dict[int, PartitionLog] = {}
        self._leaving: dict[int, PartitionLog] = {}
        """Removed, and waiting for their works to end."""

    def __repr__(self) -> str:
        return f"<Logs {self._folder} open={len(self._open)}>"

    def open_log(self, uid: int, options: LogOptions, listener: LogListener, *, now_ms: int) -> PartitionLog:
        """Open the log with this uid, or begin it. Blocks for a few file operations where it has records,
        more after a crash."""
        from pillarbox.store.log import PartitionLog
        from pillarbox.store.tail import TailBudget

        if self._strands is None or self._budget is None:
            self._strands = Strands(self._strand(), self._strand(), self._strand())
            self._budget = TailBudget(self._tail_bytes)
        log = PartitionLog.open(
            self._files,
            self._path(uid),
            options,
            listener,
            self._strands,
            self._budget,
            now_ms=now_ms,
            clean=self.durability == "fsync",
        )
        for warning in log.warnings:
            _log.warning("%s", warning)
        self._open[uid] = log
        return log

    def remove(self, uid: int) -> None:
        """Close a log and remove its files, as soon as its works have ended."""
        log = self._open.pop(uid, None)
        if log is not None:
            log.stop_compacting()
            self._leaving[uid] = log
            self._let_go()

    def keep_only(self, uids: Container[int]) -> None:
        """Remove the folders of all other logs: what was deleted just before a crash."""
        for name in self._files.names(self._folder):
            if name.isdecimal() and int(name) not in uids:
                self._remove_folder(os.path.join(self._folder, name))

    def close(self) -> None:
        """Write, sync and close all logs. Blocks."""
        logs = list(self._open.values())
        if self._strands is not None:
            for log in logs:
                log.stop_compacting()
            self._flush()
            self._scheduler.run_until(lambda: not any(log.busy for log in (*logs, *self._leaving.values())))
            self._let_go()
            for log in logs:
                log.close()
            for strand in self._strands:
                strand.stop()
        self._open.clear()

    # --- works -------------------------------------------------------------------------------------

    def _strand(self) -> Strand:
        from pillarbox.store.strand import Strand

        return Strand(self._scheduler.worker, self._post, self._wake)

    def _post(self, callback: Callable[[], None]) -> None:
        self._scheduler.call_soon(callback)
        if self._leaving:
            self._scheduler.call_soon(self._let_go)

    def _wake(self) -> None:
        """A work was submitted: have it prepared when the tick at hand is over."""
        if not self._flushing:
            self._flushing = True
            self._scheduler.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        for strand in self._strands or ():
            strand.flush()

    # --- removing ----------------------------------------------------------------------------------

    def _path(self, uid: int) -> str:
        return os.path.join(self._folder, str(uid))

    def _let_go(self) -> None:
        for uid, log in list(self._leaving.items()):
            if not log.busy:
                del self._leaving[uid]
                log.abandon()
                self._remove_folder(self._path(uid))

    def _remove_folder(self, folder: str) -> None:
        if not self._files.exists(folder):
            return
        try:
            for name in self._files.names(folder):
                self._files.remove(os.path.join(folder, name))
            self._files.remove_folder(folder)
        except OSError as error:
            # The next start tries again.
            _log.warning("cannot remove the folder %s: %s", folder, error.strerror or error)
