"""A real HTTP service that decides who may do what, in the protocol of rabbitmq_auth_backend_http.

It allows what no rule denies, keeps what it was asked, and can be made to answer late, badly or not at all.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Fields = dict[str, str]
Rule = Callable[[str, Fields], str | tuple[int, str] | None]
"""(kind of question, its fields) → an answer, one with a status, or None: somebody else may say."""

WAIT_S = 10


def password_of(name: str) -> str:
    """The one good password of everybody."""
    return f"{name}'s"


class Service:
    """Use as a context manager; `options()` are a broker's. Later rules come first."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Fields]] = []
        self.methods: set[str] = set()
        self.connections = 0
        self._rules: list[Rule] = [_passwords]
        self._held: dict[str, threading.Event] = {}
        self._came = threading.Condition()
        self._sockets: list[socket.socket] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                service.connections += 1
                service._sockets.append(self.connection)

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                self.reply(parts.path, parts.query)

            def do_POST(self) -> None:
                assert self.headers["content-type"] == "application/x-www-form-urlencoded"
                self.reply(self.path, self.rfile.read(int(self.headers["content-length"])).decode())

            def reply(self, path: str, form: str) -> None:
                service.methods.add(self.command)
                fields = dict(parse_qsl(form, keep_blank_values=True, strict_parsing=True))
                status, text = service.answer(path.rpartition("/")[2], fields)
                body = text.encode()
                if status < 0:
                    # Not HTTP at all.
                    self.wfile.write(body)
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port

    def __enter__(self) -> Service:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_down()

    def go_down(self) -> None:
        """Answer nobody any more."""
        for event in self._held.values():
            event.set()
        self._server.shutdown()
        self._server.server_close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def options(self, **more: Any) -> dict[str, Any]:
        paths = {
            f"auth_http_{kind}_path": f"http://127.0.0.1:{self.port}/auth/{kind}"
            for kind in ("user", "vhost", "resource", "topic")
        }
        return {"auth_backends": ("http",), **paths, **more}

    # --- what it says ----------------------------------------------------------------------------------

    def rule(self, rule: Rule) -> None:
        self._rules.insert(0, rule)

    def deny(self, kind: str, **fields: str) -> None:
        """Deny what has these fields."""
        self.say("deny", kind, **fields)

    def say(self, answer: str | tuple[int, str], kind: str, **fields: str) -> None:
        def rule(asked: str, given: Fields) -> str | tuple[int, str] | None:
            return answer if asked == kind and fields.items() <= given.items() else None

        self.rule(rule)

    def hold(self, name: str) -> None:
        """Answer nothing about this user until `release`."""
        self._held[name] = threading.Event()

    def release(self, name: str) -> None:
        self._held.pop(name).set()

    def answer(self, kind: str, fields: Fields) -> tuple[int, str]:
        with self._came:
            self.asked.append((kind, fields))
            self._came.notify_all()
        held = self._held.get(fields.get("username", ""))
        if held is not None:
            held.wait(WAIT_S)
        for rule in self._rules:
            found = rule(kind, fields)
            if found is not None:
                return found if isinstance(found, tuple) else (200, found)
        return 200, "allow"

    # --- what it was asked -----------------------------------------------------------------------------

    def wait_for(self, kind: str, count: int = 1, **fields: str) -> None:
        """Wait until it was asked so often about this."""
        with self._came:
            assert self._came.wait_for(lambda: self.count(kind, **fields) >= count, WAIT_S), self.asked

    def count(self, kind: str, **fields: str) -> int:
        return sum(one == kind and fields.items() <= given.items() for one, given in self.asked)

    def take(self) -> list[tuple[str, Fields]]:
        """What it was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked


def _passwords(kind: str, fields: Fields) -> str | None:
    if kind != "user" or fields.get("password") in (None, password_of(fields["username"])):
        return None
    return "deny"
