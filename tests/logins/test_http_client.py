"""The HTTP client against what servers do: lengths, chunks, closed connections, TLS, and nonsense (R8)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.peers import make_certificate
from pillarbox.logins.http_client import Answered, HttpClient, HttpClientError

pytestmark = pytest.mark.row("R8")

OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def server(
    *answers: bytes, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[list[bytes]]]]:
    """Sends these answers, one a request; an empty one closes. Yields its port, and the requests of each
    connection."""
    left = list(answers)
    seen: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: list[bytes] = []
        seen.append(requests)
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                requests.append(head + await reader.readexactly(length))
                answer = left.pop(0)
                writer.write(answer.removesuffix(b"<END>"))
                if not answer or answer.endswith(b"<END>"):
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen


def client(**options: Any) -> HttpClient:
    return HttpClient(connect_timeout_s=5, timeout_s=5, **options)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 5\r\n\r\nallow",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nal\r\n3\r\nlow\r\n0\r\n\r\n",
        OK + b"\r\nallow<END>",
        b"HTTP/1.0 200 OK\r\n\r\nallow<END>",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 5\r\n\r\nallow",
    ],
    ids=["length", "chunks", "until-closed", "http-1.0", "continue"],
)
def test_answer_is_read_however_it_says_its_length(answer: bytes) -> None:
    async def test() -> None:
        async with server(answer) as (port, _):
            found = await client().send("GET", f"http://127.0.0.1:{port}/auth/user", "a=b")
            assert found == Answered(200, b"allow")

    run(test)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "closed without one"),
        (b"nonsense\r\n\r\n<END>", "HTTP"),
        (OK + b"content-length: 9\r\n\r\nallow<END>", "in the middle"),
        (OK + b"content-len<END>", "in the middle"),
        (OK + b"content-length: 99999999\r\n\r\n" + bytes(100_000), "too long"),
        (OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n", "too long"),
    ],
    ids=["nothing", "nonsense", "cut", "cut-head", "large", "large-head"],
)
def test_what_is_no_answer_is_an_error(answer: bytes, complaint: str) -> None:
    async def test() -> None:
        async with server(answer) as (port, _):
            with pytest.raises(HttpClientError, match=complaint):
                await client().send("GET", f"http://127.0.0.1:{port}/", "a=b")

    run(test)


def test_request_is_what_a_form_makes_of_it() -> None:
    async def test() -> None:
        answer = OK + b"content-length: 0\r\n\r\n"
        async with server(answer, answer) as (port, seen):
            asks = client()
            await asks.send("GET", f"http://me:p%40ss@127.0.0.1:{port}/auth?key=1", "a=b+c")
            await asks.send("POST", f"http://127.0.0.1:{port}", "a=b+c")
            asks.close()
        ((get, post),) = seen
        assert get.startswith(b"GET /auth?key=1&a=b+c HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % port)
        assert b"authorization: Basic bWU6cEBzcw==\r\n" in get
        assert post.startswith(b"POST / HTTP/1.1\r\n")
        assert post.endswith(b"content-length: 5\r\n\r\na=b+c")

    run(test)


def test_connection_that_was_closed_meanwhile_is_made_anew() -> None:
    async def test() -> None:
        answer = OK + b"content-length: 5\r\n\r\nallow"
        async with server(answer, b"", answer) as (port, seen):
            asks = client()
            for _ in range(2):
                assert (await asks.send("GET", f"http://127.0.0.1:{port}/", "")).body == b"allow"
            asks.close()
        assert [len(requests) for requests in seen] == [2, 1]

    run(test)


def test_certificate_of_the_service_is_checked(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def test() -> None:
        async with server(OK + b"content-length: 5\r\n\r\nallow", context=context) as (port, _):
            url = f"https://localhost:{port}/auth/user"
            with pytest.raises(ssl.SSLCertVerificationError):
                await client().send("GET", url, "")
            asks = client(authorities=str(certificate))
            assert (await asks.send("GET", url, "")).body == b"allow"
            asks.close()

    run(test)
