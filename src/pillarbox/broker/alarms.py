"""Alarms: what the machine runs short of. While there is any, publishers are held up; consumers go on.

Who measures stands outside (see `ops.resources`); who is held up, and how it is told, is for heads to see
to (`Outlet`). Not here: back-pressure that clients are not told of, because it is soon over (`Core.held`).

Source: RabbitMQ, "Memory and Disk Alarms", "Blocked Connection Notification" (R11, R73); the words for two
alarms at once are those of 3.10.8.
"""

from __future__ import annotations

DISK, MEMORY = "disk", "memory"
"""Resources, in RabbitMQ's words and in the order in which they are named."""


class Alarms:
    """The resources that are short now."""

    def __init__(self) -> None:
        self._short: set[str] = set()

    def __repr__(self) -> str:
        return f"<Alarms {self.reason}>"

    def __contains__(self, resource: str) -> bool:
        return resource in self._short

    def set(self, resource: str, short: bool) -> bool:
        """Note that a resource is short, or is not any more; return whether that is news."""
        if short == (resource in self._short):
            return False
        (self._short.add if short else self._short.discard)(resource)
        return True

    @property
    def reason(self) -> str | None:
        """Why publishers are held up, as clients are told; None while they are not."""
        short = [resource for resource in (DISK, MEMORY) if resource in self._short]
        return f"low on {' & '.join(short)}" if short else None
