"""Documents of the management API as they change: GET /api/live?document=/api/overview&document=...

Server-sent events, one for each document at once and whenever it has changed: `data` is a JSON object with
the `path` that was asked for, the `status` and the `body` that a GET of it has now. Every document is asked
for with the headers of this request, so nobody sees more here than there. What is missing or refused is an
event, too; the stream goes on, because it may come.

Source: HTML Living Standard, "Server-sent events". Bounds: `DOCUMENTS_MAX` documents, looked at every
`INTERVAL_S`, as often as statistics are sampled.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from pillarbox.ops.management.sending import App, Receive, Scope, Send

PATH = "/api/live"
INTERVAL_S = 5
DOCUMENTS_MAX = 10

_EVENTS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_NOTHING_NEW = b": still here\n\n"
"""A comment: tells a browser, and whatever stands between, that the connection lives."""


class Live:
    """See the module. `api` is asked for the documents; streams end when `stopping` is set."""

    def __init__(self, api: App, stopping: asyncio.Event, interval_s: float = INTERVAL_S) -> None:
        self._api = api
        self._stopping = stopping
        self._interval_s = interval_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        targets = parse_qs(scope["query_string"].decode("latin-1")).get("document", [])
        if scope["method"] != "GET":
            await _refuse(send, 405, "Method Not Allowed")
        elif not targets or len(targets) > DOCUMENTS_MAX or not all(map(_is_document, targets)):
            await _refuse(send, 400, f"1 to {DOCUMENTS_MAX} documents, each a path under /api")
        else:
            status, body = await self._get(scope, "/api/whoami")
            if status != 200:
                await _send_json(send, status, body)
            else:
                await self._stream(scope, receive, send, targets)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, targets: list[str]) -> None:
        """Send events until the client is gone or the broker stops."""
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        ends = {asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._stopping.wait())}
        sent: dict[str, bytes] = {}
        try:
            while not any(end.done() for end in ends):
                events = []
                for target in dict.fromkeys(targets):
                    status, body = await self._get(scope, target)
                    event = _event(target, status, body)
                    if sent.get(target) != event:
                        sent[target] = event
                        events.append(event)
                data = b"".join(events) or _NOTHING_NEW
                await send({"type": "http.response.body", "body": data, "more_body": True})
                await asyncio.wait(ends, timeout=self._interval_s, return_when=asyncio.FIRST_COMPLETED)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for end in ends:
                end.cancel()

    async def _get(self, scope: Scope, target: str) -> tuple[int, bytes]:
        """Status and body of a GET, by whoever sent this request."""
        path, query = urlsplit(target)[2:4]
        status, parts = 500, []

        async def take(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        inner = {
            **scope,
            "method": "GET",
            "path": path,
            "raw_path": path.encode("ascii", "replace"),
            "query_string": query.encode("ascii", "replace"),
        }
        await self._api(inner, _no_body, take)
        return status, b"".join(parts)


def _is_document(target: str) -> bool:
    return target.startswith("/api/") and urlsplit(target).path != PATH


def _event(path: str, status: int, body: bytes) -> bytes:
    document = {"path": path, "status": status, "body": msgspec.Raw(body or b"null")}
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


async def _gone(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _no_body() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _refuse(send: Send, status: int, reason: str) -> None:
    await _send_json(send, status, msgspec.json.encode({"error": "bad_request", "reason": reason}))


async def _send_json(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
