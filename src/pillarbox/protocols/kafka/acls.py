"""Kafka's own ACLs: who may do what to the resources of a name or of names that begin so, from where.

A refusal counts more than an allowance; what no ACL speaks of is for nobody, unless the operator says that it
is for everybody. Administrators may do everything. ACLs are kept by the head (`Core.keep`), each under a key
that is the whole of it. Not here: requests and answers (`api`), which rights there are (`rights`).

Source: KIP-11, KIP-290 (prefixes); Kafka's `StandardAuthorizer`, `AclControlManager` and
`ResourcePatternFilter`; row K73.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.rights import ADMINISTRATOR, CLUSTER_NAME, Operation, Resource, Right

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core

KEPT: Final = "kafka/acl/"
ANYTHING: Final = "*"
"""The name of every resource, and every host."""
EVERYBODY: Final = "User:*"

ANSWERS_MAX: Final = 20_000
"""Answers that are remembered, by client, right and name; then all are forgotten. A hundred clients of two
hundred topics find room."""

UNKNOWN, ANY = 0, 1
"""Kafka's numbers that stand for no kind in particular, in each of its lists."""


class Pattern(IntEnum):
    """How the name of an ACL is meant; MATCH is for filters: whatever concerns the resource of this name."""

    MATCH = 2
    LITERAL = 3
    PREFIXED = 4


class Effect(IntEnum):
    """What an ACL does."""

    DENY = 2
    ALLOW = 3


class Acl(msgspec.Struct, frozen=True, array_like=True):
    """One rule, as it is kept; numbers are Kafka's."""

    resource: int
    pattern: int
    name: str
    principal: str
    host: str
    operation: int
    effect: int

    @property
    def key(self) -> str:
        return KEPT + key_of(*msgspec.structs.astuple(self))


class AclFilter(msgspec.Struct, frozen=True):
    """Which ACLs somebody means; None and ANY leave a part open."""

    resource: int = ANY
    pattern: int = ANY
    name: str | None = None
    principal: str | None = None
    host: str | None = None
    operation: int = ANY
    effect: int = ANY

    def fits(self, acl: Acl) -> bool:
        return (
            self.resource in (ANY, acl.resource)
            and self.principal in (None, acl.principal)
            and self.host in (None, acl.host)
            and self.operation in (ANY, acl.operation)
            and self.effect in (ANY, acl.effect)
            and self._fits_name(acl)
        )

    def _fits_name(self, acl: Acl) -> bool:
        if self.pattern not in (ANY, Pattern.MATCH, acl.pattern):
            return False
        if self.name is None or self.name == acl.name:
            return True
        return self.pattern == Pattern.MATCH and concerns(acl, self.name)

    def demand_sense(self) -> None:
        """Raise Refused (INVALID_REQUEST) for kinds that there are not."""
        if not (
            self.resource in (ANY, *Resource)
            and self.pattern in (ANY, *Pattern)
            and self.operation in (ANY, *Operation)
            and self.effect in (ANY, *Effect)
        ):
            raise Refused(ErrorCode.INVALID_REQUEST, "The filter contains UNKNOWN elements")


IMPLYING: Final = {
    Operation.DESCRIBE: (Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER),
    Operation.DESCRIBE_CONFIGS: (Operation.ALTER_CONFIGS,),
}
"""Who may do one of these may do that as well."""


def concerns(acl: Acl, name: str) -> bool:
    """Is the ACL about the resource of this name (of the same kind)?"""
    if acl.pattern == Pattern.PREFIXED:
        return name.startswith(acl.name)
    return acl.name in (name, ANYTHING)


def speaks_of(acl: Acl, principal: str, host: str, operation: Operation) -> bool:
    """Does the ACL say something about this client and this operation?"""
    if acl.principal not in (principal, EVERYBODY) or acl.host not in (host, ANYTHING):
        return False
    if acl.operation in (operation, Operation.ALL):
        return True
    return acl.effect == Effect.ALLOW and acl.operation in IMPLYING.get(operation, ())


