"""What holds for every route: logging in, rights, paths, bodies, refusals, and the OpenAPI document."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from pillarbox import Broker
from pillarbox.ops.management import uvicorn_server
from pillarbox.ops.management.resources import RESOURCES
from pillarbox.ops.management.uvicorn_server import HEAD_BYTES_MAX, HEAD_TIMEOUT_S
from tests.management.http import Client, basic, client

pytestmark = pytest.mark.row("R110")

NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}


def test_whoami_names_the_user_and_its_tags(api: Client) -> None:
    assert api.get("whoami") == {"name": "guest", "tags": ["administrator"]}


def test_without_password_a_browser_is_told_to_ask_for_one(api: Client) -> None:
    api.headers.clear()
    reply = api.request("GET", "whoami")
    assert (reply.status, reply.reason) == (401, "Unauthorized")
    assert reply.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'
    assert reply.document == {"error": "not_authorized", "reason": "Login failed"}


@pytest.mark.parametrize(
    "header", [basic("guest", "wrong"), basic("nobody", ""), "Basic *", "Bearer abc", "x"]
)
def test_wrong_credentials_are_refused(api: Client, header: str) -> None:
    api.headers["Authorization"] = header
    reply = api.request("GET", "whoami")
    assert (reply.status, reply.document["reason"]) == (401, "Login failed")


@pytest.mark.parametrize(("password", "status"), [("guest", 200), ("wrong", 401), ("", 401)])
def test_login_form_is_checked_without_logging_in_before(api: Client, password: str, status: int) -> None:
    api.headers.clear()
    reply = api.request("POST", "login", f"username=guest&password={password}".encode())
    assert reply.status == status
    assert status != 200 or reply.document == "ok"


def test_user_without_a_tag_may_not_look(broker: Broker) -> None:
    broker.call(lambda server: server.core.add_user("plain", "secret"))
    with client(broker, "plain", "secret") as api:
        reply = api.request("GET", "whoami")
    assert (reply.status, reply.document) == (
        401,
        {"error": "not_authorised", "reason": "Not management user"},
    )


def test_unknown_path_is_not_found(api: Client) -> None:
    reply = api.request("GET", "nothing/there")
    assert (reply.status, reply.document) == (404, NOT_FOUND)


def test_method_that_a_path_does_not_have_is_refused_with_those_it_has(api: Client) -> None:
    reply = api.request("DELETE", "whoami")
    assert (reply.status, reply.headers["allow"]) == (405, "HEAD, OPTIONS, GET")


def test_head_is_get_without_a_body(api: Client) -> None:
    shown, head = api.request("GET", "whoami"), api.request("HEAD", "whoami")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(shown.body))


@pytest.mark.parametrize("piece_bytes", [1000, 2 * HEAD_BYTES_MAX], ids=["in pieces", "in one go"])
def test_head_of_a_request_without_end_is_cut(broker: Broker, piece_bytes: int) -> None:
    head = b"GET /api/whoami HTTP/1.1\r\n" + b"x-more: x\r\n" * (2 * HEAD_BYTES_MAX // 11)
    with socket.create_connection(address_of(broker), timeout=HEAD_TIMEOUT_S / 2) as peer:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(head), piece_bytes):
                peer.sendall(head[start : start + piece_bytes])
        assert_cut(peer)


def test_head_of_a_request_that_takes_too_long_is_cut(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "HEAD_TIMEOUT_S", 0.1)
    with socket.create_connection(address_of(broker), timeout=HEAD_TIMEOUT_S / 2) as peer:
        peer.sendall(b"GET /api/whoami HTTP/1.1\r\n")
        assert_cut(peer)


def test_body_that_takes_too_long_is_refused_and_changes_nothing(
    broker: Broker, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "BODY_TIMEOUT_S", 0.1)
    head = SLOW_HEAD % basic("guest", "guest").encode()
    with socket.create_connection(address_of(broker), timeout=HEAD_TIMEOUT_S / 2) as peer:
        peer.sendall(head + b"{")
        answer = read_to_end(peer)
    status, _, document = answer.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 408 ")
    assert json.loads(document)["error"] == "request_timeout"
    assert api.request("GET", "queues/%2F/slow").status == 404


def test_body_of_a_refused_request_that_takes_too_long_is_cut(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads what a stranger sends, and it is not listened to for ever."""
    monkeypatch.setattr(uvicorn_server, "BODY_TIMEOUT_S", 0.5)
    with socket.create_connection(address_of(broker), timeout=HEAD_TIMEOUT_S / 2) as peer:
        peer.sendall(SLOW_HEAD % b"Basic bm9ib2R5Og==" + b"{")
        assert read_to_end(peer).startswith(b"HTTP/1.1 401 ")


SLOW_HEAD = b"PUT /api/queues/%%2F/slow HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\ncontent-length: 9\r\n\r\n"


def read_to_end(peer: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while more := peer.recv(65_536):
            found += more
    return found


def test_large_bodies_do_not_count_as_heads(broker: Broker) -> None:
    """Three requests in one go, each with a body larger than a head may be."""
    body = b" " * 2 * HEAD_BYTES_MAX
    request = b"PUT /api/nothing-here HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    with socket.create_connection(address_of(broker), timeout=HEAD_TIMEOUT_S / 2) as peer:
        peer.sendall((request + body) * 3)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 3:
            more = peer.recv(65_536)
            assert more, answers
            answers += more


def address_of(broker: Broker) -> tuple[str | None, int | None]:
    address = urlsplit(broker.management_url)
    return address.hostname, address.port


def assert_cut(peer: socket.socket) -> None:
    """The end, at once or after a reset, and no answer."""
    with contextlib.suppress(ConnectionError):
        assert peer.recv(4096) == b""


def test_openapi_document_has_every_route(api: Client) -> None:
    document = api.get("openapi.json")
    assert document["openapi"].startswith("3.")
    operations = {(method, path) for path, methods in document["paths"].items() for method in methods}
    routes = [route for resource in RESOURCES for route in resource.routes]
    assert operations == {(route.method.lower(), f"/api{route.path}") for route in routes}
    assert len(routes) == len(operations), "two rows for the same method and path"


def test_stack_is_imported_only_when_somebody_connects() -> None:
    """A start takes less than 0.3 s and 60 MB because of it."""
    program = (
        "import sys\n"
        "from pillarbox import Broker\n"
        "with Broker(management_port=0):\n"
        "    print([name for name in ('starlette', 'uvicorn', 'httptools') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
