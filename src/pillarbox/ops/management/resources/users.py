"""Users: /users. Source: RabbitMQ's management API; texts measured on 3.10.8. Rows R91, R94, R115."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.administration import remove_user
from pillarbox.broker.auth import ALGORITHMS, DEFAULT_ALGORITHM, User, user_with_password
from pillarbox.broker.quotas import USER
from pillarbox.ops.management.fields import OBJECT, STRING, Document, Field, array
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.listing import show as shown
from pillarbox.ops.management.request import CREATED, Answer, bad_request, demand_name, not_found
from pillarbox.ops.management.routes import ADMINISTRATOR, LISTING, Many, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

DOCUMENT = Document(
    "User",
    Field("name", STRING, lambda user, request: user.name),
    Field("password_hash", STRING, lambda user, request: user.password_hash),
    Field("hashing_algorithm", STRING, lambda user, request: user.hashing_algorithm),
    Field("tags", array(STRING), lambda user, request: list(user.tags)),
    Field("limits", OBJECT, lambda user, request: request.core.quotas.of(USER, user.name)),
)


class UserBody(msgspec.Struct):
    """What a user is made of: a password or a hash of one; with neither it cannot log in by password."""

    tags: str | list[str] | None = None
    password: str | None = None
    password_hash: str | None = None
    hashing_algorithm: str = DEFAULT_ALGORITHM


class Names(msgspec.Struct):
    """Users to be removed."""

    users: list[str]


def named(request: Request) -> User:
    """The user of the path. Raises 404."""
    user = request.core.users.by_name.get(request.path["user"])
    if user is None:
        raise not_found()
    return user


def names_of(tags: str | list[str]) -> tuple[str, ...]:
    """Tags in either of the forms in which they come: a list, or one text with commas."""
    words = tags.split(",") if isinstance(tags, str) else tags
    return tuple(word.strip() for word in words if word.strip())


def show_all(request: Request) -> Listing:
    return Listing(list(request.core.users.by_name.values()), DOCUMENT)


def show_without_permissions(request: Request) -> Listing:
    users = request.core.users
    entering = {name for name, _ in users.permissions}
    return Listing([user for user in users.by_name.values() if user.name not in entering], DOCUMENT)


def show(request: Request) -> Iterator[bytes]:
    return shown(named(request), DOCUMENT, request)


async def put(request: Request) -> Answer | None:
    body: UserBody = request.body
    core, name = request.core, demand_name(request.path["user"])
    if body.tags is None:
        raise bad_request("tags_not_present")
    if body.password is not None and body.password_hash is not None:
        raise bad_request("both_password_and_password_hash_are_provided")
    if body.hashing_algorithm not in ALGORITHMS:
        raise bad_request(f"unknown hashing_algorithm '{body.hashing_algorithm}'")
    if body.password is not None:
        # In a thread: it takes longer than a turn of the loop may.
        user = await asyncio.to_thread(
            user_with_password, name, body.password, names_of(body.tags), core.random
        )
        request.begin()
    else:
        password_hash = body.password_hash or ""
        try:
            base64.b64decode(password_hash, validate=True)
        except ValueError:
            raise bad_request("password_hash is not base64") from None
        user = User(name, password_hash, body.hashing_algorithm, names_of(body.tags))
    core.demand_storage()
    new = name not in core.users.by_name
    core.put_user(user)
    return CREATED if new else None


def remove(request: Request) -> None:
    if not remove_user(request.core, request.path["user"]):
        raise not_found()


def remove_many(request: Request) -> None:
    """All of them or, if one does not exist, none."""
    names: list[str] = request.body.users
    for name in names:
        if name not in request.core.users.by_name:
            raise bad_request(f"no_such_user: {name}")
    for name in names:
        remove_user(request.core, name)


ROUTES = (
    Route("GET", "/users", show_all, ADMINISTRATOR, "All users.", Many(DOCUMENT), parameters=LISTING),
    Route(
        "GET",
        "/users/without-permissions",
        show_without_permissions,
        ADMINISTRATOR,
        "Users who may enter no virtual host.",
        Many(DOCUMENT),
        parameters=LISTING,
    ),
    Route("POST", "/users/bulk-delete", remove_many, ADMINISTRATOR, "Remove users.", body=Names, status=204),
    Route("GET", "/users/{user}", show, ADMINISTRATOR, "A user.", DOCUMENT),
    Route("PUT", "/users/{user}", put, ADMINISTRATOR, "Make or change a user.", body=UserBody, status=201),
    Route("DELETE", "/users/{user}", remove, ADMINISTRATOR, "Remove a user.", status=204),
)