def demand_valid(acl: Acl) -> None:
    """Raise Refused (INVALID_REQUEST) for what no ACL can be."""
    wrong = {
        f"Invalid resourceType {acl.resource}": acl.resource not in tuple(Resource),
        f"Invalid patternType {acl.pattern}": acl.pattern not in (Pattern.LITERAL, Pattern.PREFIXED),
        f"Invalid operation {acl.operation}": acl.operation not in tuple(Operation),
        f"Invalid permissionType {acl.effect}": acl.effect not in tuple(Effect),
        "Invalid empty resource name": not acl.name,
        f"The only valid name for the CLUSTER resource is {CLUSTER_NAME}": (
            acl.resource == Resource.CLUSTER and acl.name != CLUSTER_NAME
        ),
        f"Could not parse principal from `{acl.principal}` (no colon is present separating the principal "
        "type from the principal name)": ":" not in acl.principal,
    }
    for text, is_so in wrong.items():
        if is_so:
            raise Refused(ErrorCode.INVALID_REQUEST, text)


class Acls:
    """All ACLs; an `Authorizer`. `open_by_default`: what no ACL is about is for everybody."""

    demands_entry = False

    def __init__(self, core: Core, *, open_by_default: bool) -> None:
        self._core = core
        self._open_by_default = open_by_default
        self._all: dict[str, Acl] = {key: _decode(value) for key, value in core.kept(KEPT)}
        self._answers: dict[tuple[str, str, Right, str], bool] = {}

    def __iter__(self) -> Iterator[Acl]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    # --- changing them -----------------------------------------------------------------------------

    def add(self, acl: Acl) -> None:
        """Add one that is valid; one that there is stays."""
        if acl.key not in self._all:
            self._all[acl.key] = acl
            self._core.keep(acl.key, _encode(acl))
            self._answers.clear()

    def found(self, wanted: AclFilter) -> list[Acl]:
        """Those that the filter means, in the order of their resources."""
        return sorted(filter(wanted.fits, self), key=msgspec.structs.astuple)

    def remove(self, acl: Acl) -> None:
        if self._all.pop(acl.key, None) is not None:
            self._core.keep(acl.key, None)
            self._answers.clear()

    # --- asking them -------------------------------------------------------------------------------

    def allows(self, principal: Principal, host: str, right: Right, name: str) -> bool:
        if ADMINISTRATOR in principal.tags:
            return True
        asked = (principal.name, host, right, name)
        answer = self._answers.get(asked)
        if answer is None:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            answer = self._answers[asked] = self._decide(f"User:{principal.name}", host, right, name)
        return answer

    def _decide(self, principal: str, host: str, right: Right, name: str) -> bool:
        about = [acl for acl in self if acl.resource == right.resource and concerns(acl, name)]
        effects = {acl.effect for acl in about if speaks_of(acl, principal, host, right.operation)}
        if not about:
            return self._open_by_default
        return Effect.DENY not in effects and Effect.ALLOW in effects

    def allows_any(self, principal: Principal, host: str, right: Right) -> bool:
        """There is an allowance that no refusal covers. Source: `Authorizer.authorizeByResourceType`."""
        if ADMINISTRATOR in principal.tags:
            return True
        said = [
            acl
            for acl in self
            if acl.resource == right.resource
            and speaks_of(acl, f"User:{principal.name}", host, right.operation)
        ]
        denied = [acl for acl in said if acl.effect == Effect.DENY]
        if any(acl.name == ANYTHING and acl.pattern == Pattern.LITERAL for acl in denied):
            return False
        if self._open_by_default:
            return True
        return any(acl.effect == Effect.ALLOW and not any(_covers(no, acl) for no in denied) for acl in said)


def _covers(denied: Acl, allowed: Acl) -> bool:
    """Does the refusal leave nothing of the allowance?"""
    if denied.pattern == Pattern.PREFIXED:
        return allowed.name.startswith(denied.name) and allowed.name != ANYTHING
    return (denied.name, denied.pattern) == (allowed.name, allowed.pattern)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Acl).decode
