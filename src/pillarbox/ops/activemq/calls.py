"""Which operations each kind of bean has, and which of them a request means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pillarbox.ops.activemq.artemis_operations import ADDRESS_OPERATIONS
from pillarbox.ops.activemq.artemis_operations import QUEUE_OPERATIONS as ARTEMIS_QUEUE_OPERATIONS
from pillarbox.ops.activemq.artemis_server import SERVER_OPERATIONS
from pillarbox.ops.activemq.errors import ILLEGAL_ARGUMENT, JolokiaError
from pillarbox.ops.activemq.operations import (
    BROKER_OPERATIONS,
    CONNECTION_OPERATIONS,
    MAP,
    QUEUE_OPERATIONS,
    SENDING,
    TEXT,
    Operation,
)

if TYPE_CHECKING:
    from pillarbox.ops.activemq.beans import Bean

OPERATIONS: Final[dict[str, tuple[Operation, ...]]] = {
    "Broker": BROKER_OPERATIONS,
    "Queue": QUEUE_OPERATIONS,
    "Topic": SENDING,
    "Connection": CONNECTION_OPERATIONS,
    "ArtemisBroker": SERVER_OPERATIONS,
    "ArtemisAddress": ADDRESS_OPERATIONS,
    "ArtemisQueue": ARTEMIS_QUEUE_OPERATIONS,
}


def operations(bean: Bean) -> tuple[Operation, ...]:
    return OPERATIONS.get(bean.kind, ())


def operation(bean: Bean, written: str, arguments: list[Any]) -> Operation:
    """The one that a request means: its name, or its name with types where there are several.

    Raises JolokiaError with Jolokia's words.
    """
    name, bracket, signature = written.partition("(")
    named = [each for each in operations(bean) if each.name == name]
    if bracket:
        types = tuple(filter(None, signature.removesuffix(")").replace(" ", "").split(",")))
        named = [each for each in named if each.types == types]
    where = f"MBean {bean.name.canonical}"
    if not named:
        raise JolokiaError(400, ILLEGAL_ARGUMENT, f"No operation {written} found on {where}")
    if len(named) > 1:
        found = ",".join(f"({','.join(each.types)})" for each in named)
        raise JolokiaError(
            400,
            ILLEGAL_ARGUMENT,
            f"Operation {name} on {where} is overloaded. Signatures found: {found}. "
            "Use a signature when specifying the operation.",
        )
    (one,) = named
    if len(arguments) != len(one.types):
        raise JolokiaError(
            400,
            ILLEGAL_ARGUMENT,
            f"Invalid number of operation arguments. Operation {written} on {bean.name.plain} requires "
            f"{len(one.types)} parameters, not {len(arguments)} as given",
        )
    for argument, kind in zip(arguments, one.types, strict=True):
        if argument is None and one.nulls:
            continue
        if (kind == MAP) != isinstance(argument, dict) or (kind == TEXT and not isinstance(argument, str)):
            raise JolokiaError(400, ILLEGAL_ARGUMENT, f"Cannot convert {argument} to {kind}")
    return one
