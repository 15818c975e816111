"""What a client may do, in Kafka's words: from the permissions of its user (R92) to operations on a resource.

"configure" on a name is creating, altering and deleting it, "write" and "read" are what they say, and any of
them lets a client see the thing. What concerns the whole broker is for administrators. Not here: rules that
Kafka's own ACLs make.

Source: Kafka's "Authorization and ACLs", operations and resources; rows K73, R92.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.errors import ErrorCode, Refused

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.call import Call

ADMINISTRATOR: Final = "administrator"
CONFIGURE, WRITE, READ = ACTIONS = ("configure", "write", "read")

UNASKED: Final = -(1 << 31)
"""Stands for the operations where nobody has asked for them."""


class Operation(IntEnum):
    """What can be done to a resource, as Kafka numbers it."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12


_SEEING: Final = (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS)

TOPIC_OPERATIONS: Final = {
    CONFIGURE: (*_SEEING, Operation.CREATE, Operation.DELETE, Operation.ALTER, Operation.ALTER_CONFIGS),
    WRITE: (*_SEEING, Operation.WRITE),
    READ: (*_SEEING, Operation.READ),
}
"""Operations on a topic that come with a permission on its name."""

CLUSTER_OPERATIONS: Final = (
    *_SEEING,
    Operation.CREATE,
    Operation.ALTER,
    Operation.CLUSTER_ACTION,
    Operation.ALTER_CONFIGS,
    Operation.IDEMPOTENT_WRITE,
)
"""An administrator's on the cluster; anybody else may write idempotently."""


def is_administrator(call: Call) -> bool:
    return ADMINISTRATOR in call.principal.tags


def may_see(call: Call, name: str) -> bool:
    """May the client know that there is a topic of this name?"""
    return any(call.allows(action, name) for action in (READ, WRITE, CONFIGURE))


def topic_operations(call: Call, name: str) -> int:
    """What the client may do to a topic, a bit for each operation."""
    return _bits(_permitted(call, name, TOPIC_OPERATIONS))


def cluster_operations(call: Call) -> int:
    """What the client may do to the cluster, a bit for each operation."""
    return _bits(CLUSTER_OPERATIONS if is_administrator(call) else (Operation.IDEMPOTENT_WRITE,))


def _permitted(call: Call, name: str, by_action: Mapping[str, tuple[Operation, ...]]) -> Iterator[Operation]:
    for action, operations in by_action.items():
        if call.allows(action, name):
            yield from operations


def _bits(operations: Iterable[Operation]) -> int:
    bits = 0
    for operation in operations:
        bits |= 1 << operation
    return bits


GROUP_OPERATIONS: Final = _bits((*_SEEING, Operation.READ, Operation.DELETE, Operation.ALTER_CONFIGS))
"""Who may read a group may do all of it."""


def demand_administrator(call: Call) -> None:
    """Raise Refused (CLUSTER_AUTHORIZATION_FAILED) for anybody else."""
    if not is_administrator(call):
        raise Refused(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "Cluster authorization failed.")
