"""How much of Pillarbox many retained topics and many MQTT sessions take: `python -m bench.mqtt_scale`.

    python -m bench.mqtt_scale --retained 1000000 --sessions 10000

Prints, for retained messages and for sessions, what each takes of memory and of the disk, how long a clean
stop (which writes a checkpoint) and the start after it take, how long the first client then waits for its
answer, and the longest turn of the broker's loop before the stop and after the start.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.machine import rss_mb
from bench.mqtt_load import connect, packet, read_exactly, text
from bench.peers import HOST, Pillarbox

PAYLOAD = b"21.5 degrees Celsius, and a bit more of it than usual"
WINDOW = 500


def retain(port: int, count: int) -> None:
    """Publish a retained message to each of so many topics, with QoS 1."""
    sock = connect(port, "retainer")
    for first in range(0, count, WINDOW):
        numbers = range(first, min(first + WINDOW, count))
        sock.sendall(
            b"".join(
                packet(
                    0x33,
                    text(f"plant/{n // 1000}/sensor/{n % 1000}/state")
                    + struct.pack(">H", n % WINDOW + 1)
                    + PAYLOAD,
                )
                for n in numbers
            )
        )
        read_exactly(sock, 4 * len(numbers))
    sock.close()


def sessions(port: int, count: int) -> list[socket.socket]:
    """Connect so many clients whose sessions are kept, each with a subscription of its own."""
    found = []
    for number in range(count):
        sock = socket.create_connection((HOST, port), timeout=60)
        sock.sendall(
            packet(0x10, text("MQTT") + b"\x04\x00\x00\x00" + text(f"client-{number}"))
            + packet(0x82, b"\x00\x01" + text(f"client/{number}/+") + b"\x01")
        )
        read_exactly(sock, 9)
        found.append(sock)
    return found


def first_answer_s(port: int) -> float:
    """How long a client waits for its CONNACK and the answer to a PINGREQ."""
    began = time.monotonic()
    sock = connect(port, "first")
    sock.sendall(b"\xc0\x00")
    read_exactly(sock, 2)
    sock.close()
    return time.monotonic() - began


def longest_turn_s(broker: Pillarbox) -> float:
    with suppress(OSError):
        url = f"http://{HOST}:{broker.ports['prometheus']}/metrics"
        page = urllib.request.urlopen(url, timeout=30).read().decode()
        found = re.search(r"^pillarbox_longest_tick_seconds\S* (\S+)", page, re.MULTILINE)
        return float(found[1]) if found else 0.0
    return 0.0


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measured(what: str, count: int) -> Iterator[tuple[str, float]]:
    """Make so many, stop, start again; say what that took."""
    with Pillarbox(options=("--mqtt-port", "0")) as broker:
        first_answer_s(broker.ports["mqtt"])
        before = rss_mb(broker.pid)
        began = time.monotonic()
        there = (
            sessions(broker.ports["mqtt"], count)
            if what == "sessions"
            else retain(broker.ports["mqtt"], count)
        )
        yield "made_s", time.monotonic() - began
        yield "bytes_each", (rss_mb(broker.pid) - before) * (1 << 20) / count
        yield "longest_turn_s", longest_turn_s(broker)
        for sock in there or ():
            sock.close()
        yield "gone_bytes_each", (rss_mb(broker.pid) - before) * (1 << 20) / count
        began = time.monotonic()
        broker.stop()
        yield "stop_s", time.monotonic() - began
        yield "disk_bytes_each", disk_bytes(broker.data / "data") / count
        began = time.monotonic()
        broker.start()
        yield "start_s", time.monotonic() - began
        yield "first_answer_s", first_answer_s(broker.ports["mqtt"])
        yield "longest_turn_again_s", longest_turn_s(broker)
        yield "again_bytes_each", (rss_mb(broker.pid) - before) * (1 << 20) / count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mqtt_scale", description=__doc__)
    parser.add_argument("--retained", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=2_000)
    arguments = parser.parse_args()
    for what, count in vars(arguments).items():
        if count:
            figures = {name: round(value, 3) for name, value in measured(what, count)}
            print(json.dumps({what: count, **figures}), flush=True)


if __name__ == "__main__":
    main()
