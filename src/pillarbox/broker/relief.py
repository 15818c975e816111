"""Relief: messages that the disk holds as well leave the memory, whichever queue they are in.

What consumers have and have not answered goes before what waits: it is needed again only if it comes back.
A queue that takes messages while memory is short, or reads them from the disk, sees to its own
(`Queue.unload`). What others have had in memory since before goes here: in steps, since there may be
millions. Not here: when memory is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pillarbox.broker.lane import READ_AHEAD_BYTES, READ_AHEAD_MESSAGES

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.queue import Queue


def relieve(queues: Iterable[Queue], changes: Changes, resident_max: int) -> Iterator[int]:
    """Let go of messages of these queues, the last to be delivered first, until so many bytes are in memory.

    Yields after each step about how many messages it cost; queues may change between the steps.
    """
    for queue in queues:
        yield 1
        if not queue.deleted:
            yield from _relieve_queue(queue, changes, resident_max)
        if changes.resident_bytes <= resident_max:
            return


def _relieve_queue(queue: Queue, changes: Changes, resident_max: int) -> Iterator[int]:
    for lane in queue.lanes:
        if lane.outstanding:
            yield lane.give_up(resident_max)
    if changes.resident_bytes <= resident_max:
        return
    # Near consumers some are kept.
    count, size = queue.ready_count, queue.ready_bytes
    for lane in reversed(tuple(queue.lanes)):
        for run in reversed((*lane.passed, *lane.ready)):
            if queue.consumers and count < READ_AHEAD_MESSAGES and size < READ_AHEAD_BYTES:
                return
            count -= len(run.sequences)
            size -= run.body_bytes
            if lane.may_unload(run):
                lane.unload(run)
                yield len(run.sequences)
            if changes.resident_bytes <= resident_max:
                return
