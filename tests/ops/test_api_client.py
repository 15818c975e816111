"""The HTTP client of the commands, against servers that do what a broker's API does not."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench.peers import HOST, make_certificate
from pillarbox.ops.api_client import AddressError, ApiClient, ApiError, Unreachable, path


class Odd(BaseHTTPRequestHandler):
    """Answers by the last word of the path, and counts what it is asked."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        word = self.path.rpartition("/")[2]
        if word == "hangs-up":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            self.close_connection = True
            return
        status, body = {
            "web": (200, b"<html>"),
            "null": (200, b"null"),
            "nothing": (204, b""),
            "plain": (500, b"a plain text"),
            "words": (400, b'{"error": "bad_request", "reason": {"why": "so"}}'),
        }.get(word, (200, b'"ok"'))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        # Says nothing of it, as a server whose time-out for idle connections is over.
        self.close_connection = word == "last"

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Not to the terminal."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """Serve Odd; yield the port and the list of what was asked."""
    handler = type("Handler", (Odd,), {"asked": []})
    with HTTPServer((HOST, 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, handler.asked  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


def test_names_in_paths_are_quoted_whole() -> None:
    assert path("/queues/{vhost}/{queue}", vhost="/", queue="a/b ü%?") == "/queues/%2F/a%2Fb%20%C3%BC%25%3F"


def test_answers_are_told_from_what_is_no_api() -> None:
    with serving() as (port, _), ApiClient(f"http://{HOST}:{port}") as api:
        assert api.get("/x") == "ok"
        assert api.get("/null") is None
        assert api.get("/nothing") is None
        with pytest.raises(ApiError) as refused:
            api.get("/words")
        assert (refused.value.status, refused.value.reason) == (400, '{"why": "so"}')
        with pytest.raises(ApiError, match="Internal Server Error"):
            api.get("/plain")
        with pytest.raises(Unreachable, match="no management API"):
            api.get("/web")
        with pytest.raises(Unreachable):
            api.get("/hangs-up")
        assert api.get("/x") == "ok"


def test_request_on_a_connection_that_was_closed_meanwhile_is_sent_once_more_unless_it_does_something() -> (
    None
):
    with serving() as (port, asked), ApiClient(f"http://{HOST}:{port}/before/") as api:
        api.get("/last")
        assert api.get("/x") == "ok"
        api.get("/last")
        with pytest.raises(Unreachable):
            api.call("POST", "/x")
        assert asked == ["/before/api/last", "/before/api/x", "/before/api/last"]


def test_certificate_has_to_be_trusted(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as (port, _):
        url = f"https://localhost:{port}"
        with ApiClient(url, authorities=str(certificate)) as api:
            assert api.get("/x") == "ok"
        with ApiClient(url) as api, pytest.raises(Unreachable, match="not trusted"):
            api.get("/x")
    with pytest.raises(AddressError, match="certificates"):
        ApiClient(url, authorities=str(key))


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://h:port", "http://u:secret@h:99999"])
def test_url_that_is_none_is_refused_without_naming_the_password(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        ApiClient(url)
    assert "secret" not in str(refused.value)


def test_login_in_the_url_is_used_and_not_shown() -> None:
    api = ApiClient("http://me:s%40crët@[::1]:1/")
    assert (api.user, api.address, repr(api)) == ("me", "http://[::1]:1", "<ApiClient me http://[::1]:1>")
