"""Memory and disk: how much there is, how much is used, and the alarms when they run short (R73).

`Watch` looks once a second, and sooner when messages in memory grow fast. The memory alarm is the last line:
the budget for messages (`Config.memory_budget`) moves them to the disk long before, where there is a disk.
It rings when the process takes more than the watermark and ends below 95 % of it. Not here: who is held up
(`app`), what is told to clients (heads).

A process gives little of its memory back when messages go: what was freed is taken for the next ones. Room of
that kind is no shortage, so an alarm ends when enough messages have gone, whatever the system says the
process has (see `MemoryGauge`); else a drained broker could hold its publishers up for ever.

Source: RabbitMQ, "Memory and Disk Alarms"; cgroups(7) and the kernel's documents on both versions of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pillarbox.broker.alarms import DISK, MEMORY

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes

LOOK_MS = 1000
"""How often to look. RabbitMQ looks at memory every 2.5 seconds, at the disk every 10 or sooner."""

ROOM_MS = 30_000
"""How often the disk is asked to give back what is settled, while it is short."""

LOOK_BYTES_MIN = 4 << 20
"""Growth of messages in memory after which it is worth looking before the second is over."""

CALM = 0.95
"""The share of the watermark below which the memory alarm ends: it shall not flutter."""

SHARE_MAX = 1
"""A watermark up to this is a share of the memory, a larger one a size in bytes."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def machine_bytes() -> int:
    """The memory that this process may have: the machine's, or less where its control group has less."""
    limits = [os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES, *_group_limits(Path("/proc/self/cgroup"))]
    return min(limits)


def _group_limits(listing: Path, root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """The limits of this process's control group and of those around it, in either version."""
    try:
        lines = listing.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be the host's: then only the top is there, and is the container's own.
        folder = top / path.lstrip("/")
        for each in (folder, *folder.parents):
            limit = _read_number(each / name)
            if limit is not None:
                yield limit
            if each == top:
                break


def _read_number(file: Path) -> int | None:
    """The number in a file; None if there is none, such as in `max`."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def process_bytes() -> int:
    """The memory that this process takes now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def watermark_bytes(watermark: float, available: int) -> int:
    """The bytes that a watermark stands for: a share of what is available, or a size."""
    return int(watermark * available if watermark <= SHARE_MAX else watermark)


class MemoryGauge:
    """How much memory is used: what the process has, without what it has kept for the next messages.

    Of what it has, some is held by messages, which are counted; while it grows, all the rest is something
    else. When messages go and the process stays as large, that rest is still known from then.
    """

    def __init__(self, process: Callable[[], int]) -> None:
        self._process = process
        self._peak = 0
        self._rest = 0

    def used(self, counted: int) -> int:
        """Bytes used, of which so many are counted."""
        process = self._process()
        if process > self._peak or process < self._rest + counted:
            self._peak = process
            self._rest = max(0, process - counted)
        return self._rest + counted


class Alarmed(Protocol):
    """The core, as the watch sees it."""

    changes: Changes
    memory_budget: int

    def set_alarm(self, resource: str, short: bool) -> bool: ...

    def relieve(self, resident_max: int) -> None: ...

    def make_room(self) -> None: ...

    def warn(self, sentence: str) -> None: ...


class Watch:
    """Looks after memory and, where there is a data folder, after its disk; see the module.

    `memory_max` is the watermark in bytes, `disk_free_min` the least to be free; `limit_memory` and
    `limit_disk` change them.
    """

    def __init__(
        self,
        core: Alarmed,
        *,
        memory_max: int,
        process: Callable[[], int],
        folder: str | None,
        disk_free_min: int,
    ) -> None:
        self._core = core
        self._gauge = MemoryGauge(process)
        self._folder = folder
        self._process = process
        self._budget = core.memory_budget
        self.disk_free_min = disk_free_min
        self._is_short = False
        self.memory_used = 0
        self.disk_free = 0
        """As they were when it looked last."""
        self.next_ms = 0
        """When to look again."""
        self._disk_answers = True
        """It said how much is free when it was asked last."""
        self._room_ms = 0
        """When to make room on the disk again, if it is short."""
        self.next_bytes = 0
        """Or as soon as messages in memory are counted to more than this."""
        self.memory_max = 0
        self.limit_memory(memory_max)

    def __repr__(self) -> str:
        return f"<Watch memory={self.memory_used}/{self.memory_max} disk_free={self.disk_free}>"

    def limit_memory(self, memory_max: int) -> None:
        """Set the watermark; it counts from the next look on.

        The budget comes before the alarm, also on a small machine: half of what there is may be messages.
        """
        self.memory_max = memory_max
        room = memory_max - self._process()
        self._core.memory_budget = min(self._budget, max(0, room) // 2)
        self.next_ms = 0

    def limit_disk(self, disk_free_min: int) -> None:
        """Set how much is to be free; it counts from the next look on."""
        self.disk_free_min = disk_free_min
        self.next_ms = 0

    def look(self, now_ms: int) -> None:
        """Measure, and set the alarms or end them. Cost: a few system calls."""
        self.next_ms = now_ms + LOOK_MS
        if self._folder is not None:
            self._look_at_disk(self._folder, now_ms)
        self._look_at_memory()

    def _look_at_disk(self, folder: str, now_ms: int) -> None:
        try:
            system = os.statvfs(folder)
        except OSError as error:
            if self._disk_answers:
                self._disk_answers = False
                self._core.warn(f"how much is free on the disk of {folder} is not known: {error.strerror}")
            return
        self._disk_answers = True
        free = self.disk_free = system.f_bavail * system.f_frsize
        short = free < self.disk_free_min
        if self._core.set_alarm(DISK, short):
            self._say(DISK, short, f"{free} bytes are free on the disk of {folder}", self.disk_free_min)
        if short and now_ms >= self._room_ms:
            # Consumers append little, so no checkpoint may be due for long, and the alarm would never end.
            self._room_ms = now_ms + ROOM_MS
            self._core.make_room()

    def _look_at_memory(self) -> None:
        core = self._core
        counted = core.changes.resident_bytes
        limit = self.memory_max
        used = self.memory_used = self._gauge.used(counted)
        calm = int(limit * CALM)
        short = used >= limit if not self._is_short else used >= calm
        if core.set_alarm(MEMORY, short):
            self._say(MEMORY, short, f"{used} bytes of memory are used", limit)
        self._is_short = short
        if short:
            # Whatever rests on the disk as well can go. It ends there, if that is not enough.
            core.relieve(max(0, counted - (used - calm) - 1))
        elif counted > core.memory_budget:
            core.relieve(core.memory_budget)
        ahead = (limit - used) // 2
        if counted > core.memory_budget:
            # What is read from the disk in one queue has to go in others.
            ahead = min(ahead, core.memory_budget // 4)
        self.next_bytes = counted + max(ahead, LOOK_BYTES_MIN)

    def _say(self, resource: str, short: bool, found: str, limit: int) -> None:
        news, then = ("set", "are held up") if short else ("cleared", "go on")
        self._core.warn(f"{resource} alarm {news}: {found}, the limit is {limit}; publishers {then}")
