"""Limits of virtual hosts and of users: /vhost-limits, /user-limits.

Source: RabbitMQ's management API; measured on 3.10.8. Rows R15, R115.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.quotas import USER, VHOST
from pillarbox.ops.management.fields import OBJECT, STRING, Document, Field
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.resources.users import named
from pillarbox.ops.management.routes import ADMINISTRATOR, LISTING, MANAGEMENT, SEES, Many, Right, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request


class Limit(msgspec.Struct):
    """How many of something; below 0: as many as there are."""

    value: int


class _Kind:
    """The handlers for limits of one kind of owner. `word` is what the documents call the owner."""

    def __init__(self, kind: str, word: str) -> None:
        self._kind = kind
        self._word = word
        self.document = Document(
            f"{word.capitalize()}Limits",
            Field(word, STRING, lambda item, request: item[0]),
            Field("value", OBJECT, lambda item, request: item[1]),
        )

    def _owner(self, request: Request) -> str:
        return request.vhost.name if self._kind == VHOST else named(request).name

    def _listed(self, request: Request, owners: Iterable[str]) -> Listing:
        quotas = request.core.quotas
        items: list[tuple[str, dict[str, Any]]] = [(owner, quotas.of(self._kind, owner)) for owner in owners]
        return Listing([item for item in items if item[1]], self.document)

    def show_all(self, request: Request) -> Listing:
        if self._kind == USER:
            return self._listed(request, request.core.users.by_name)
        return self._listed(request, [vhost.name for vhost in request.visible_vhosts()])

    def show(self, request: Request) -> Listing:
        return self._listed(request, [self._owner(request)])

    def put(self, request: Request) -> None:
        quotas, owner = request.core.quotas, self._owner(request)
        quotas.put(
            self._kind, owner, {**quotas.of(self._kind, owner), request.path["limit"]: request.body.value}
        )

    def remove(self, request: Request) -> None:
        quotas, owner = request.core.quotas, self._owner(request)
        left = quotas.of(self._kind, owner)
        left.pop(request.path["limit"], None)
        quotas.put(self._kind, owner, left)


def _routes(kind: _Kind, word: str, shows_all: Right, shows: Right) -> tuple[Route, ...]:
    path, of_one = f"/{word}-limits", f"/{word}-limits/{{{word}}}"
    one = f"{of_one}/{{limit}}"
    many = Many(kind.document)
    return (
        Route("GET", path, kind.show_all, shows_all, f"All limits of {word}s.", many, parameters=LISTING),
        Route("GET", of_one, kind.show, shows, f"The limits of a {word}.", many, parameters=LISTING),
        Route("PUT", one, kind.put, ADMINISTRATOR, f"Limit a {word}.", body=Limit, status=204),
        Route("DELETE", one, kind.remove, ADMINISTRATOR, f"Lift a limit of a {word}.", status=204),
    )


ROUTES = (
    *_routes(_Kind(VHOST, "vhost"), "vhost", MANAGEMENT, SEES),
    *_routes(_Kind(USER, "user"), "user", ADMINISTRATOR, ADMINISTRATOR),
)
