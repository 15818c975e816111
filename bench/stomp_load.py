"""Raw-socket STOMP 1.2 load, so that the broker is what is measured: publishers send frames that were encoded
beforehand, subscribers count a mark in the bytes that come, and acknowledge as they are told.

    python -m bench.stomp_load --port 61613 --pid PID --persistent 1 --receipts 1 --ack client

`measure` plays one `Load` and returns messages published and received a second, and CPU seconds of the
broker per million messages received. A load is over when every subscriber has everything, or it fails.
Standard library only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import re
import secrets
import socket
import time
from dataclasses import dataclass, fields
from typing import Any

from bench.machine import cpu_s, rss_peak_mb

HOST = "127.0.0.1"
READ_SIZE = 1 << 20
STALLED_S = 60.0
MARK = b"<mark-of-a-body>"
PREFETCH = 1_000
ACK_EVERY = 250
"""Messages that one cumulative acknowledgement covers, at least."""
RECEIPT = b"RECEIPT\n"
_ack_of = re.compile(rb"\nack:([^\n]+)").findall
context = mp.get_context("fork")


class LoadError(Exception):
    """Nothing moved any more, or the broker has refused something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One workload. Every field is an option of the command line as well."""

    messages: int = 100_000
    """Of each publisher."""
    size: int = 100
    persistent: int = 0
    receipts: int = 0
    """1: every message asks for one, and `window` of them are on their way."""
    window: int = 100
    ack: str = "auto"
    """How subscribers acknowledge: `auto`, `client` (many at once) or `client-individual`."""
    publishers: int = 1
    subscribers: int = 1
    """On a queue they share the messages; on a topic each gets all."""
    topic: int = 0
    batch: int = 50
    """Messages in one write, where there are no receipts."""

    def destination(self, ending: str) -> str:
        return f"/{'topic' if self.topic else 'queue'}/load{ending}"

    @property
    def delivered(self) -> int:
        return self.messages * self.publishers * (self.subscribers if self.topic else 1)


def frame(command: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    return f"{command}\n{lines}\n".encode() + body + b"\0"


def connect(port: int) -> socket.socket:
    sock = socket.create_connection((HOST, port), timeout=STALLED_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    said = {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest", "heart-beat": "0,0"}
    sock.sendall(frame("CONNECT", said))
    if not until_nul(sock).lstrip().startswith(b"CONNECTED"):
        raise LoadError("refused")
    return sock


def until_nul(sock: socket.socket) -> bytes:
    data = b""
    while b"\0" not in data:
        data += read(sock)
    return data


def read(sock: socket.socket) -> bytes:
    data = sock.recv(READ_SIZE)
    if not data or data.startswith(b"ERROR"):
        raise LoadError(f"the broker has closed: {data[:300]!r}")
    return data


def publish(port: int, destination: str, load: Load, start: Any, done: Any) -> None:
    """Publish everything, and see every receipt."""
    sock = connect(port)
    said = {"destination": destination}
    if load.persistent:
        said["persistent"] = "true"
    if load.receipts:
        said["receipt"] = "r"
    one = frame("SEND", said, MARK + bytes([120]) * (load.size - len(MARK)))
    step = load.window // 2 if load.receipts else load.batch
    write = one * step
    start.wait()
    if load.receipts:
        tail, owed = b"", 0
        for turn in range(load.messages // step + 1):
            if turn < load.messages // step:
                sock.sendall(write)
                owed += step
            allowed = step if turn < load.messages // step else 0
            while owed > allowed:
                tail += read(sock)
                owed -= tail.count(RECEIPT)
                tail = (
                    tail[tail.rfind(RECEIPT) + len(RECEIPT) :] if RECEIPT in tail else tail[-len(RECEIPT) :]
                )
    else:
        for _ in range(load.messages // step):
            sock.sendall(write)
    done.put(time.monotonic())
    time.sleep(STALLED_S * 3)  # Until the parent kills us: brokers may drop what a connection leaves behind.


def subscribe(port: int, destination: str, load: Load, ready: Any, counted: Any, done: Any) -> None:
    """Count what comes, and acknowledge it."""
    sock = connect(port)
    said = {
        "id": "0",
        "destination": destination,
        "ack": load.ack,
        "receipt": "there",
        "prefetch-count": str(PREFETCH),
        "activemq.prefetchSize": str(PREFETCH),
    }
    sock.sendall(frame("SUBSCRIBE", said))
    if RECEIPT not in until_nul(sock):
        raise LoadError("no receipt for the subscription")
    ready.put(1)
    total = load.messages * load.publishers
    share = load.subscribers > 1 and not load.topic
    got = answered = 0
    tail = b""
    while got < total:
        data = tail + read(sock)
        found = data.count(MARK)
        if not found:
            tail = data
            continue
        got += found
        cut = data.rfind(MARK) + len(MARK)
        if load.ack == "client-individual":
            acks = _ack_of(data, 0, cut)
            sock.sendall(b"".join(b"ACK\nid:" + one + b"\n\n\0" for one in acks))
        elif load.ack == "client" and (got - answered >= ACK_EVERY or got == total):
            at = data.rfind(b"\nack:", 0, cut)
            sock.sendall(b"ACK\nid:" + data[at + 5 : data.index(b"\n", at + 5)] + b"\n\n\0")
            answered = got
        tail = data[cut:]
        if share:
            with counted.get_lock():
                counted.value += found
                if counted.value >= total:
                    break
    done.put(time.monotonic())
    time.sleep(STALLED_S * 3)


def measure(load: Load, port: int, pid: int = 0) -> dict[str, float]:
    """Play a load; return its figures. Raises LoadError."""
    start, ready = context.Event(), context.Queue()
    received, published = context.Queue(), context.Queue()
    counted = context.Value("q", 0)
    destination = load.destination(f"-{secrets.token_hex(4)}")
    readers = [
        context.Process(
            target=subscribe, args=(port, destination, load, ready, counted, received), daemon=True
        )
        for _ in range(load.subscribers)
    ]
    writers = [
        context.Process(target=publish, args=(port, destination, load, start, published), daemon=True)
        for _ in range(load.publishers)
    ]
    for worker in (*readers, *writers):
        worker.start()
    try:
        for _ in readers:
            ready.get(timeout=STALLED_S)
        cpu_before = cpu_s(pid) if pid else 0.0
        began = time.monotonic()
        start.set()
        sent = max(published.get(timeout=STALLED_S * 3) for _ in writers)
        awaited = readers if load.topic else readers[:1]
        ended = max(received.get(timeout=STALLED_S * 3) for _ in awaited)
        used = cpu_s(pid) - cpu_before if pid else 0.0
    finally:
        for worker in (*readers, *writers):
            worker.kill()
            worker.join()
    return {
        "publish_per_s": round(load.messages * load.publishers / (sent - began), 1),
        "consume_per_s": round(load.delivered / (ended - began), 1),
        "cpu_s_per_million": round(used / load.delivered * 1e6, 2),
        "rss_peak_mb": round(rss_peak_mb(pid), 1) if pid else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stomp_load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, default=0, help="of the broker, for its CPU time")
    for each in fields(Load):
        parser.add_argument(f"--{each.name}", type=type(each.default), default=each.default)
    said = vars(parser.parse_args())
    port, pid = said.pop("port"), said.pop("pid")
    print(json.dumps(measure(Load(**said), port, pid)))


if __name__ == "__main__":
    main()
