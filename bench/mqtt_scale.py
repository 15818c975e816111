"""A million retained topics and ten thousand MQTT sessions, beside Mosquitto: `python -m bench.mqtt_scale`.

    python -m bench.mqtt_scale                          everything; writes mqtt_scale.json and MQTT_SCALE.md
    python -m bench.mqtt_scale --part 0.01              a hundredth of the size, to see that it works
    python -m bench.mqtt_scale --only sessions --peers pillarbox

Each broker runs alone, with an empty data folder, and keeps what it is told (Mosquitto: `persistence true`).
What has to hold, holds or the run fails: whoever subscribes to all gets all that is retained, also after a
restart; every session gets the messages that are for it, also those that came while it was away.

Memory is what is resident, less what was before, for each topic or session. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import resource
import selectors
import socket
import struct
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.beside import setting
from bench.machine import rss_mb, rss_peak_mb
from bench.messaging_peers import Mosquitto
from bench.mqtt_load import READ_SIZE, STALLED_S, LoadError, connect, packet, read_exactly, text
from bench.peers import HOST, Pillarbox

HERE = Path(__file__).resolve().parent
RETAINED = 1_000_000
SESSIONS = 10_000
PAYLOAD = b"21.5 degrees Celsius"
WINDOW = 500
AT_ONCE = 200
"""Clients that connect at the same time."""
FILES = 200
"""Open files beside the sockets."""

IDLE_S = 8
"""How long nothing goes on before it is looked at what was given back."""

Figures = dict[str, float]


def topic_of(number: int) -> str:
    return f"plant/{number // 1000}/sensor/{number % 1000}/state"


def publish(sock: socket.socket, topics: Sequence[str], payload: bytes, *, retain: bool) -> None:
    """Publish to each topic with QoS 1, so many at a time."""
    first = 0x32 | retain
    for start in range(0, len(topics), WINDOW):
        some = topics[start : start + WINDOW]
        sock.sendall(
            b"".join(
                packet(first, text(topic) + struct.pack(">H", number) + payload)
                for number, topic in enumerate(some, 1)
            )
        )
        read_exactly(sock, 4 * len(some))


def subscribe(sock: socket.socket, pattern: str, qos: int = 0) -> None:
    sock.sendall(packet(0x82, b"\0\1" + text(pattern) + bytes((qos,))))


def messages_in(data: bytes) -> tuple[int, int]:
    """How many whole PUBLISH packets there are, and how many bytes all whole packets take."""
    at = count = 0
    while True:
        start, size, shift = at + 1, 0, 0
        while start < len(data):
            byte = data[start]
            start += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            return count, at
        if start + size > len(data):
            return count, at
        count += data[at] >> 4 == 3
        at = start + size


def told(port: int, pattern: str, wanted: int) -> float:
    """How long a new subscriber waits for all that is retained and fits; fail if that is not so many."""
    sock = connect(port, f"reader-{time.monotonic_ns()}")
    began = time.monotonic()
    subscribe(sock, pattern)
    data, count = b"", 0
    while count < wanted:
        more = sock.recv(READ_SIZE)
        if not more:
            raise LoadError("the broker has closed")
        found, used = messages_in(data := data + more)
        count, data = count + found, data[used:]
    took = time.monotonic() - began
    sock.sendall(b"\xc0\0\xe0\0")
    while more := sock.recv(READ_SIZE):
        data += more
    count += messages_in(data)[0]
    sock.close()
    if count != wanted:
        raise LoadError(f"{count} messages for {pattern}, and not {wanted}")
    return took


def held(peer: Any, before_mb: float, count: int) -> float:
    """Bytes of memory for each."""
    return (rss_mb(peer.pid) - before_mb) * (1 << 20) / count


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt")


def restarted(peer: Any, stop: Callable[[], None]) -> tuple[float, float]:
    """How long the end takes, and how long the start until a client has its answer."""
    began = time.monotonic()
    stop()
    ended = time.monotonic()
    peer.start()
    sock = connect(peer.mqtt_port, "first")
    sock.close()
    return ended - began, time.monotonic() - ended


def longest_turn_s(peer: Any) -> float:
    """Of the broker's loop since its start, if it says so."""
    if isinstance(peer, Pillarbox):
        with contextlib.suppress(OSError):
            url = f"http://{HOST}:{peer.ports['prometheus']}/metrics"
            page = urllib.request.urlopen(url, timeout=30).read().decode()
            found = re.search(r"^pillarbox_longest_tick_seconds\S* (\S+)", page, re.MULTILINE)
            return float(found[1]) if found else 0.0
    return 0.0


