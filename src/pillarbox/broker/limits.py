"""Limits of a queue: how many messages and bytes may be ready in it, and what gives way beyond (R46, R47).

Only ready messages count, those that are held until they are ready again (R53), and dead ones that no queue
takes yet (R49); of a message its body does. With `drop-head` the oldest give way, with `reject-publish` and
`reject-publish-dlx` the newest, and others choose (`eviction`). Not here: when limits are looked at
(`Core.publish`, `Queue.trim`), where dropped messages go (`deadletter`).

Source: RabbitMQ 3.10 and 3.13, classic queues; what is said of `will_overflow` and `maybe_drop_head` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pillarbox.broker.eviction import Eviction
    from pillarbox.broker.queue import Queue

UNLIMITED = 1 << 62
"""What no queue ever holds, so that the check need not ask whether there is a limit."""

REJECT_PUBLISH = "reject-publish"
REJECT_PUBLISH_DLX = "reject-publish-dlx"


class Limits(msgspec.Struct, frozen=True):
    """How much may be ready, held until it is ready again, or dead and undelivered; see the module."""

    length: int = UNLIMITED
    body_bytes: int = UNLIMITED
    rejects: bool = False
    """New messages are refused; otherwise the oldest are dropped."""
    dead_letters_refused: bool = False
    """What is refused goes to the dead-letter exchange (and its publisher is told all the same)."""
    eviction: Eviction | None = None
    """Which give way, if not the oldest: see `eviction.equip`."""

    def have_room(self, queue: Queue, count: int, body_bytes: int) -> bool:
        """May so much be added?"""
        return (
            queue.ready_count + queue.delayed_count + queue.dead_count + count <= self.length
            and queue.ready_bytes + queue.delayed_bytes + queue.dead_bytes + body_bytes <= self.body_bytes
        )


def delivery_limit_of(arguments: Mapping[str, Any]) -> int | None:
    """How often a message may come back to a queue with these arguments (R52); None: it does not count.

    A quorum queue always counts. RabbitMQ 3.x takes any value and has no limit where it is none.
    """
    if arguments.get("x-queue-type") != "quorum":
        return None
    limit = arguments.get("x-delivery-limit")
    return int(limit) if isinstance(limit, int) and limit >= 0 else UNLIMITED


def limits_of(arguments: Mapping[str, Any]) -> Limits | None:
    """The limits that the arguments of a queue set; None if there are none."""
    length, body_bytes = arguments.get("x-max-length"), arguments.get("x-max-length-bytes")
    if length is None and body_bytes is None:
        return None
    overflow = arguments.get("x-overflow")
    if overflow == REJECT_PUBLISH_DLX and arguments.get("x-queue-type") == "quorum":
        # RabbitMQ's quorum queues do not have it and fall back to the default, which drops.
        overflow = None
    return Limits(
        UNLIMITED if length is None else int(length),
        UNLIMITED if body_bytes is None else int(body_bytes),
        overflow in (REJECT_PUBLISH, REJECT_PUBLISH_DLX),
        overflow == REJECT_PUBLISH_DLX,
    )
