"""What users may do in virtual hosts, and with which routing keys: /permissions, /topic-permissions.

Source: RabbitMQ's management API; texts measured on 3.10.8. Rows R92, R93, R115.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.administration import remove_permission
from pillarbox.broker.auth import Permission
from pillarbox.broker.topic_permission import TopicPermission
from pillarbox.ops.management.fields import STRING, Document, Field
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.listing import show as shown
from pillarbox.ops.management.request import CREATED, Answer, bad_request, not_found
from pillarbox.ops.management.resources.users import named
from pillarbox.ops.management.routes import ADMINISTRATOR, LISTING, Many, Route
from pillarbox.patterns import checked

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

PERMISSION = Document(
    "Permission",
    *(
        Field(name, STRING, lambda item, request, name=name: getattr(item, name))  # type: ignore[misc]
        for name in ("user", "vhost", "configure", "write", "read")
    ),
)
TOPIC_PERMISSION = Document(
    "TopicPermission",
    *(
        Field(name, STRING, lambda item, request, name=name: getattr(item, name))  # type: ignore[misc]
        for name in ("user", "vhost", "exchange", "write", "read")
    ),
)


class Patterns(msgspec.Struct):
    """Regular expressions of names that a user may configure, write and read."""

    configure: str
    write: str
    read: str


class TopicPatterns(msgspec.Struct):
    """Regular expressions of routing keys that a user may use on one exchange."""

    exchange: str
    write: str
    read: str


def _demand_patterns(*patterns: str) -> None:
    for pattern in patterns:
        try:
            checked(pattern)
        except re.error as error:
            raise bad_request(f"invalid_regexp: {pattern}: {error}") from None


def _demand_both(request: Request) -> tuple[str, str]:
    """The user and the virtual host of the path, which must be there."""
    user, vhost = request.path["user"], request.path["vhost"]
    if user not in request.core.users.by_name or vhost not in request.core.vhosts:
        raise bad_request("vhost_or_user_not_found")
    return user, vhost


# --- permissions -------------------------------------------------------------------------------------------


def _listed(request: Request, wanted: Callable[[Permission], bool]) -> Listing:
    return Listing([one for one in request.core.users.permissions.values() if wanted(one)], PERMISSION)


def show_all(request: Request) -> Listing:
    return _listed(request, lambda one: True)


def show_of_user(request: Request) -> Listing:
    name = named(request).name
    return _listed(request, lambda one: one.user == name)


def show_of_vhost(request: Request) -> Listing:
    name = request.vhost.name
    return _listed(request, lambda one: one.vhost == name)


def show(request: Request) -> Iterator[bytes]:
    key = named(request).name, request.vhost.name
    permission = request.core.users.permissions.get(key)
    if permission is None:
        raise not_found()
    return shown(permission, PERMISSION, request)


def put(request: Request) -> Answer | None:
    user, vhost = _demand_both(request)
    body: Patterns = request.body
    _demand_patterns(body.configure, body.write, body.read)
    request.core.demand_storage()
    new = (user, vhost) not in request.core.users.permissions
    request.core.set_permission(Permission(user, vhost, body.configure, body.write, body.read))
    return CREATED if new else None


def remove(request: Request) -> None:
    if not remove_permission(request.core, named(request).name, request.vhost.name):
        raise not_found()


# --- topic permissions -------------------------------------------------------------------------------------


def _topics(request: Request, wanted: Callable[[TopicPermission], bool]) -> Listing:
    owned = request.core.users.topics.by_user.values()
    return Listing([one for own in owned for one in own.values() if wanted(one)], TOPIC_PERMISSION)


def show_all_topics(request: Request) -> Listing:
    return _topics(request, lambda one: True)


def show_topics_of_user(request: Request) -> Listing:
    name = named(request).name
    return _topics(request, lambda one: one.user == name)


def show_topics_of_vhost(request: Request) -> Listing:
    name = request.vhost.name
    return _topics(request, lambda one: one.vhost == name)


def show_topics(request: Request) -> Listing:
    """Of one user in one virtual host, by exchange."""
    key = named(request).name, request.vhost.name
    own = request.core.users.topics.by_user.get(key)
    if not own:
        raise not_found()
    return Listing(list(own.values()), TOPIC_PERMISSION)


def put_topic(request: Request) -> Answer | None:
    user, vhost = _demand_both(request)
    body: TopicPatterns = request.body
    _demand_patterns(body.write, body.read)
    request.core.demand_storage()
    new = (user, vhost) not in request.core.users.topics.by_user
    request.core.set_topic_permission(TopicPermission(user, vhost, body.exchange, body.write, body.read))
    return CREATED if new else None


def remove_topics(request: Request) -> None:
    key = named(request).name, request.vhost.name
    if key not in request.core.users.topics.by_user:
        raise not_found()
    request.core.clear_topic_permission(*key)


def _routes(
    path: str, all_: Any, user: Any, vhost: Any, one: Any, put_: Any, remove_: Any
) -> tuple[Route, ...]:
    """Both kinds have the same places. `all_`, `user`, ...: handler, summary and what is answered or sent."""
    item, of_vhost = f"/{path}/{{vhost}}/{{user}}", f"/vhosts/{{vhost}}/{path}"
    return (
        Route("GET", f"/{path}", all_[0], ADMINISTRATOR, all_[1], all_[2], parameters=LISTING),
        Route("GET", f"/users/{{user}}/{path}", user[0], ADMINISTRATOR, user[1], user[2], parameters=LISTING),
        Route("GET", of_vhost, vhost[0], ADMINISTRATOR, vhost[1], vhost[2], parameters=LISTING),
        Route("GET", item, one[0], ADMINISTRATOR, one[1], one[2]),
        Route("PUT", item, put_[0], ADMINISTRATOR, put_[1], body=put_[2], status=201),
        Route("DELETE", item, remove_[0], ADMINISTRATOR, remove_[1], status=204),
    )


ROUTES = (
    *_routes(
        "permissions",
        (show_all, "All permissions.", Many(PERMISSION)),
        (show_of_user, "The permissions of a user.", Many(PERMISSION)),
        (show_of_vhost, "The permissions in a virtual host.", Many(PERMISSION)),
        (show, "What a user may do in a virtual host.", PERMISSION),
        (put, "Set what a user may do in a virtual host.", Patterns),
        (remove, "Take all rights in a virtual host from a user."),
    ),
    *_routes(
        "topic-permissions",
        (show_all_topics, "All topic permissions.", Many(TOPIC_PERMISSION)),
        (show_topics_of_user, "The topic permissions of a user.", Many(TOPIC_PERMISSION)),
        (show_topics_of_vhost, "The topic permissions in a virtual host.", Many(TOPIC_PERMISSION)),
        (show_topics, "The topic permissions of a user in a virtual host.", Many(TOPIC_PERMISSION)),
        (put_topic, "Set which routing keys a user may use on an exchange.", TopicPatterns),
        (remove_topics, "Lift all topic permissions of a user in a virtual host."),
    ),
)
