"""Who asks, and may they: logging in with a name and password or a token, and the rights of routes.

Source: RabbitMQ's management plugin, "Permissions"; RFC 7617 (Basic), RFC 6750 (Bearer). Texts measured on
3.10.8.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pillarbox.broker.auth import OAUTH2
from pillarbox.broker.outside import NO_CALLER, Caller
from pillarbox.ops.management.request import HttpError, not_authorised
from pillarbox.ops.management.routes import NOT_YOUR_VHOST, Right

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core

LOGIN_FAILED = "Login failed"
CHALLENGE = {"www-authenticate": 'Basic realm="RabbitMQ Management"'}
"""What makes browsers ask for a password; API clients look for the word RabbitMQ in it."""


def login_failed() -> HttpError:
    """401, with the word that RabbitMQ spells otherwise here."""
    return HttpError(401, "not_authorized", LOGIN_FAILED, CHALLENGE)


def credentials(authorization: str) -> tuple[str, bytes] | None:
    """Name and password in a header `Authorization: Basic ...`; None if they are not."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _user(core: Core, authorization: str, caller: Caller) -> Principal | None:
    """Who that is by name and password, or by token. Raises Undecided."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and core.users.believes(OAUTH2):
        return core.users.by_token(token.strip().encode("latin-1"))
    found = credentials(authorization)
    return core.users.authenticate(*found, caller) if found is not None else None


def log_in(
    core: Core,
    authorization: str | None,
    *,
    loopback: bool,
    loopback_users: tuple[str, ...],
    caller: Caller = NO_CALLER,
) -> Principal:
    """The user of a request. Raises 401, and Undecided."""
    user = _user(core, authorization or "", caller)
    if user is None:
        raise login_failed()
    if not loopback and user.name in loopback_users:
        raise not_authorised("User can only log in via localhost")
    return user


def demand(core: Core, user: Principal, right: Right, path: Mapping[str, str]) -> None:
    """Raise 401 unless the user has the right to a route with this path."""
    if not right.tags.intersection(user.tags):
        raise not_authorised(right.refusal)
    vhost = path.get("vhost")
    if vhost is None or vhost not in core.vhosts or not right.enters:
        # A virtual host that does not exist is the handler's to miss.
        return
    if not right.everywhere.intersection(user.tags) and not core.users.may_enter(user, vhost):
        raise not_authorised(NOT_YOUR_VHOST)


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Has a browser sent this on behalf of a page of another site?

    Browsers send a user's password along wherever a page asks them to, and say in these headers who asked.
    What is no browser sends none of them.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")
