"""A client of one socket that says exactly what a test wants, and reads frame by frame."""

from __future__ import annotations

import socket
from typing import NamedTuple, Self

from pillarbox.protocols.stomp.wire import Scanner, read_head

TIMEOUT_S = 10


class Got(NamedTuple):
    """One frame of the broker."""

    command: str
    headers: dict[str, str]
    body: bytes


class Talking:
    """See the module. `connect` logs in; `version` says how headers are escaped from then on."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self.version = "1.2"
        self._scanner = Scanner()
        self._scanner.body_bytes_max = 1 << 30
        self._receipts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def connect(self, version: str = "1.2", **headers: str) -> Got:
        said = {"accept-version": version, "host": "/", "login": "guest", "passcode": "guest"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.say("CONNECT", said)
        got = self.read()
        self.version = got.headers.get("version", version)
        return got

    def say(self, command: str, headers: dict[str, str] | None = None, body: bytes | str = b"") -> None:
        lines = "".join(f"{name}:{value}\n" for name, value in (headers or {}).items())
        content = body.encode() if isinstance(body, str) else body
        if 0 in content:
            lines += f"content-length:{len(content)}\n"
        self.socket.sendall(f"{command}\n{lines}\n".encode() + content + b"\0")

    def send(self, destination: str, body: bytes | str = b"", **headers: str) -> None:
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        self.say("SEND", {"destination": destination} | own, body)

    def ask(self, command: str, headers: dict[str, str] | None = None, body: bytes | str = b"") -> Got:
        """Say something with a receipt, and return the next frame that comes."""
        self._receipts += 1
        self.say(command, (headers or {}) | {"receipt": f"r{self._receipts}"}, body)
        return self.read()

    def done(self, command: str, headers: dict[str, str] | None = None, body: bytes | str = b"") -> None:
        """Say something, and see that its receipt is the next frame."""
        got = self.ask(command, headers, body)
        assert got.command == "RECEIPT", got
        assert got.headers == {"receipt-id": f"r{self._receipts}"}

    def read(self) -> Got:
        while (found := self._scanner.next()) is None:
            data = self.socket.recv(1 << 16)
            assert data, "the broker has closed the socket"
            self._scanner.feed(data)
        command, headers = read_head(found[0], self.version)
        return Got(command, headers, found[1])

    def message(self) -> Got:
        got = self.read()
        assert got.command == "MESSAGE", got
        return got

    def error(self) -> Got:
        """The ERROR frame that comes next, after which the broker closes the socket."""
        got = self.read()
        assert got.command == "ERROR", got
        assert self.is_closed()
        return got

    def is_closed(self) -> bool:
        """Is there nothing more to come but line ends?"""
        while data := self.socket.recv(1 << 16):
            if data.strip(b"\n"):
                return False
        return True
