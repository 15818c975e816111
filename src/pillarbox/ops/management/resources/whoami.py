"""Who is asking: /whoami, /login, /auth (R110)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from pillarbox.ops.management.access import login_failed
from pillarbox.ops.management.fields import STRING, array
from pillarbox.ops.management.routes import DOCUMENT, MANAGEMENT, PUBLIC, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

_WHOAMI = {"type": "object", "properties": {"name": STRING, "tags": array(STRING)}}


def whoami(request: Request) -> dict[str, Any]:
    return {"name": request.user.name, "tags": list(request.user.tags)}


def auth(request: Request) -> dict[str, Any]:
    """How a page logs in: not by OAuth."""
    return {"enable_uaa": False, "oauth_enabled": False, "uaa_client_id": "", "uaa_location": ""}


def login(request: Request) -> str:
    """Say whether a form's `username` and `password` are good, as pages ask before they go on."""
    form = parse_qs(request.body.decode("utf-8", "replace"))
    name, password = (form.get(key, [""])[0] for key in ("username", "password"))
    if request.core.users.authenticate(name, password.encode()) is None:
        raise login_failed()
    return "ok"


ROUTES = (
    Route("POST", "/login", login, PUBLIC, "Are these a user's name and password?", STRING, bytes),
    Route("GET", "/whoami", whoami, MANAGEMENT, "The user who asks.", _WHOAMI),
    Route("GET", "/auth", auth, PUBLIC, "How to log in.", DOCUMENT),
)
