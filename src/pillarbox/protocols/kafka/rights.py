"""What can be done to what, in Kafka's words, and who says whether a client may: the head's `Authorizer`.

A right is an operation on a kind of resource. Whether a client has it on the resource of a name is said by
the authorizer that the operator has chosen: `permissions` (of the broker's users, R92) or `acls` (Kafka's
own). A handler says `call.allows(READ_TOPIC, name)` and knows neither.

Source: Kafka's "Authorization and ACLs", operations and resources; KIP-430 (bits); row K73.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from pillarbox.protocols.kafka.errors import ErrorCode

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.protocols.kafka.call import Call

ADMINISTRATOR: Final = "administrator"
"""The tag of users who may do everything to the cluster."""

CLUSTER_NAME: Final = "kafka-cluster"
"""The name of the one resource of the kind cluster."""

UNASKED: Final = -(1 << 31)
"""Stands for the operations where nobody has asked for them."""


class Resource(IntEnum):
    """What has names that rights are about, as Kafka numbers it."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class Operation(IntEnum):
    """What can be done to a resource, as Kafka numbers it."""

    ALL = 2
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
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


class Right(msgspec.Struct, frozen=True, eq=False):
    """An operation on a kind of resource."""

    resource: Resource
    operation: Operation


READ_TOPIC: Final = Right(Resource.TOPIC, Operation.READ)
WRITE_TOPIC: Final = Right(Resource.TOPIC, Operation.WRITE)
CREATE_TOPIC: Final = Right(Resource.TOPIC, Operation.CREATE)
DELETE_TOPIC: Final = Right(Resource.TOPIC, Operation.DELETE)
ALTER_TOPIC: Final = Right(Resource.TOPIC, Operation.ALTER)
SEE_TOPIC: Final = Right(Resource.TOPIC, Operation.DESCRIBE)
SEE_TOPIC_CONFIGS: Final = Right(Resource.TOPIC, Operation.DESCRIBE_CONFIGS)
ALTER_TOPIC_CONFIGS: Final = Right(Resource.TOPIC, Operation.ALTER_CONFIGS)

READ_GROUP: Final = Right(Resource.GROUP, Operation.READ)
DELETE_GROUP: Final = Right(Resource.GROUP, Operation.DELETE)
SEE_GROUP: Final = Right(Resource.GROUP, Operation.DESCRIBE)
SEE_GROUP_CONFIGS: Final = Right(Resource.GROUP, Operation.DESCRIBE_CONFIGS)
ALTER_GROUP_CONFIGS: Final = Right(Resource.GROUP, Operation.ALTER_CONFIGS)

WRITE_TRANSACTION: Final = Right(Resource.TRANSACTIONAL_ID, Operation.WRITE)
SEE_TRANSACTION: Final = Right(Resource.TRANSACTIONAL_ID, Operation.DESCRIBE)

CREATE_ANY_TOPIC: Final = Right(Resource.CLUSTER, Operation.CREATE)
ALTER_CLUSTER: Final = Right(Resource.CLUSTER, Operation.ALTER)
SEE_CLUSTER: Final = Right(Resource.CLUSTER, Operation.DESCRIBE)
ACT_AS_CLUSTER: Final = Right(Resource.CLUSTER, Operation.CLUSTER_ACTION)
SEE_CLUSTER_CONFIGS: Final = Right(Resource.CLUSTER, Operation.DESCRIBE_CONFIGS)
ALTER_CLUSTER_CONFIGS: Final = Right(Resource.CLUSTER, Operation.ALTER_CONFIGS)
WRITE_IDEMPOTENTLY: Final = Right(Resource.CLUSTER, Operation.IDEMPOTENT_WRITE)

TOPIC_RIGHTS: Final = (
    READ_TOPIC,
    WRITE_TOPIC,
    CREATE_TOPIC,
    DELETE_TOPIC,
    ALTER_TOPIC,
    SEE_TOPIC,
    SEE_TOPIC_CONFIGS,
    ALTER_TOPIC_CONFIGS,
)
GROUP_RIGHTS: Final = (READ_GROUP, DELETE_GROUP, SEE_GROUP, SEE_GROUP_CONFIGS, ALTER_GROUP_CONFIGS)
CLUSTER_RIGHTS: Final = (
    CREATE_ANY_TOPIC,
    ALTER_CLUSTER,
    SEE_CLUSTER,
    ACT_AS_CLUSTER,
    SEE_CLUSTER_CONFIGS,
    ALTER_CLUSTER_CONFIGS,
    WRITE_IDEMPOTENTLY,
)
"""What a client is told about that asks for the operations which it is permitted."""

REFUSALS: Final = {
    Resource.TOPIC: (ErrorCode.TOPIC_AUTHORIZATION_FAILED, None),
    Resource.GROUP: (ErrorCode.GROUP_AUTHORIZATION_FAILED, "Group authorization failed."),
    Resource.CLUSTER: (ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "Cluster authorization failed."),
    Resource.TRANSACTIONAL_ID: (ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, None),
}
"""What a client is told that has no right to a resource of this kind."""


class Authorizer(Protocol):
    """Who may do what."""

    demands_entry: bool
    """Whether only those may connect who have a permission in the virtual host."""

    def allows(self, principal: Principal, host: str, right: Right, name: str) -> bool:
        """May this client, which comes from `host`, do it to the resource of this name?"""

    def allows_any(self, principal: Principal, host: str, right: Right) -> bool:
        """May the client do it to a resource of any name at all?"""


def may_create(call: Call, name: str) -> bool:
    """May the client make a topic of this name?"""
    return call.allows(CREATE_TOPIC, name) or call.allows(CREATE_ANY_TOPIC)


def topic_operations(call: Call, name: str) -> int:
    """What the client may do to a topic, a bit for each operation."""
    return _bits(call, TOPIC_RIGHTS, name)


def group_operations(call: Call, name: str) -> int:
    """What the client may do to a group, a bit for each operation."""
    return _bits(call, GROUP_RIGHTS, name)


def cluster_operations(call: Call) -> int:
    """What the client may do to the cluster, a bit for each operation."""
    return _bits(call, CLUSTER_RIGHTS, CLUSTER_NAME)


def _bits(call: Call, rights: tuple[Right, ...], name: str) -> int:
    return sum(1 << right.operation for right in rights if call.allows(right, name))
