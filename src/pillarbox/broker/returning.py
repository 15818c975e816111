"""Returning: the deliveries of receivers that have gone go back to their queues, if they are many in parts.

A receiver may leave hundreds of thousands behind; to put all of them back at once would hold up everybody
else. Until the last one is back their queues hand nothing out, so that the order is kept: what was out comes
before what is ready. Whoever counts messages may see some of them as unacknowledged until then; who has to
tell a peer that everything is back waits (`Chores.when_done`).

Source: RabbitMQ puts them back in the queue's own process, one queue at a time. Invariant: a queue is held
exactly while something of it is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.broker.chores import Chores, Parts
    from pillarbox.broker.ledger import Ledger
    from pillarbox.broker.queue import Queue

ENTRIES_AT_ONCE = 400
"""Entries of ledgers that are answered in one part: about a millisecond's work."""


def give_back(chores: Chores, ledger: Ledger) -> None:
    """Release everything that is out of a ledger which nobody uses any more."""
    if ledger.busy:
        # What was answered before comes first.
        chores.add(holding(ledger.queues(), _returns(ledger)))
    elif ledger.release_first(ENTRIES_AT_ONCE):
        chores.add(holding(ledger.queues(), _returns(ledger)))


def _returns(ledger: Ledger) -> Parts:
    while ledger.release_first(ENTRIES_AT_ONCE):
        yield


def holding(queues: Sequence[Queue], parts: Parts) -> Parts:
    """The same parts, while these queues (from now on) hand nothing out."""
    for queue in queues:
        queue.hold()

    def all_parts() -> Parts:
        yield from parts
        for queue in queues:
            queue.go_on()

    return all_parts()
