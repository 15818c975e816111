"""Who is asking: /whoami, /login, /auth."""

from __future__ import annotations

from typing import Any

from pillarbox.ops.management.fields import STRING, array
from pillarbox.ops.management.request import Request
from pillarbox.ops.management.routes import DOCUMENT, MANAGEMENT, PUBLIC, Route

_WHOAMI = {"type": "object", "properties": {"name": STRING, "tags": array(STRING)}}


def whoami(request: Request) -> dict[str, Any]:
    return {"name": request.user.name, "tags": list(request.user.tags)}


def auth(request: Request) -> dict[str, Any]:
    """How a page logs in: not by OAuth."""
    return {"enable_uaa": False, "oauth_enabled": False, "uaa_client_id": "", "uaa_location": ""}


ROUTES = (
    Route("GET", "/whoami", whoami, MANAGEMENT, "The user who asks.", _WHOAMI),
    Route("GET", "/auth", auth, PUBLIC, "How to log in.", DOCUMENT),
)
