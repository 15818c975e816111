"""Kafka's clients that ask for records and do not read them: what one connection can cost is bounded.

The figure is the most that the whole process has ever had in memory (`VmHWM`), so nothing that comes and goes
is missed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import peers
from pillarbox.protocols.kafka.api.fetch import BYTES_MAX
from pillarbox.protocols.kafka.head import UNTAKEN_BYTES
from pillarbox.store.batch import Record, encode_records
from tests.protocols.kafka.asking import KEYS, Asking, built
from tests.protocols.kafka.oracle import encoded, kio_class

MIB = 1 << 20
TOPIC = "large"
FETCH = 12
"""The version: the last one that names topics."""
BODY_BYTES = 900_000
BATCHES = 60
"""What there is to fetch: more than three answers can have."""
PARTITIONS = 4
REQUESTS = 1000
SOCKET_BYTES = 16 << 10
ROUNDS = 60
BOUND = 4 * BYTES_MAX + 24 * MIB
"""One answer that is being written and one that is made, both as they were read and as they are sent, and
what Python keeps. Without a bound it is gigabytes."""


@contextlib.contextmanager
def served() -> Iterator[tuple[peers.Pillarbox, str]]:
    """A broker with records in a topic, and where Kafka's clients reach it."""
    (port,) = peers.free_ports(1)
    options = ["--port", "off", "--kafka-port", str(port), "--durability", "os"]
    with peers.Pillarbox(options=options) as peer:
        yield peer, f"{peers.HOST}:{port}"
        peer.stop()
        printed = peer.printed()
    assert "Traceback" not in printed, printed
    assert "ERROR" not in printed, printed


