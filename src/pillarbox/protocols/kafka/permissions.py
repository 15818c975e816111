"""Rights from the permissions of the broker's users (R92): the authorizer where ACLs are not wanted.

"configure" on a name is creating, altering and deleting it, "write" and "read" are what they say, and any of
them lets a client see the thing. What concerns the whole broker is for administrators.

Source: rows K73, R92.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.rights import (
    ADMINISTRATOR,
    ALTER_GROUP_CONFIGS,
    ALTER_TOPIC,
    ALTER_TOPIC_CONFIGS,
    CREATE_ANY_TOPIC,
    CREATE_TOPIC,
    DELETE_GROUP,
    DELETE_TOPIC,
    READ_GROUP,
    READ_TOPIC,
    SEE_GROUP,
    SEE_GROUP_CONFIGS,
    SEE_TOPIC,
    SEE_TOPIC_CONFIGS,
    SEE_TRANSACTION,
    WRITE_IDEMPOTENTLY,
    WRITE_TOPIC,
    WRITE_TRANSACTION,
    Right,
)

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal, Users

CONFIGURE, WRITE, READ = "configure", "write", "read"
ANY: Final = (READ, WRITE, CONFIGURE)

PERMISSIONS: Final[dict[Right, tuple[str, ...]]] = {
    READ_TOPIC: (READ,),
    WRITE_TOPIC: (WRITE,),
    CREATE_TOPIC: (CONFIGURE,),
    DELETE_TOPIC: (CONFIGURE,),
    ALTER_TOPIC: (CONFIGURE,),
    SEE_TOPIC: ANY,
    SEE_TOPIC_CONFIGS: ANY,
    ALTER_TOPIC_CONFIGS: (CONFIGURE,),
    READ_GROUP: (READ,),
    DELETE_GROUP: (READ,),
    SEE_GROUP: (READ,),
    SEE_GROUP_CONFIGS: (READ,),
    ALTER_GROUP_CONFIGS: (CONFIGURE,),
    WRITE_TRANSACTION: (WRITE,),
    SEE_TRANSACTION: (READ, WRITE),
    CREATE_ANY_TOPIC: (),
}
"""Which permissions on a name give a right, one of them. What is not named here is for administrators."""


class Permissions:
    """See the module; an `Authorizer`."""

    demands_entry = True

    def __init__(self, users: Users, vhost: str) -> None:
        self._users = users
        self._vhost = vhost

    def allows(self, principal: Principal, host: str, right: Right, name: str) -> bool:
        actions = PERMISSIONS.get(right)
        if actions is None:
            return right is WRITE_IDEMPOTENTLY or ADMINISTRATOR in principal.tags
        allows, vhost = self._users.allows, self._vhost
        return any(allows(principal, vhost, action, name) for action in actions)

    def allows_any(self, principal: Principal, host: str, right: Right) -> bool:
        return True  # What name a pattern fits nobody can say; the thing itself is asked for later.
