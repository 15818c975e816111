"""As whom a client acts that has not logged in, where its protocol allows that.

The user whom its TLS certificate names, or the one whom the configuration has for such clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pillarbox.config_values import NOBODY
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal, Users
    from pillarbox.broker.outside import Caller


class Stranger(Protocol):
    """A connection whose client has not said who it is."""

    loopback: bool
    certificate_user: str | None


def anonymous_user(configured: str) -> str:
    """The name as it is configured; the empty string if everybody has to log in."""
    return "" if configured == NOBODY else configured


def principal_of_stranger(
    users: Users,
    anonymous: str,
    loopback_users: tuple[str, ...],
    connection: Stranger,
    caller: Caller,
) -> Principal:
    """Who that is. Raises BrokerError if it may not act at all, and Undecided."""
    certified = connection.certificate_user
    name = certified or anonymous
    if not name:
        raise BrokerError(Reason.ACCESS_REFUSED, "it has not logged in")
    user = users.authenticate(name, None, caller)
    if user is None:
        whose = "of its certificate's name" if certified else "as whom clients act that do not log in"
        raise BrokerError(Reason.ACCESS_REFUSED, f"there is no user '{name}', {whose}")
    if name in loopback_users and not connection.loopback:
        raise BrokerError(Reason.ACCESS_REFUSED, f"user '{name}' can only connect from this machine")
    return user
