"""What a scenario gets: clients, the management API, and the transcript of what the broker told.

What differs from run to run is replaced: the ports of clients and listeners by words, process ids by numbers
in the order in which they are met (so one that comes again is seen to be the same), moments by "now"; and
versions of Python and pika, which do not matter.
"""

from __future__ import annotations

import json
import platform
import re
import socket
import ssl
import time
from typing import Any
from urllib.parse import quote

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.clients.raw_client import RawClient
from tests.compare_events.differences import hidden
from tests.compare_events.peers import HOST, Target
from tests.compare_events.watcher import Told
from tests.management.http import Client, Reply
from tests.transcripts import case

WAIT_S = 15.0
"""What has not been told by then will not be."""

PID = re.compile(r"<[^<>]*\.\d+\.\d+\.\d+>")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.:+-]*")
REPLIES = re.compile(r"amq\.rabbitmq\.reply-to\.[^\s\"]+")
MOMENTS = ("timestamp_in_ms", "connected_at")
"""Headers that say when; a value far from now is shown as it is."""
NOW_MS = 120_000
JSON = {"content-type": "application/json"}


class Case(case.Case):
    """One run of a scenario on a broker."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self._words: dict[str, str] = {
            str(target.port): "PORT",
            target.node: "NODE",
            **{str(port): protocol.upper() for protocol, port in target.ports.items()},
            target.watcher.queue: "WATCHER",
            target.copies.queue: "COPIES",
            f"Python {platform.python_version()}": "PYTHON",
            pika.__version__: "PIKA",
        }
        self._pids: dict[str, str] = {}
        self._clients = 0
        target.begin()

    # --- doing ---------------------------------------------------------------------------------------

    def connect(
        self,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        name: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> pika.BlockingConnection:
        """A connection whose port the transcript shows as a word."""
        parameters = pika.ConnectionParameters(
            HOST,
            self.target.port if tls is None else self.target.ports["amqps"],
            vhost,
            pika.PlainCredentials(user, password),
            heartbeat=0,
            ssl_options=None if tls is None else pika.SSLOptions(tls),
            client_properties={"connection_name": name} if name else None,
        )
        connection = pika.BlockingConnection(parameters)
        self.target.left.append(connection)
        self.name_port(connection._impl._transport._sock.getsockname()[1])
        return connection

    def raw(self) -> RawClient:
        """A client that has sent nothing yet."""
        client = RawClient(HOST, self.target.port)
        self.target.left.append(client.socket)
        self.name_port(client.socket.getsockname()[1])
        return client

    def dial(self, protocol: str) -> socket.socket:
        """A socket for another protocol."""
        client = socket.create_connection((HOST, self.target.ports[protocol]), timeout=WAIT_S)
        self.target.left.append(client)
        self.name_port(client.getsockname()[1])
        return client

    def name_port(self, port: int) -> None:
        """Have a client's port shown as a word."""
        self._clients += 1
        self._words[str(port)] = f"CLIENT{self._clients}"

    def hide(self, value: str, word: str) -> None:
        """Have something that the broker has chosen shown as a word."""
        self._words[value] = word

    def channel(self) -> BlockingChannel:
        """A channel of a connection of its own, of which nothing is shown."""
        channel = self.connect().channel()
        self.pass_over()
        return channel

    def http(
        self, method: str, *path: str, body: Any = None, user: str = "guest", password: str = "guest"
    ) -> Any:
        """Ask the management API; what it refuses is an error."""
        reply = self.try_http(method, *path, body=body, user=user, password=password)
        assert reply.status < 300, reply
        return reply.document if reply.body else None

    def try_http(
        self, method: str, *path: str, body: Any = None, user: str = "guest", password: str = "guest"
    ) -> Reply:
        """The same, and it may refuse."""
        client = Client(f"http://{HOST}:{self.target.management_port}", user, password)
        try:
            return client.request(method, "/".join(quote(part, safe="") for part in path), body, JSON)
        finally:
            client.close()

    def text(self, *path: str) -> str:
        """A file that the management API has."""
        reply = self.try_http("GET", *path)
        return reply.body.decode() if reply.status == 200 else ""

    # --- seeing --------------------------------------------------------------------------------------

    def await_http(self, *path: str) -> None:
        """Wait until the management API knows something: RabbitMQ's gathers it a while later."""
        deadline = time.monotonic() + WAIT_S
        while self.try_http("GET", *path).status == 404:
            assert time.monotonic() < deadline, path

    def told(self, deed: str, until: str | None = None, *, in_order: bool = True) -> None:
        """Write down what was told of a deed; `until`: wait for an event with this key.

        Not `in_order`: RabbitMQ does several things at once, or in the order of its tables.
        """
        self.saw("---", deed)
        events = self._take(until)
        before = len(self.lines)
        for told in events:
            self._show(told, stamped=True)
        if not in_order:
            self.lines[before:] = sorted(self.lines[before:], key=json.dumps)

    def copied(self, deed: str, count: int) -> None:
        """Write down what was copied to the firehose; wait until there are so many."""
        self.saw("---", deed)
        taken = self._take_copies()
        deadline = time.monotonic() + WAIT_S
        while len(taken) < count and time.monotonic() < deadline:
            taken += self._take_copies()
        for told in taken:
            self._show(told, stamped=False)

    def _take_copies(self) -> list[Told]:
        """Without those of what the watchers of events get."""
        own = f"deliver.{self.target.watcher.queue}"
        return [told for told in self.target.quiet(self.target.copies) if told.key != own]

    def pass_over(self, until: str | None = None) -> None:
        """What was told so far is not of interest."""
        for told in self._take(until):
            self._meet(told)

    def _take(self, until: str | None) -> list[Told]:
        taken = self.target.quiet()
        deadline = time.monotonic() + WAIT_S
        while until is not None and until not in (told.key for told in taken):
            if time.monotonic() > deadline:
                self.saw("not told", until)
                break
            taken += self.target.quiet()
        return [told for told in taken if not hidden(told)]

    def _meet(self, told: Told) -> None:
        for _, letter, value in told.headers:
            self._known(letter, value)

    def _show(self, told: Told, *, stamped: bool) -> None:
        assert (told.delivery_mode, told.timestamp is not None) == (2 if stamped else None, stamped), told
        headers = {
            f"{name}:{letter}": self._value(name, letter, value)
            for name, letter, value in sorted(told.headers)
        }
        # Queues have no order here.
        headers.get("routed_queues:A", []).sort()
        self.saw(self._known("S", told.key), headers, *([told.body] if told.body else []))

    def _value(self, name: str, letter: str, value: Any) -> Any:
        if letter == "F":
            return {
                f"{self._known('S', key)}:{kind}": self._value(key, kind, each)
                for key, kind, each in sorted(value)
            }
        if letter == "A" and _is_text(value):
            return {"characters": self._known("S", "".join(chr(each) for _, each in value))}
        if letter == "A":
            return [[kind, self._value("", kind, each)] for kind, each in value]
        if name in MOMENTS and isinstance(value, int) and abs(value - time.time() * 1000) < NOW_MS:
            return "now"
        return self._known(letter, value)

    def shown(self, text: str) -> str:
        """A text without what differs from run to run; of times the form is left."""
        return TIME.sub(lambda found: re.sub(r"\d", "0", found[0]), str(self._known("S", text)))

    def _known(self, letter: str, value: Any) -> Any:
        if letter == "l" and str(value) in self._words:
            return self._words[str(value)]
        if letter != "S":
            return value
        text = REPLIES.sub("REPLIES", PID.sub(self._pid, value))
        for found, word in self._words.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(found)}(?![\w-])", word, text)
        return text

    def _pid(self, found: re.Match[str]) -> str:
        return self._pids.setdefault(found[0], f"<{len(self._pids) + 1}>")


def _is_text(array: list[tuple[str, Any]]) -> bool:
    """Is this what Erlang takes for a text: a list of code points?"""
    return bool(array) and all(letter == "l" and 9 <= value < 0x110000 for letter, value in array)
