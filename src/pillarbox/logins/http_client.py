"""A small HTTP/1.1 client: requests with a form, over connections that are kept for the next one.

asyncio carries the bytes, httptools (which the management API needs anyhow) takes answers apart. No
redirects, no proxies, no cookies: what is asked here has one address and answers in a word.

Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

import httptools

from pillarbox.endpoints import in_url

BODY_BYTES_MAX = 64 << 10
"""Tags of a user, in words: a longer answer is none."""
HEAD_BYTES_MAX = 64 << 10

IDLE_MAX = 16
"""Connections to one address that are kept while nothing is asked."""

LENGTHS = (b"content-length", b"transfer-encoding")

PORTS = {"http": 80, "https": 443}


class HttpClientError(Exception):
    """What came is no answer in HTTP, or too long for one."""


class Answered(NamedTuple):
    """Status and body of an answer."""

    status: int
    body: bytes


class Place(NamedTuple):
    """Where connections lead."""

    scheme: str
    host: str
    port: int


def place_of(url: SplitResult) -> Place:
    """Where a URL leads. Raises ValueError in words."""
    if url.scheme not in PORTS or not url.hostname:
        raise ValueError("a URL that begins with http:// or https://")
    return Place(url.scheme, url.hostname, url.port or PORTS[url.scheme])


class _Reading:
    """An answer that is being read; httptools calls its methods."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.head_bytes = 0
        self.is_whole = False
        self.head_is_whole = False
        self.until_end = True
        """Nothing says how long the body is."""
        self.stays = False
        """The connection is good for another request; known when the answer is whole."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head_bytes += len(name) + len(value)
        if self.head_bytes > HEAD_BYTES_MAX:
            raise HttpClientError("its headers are too long")
        self.until_end = self.until_end and name.lower() not in LENGTHS

    def on_headers_complete(self) -> None:
        self.head_is_whole = True

    def on_body(self, body: bytes) -> None:
        self.body += body
        if len(self.body) > BODY_BYTES_MAX:
            raise HttpClientError("it is too long")

    def on_message_complete(self) -> None:
        self.is_whole = True
        self.stays = self.parser.should_keep_alive()

    @property
    def answered(self) -> Answered:
        return Answered(self.parser.get_status_code(), bytes(self.body))


class _Connection:
    """One connection to a place."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.stays = True
        """The other side keeps it open for a further request."""

    @property
    def is_open(self) -> bool:
        return self.stays and not self._reader.at_eof() and not self._writer.is_closing()

    async def exchange(self, request: bytes) -> Answered | None:
        """Send a request and read its answer; None: it was closed before any of that came."""
        reading = _Reading()
        self.stays = False
        try:
            self._writer.write(request)
            data = await self._reader.read(65536)
        except ConnectionError:
            return None
        if not data:
            return None
        try:
            while data:
                reading.parser.feed_data(data)
                if reading.is_whole:
                    self.stays = reading.stays
                    return reading.answered
                data = await self._reader.read(65536)
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise cause if isinstance(cause, HttpClientError) else HttpClientError(str(error)) from None
        if reading.head_is_whole and reading.until_end:
            # A body without a length ends with its connection.
            return reading.answered
        raise HttpClientError("it ends in the middle")

    def close(self) -> None:
        self._writer.close()


class HttpClient:
    """See the module. `authorities`: a PEM file for https, "" for the system's."""

    def __init__(self, *, authorities: str = "", connect_timeout_s: float, timeout_s: float) -> None:
        self._context = ssl.create_default_context(cafile=authorities or None)
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._idle: dict[Place, list[_Connection]] = {}

    def __repr__(self) -> str:
        return f"<HttpClient idle={sum(map(len, self._idle.values()))}>"

    async def send(self, method: str, url: str, form: str) -> Answered:
        """GET with the form as a query, or POST it.

        Raises OSError, TimeoutError, HttpClientError. A connection that was kept and has been closed by the
        other side meanwhile is none: another one is made.
        """
        parts = urlsplit(url)
        place = place_of(parts)
        request = _request(method, parts, place, form)
        idle = self._idle.setdefault(place, [])
        while idle:
            connection = idle.pop()
            if connection.is_open:
                answer = await self._exchange(connection, request, idle)
                if answer is not None:
                    return answer
            else:
                connection.close()
        answer = await self._exchange(await self._connect(place), request, idle)
        if answer is None:
            raise HttpClientError("the connection was closed without one")
        return answer

    async def _connect(self, place: Place) -> _Connection:
        async with asyncio.timeout(self._connect_timeout_s):
            streams = await asyncio.open_connection(
                place.host, place.port, ssl=self._context if place.scheme == "https" else None
            )
        return _Connection(*streams)

    async def _exchange(
        self, connection: _Connection, request: bytes, idle: list[_Connection]
    ) -> Answered | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if connection.stays and len(idle) < IDLE_MAX:
            idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is kept."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()


def _request(method: str, url: SplitResult, place: Place, form: str) -> bytes:
    path = url.path or "/"
    body = b""
    headers = ["accept: text/plain, */*"]
    if method == "POST":
        body = form.encode()
        path = f"{path}?{url.query}" if url.query else path
        headers += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
    else:
        path = f"{path}?{url.query}&{form}" if url.query else f"{path}?{form}"
    host = in_url(place.host)
    if place.port != PORTS[place.scheme]:
        host = f"{host}:{place.port}"
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        headers.append(f"authorization: Basic {b64encode(pair).decode()}")
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"host: {host}", *headers))
    return head.encode() + b"\r\n\r\n" + body
