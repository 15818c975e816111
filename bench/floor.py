"""What this machine allows: loops that do no more than any broker must, for the rows where that is the limit.

    python -m bench.floor        writes floor.json, which `bench.report` shows beside the brokers

- *synchronous*: receive one publish, append it to a reserved file, fdatasync, answer. One at a time, like the
  row: no broker that syncs before it confirms can be faster, however it is made.
- *body-1m*: receive 1 MiB and send it on, from one buffer that stays in the cache; nothing is parsed or kept.
- *prefetch-1*: answer whatever one of four consumers acknowledges with one delivery, always the same.

Each is measured in rounds, the median counts. The other side of each socket does what `bench.amqp_load` does.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing as mp
import os
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 5
PUBLISHES = 3_000
PUBLISH_BYTES, CONFIRM_BYTES = 180, 21
"""A publish of the row *synchronous* on the wire, and what answers it."""
DELIVERIES, CONSUMERS = 100_000, 4
DELIVERY_BYTES, ACK_BYTES = 190, 21
"""A delivery of the row *prefetch-1* on the wire, and its acknowledgement."""
BODIES = 2_000
BODY_BYTES = 1 << 20
RESERVED_BYTES = 64 << 20

context = mp.get_context("fork")


def listener() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def confirm(listening: socket.socket) -> None:
    """Append, sync and answer whatever comes."""
    peer, _ = listening.accept()
    with tempfile.TemporaryFile(dir=Path(__file__).parent) as file:
        os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)
        os.fsync(file.fileno())
        position, answer = 0, bytes(CONFIRM_BYTES)
        while data := peer.recv(1 << 16):
            position += os.pwrite(file.fileno(), data, position)
            os.fdatasync(file.fileno())
            peer.sendall(answer)


def synchronous() -> float:
    """Publishes a second, each sent when the one before was answered."""
    listening = listener()
    server = context.Process(target=confirm, args=(listening,), daemon=True)
    server.start()
    publish = bytes(PUBLISH_BYTES)
    with socket.create_connection(listening.getsockname()) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.monotonic()
        for _ in range(PUBLISHES):
            client.sendall(publish)
            client.recv(1 << 16)
        took_s = time.monotonic() - began
    server.join()
    return PUBLISHES / took_s


def send_bodies(address: tuple[str, int]) -> None:
    body = bytes(BODY_BYTES)
    with socket.create_connection(address) as client:
        for _ in range(BODIES):
            client.sendall(body)


def receive_bodies(address: tuple[str, int]) -> None:
    buffer = bytearray(BODY_BYTES)
    with socket.create_connection(address) as client:
        while client.recv_into(buffer):
            pass


def large_bodies() -> float:
    """Bodies a second that this process passes from one socket to another."""
    incoming, outgoing = listener(), listener()
    sides = [
        context.Process(target=send_bodies, args=(incoming.getsockname(),), daemon=True),
        context.Process(target=receive_bodies, args=(outgoing.getsockname(),), daemon=True),
    ]
    for side in sides:
        side.start()
    source, target = incoming.accept()[0], outgoing.accept()[0]
    buffer = memoryview(bytearray(BODY_BYTES))
    began = time.monotonic()
    while count := source.recv_into(buffer):
        target.sendall(buffer[:count])
    took_s = time.monotonic() - began
    target.close()
    for side in sides:
        side.join()
    return BODIES / took_s


def acknowledge(address: tuple[str, int]) -> None:
    """Answer whatever comes with an acknowledgement."""
    answer = bytes(ACK_BYTES)
    with socket.create_connection(address) as client, contextlib.suppress(ConnectionError):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while client.recv(1 << 16):
            client.sendall(answer)


def one_by_one() -> float:
    """Deliveries a second to consumers that each get one when the one before was acknowledged."""
    listening, poll = listener(), select.epoll()
    sides = [
        context.Process(target=acknowledge, args=(listening.getsockname(),), daemon=True)
        for _ in range(CONSUMERS)
    ]
    for side in sides:
        side.start()
    consumers = [listening.accept()[0] for _ in sides]
    by_number = {consumer.fileno(): consumer for consumer in consumers}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    delivery, delivered = bytes(DELIVERY_BYTES), 0
    began = time.monotonic()
    for consumer in consumers:
        consumer.send(delivery)
    while delivered < DELIVERIES:
        for number, _ in poll.poll():
            consumer = by_number[number]
            consumer.recv(1 << 16)
            consumer.send(delivery)
            delivered += 1
    took_s = time.monotonic() - began
    for consumer in consumers:
        consumer.close()
    for side in sides:
        side.join()
    poll.close()
    return delivered / took_s


FLOORS: dict[str, Callable[[], float]] = {
    "synchronous": synchronous,
    "body-1m": large_bodies,
    "prefetch-1": one_by_one,
}


def main() -> int:
    found = {
        name: round(statistics.median(play() for _ in range(ROUNDS)), 1) for name, play in FLOORS.items()
    }
    (Path(__file__).parent / "floor.json").write_text(json.dumps(found, indent=1) + "\n")
    for name, rate in found.items():
        print(f"{name:16} at most {rate:,.0f} per s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
