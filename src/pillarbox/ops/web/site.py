"""One ASGI application for one port: the management API under /api, the page everywhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from starlette.staticfiles import StaticFiles

from pillarbox.ops.management.sending import App, Receive, Scope, Send
from pillarbox.ops.web.live import PATH, Live

STATIC = Path(__file__).parent / "static"

_HEADERS = (
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; form-action 'self'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""The page takes nothing from elsewhere, and no other page may frame it."""


class Site:
    """See the module. `api` answers whatever is under /api; `stopping` is set when the broker stops."""

    def __init__(self, api: App, stopping: asyncio.Event) -> None:
        self._api = api
        self._live = Live(api, stopping)
        self._static = StaticFiles(directory=STATIC, html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http":
            return
        if path == PATH:
            await self._live(scope, receive, send)
        elif path == "/api" or path.startswith("/api/"):
            await self._api(scope, receive, send)
        else:
            await self._page(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        from starlette.exceptions import HTTPException
        from starlette.responses import PlainTextResponse

        try:
            await self._static(scope, receive, with_headers)
        except HTTPException as error:
            answer = PlainTextResponse(f"{error.detail}\n", error.status_code)
            await answer(scope, receive, with_headers)
