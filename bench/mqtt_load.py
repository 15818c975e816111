"""Raw-socket MQTT 3.1.1 load, so that the broker is what is measured: publishers send packets that were
encoded beforehand, subscribers count bytes, and answer as their quality of service asks.

    python -m bench.mqtt_load --port 1883 --pid PID --messages 200000 --qos 1

`measure` plays one `Load` and returns messages published and received a second, and CPU seconds of the
broker per million messages received. A load is over when every subscriber has everything, or it fails.
Standard library only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import selectors
import socket
import struct
import time
from dataclasses import dataclass, fields
from typing import Any

from bench.machine import cpu_s, rss_peak_mb

HOST = "127.0.0.1"
READ_SIZE = 1 << 20
STALLED_S = 60.0
COUNTERS_MAX = 4
"""Processes with subscribers of QoS 0."""
context = mp.get_context("fork")


class LoadError(Exception):
    """Nothing moved any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One workload. Every field is an option of the command line as well."""

    messages: int = 200_000
    """Of each publisher."""
    size: int = 100
    qos: int = 0
    publishers: int = 1
    subscribers: int = 1
    window: int = 100
    """Messages of QoS 1 and 2 on their way from a publisher."""
    batch: int = 50
    """Messages in one write."""
    reads: int = 1
    """0: subscribers subscribe, and then read nothing."""


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def packet(first: int, fields_: bytes) -> bytes:
    size, encoded = len(fields_), b""
    while True:
        size, low = divmod(size, 128)
        encoded += bytes([low + 128 if size else low])
        if not size:
            return bytes([first]) + encoded + fields_


def connect(port: int, name: str) -> socket.socket:
    """Log in. A name is used once: some brokers are slow to notice that its last client is gone."""
    sock = socket.create_connection((HOST, port), timeout=STALLED_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(packet(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text(name)))
    assert sock.recv(4) == b"\x20\x02\x00\x00", "refused"
    return sock


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise LoadError("the broker has closed")
        data += more
    return data


def publish(port: int, number: int, load: Load, start: Any, done: Any) -> None:
    """Publish everything; with QoS 1 and 2 see every exchange through."""
    sock = connect(port, f"publisher-{os.getpid()}")
    payload = bytes(load.size)
    head = text("load/topic")
    if not load.qos:
        write = packet(0x30, head + payload) * load.batch
        start.wait()
        for _ in range(load.messages // load.batch):
            sock.sendall(write)
        done.put(time.monotonic())
        stay(sock)
        return
    ids = [struct.pack(">H", 1 + n) for n in range(load.window)]
    first = 0x30 | load.qos << 1
    half = max(1, load.window // 2)
    writes = [
        b"".join(packet(first, head + one + payload) for one in ids[at : at + half])
        for at in range(0, load.window, half)
    ]
    releases = [
        b"".join(b"\x62\x02" + one for one in ids[at : at + half]) for at in range(0, load.window, half)
    ]
    rounds = load.messages // half
    start.wait()
    sock.sendall(writes[0])
    for turn in range(rounds):
        if turn + 1 < rounds:
            sock.sendall(writes[(turn + 1) % len(writes)])
        read_exactly(sock, 4 * half)
        if load.qos == 2:
            sock.sendall(releases[turn % len(releases)])
            read_exactly(sock, 4 * half)
    done.put(time.monotonic())
    stay(sock)


def stay(sock: socket.socket) -> None:
    """Stay until the measurement is over: the parent kills us."""
    sock.settimeout(None)
    while sock.recv(READ_SIZE):
        pass


def subscribed(port: int, number: int, load: Load) -> socket.socket:
    sock = connect(port, f"subscriber-{os.getpid()}-{number}")
    sock.sendall(packet(0x82, b"\x00\x01" + text("load/+") + bytes([load.qos])))
    read_exactly(sock, 5)
    return sock


def message_size(load: Load) -> int:
    """Bytes of a message as a subscriber gets it."""
    return len(packet(0x30, text("load/topic") + bytes(load.size) + (b"\0\0" if load.qos else b"")))


def count(port: int, numbers: range, load: Load, total: int, ready: Any, done: Any) -> None:
    """Several subscribers of QoS 0 in one process: a thousand processes would be the load themselves."""
    left = {}
    with selectors.DefaultSelector() as selector:
        for number in numbers:
            sock = subscribed(port, number, load)
            left[sock] = total * message_size(load)
            selector.register(sock, selectors.EVENT_READ)
        ready.put(len(numbers))
        while left:
            for key, _ in selector.select():
                sock = key.fileobj
                got = len(sock.recv(READ_SIZE))
                if not got:
                    raise LoadError("the broker has closed")
                left[sock] -= got
                if left[sock] <= 0:
                    del left[sock]
                    selector.unregister(sock)
        done.put(time.monotonic())


def ignore(port: int, number: int, load: Load, total: int, ready: Any, done: Any) -> None:
    """Subscribe and read nothing."""
    sock = subscribed(port, number, load)
    ready.put(1)
    time.sleep(STALLED_S * 3)
    sock.close()


def subscribe(port: int, number: int, load: Load, total: int, ready: Any, done: Any) -> None:
    """Take what comes, and answer it."""
    sock = subscribed(port, number, load)
    ready.put(1)
    size = message_size(load)
    at_id = size - load.size - 2
    received, buffer, expected_acks = 0, b"", 0
    answer = b"\x40\x02" if load.qos == 1 else b"\x50\x02"
    while received < total or expected_acks:
        more = sock.recv(READ_SIZE)
        if not more:
            raise LoadError("the broker has closed")
        buffer += more
        at, answers = 0, []
        while len(buffer) - at >= 4:
            if buffer[at] >> 4 == 3:
                if len(buffer) - at < size:
                    break
                answers.append(answer + buffer[at + at_id : at + at_id + 2])
                received += 1
                expected_acks += load.qos == 2
                at += size
            else:
                answers.append(b"\x70\x02" + buffer[at + 2 : at + 4])
                expected_acks -= 1
                at += 4
        buffer = buffer[at:]
        if answers:
            sock.sendall(b"".join(answers))
    done.put(time.monotonic())


def subscribers(port: int, load: Load, total: int, ready: Any, done: Any) -> list[Any]:
    """The processes in which they are."""
    if load.qos or not load.reads:
        play = subscribe if load.reads else ignore
        of_each: list[tuple[Any, Any]] = [(play, number) for number in range(load.subscribers)]
    else:
        step = -(-load.subscribers // COUNTERS_MAX)
        starts = range(0, load.subscribers, step)
        of_each = [(count, range(at, min(at + step, load.subscribers))) for at in starts]
    return [
        context.Process(target=play, args=(port, whom, load, total, ready, done), daemon=True)
        for play, whom in of_each
    ]


def measure(load: Load, port: int, pid: int = 0) -> dict[str, float]:
    """Play a load; return its figures. Raises LoadError."""
    start, ready = context.Event(), context.Queue()
    received, published = context.Queue(), context.Queue()
    total = load.messages * load.publishers
    readers = subscribers(port, load, total, ready, received)
    writers = [
        context.Process(target=publish, args=(port, number, load, start, published), daemon=True)
        for number in range(load.publishers)
    ]
    for worker in (*readers, *writers):
        worker.start()
    try:
        there = 0
        while there < load.subscribers:
            there += ready.get(timeout=STALLED_S)
        cpu_before = cpu_s(pid) if pid else 0.0
        began = time.monotonic()
        start.set()
        sent = max(published.get(timeout=STALLED_S * 3) for _ in writers)
        ended = max(received.get(timeout=STALLED_S * 3) for _ in readers) if load.reads else sent
        used = cpu_s(pid) - cpu_before if pid else 0.0
    finally:
        for worker in (*readers, *writers):
            worker.kill()
            worker.join()
    delivered = total * load.subscribers
    return {
        "publish_per_s": round(total / (sent - began), 1),
        "consume_per_s": round(delivered / (ended - began), 1) if load.reads else 0.0,
        "cpu_s_per_million": round(used / delivered * 1e6, 2),
        "rss_peak_mb": round(rss_peak_mb(pid), 1) if pid else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mqtt_load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, default=0, help="of the broker, for its CPU time")
    for each in fields(Load):
        parser.add_argument(f"--{each.name}", type=int, default=each.default)
    said = vars(parser.parse_args())
    port, pid = said.pop("port"), said.pop("pid")
    print(json.dumps(measure(Load(**said), port, pid)))


if __name__ == "__main__":
    main()
