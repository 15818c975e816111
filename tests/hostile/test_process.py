"""Overload of a whole process: what it holds in memory, how many files it may open, and what it prints."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pamqp import commands

from bench import peers
from pillarbox.app.process import KEPT_BYTES
from pillarbox.app.server import UNSYNCED_BYTES_MAX
from pillarbox.protocols.amqp091 import methods, wire
from tests.clients.raw_client import RawClient
from tests.hostile.neighbour import connect, undisturbed

MIB = 1 << 20
PAGE_BYTES = resource.getpagesize()


@contextlib.contextmanager
def served(
    *options: str, command: Sequence[str] = (sys.executable, "-m", "pillarbox")
) -> Iterator[peers.Pillarbox]:
    """A broker process with a neighbour on it; at the end its output must hold no error and no traceback."""
    with peers.Pillarbox(options=options, command=command) as peer:
        with undisturbed(peers.HOST, peer.amqp_port):
            yield peer
        peer.stop()
        printed = peer.printed()
    assert "Traceback" not in printed, printed
    assert "ERROR" not in printed, printed


def resident(peer: peers.Pillarbox) -> int:
    return int(Path(f"/proc/{peer.pid}/statm").read_text().split()[1]) * PAGE_BYTES


def publish(queue: str, body: bytes, mode: int) -> bytes:
    method = methods.method_frame(1, methods.BASIC_PUBLISH, 0, "", queue, False, False)
    return method + wire.content_frames(1, b"\x10\0" + bytes([mode]), body, 131_072)


def declare(client: RawClient, queue: str, *, durable: bool) -> int:
    client.send(commands.Queue.Declare(queue=queue, durable=durable), 1)
    return client.expect(commands.Queue.DeclareOk, 1).message_count


@pytest.mark.parametrize("mode", [1, 2], ids=["transient", "persistent"])
def test_queue_without_consumers_fills_the_disk_and_not_the_memory(mode: int) -> None:
    """memory_budget of 1 MiB, 600 MB in the queue; then all of them come back, in order.

    Beside the budget there are bytes on their way to the disk, and freed memory that is kept.
    """
    count, size = 10_000, 60_000
    bound = UNSYNCED_BYTES_MAX + KEPT_BYTES + 72 * MIB
    number = struct.Struct(">I")
    with served("--memory-budget", "1MiB", "--durability", "os") as peer:
        before = resident(peer)
        with connect(peers.HOST, peer.amqp_port) as client:
            client.open()
            client.open_channel()
            declare(client, "full", durable=True)
            for first in range(0, count, 100):
                bodies = [number.pack(n) + b"x" * (size - 4) for n in range(first, first + 100)]
                client.send_bytes(b"".join([publish("full", body, mode) for body in bodies]))
            assert declare(client, "full", durable=True) == count
            grown = resident(peer) - before
            assert grown < bound, f"{grown / MIB:.0f} MiB more for 600 MB of messages"
            client.send(commands.Basic.Consume(queue="full", no_ack=True), 1)
            client.expect(commands.Basic.ConsumeOk, 1)
            for expected in range(count):
                client.expect(commands.Basic.Deliver, 1)
                client.receive()
                _, body = client.receive()
                assert number.unpack_from(body.value)[0] == expected
            grown = resident(peer) - before
            assert grown < bound, f"{grown / MIB:.0f} MiB more after 600 MB of messages"
            client.send(commands.Queue.Delete(queue="full"), 1)
            client.expect(commands.Queue.DeleteOk, 1)


def test_process_that_may_open_no_more_files_serves_those_it_has() -> None:
    """Whoever comes too late is cut or waits, and can log in when others have left."""
    with served() as peer:
        soft, hard = resource.prlimit(peer.pid, resource.RLIMIT_NOFILE)
        in_use = len(list(Path(f"/proc/{peer.pid}/fd").iterdir()))
        resource.prlimit(peer.pid, resource.RLIMIT_NOFILE, (in_use + 20, hard))
        with contextlib.ExitStack() as sockets, connect(peers.HOST, peer.amqp_port) as early:
            early.open()
            for _ in range(60):
                late = socket.create_connection((peers.HOST, peer.amqp_port), timeout=20)
                sockets.enter_context(late)
            for channel in range(1, 50):
                early.open_channel(channel)
        resource.prlimit(peer.pid, resource.RLIMIT_NOFILE, (soft, hard))
        with connect(peers.HOST, peer.amqp_port) as after:
            after.open()
            after.open_channel()


FILES = 300


def test_connections_leave_open_files_for_the_data() -> None:
    """Else the journal fails for want of one file: strangers without a password could stop the broker."""
    command = ("prlimit", f"--nofile={FILES}", sys.executable, "-m", "pillarbox")
    with served(command=command) as peer, contextlib.ExitStack() as sockets:
        refused = 0
        for _ in range(FILES):
            client = sockets.enter_context(connect(peers.HOST, peer.amqp_port))
            try:
                client.start()
            except (EOFError, ConnectionError):
                refused += 1
        # The neighbour has one of the places.
        assert refused == FILES - FILES // 2 + 1
        assert len(list(Path(f"/proc/{peer.pid}/fd").iterdir())) < FILES - FILES // 4
        warning = f"connection refused: {FILES // 2} are open, which is what the limit of open files allows"
        assert peer.printed().count(warning) == refused