def most(peer: peers.Pillarbox) -> int:
    """The most memory that it has had up to now."""
    for line in Path(f"/proc/{peer.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("there is no such line")


def make(bootstrap: str) -> None:
    with Asking(bootstrap) as client:
        wanted = {"name": TOPIC, "num_partitions": PARTITIONS, "replication_factor": -1}
        client.ask("CreateTopics", 7, topics=[wanted], timeout=1000)


def fill(bootstrap: str, batches: int = BATCHES) -> None:
    """Write records, in turn to every partition."""
    batch = b"".join(encode_records([Record(0, 0, None, b"x" * BODY_BYTES, [])]).chunks)
    with Asking(bootstrap) as client:
        for number in range(batches):
            data = [{"index": number % PARTITIONS, "records": batch}]
            topics = [{"name": TOPIC, "partition_data": data}]
            found = client.ask("Produce", 9, acks=-1, timeout=1000, topic_data=topics)
            assert found.responses[0].partition_responses[0].error_code.value == 0


def fetch(number: int, *, min_bytes: int = 1, max_wait: int = 0) -> bytes:
    """A request for all that there is, with its size."""
    partitions = [
        {"partition": index, "fetch_offset": 0, "partition_max_bytes": 1 << 30}
        | {"current_leader_epoch": -1, "last_fetched_epoch": -1}
        for index in range(PARTITIONS)
    ]
    values = {"max_wait": max_wait, "min_bytes": min_bytes, "max_bytes": 1 << 30, "session_epoch": -1}
    body = built(
        kio_class(KEYS["Fetch"], FETCH, "request"),
        {"topics": [{"topic": TOPIC, "partitions": partitions}], "isolation_level": 0, **values},
    )
    data = struct.pack(">hhih", KEYS["Fetch"], FETCH, number, 1) + b"c\0" + encoded(body)
    return struct.pack(">i", len(data)) + data


@contextlib.contextmanager
def deaf(bootstrap: str) -> Iterator[socket.socket]:
    """A client that does not read, and whose socket takes hardly anything."""
    host, _, port = bootstrap.rpartition(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        client.settimeout(20)
        client.connect((host, int(port)))
        yield client


def rounds(bootstrap: str) -> None:
    """Let the broker take turns, in each of which it could go on with what others have asked for."""
    with Asking(bootstrap) as client:
        for _ in range(ROUNDS):
            client.ask("Metadata", 9, topics=[{"name": TOPIC}])


def read(client: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = client.recv(min(MIB, count - len(data)))
        assert more, "the broker has closed the connection"
        data += more
    return bytes(data)


def expect_answers(client: socket.socket, count: int) -> None:
    """The first answers, in the order in which they were asked for."""
    for number in range(count):
        size, answered = struct.unpack(">ii", read(client, 8))
        assert answered == number
        assert size > BODY_BYTES
        read(client, size - 4)


@pytest.mark.row("K10", "K1")
def test_a_thousand_fetches_that_nobody_reads_cost_what_two_answers_take() -> None:
    with served() as (peer, bootstrap):
        make(bootstrap)
        fill(bootstrap)
        before = most(peer)
        with deaf(bootstrap) as client:
            client.sendall(b"".join(fetch(number) for number in range(REQUESTS)))
            rounds(bootstrap)
            grown = most(peer) - before
            assert grown < BOUND, f"{grown / MIB:.0f} MiB for {REQUESTS} requests"
            expect_answers(client, 4)
            grown = most(peer) - before
            assert grown < BOUND, f"{grown / MIB:.0f} MiB, when it had read some of them"


@pytest.mark.row("K10")
def test_fetches_that_wait_and_are_woken_together_cost_no_more() -> None:
    """Each of them has as many bytes as it is to have, when the last record comes."""
    with served() as (peer, bootstrap):
        make(bootstrap)
        fill(bootstrap, 4)
        before = most(peer)
        with deaf(bootstrap) as client:
            waiting = [fetch(number, min_bytes=1 << 30, max_wait=600_000) for number in range(REQUESTS)]
            client.sendall(b"".join(waiting))
            rounds(bootstrap)
            fill(bootstrap, 40)
            rounds(bootstrap)
            # What was written stays in memory for readers that are close behind.
            grown = most(peer) - before - 40 * BODY_BYTES
            assert grown < BOUND, f"{grown / MIB:.0f} MiB for {REQUESTS} requests"
            expect_answers(client, 1)


@pytest.mark.row("K10")
def test_fetches_of_what_is_on_disk_only_cost_no_more() -> None:
    with served() as (peer, bootstrap):
        make(bootstrap)
        fill(bootstrap)
        peer.restart()
        before = most(peer)
        with deaf(bootstrap) as client:
            client.sendall(b"".join(fetch(number) for number in range(REQUESTS)))
            rounds(bootstrap)
            expect_answers(client, 4)
            grown = most(peer) - before
            assert grown < BOUND, f"{grown / MIB:.0f} MiB for {REQUESTS} requests"


@pytest.mark.row("K10")
def test_many_clients_that_do_not_read_share_what_they_may_cost() -> None:
    """The first of them have large answers waiting, the others a batch at a time, which is half as much."""
    clients = 100
    bound = BOUND + UNTAKEN_BYTES + clients * 5 * BODY_BYTES
    with served() as (peer, bootstrap), contextlib.ExitStack() as stack:
        make(bootstrap)
        fill(bootstrap)
        before = most(peer)
        deaf_ones = [stack.enter_context(deaf(bootstrap)) for _ in range(clients)]
        for client in deaf_ones:
            client.sendall(b"".join(fetch(number) for number in range(5)))
        for client in deaf_ones:
            read(client, 4)
        rounds(bootstrap)
        grown = most(peer) - before
        assert grown < bound < clients * BYTES_MAX, f"{grown / MIB:.0f} MiB for {clients} clients"


@pytest.mark.row("K1")
def test_small_answers_that_nobody_reads_stop_the_reading() -> None:
    """Requests stay in the client's socket when enough answers wait."""
    with served() as (peer, bootstrap):
        make(bootstrap)
        before = most(peer)
        with deaf(bootstrap) as client:
            asked = struct.pack(">ihhih", 10, KEYS["ApiVersions"], 0, 0, -1)
            client.settimeout(1.0)
            sent, data = 0, asked * 10_000
            with contextlib.suppress(TimeoutError):
                while sent < 200 * MIB:
                    sent += client.send(data)
            assert sent < 200 * MIB
            grown = most(peer) - before
            assert grown < 24 * MIB, f"{grown / MIB:.0f} MiB for {sent} bytes"