def retained(peer: Any, count: int) -> Iterator[tuple[str, float]]:
    """So many retained messages, one a topic."""
    topics = [topic_of(number) for number in range(count)]
    sock = connect(peer.mqtt_port, "retainer")
    before = rss_mb(peer.pid)
    began = time.monotonic()
    publish(sock, topics, PAYLOAD, retain=True)
    yield "published, a second", count / (time.monotonic() - began)
    yield "memory, bytes each", held(peer, before, count)
    yield "all are told to one who subscribes to `#`, s", told(peer.mqtt_port, "#", count)
    some = len([one for one in topics if one.endswith("/sensor/5/state")])
    yield "one of each thousand, by a `+`, ms", 1000 * told(peer.mqtt_port, "plant/+/sensor/5/state", some)
    yield "one, by its name, ms", 1000 * told(peer.mqtt_port, topics[count // 2], 1)
    yield "memory at most, MiB", rss_peak_mb(peer.pid)
    yield "longest turn, ms", 1000 * longest_turn_s(peer)
    stop_s, start_s = restarted(peer, peer.stop)
    yield "stop, s", stop_s
    yield "start, s", start_s
    yield "disk, bytes each", disk_bytes(peer.data) / count
    yield "memory after it, bytes each", held(peer, before, count)
    told(peer.mqtt_port, "#", count)
    sock = connect(peer.mqtt_port, "retainer")
    began = time.monotonic()
    publish(sock, topics, b"", retain=True)
    yield "deleted, a second", count / (time.monotonic() - began)
    sock.close()
    time.sleep(IDLE_S)
    yield "memory when they are gone, bytes each", held(peer, before, count)


class Fleet:
    """So many clients in this process, each with a socket; what they get is counted and acknowledged."""

    def __init__(self, port: int, count: int, *, subscribing: bool) -> None:
        self.count = count
        self.received = 0
        self._selector = selectors.DefaultSelector()
        self._rest: dict[socket.socket, bytes] = {}
        self._answered = 0
        for first in range(0, count, AT_ONCE):
            for number in range(first, min(first + AT_ONCE, count)):
                self._begin(port, number, subscribing=subscribing)
            self._await(lambda: self._answered >= len(self._rest))

    def _begin(self, port: int, number: int, *, subscribing: bool) -> None:
        sock = socket.create_connection((HOST, port), timeout=STALLED_S)
        said = packet(0x10, text("MQTT") + b"\x04\x00\x00\x00" + text(f"client-{number}"))
        if subscribing:
            said += packet(0x82, b"\0\1" + text(f"fleet/{number}") + b"\1" + text("fleet/all") + b"\1")
        sock.sendall(said)
        sock.setblocking(False)
        self._answers = 2 if subscribing else 1
        self._rest[sock] = b""
        self._selector.register(sock, selectors.EVENT_READ)

    def _await(self, condition: Callable[[], bool]) -> None:
        while not condition():
            ready = self._selector.select(STALLED_S)
            if not ready:
                raise LoadError(f"stalled: {self._answered} answers, {self.received} messages")
            for key, _ in ready:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                self._read(sock)

    def _read(self, sock: socket.socket) -> None:
        more = sock.recv(1 << 16)
        if not more:
            raise LoadError("the broker has closed")
        data = self._rest[sock] + more
        at, answers = 0, bytearray()
        while at + 1 < len(data) and at + 2 + data[at + 1] <= len(data):
            kind, size = data[at] >> 4, data[at + 1]
            if kind == 3:
                start = at + 4 + (data[at + 2] << 8 | data[at + 3])
                answers += b"\x40\x02" + data[start : start + 2]
                self.received += 1
            elif kind == (9 if self._answers == 2 else 2):
                self._answered += 1
            at += 2 + size
        self._rest[sock] = data[at:]
        if answers:
            sock.send(answers)

    def await_messages(self, count: int) -> None:
        self._await(lambda: self.received >= count)

    def close(self) -> None:
        for sock in self._rest:
            sock.close()


def sessions(peer: Any, count: int) -> Iterator[tuple[str, float]]:
    """So many clients whose sessions are kept, each with a topic of its own and one of all."""
    writer = connect(peer.mqtt_port, "writer")
    before = rss_mb(peer.pid)
    began = time.monotonic()
    fleet = Fleet(peer.mqtt_port, count, subscribing=True)
    yield "connected and subscribed, a second", count / (time.monotonic() - began)
    yield "memory of a connected one, bytes", held(peer, before, count)
    own = [f"fleet/{number}" for number in range(count)]
    began = time.monotonic()
    publish(writer, own, PAYLOAD, retain=False)
    fleet.await_messages(count)
    yield "one message to each, a second", count / (time.monotonic() - began)
    began = time.monotonic()
    publish(writer, ["fleet/all"] * 10, PAYLOAD, retain=False)
    fleet.await_messages(11 * count)
    yield "10 messages to all, a second", 10 * count / (time.monotonic() - began)
    yield "longest turn, ms", 1000 * longest_turn_s(peer)
    fleet.close()
    writer.close()
    writer = connect(peer.mqtt_port, "writer-again")
    began = time.monotonic()
    publish(writer, own, PAYLOAD, retain=False)
    yield "one message to each that is away, a second", count / (time.monotonic() - began)
    writer.close()
    yield "memory at most, MiB", rss_peak_mb(peer.pid)
    time.sleep(IDLE_S)
    yield "memory of one that is away with a message, bytes", held(peer, before, count)
    stop_s, start_s = restarted(peer, peer.stop)
    yield "stop, s", stop_s
    yield "start, s", start_s
    yield "memory after it, bytes each", held(peer, before, count)
    began = time.monotonic()
    fleet = Fleet(peer.mqtt_port, count, subscribing=False)
    fleet.await_messages(count)
    yield "all are back and have their message, a second", count / (time.monotonic() - began)
    fleet.close()


class Durable(Mosquitto):
    """Mosquitto that keeps what it has, and without a limit to what it queues."""

    def __init__(self) -> None:
        super().__init__()
        self.config = (
            "persistence true",
            f"persistence_location {self.data}/",
            "max_queued_messages 0",
            "user root",
        )

    @property
    def mqtt_port(self) -> int:
        return self.port


class Ours(Pillarbox):
    """Pillarbox with a port for MQTT."""

    def __init__(self) -> None:
        super().__init__(options=("--mqtt-port", "0"))

    @property
    def mqtt_port(self) -> int:
        return self.ports["mqtt"]


PEERS: dict[str, type[Any]] = {"pillarbox": Ours, "mosquitto": Durable}
MEASURES: dict[str, tuple[Callable[[Any, int], Iterator[tuple[str, float]]], int]] = {
    "retained": (retained, RETAINED),
    "sessions": (sessions, SESSIONS),
}
TITLES = {"retained": "{:,} retained topics", "sessions": "{:,} sessions that are kept"}


def measured(what: str, peer_class: type[Any], count: int) -> tuple[str, Figures]:
    """A broker's name, and what it has shown."""
    with peer_class() as peer:
        name = f"{peer.name} {peer.version}"
        figures = {}
        for figure, value in MEASURES[what][0](peer, count):
            figures[figure] = round(value, 2)
            print(f"{name}: {figure}: {value:,.2f}", flush=True)
        return name, figures


def raise_limit(sockets: int) -> None:
    """Have this process, and the brokers that it starts, open so many sockets. Raises ValueError."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))


def page(results: dict[str, dict[str, Figures]], about: dict[str, str]) -> str:
    """What `bench/MQTT_SCALE.md` says."""
    parts = [
        "# Many retained topics and many sessions of MQTT\n\nWritten by `python -m bench.mqtt_scale`; what"
        f" the figures are is in its docstring.\n\n{setting(about)}"
    ]
    for title, found in results.items():
        names = list(found)
        lines = [f"| {title} | {' | '.join(names)} |", "|" + " --- |" + " --: |" * len(names)]
        for figure in next(iter(found.values())):
            cells = [f"{found[name][figure]:,.1f}" if figure in found[name] else "-" for name in names]
            lines.append(f"| {figure} | {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mqtt_scale", description=__doc__)
    parser.add_argument("--only", choices=list(MEASURES))
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated")
    parser.add_argument("--part", type=float, default=1.0, help="of the size")
    arguments = parser.parse_args()
    raise_limit(SESSIONS)
    about = machine.machine()
    results: dict[str, dict[str, Figures]] = {}
    for what in [arguments.only] if arguments.only else list(MEASURES):
        count = max(1, int(MEASURES[what][1] * arguments.part))
        found = results[TITLES[what].format(count)] = {}
        for name in arguments.peers.split(","):
            peer_class = PEERS[name]
            if reason := peer_class.missing():
                print(f"no {name}: {reason}", file=sys.stderr)
                continue
            shown, figures = measured(what, peer_class, count)
            found[shown] = figures
    if arguments.part == 1 and not arguments.only:
        (HERE / "mqtt_scale.json").write_text(
            json.dumps({"machine": about, "results": results}, indent=1) + "\n"
        )
        (HERE / "MQTT_SCALE.md").write_text(page(results, about))
    else:
        print(page(results, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
