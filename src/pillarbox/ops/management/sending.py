"""Sending an answer over ASGI: a long one in slices, so that the broker does its work in between.

Knows answers, and nothing of what is in them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from pillarbox.ops.management.fields import encode
from pillarbox.ops.management.request import Answer
from pillarbox.ops.pace import Pace

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def send_answer(scope: Scope, send: Send, answer: Answer, pace: Pace) -> None:
    """Send an answer; one that is produced in steps goes out in slices, and as a whole if it is small."""
    body = answer.body
    if isinstance(body, Iterator):
        slices = _slices(body, pace)
        # What is wrong with the request shows before the first bytes, and can still be said.
        first, more = await anext(slices, (b"", False))
        await _start(send, answer, None if more else len(first))
        await _body(scope, send, first, more)
        while more:
            first, more = await anext(slices, (b"", False))
            await _body(scope, send, first, more)
        return
    if answer.status in (204, 304):
        body = b""
    elif not isinstance(body, bytes):
        body = encode(body)
    await _start(send, answer, len(body))
    await _body(scope, send, body, False)


async def _slices(steps: Iterator[bytes], pace: Pace) -> AsyncIterator[tuple[bytes, bool]]:
    """Gather steps for a while, then let others have their turn; yields bytes and whether more come."""
    parts: list[bytes] = []
    await pace.begin()
    for part in steps:
        if part:
            parts.append(part)
        if pace.is_over:
            if parts:
                yield b"".join(parts), True
                parts = []
            await pace.begin()
    yield b"".join(parts), False


async def _start(send: Send, answer: Answer, length: int | None) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers += _HEADERS
    if length is not None and answer.status != 204:
        headers.append((b"content-length", str(length).encode()))
    if answer.status != 204:
        headers.append((b"content-type", answer.content_type.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


async def _body(scope: Scope, send: Send, body: bytes, more: bool) -> None:
    if scope["method"] == "HEAD":
        body = b""
    await send({"type": "http.response.body", "body": body, "more_body": more})


_HEADERS = [
    (b"cache-control", b"no-cache"),
    (b"vary", b"accept, accept-encoding, origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"content-security-policy", b"script-src 'self'; object-src 'self'"),
]
"""No page of another site may frame, sniff or keep an answer."""
