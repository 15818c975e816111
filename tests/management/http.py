"""A small HTTP client for the tests: what was sent is what is written here, nothing is added."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pillarbox import Broker

TIMEOUT_S = 60


class Reply(NamedTuple):
    """An answer: its status line, headers (in lower case) and body."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks one management API, as one user, over one connection."""

    def __init__(self, url: str, user: str = "guest", password: str = "guest") -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._connection = HTTPConnection(address.hostname, address.port or 0, timeout=TIMEOUT_S)
        self.headers = {"Authorization": basic(user, password)}

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request for a path under /api; `body`: bytes as they are, or something for JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self._connection.request(method, f"/api/{path}", body, {**self.headers, **(headers or {})})
        answer = self._connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, answer.reason, fields, answer.read())

    def get(self, path: str) -> Any:
        """The document under a path, which must be there."""
        reply = self.request("GET", path)
        assert reply.status == 200, (path, reply)
        return reply.document

    def close(self) -> None:
        self._connection.close()


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def client(broker: Broker, user: str = "guest", password: str = "guest") -> Iterator[Client]:
    found = Client(broker.management_url, user, password)
    try:
        yield found
    finally:
        found.close()
