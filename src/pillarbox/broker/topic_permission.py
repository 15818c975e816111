"""Topic permissions: which routing keys a user may publish to and bind on one topic exchange (R93).

They come after the permissions on names, and only for exchanges of the type topic. A user without a topic
permission for an exchange may use every key there.

Not here: when to ask (`session`). Source: RabbitMQ, "Topic Authorisation"; texts asked from 3.10.8. One
difference is meant: what stands for a variable counts literally, because clients choose some of them, and
one that calls itself `.*` must not get the rights of all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from pillarbox.errors import BrokerError, Reason


class TopicPermission(msgspec.Struct, frozen=True):
    """Patterns of routing keys that a user may publish (write) and bind (read) on one exchange.

    `{username}`, `{vhost}` and whatever else the session knows (`{client_id}`) are put in first.
    """

    user: str
    vhost: str
    exchange: str
    write: str
    read: str

    def allows(self, action: str, key: str, variables: Mapping[str, str]) -> bool:
        """May somebody for whom the variables stand do `action` ("write", "read") with this key?"""
        pattern: str = getattr(self, action) or "^$"
        for name, value in variables.items():
            pattern = pattern.replace(f"{{{name}}}", re.escape(value))
        try:
            return re.search(pattern, key) is not None
        except re.error:
            return False


class TopicPermissions:
    """All topic permissions. `by_user` is empty where nobody has one."""

    def __init__(self) -> None:
        self.by_user: dict[tuple[str, str], dict[str, TopicPermission]] = {}
        """(user, virtual host) → exchange → permission."""

    def put(self, permission: TopicPermission) -> None:
        own = self.by_user.setdefault((permission.user, permission.vhost), {})
        own[permission.exchange] = permission

    def remove(self, user: str, vhost: str, exchange: str | None) -> list[TopicPermission]:
        """Remove the permission for one exchange, or (None) all of this user here; return what was there."""
        own = self.by_user.get((user, vhost), {})
        names = [exchange] if exchange is not None else list(own)
        removed = [own.pop(name) for name in names if name in own]
        if not own:
            self.by_user.pop((user, vhost), None)
        return removed

    def demand(
        self, user: str, vhost: str, exchange: str, action: str, key: str, variables: Mapping[str, str]
    ) -> None:
        """Raise BrokerError(ACCESS_REFUSED) unless the user may do this with this key."""
        own = self.by_user.get((user, vhost))
        permission = own and own.get(exchange)
        if permission and not permission.allows(action, key, {"username": user, "vhost": vhost, **variables}):
            raise topic_refused(user, vhost, exchange, key)


def topic_refused(user: str, vhost: str, exchange: str, key: str) -> BrokerError:
    """The refusal of a routing key."""
    where = f"exchange '{exchange}' in vhost '{vhost}'"
    text = f"access to topic '{key}' in {where} refused for user '{user}'"
    return BrokerError(Reason.ACCESS_REFUSED, text)
