"""Quotas: how many connections, queues and channels a virtual host or a user may have (R15).

Whoever opens something asks first; only where there is a limit is anything counted. A limit below 0 is none,
as in RabbitMQ. What exceeds a new limit already stays.

Source: RabbitMQ, "Virtual Host Limits" and "Per-user limits"; texts measured on 3.10.8, that of the node's
limit from 3.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.arguments import spelled
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.broker.vhost import VHost

VHOST, USER = "vhost_limits", "user_limits"
"""What limits are for, and the kinds of their definitions."""
KEYS = {VHOST: ("max-connections", "max-queues"), USER: ("max-connections", "max-channels")}


class Limits(msgspec.Struct, frozen=True):
    """The limits of one virtual host or user, as they are kept."""

    owner: str
    values: dict[str, int]


class Quotas:
    """All limits of one broker; see the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_owner: dict[tuple[str, str], dict[str, int]] = {}

    def __repr__(self) -> str:
        return f"<Quotas {self._by_owner}>"

    # --- what operators say --------------------------------------------------------------------------

    def of(self, kind: str, owner: str) -> dict[str, int]:
        """The limits of this virtual host or user, those below 0 included."""
        return dict(self._by_owner.get((kind, owner), {}))

    def put(self, kind: str, owner: str, values: dict[str, Any]) -> None:
        """Give a virtual host or user these limits in place of those it has; an empty dict: none.

        Raises PRECONDITION_FAILED for an unknown limit, or one that is no integer.
        """
        unknown = [
            f'{{<<"{key}">>,{spelled(each)}}}' for key, each in values.items() if key not in KEYS[kind]
        ]
        if unknown:
            raise _invalid(f"Unrecognised terms [{','.join(unknown)}] in limits")
        for key, each in values.items():
            if not isinstance(each, int) or isinstance(each, bool):
                raise _invalid(f"{key} should be a number, actually was {spelled(each)}")
        if values:
            self._core.demand_storage()
            self._by_owner[kind, owner] = dict(values)
            self._core.define(kind, owner, Limits(owner, dict(values)))
        else:
            self.forget(kind, owner)

    def forget(self, kind: str, owner: str, *, told: bool = True) -> None:
        """Remove all limits of a virtual host or user."""
        if self._by_owner.pop((kind, owner), None) is not None:
            self._core.undefine(kind, owner, told=told)

    def restore(self, kind: str, limits: Limits) -> None:
        self._by_owner[kind, limits.owner] = limits.values

    # --- what they are asked -------------------------------------------------------------------------

    def demand_place(self, limit: int) -> None:
        """Refuse one connection more than the whole broker may have (NOT_ALLOWED); 0: any number."""
        if 0 < limit <= len(self._core.sessions):
            text = f"connection refused: node connection limit ({limit}) is reached"
            self._core.warn(text)
            raise BrokerError(Reason.NOT_ALLOWED, text)

    def demand_connection(self, user: Principal, vhost: str) -> None:
        """Refuse one connection too many (NOT_ALLOWED)."""
        sessions = self._core.sessions
        limit = self._limit(VHOST, vhost, "max-connections")
        if limit is not None and sum(one.vhost.name == vhost for one in sessions) >= limit:
            refused = f"access to vhost '{vhost}' refused for user '{user.name}'"
            text = f"{refused}: connection limit ({limit}) is reached"
            raise BrokerError(Reason.NOT_ALLOWED, text)
        limit = self._limit(USER, user.name, "max-connections")
        if limit is not None and sum(one.user.name == user.name for one in sessions) >= limit:
            text = f"connection refused for user '{user.name}': user connection limit ({limit}) is reached"
            raise BrokerError(Reason.NOT_ALLOWED, text)

    def demand_queue(self, vhost: VHost, name: str) -> None:
        """Refuse one queue too many (PRECONDITION_FAILED)."""
        limit = self._limit(VHOST, vhost.name, "max-queues")
        if limit is not None and len(vhost.queues) >= limit:
            text = f"cannot declare queue '{name}': queue limit in vhost '{vhost.name}' ({limit}) is reached"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)

    def demand_channel(self, user: Principal) -> None:
        """Refuse one channel too many (NOT_ALLOWED)."""
        limit = self._limit(USER, user.name, "max-channels")
        if limit is None:
            return
        count = sum(one.outlet.channel_count for one in self._core.sessions if one.user.name == user.name)
        if count >= limit:
            text = (
                f"number of channels opened for user '{user.name}' has reached the maximum allowed "
                f"user limit of ({limit})"
            )
            raise BrokerError(Reason.NOT_ALLOWED, text)

    def _limit(self, kind: str, owner: str, key: str) -> int | None:
        limit = self._by_owner.get((kind, owner), {}).get(key, -1)
        return None if limit < 0 else limit


def _invalid(problem: str) -> BrokerError:
    return BrokerError(Reason.PRECONDITION_FAILED, f"Validation failed\n\n{problem}\n")
