"""stomp.py as scenarios use it: a client whose frames are waited for, and the scenarios that both peers
see."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import Any

import stomp

from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario

HOST = "127.0.0.1"
WAIT_S = 10
VERSIONS = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}


class Client(stomp.ConnectionListener):  # type: ignore[misc]
    """A connection of a version, logged in."""

    def __init__(self, case: Case, version: str = "1.2", **headers: str) -> None:
        self.version = version
        self.messages: queue.Queue[tuple[dict[str, str], str]] = queue.Queue()
        self.events: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self._sent = 0
        more = {} if version == "1.0" else {"vhost": "/"}
        self.connection = VERSIONS[version]([(HOST, case.port)], auto_content_length=False, **more)
        self.connection.set_listener("", self)
        self.connection.connect("guest", "guest", wait=True, headers=headers)

    def on_message(self, frame: Any) -> None:
        self.messages.put((frame.headers, frame.body))

    def on_error(self, frame: Any) -> None:
        self.events.put(("error", frame.headers, frame.body))

    def on_receipt(self, frame: Any) -> None:
        self.events.put(("receipt", frame.headers["receipt-id"]))

    def on_disconnected(self) -> None:
        self.events.put(("disconnected",))

    def hear(self) -> tuple[Any, ...]:
        """The next that is no message."""
        return self.events.get(timeout=WAIT_S)

    def send(self, destination: str, body: str = "x", **headers: Any) -> None:
        """Send, and wait until the broker has it."""
        said = {name if name.isupper() else name.replace("_", "-"): value for name, value in headers.items()}
        self._sent += 1
        self.connection.send(destination, body, headers={"receipt": f"sent-{self._sent}", **said})
        self.receipt(f"sent-{self._sent}")

    def receipt(self, name: str) -> None:
        heard = self.hear()
        assert heard == ("receipt", name), heard

    def subscribe(self, destination: str, name: str = "s", ack: str = "auto", **headers: str) -> None:
        """Subscribe, and wait until the broker has done it."""
        said = {"receipt": f"subscribed-{name}", **headers}
        if self.version == "1.0":
            self.connection.subscribe(destination, ack=ack, headers=said)
        else:
            self.connection.subscribe(destination, name, ack, headers=said)
        self.receipt(f"subscribed-{name}")

    def message(self) -> tuple[dict[str, str], str]:
        return self.messages.get(timeout=WAIT_S)

    def bodies(self, count: int) -> list[str]:
        return [self.message()[1] for _ in range(count)]

    def answer(self, headers: dict[str, str], what: str = "ack", **more: str) -> None:
        """ACK or NACK a message, and wait until that is done."""
        answer = getattr(self.connection, what)
        if self.version == "1.2":
            answer(headers["ack"], receipt="answered", **more)
        elif self.version == "1.1":
            answer(headers["message-id"], headers["subscription"], receipt="answered", **more)
        else:
            self.connection.send_frame("ACK", {"message-id": headers["message-id"], "receipt": "answered"})
        self.receipt("answered")

    def leave(self) -> None:
        """Disconnect, if the broker has not done so."""
        with contextlib.suppress(OSError, stomp.exception.NotConnectedException):
            self.connection.disconnect()

    def nothing_is_left(self, destination: str) -> bool:
        """Is the next message on this queue the one that is sent now?"""
        self.subscribe(destination, "last")
        self.send(destination, "the last")
        return self.bodies(1) == ["the last"]


@scenario("R142")
def every_version(case: Case) -> None:
    for version in VERSIONS:
        client = Client(case, version)
        name = f"/queue/{case.name('v')}{version}"
        client.subscribe(name)
        for body in ("plain", "ü\nlines\n", ""):
            client.send(name, body or " ", custom="value", correlation_id="c")
            headers, got = client.message()
            shown = {key: headers.get(key) for key in ("custom", "correlation-id", "subscription")}
            case.saw(version, got, headers["destination"], shown if version != "1.0" else None)
        client.leave()


@scenario("R142")
def escaped_headers(case: Case) -> None:
    for version in ("1.1", "1.2"):
        client = Client(case, version)
        name = f"/queue/{case.name('e')}"
        client.subscribe(name)
        client.send(name, "x", **{"odd:name": "a:b\\c\nd"})
        headers, _ = client.message()
        case.saw(version, headers.get("odd:name"))
        client.leave()


@scenario("R142")
def acknowledged_up_to(case: Case) -> None:
    for version in VERSIONS:
        name = f"/queue/{case.name('c')}{version}"
        client = Client(case, version)
        client.subscribe(name, ack="client")
        for number in range(4):
            client.send(name, str(number), persistent="true")
        got = [client.message() for _ in range(4)]
        client.answer(got[2][0])
        client.leave()
        again = Client(case, version)
        again.subscribe(name)
        headers, body = again.message()
        case.saw(version, body, headers.get("redelivered"))
        case.saw("all", again.nothing_is_left(name + "-other"))
        again.leave()


@scenario("R142")
def acknowledged_one_by_one(case: Case) -> None:
    for version in ("1.1", "1.2"):
        name = f"/queue/{case.name('i')}{version}"
        client = Client(case, version)
        client.subscribe(name, ack="client-individual")
        for number in range(3):
            client.send(name, str(number))
        got = [client.message() for _ in range(3)]
        client.answer(got[1][0])
        client.leave()
        again = Client(case, version)
        again.subscribe(name)
        case.saw(version, again.bodies(2))
        again.leave()


@scenario("R142")
def transactions(case: Case) -> None:
    name = f"/queue/{case.name('t')}"
    client = Client(case)
    client.subscribe(name, ack="client-individual")
    for end in ("abort", "commit"):
        client.connection.begin(end)
        for number in range(2):
            client.connection.send(name, f"{end} {number}", transaction=end)
        getattr(client.connection, end)(end)
    got = [client.message() for _ in range(2)]
    case.saw("committed", [body for _, body in got])
    client.connection.begin("acks")
    for headers, _ in got:
        client.connection.ack(headers["ack"], transaction="acks")
    client.connection.commit("acks")
    client.leave()
    again = Client(case)
    case.saw("nothing is left", again.nothing_is_left(name))
    again.leave()


@scenario("R142")
def topics(case: Case) -> None:
    root = case.name("a").replace("-", "")
    readers = [Client(case) for _ in range(3)]
    for reader, pattern in zip(readers, ("b.c", "*.c", "b.*"), strict=True):
        reader.subscribe(f"/topic/{root}.{pattern}")
    writer = Client(case)
    for topic in ("b.c", "x.c", "b.x"):
        writer.send(f"/topic/{root}.{topic}", topic)
    case.saw("got", readers[0].bodies(1), readers[1].bodies(2), readers[2].bodies(2))
    for client in (*readers, writer):
        client.leave()


@scenario("R142")
def unsubscribing(case: Case) -> None:
    for version in VERSIONS:
        name = f"/queue/{case.name('u')}{version}"
        client = Client(case, version)
        client.subscribe(name)
        client.send(name, "before")
        case.saw(version, client.bodies(1))
        client.connection.unsubscribe(name) if version == "1.0" else client.connection.unsubscribe("s")
        client.send(name, "after")
        client.subscribe(name, "again")
        case.saw("again", client.bodies(1))
        client.leave()


@scenario("R142")
def round_robin(case: Case) -> None:
    name = f"/queue/{case.name('r')}"
    readers = [Client(case) for _ in range(2)]
    for reader in readers:
        reader.subscribe(name)
    writer = Client(case)
    for number in range(6):
        writer.send(name, str(number))
    case.saw("got", sorted(readers[0].bodies(3)), sorted(readers[1].bodies(3)))
    for client in (*readers, writer):
        client.leave()


@scenario("R142")
def what_is_wrong_closes(case: Case) -> None:
    wrong = [
        ("SEND", {}),
        ("SUBSCRIBE", {"id": "x"}),
        ("ACK", {"id": "nothing", "message-id": "nothing"}),
        ("COMMIT", {"transaction": "unknown"}),
        ("COMMIT", {}),
        ("NONSENSE", {}),
    ]
    for command, headers in wrong:
        client = Client(case)
        client.connection.send_frame(command, headers)
        case.saw(command, client.hear()[0])
        client.leave()


@scenario("R142")
def heart_beats(case: Case) -> None:
    connection = stomp.Connection12([(HOST, case.port)], heartbeats=(500, 500), vhost="/")
    connection.connect("guest", "guest", wait=True)
    time.sleep(2.5)
    case.saw("still there", connection.is_connected())
    connection.disconnect()
