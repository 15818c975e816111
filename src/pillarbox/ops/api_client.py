"""A client of the HTTP management API, Pillarbox's or a RabbitMQ's: one request at a time, one connection.

    with ApiClient("http://localhost:15672", "guest", "guest") as api:
        api.get(path("/queues/{vhost}", vhost="/"), columns="name,messages")

Paths stand under /api; `path` fills the names in and quotes them, slashes too. What comes back is the parsed
document, or None where there is none.

Errors: `ApiError` for a broker that answers and refuses, `Unreachable` for one that does not answer, or not
as such an API would. Both are one sentence for the operator and never name the password.

Not here: where address and password come from, and what is printed.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from string import Formatter
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlencode, urlsplit

from pillarbox.endpoints import in_url
from pillarbox.errors import PillarboxError

DEFAULT_PORT = 15672
TIMEOUT_S = 60.0
"""Of each wait for the peer. A broker with many queues takes a while to list them."""


class AddressError(PillarboxError):
    """The URL is none of a management API."""

    exit_code = 2


class ApiError(PillarboxError):
    """The broker refuses. `status`: the HTTP status; `reason`: why, as the broker puts it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{reason} ({status})")
        self.status = status
        self.reason = reason


class Unreachable(PillarboxError):
    """No management API answers at this address."""

    exit_code = 69
    """For a command that cannot go on: EX_UNAVAILABLE of sysexits.h, as RabbitMQ's tools have it."""


def path(template: str, **values: str) -> str:
    """Fill `{name}`s of a path in, each quoted whole: `/` in a name is `%2F`."""
    return template.format_map({name: quote(value, safe="") for name, value in values.items()})


def names_in(template: str) -> list[str]:
    """The `{name}`s of a path, in their order."""
    return [name for _, name, _, _ in Formatter().parse(template) if name]


class ApiClient:
    """See the module. `url` may hold a user, a password and a path before /api; `user` and `password` are
    stronger. `authorities`: a PEM file with those that may have signed the peer's certificate.
    """

    def __init__(
        self,
        url: str,
        user: str | None = None,
        password: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        authorities: str | None = None,
    ) -> None:
        address = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = address.port or (443 if address.scheme == "https" else DEFAULT_PORT)
        except ValueError:
            raise AddressError(f'"{_without_login(url)}" has no usable port') from None
        if address.scheme not in ("http", "https") or not address.hostname:
            raise AddressError(f'"{_without_login(url)}" is no http:// or https:// URL')
        host = address.hostname
        self.user = user if user is not None else unquote(address.username or "guest")
        if password is None and address.password is not None:
            password = unquote(address.password)
        self.address = f"{address.scheme}://{in_url(host)}:{port}"
        self._prefix = address.path.rstrip("/").removesuffix("/api") + "/api"
        self._headers: dict[str, str] = {}
        self.log_in(self.user, "guest" if password is None else password)
        self._connection = (
            HTTPConnection(host, port, timeout=timeout_s)
            if address.scheme == "http"
            else HTTPSConnection(host, port, timeout=timeout_s, context=_trust(authorities))
        )

    def log_in(self, user: str, password: str) -> None:
        """Ask as this user from now on."""
        self.user = user
        self._headers["Authorization"] = "Basic " + b64encode(f"{user}:{password}".encode()).decode()

    def get(self, path: str, **query: str) -> Any:
        """The document at a path."""
        return self.call("GET", path, query=query)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request, with `body` as JSON, and return the document of the answer; None if it has none."""
        target = f"{self._prefix}{path}{'?' + urlencode(query) if query else ''}"
        sent = {**self._headers, **(headers or {})}
        data = b""
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode()
            sent["Content-Type"] = "application/json"
        try:
            answer, content = self._exchange(method, target, data, sent)
        except TimeoutError:
            self.close()
            raise Unreachable(f"{self.address} does not answer in time") from None
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"{self.address} is not trusted: {error.verify_message}") from None
        except (OSError, HTTPException, UnicodeError) as error:
            self.close()
            raise Unreachable(f"{self.address} cannot be reached: {_words(error)}") from None
        document = _document(content)
        if answer.status >= 300:
            raise ApiError(answer.status, _reason(document, answer))
        if content and document is None and content.strip() != b"null":
            raise Unreachable(f"what answers at {self.address} is no management API")
        return document

    def close(self) -> None:
        self._connection.close()

    def _exchange(
        self, method: str, target: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        kept = self._connection.sock is not None
        try:
            return self._exchange_once(method, target, data, headers)
        except (ConnectionError, HTTPException):
            # A connection that was kept may have been closed by the peer since; only what may be asked twice
            # is asked again.
            if not kept or method == "POST":
                raise
            self.close()
            return self._exchange_once(method, target, data, headers)

    def _exchange_once(
        self, method: str, target: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        self._connection.request(method, target, data or None, dict(headers))
        answer = self._connection.getresponse()
        return answer, answer.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ApiClient {self.user} {self.address}>"


def _without_login(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]


def _trust(authorities: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise AddressError(f"{authorities} has no usable certificates: {_words(error)}") from None


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _document(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None


def _reason(document: Any, answer: HTTPResponse) -> str:
    """Why, in the words that RabbitMQ's API has in `reason`, else in `error`, else in the status line."""
    if isinstance(document, dict):
        for key in ("reason", "error"):
            found = document.get(key)
            if found:
                return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return answer.reason
