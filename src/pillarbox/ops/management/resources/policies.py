"""Policies and operator policies: /policies, /operator-policies.

Source: RabbitMQ's management API; texts measured on 3.10.8. Rows R95, R96, R115.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.policy import Policy
from pillarbox.ops.management.fields import INTEGER, OBJECT, STRING, Document, Field
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.listing import show as shown
from pillarbox.ops.management.request import CREATED, Answer, not_found
from pillarbox.ops.management.routes import LISTING, MANAGEMENT, POLICIES, SEES, Many, Right, Route

if TYPE_CHECKING:
    from pillarbox.broker.policy import Policies
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

DOCUMENT = Document(
    "Policy",
    Field("vhost", STRING, lambda policy, request: policy.vhost),
    Field("name", STRING, lambda policy, request: policy.name),
    Field("pattern", STRING, lambda policy, request: policy.pattern),
    Field("apply-to", STRING, lambda policy, request: policy.apply_to),
    Field("definition", OBJECT, lambda policy, request: policy.definition),
    Field("priority", INTEGER, lambda policy, request: policy.priority),
)


class PolicyBody(msgspec.Struct, rename={"apply_to": "apply-to"}):
    """What a policy says, and of which names."""

    pattern: str
    definition: dict[str, Any]
    priority: int = 0
    apply_to: str = "all"


class _Kind:
    """The handlers of one of the two kinds."""

    def __init__(self, *, operator: bool) -> None:
        self._operator = operator

    def _of(self, vhost: VHost) -> Policies:
        return vhost.operator_policies if self._operator else vhost.policies

    def show_all(self, request: Request) -> Listing:
        vhosts = request.visible_vhosts()
        return Listing([policy for vhost in vhosts for policy in self._of(vhost)], DOCUMENT)

    def show(self, request: Request) -> Iterator[bytes]:
        policy = self._of(request.vhost).get(request.path["policy"])
        if policy is None:
            raise not_found()
        return shown(policy, DOCUMENT, request)

    async def put(self, request: Request) -> Answer | None:
        body: PolicyBody = request.body
        vhost, name = request.vhost, request.path["policy"]
        new = self._of(vhost).get(name) is None
        policy = Policy(vhost.name, name, body.pattern, body.definition, body.priority, body.apply_to)
        vhost.put_policy(policy, operator=self._operator)
        await request.work.done()
        return CREATED if new else None

    async def remove(self, request: Request) -> None:
        if not request.vhost.remove_policy(request.path["policy"], operator=self._operator):
            raise not_found()
        await request.work.done()


def _routes(path: str, kind: _Kind, what: str, changes: Right) -> tuple[Route, ...]:
    item = f"/{path}/{{vhost}}/{{policy}}"
    many: Callable[[Request], Any] = kind.show_all
    return (
        Route("GET", f"/{path}", many, MANAGEMENT, f"All {what}.", Many(DOCUMENT), parameters=LISTING),
        Route(
            "GET",
            f"/{path}/{{vhost}}",
            many,
            SEES,
            f"The {what} of a virtual host.",
            Many(DOCUMENT),
            parameters=LISTING,
        ),
        Route("GET", item, kind.show, SEES, f"One of the {what}.", DOCUMENT),
        Route(
            "PUT", item, kind.put, changes, f"Make or change one of the {what}.", body=PolicyBody, status=201
        ),
        Route("DELETE", item, kind.remove, changes, f"Remove one of the {what}.", status=204),
    )


OPERATORS = Right(
    "administrator of the virtual host", frozenset(("administrator",)), "Not administrator user"
)

ROUTES = (
    *_routes("policies", _Kind(operator=False), "policies", POLICIES),
    *_routes("operator-policies", _Kind(operator=True), "operator policies", OPERATORS),
)
