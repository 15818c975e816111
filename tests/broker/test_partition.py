"""What a partition makes of a log's answers."""

from __future__ import annotations

from typing import Any

import pytest

from pillarbox.broker.counters import LogCounters
from pillarbox.broker.fence import Fence
from pillarbox.broker.partition import Partition
from pillarbox.engine.logs import LogOptions, OffsetOutOfRange


class Log:
    """Answers nothing by itself."""

    options = LogOptions()

    def read(self, *arguments: Any, **more: Any) -> None:
        return None


class Streams:
    """What a partition asks of them."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.ticket = 0
        self.traffic = LogCounters()
        self.reports: list[Exception] = []
        self.fence = Fence(self.reports.append)

    def open_log(self, uid: int, options: LogOptions, listener: Partition) -> Log:
        return Log()

    def take_ticket(self) -> int:
        self.ticket += 1
        return self.ticket

    def failed(self, reason: str) -> None:
        self.failures.append(reason)


@pytest.mark.parametrize(
    ("deleted", "error", "fails"),
    [
        (False, FileNotFoundError("gone"), True),
        (False, OffsetOutOfRange(1, 2, 3), False),
        (True, FileNotFoundError("gone"), False),
    ],
)
def test_only_what_the_disk_refuses_of_a_stream_that_is_there_ends_all_storing(
    deleted: bool, error: Exception, fails: bool
) -> None:
    streams = Streams()
    partition = Partition(streams, 1, "s", LogOptions(), lambda ticket: None)  # type: ignore[arg-type]
    heard: list[Exception] = []
    partition.read(0, 100, lambda found: None, heard.append)
    if deleted:
        partition.close()
    partition.load_failed(1, error)
    assert heard == [error]
    assert bool(streams.failures) is fails


def test_watchers_behind_one_that_fails_are_called() -> None:
    """It is not called again: its client waits until it asks anew."""
    streams = Streams()
    partition = Partition(streams, 1, "s", LogOptions(), lambda ticket: None)  # type: ignore[arg-type]
    called: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError("by mistake")

    partition.watchers |= {fail: None, lambda: called.append(1): None}
    partition.written(1)
    partition.written(2)
    assert called == [1, 1]
    assert [repr(error) for error in streams.reports] == ["ZeroDivisionError('by mistake')"]
