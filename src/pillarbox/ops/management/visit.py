"""A user's visit to a virtual host for the time of one request: permissions are those of any client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.broker.session import Session
    from pillarbox.ops.management.request import Request


class _Door:
    """The way out of a visitor, which gets nothing."""

    writable = False
    channel_count = 0

    def blocked(self, reason: str) -> None:
        pass

    def unblocked(self) -> None:
        pass

    def shut_down(self, text: str) -> None:
        pass


@contextmanager
def visit(request: Request) -> Iterator[Session]:
    """A session in the virtual host of the path; what is exclusive to it goes with it."""
    session = request.core.open_session(request.user, request.vhost.name, _Door())
    try:
        yield session
    finally:
        session.close()
