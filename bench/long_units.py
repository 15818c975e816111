"""What could hold up the loop, done one by one to a broker that tells its long units (see `units`).

    python -m bench.long_units                    everything; a table of scenarios, and where each was slow
    python -m bench.long_units --only declaring,acks --part 0.1

For each scenario: how many units took more than 2 ms of processor time, the longest one (processor time, time
on the wall, of which garbage collection), and the functions that the longest ones were in.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import struct
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

from bench.amqp_load import receive
from bench.amqp_wire import (
    BASIC_NACK,
    QUEUE_DECLARE,
    QUEUE_DELETE,
    QUEUE_DELETE_OK,
    TX_COMMIT,
    TX_COMMIT_OK,
    Address,
    RawConnection,
    ack,
    field_value,
    frame,
    long_string,
    message,
    method,
    short_string,
)
from bench.peers import HOST
from bench.units import Instrumented
from bench.watched import LOGIN
from tests.protocols.kafka.asking import Asking

QUEUES = 10_000
DELIVERIES = 200_000
SINGLES = 20_000
PURGE, PURGE_OK = (50, 30), (50, 31)
RECOVER, RECOVER_OK = (60, 110), (60, 111)
ROLLBACK, ROLLBACK_OK = (90, 30), (90, 31)


class Broker(Instrumented):
    """A broker that notes its long units, and how it is talked to."""

    def __init__(self) -> None:
        super().__init__()
        self.env["PILLARBOX_KAFKA_PORT"] = "0"

    def kafka(self) -> Asking:
        return Asking(f"{HOST}:{self.ports['kafka']}", timeout_s=120)

    def connect(self) -> RawConnection:
        return RawConnection(Address(self.amqp_port))

    def http(self, verb: str, path: str, body: Any = None, port: int = 0) -> bytes:
        """Call the management API; raise on a refusal."""
        connection = HTTPConnection(HOST, port or self.management_port, timeout=120)
        headers = {**LOGIN, "content-type": "application/json"}
        connection.request(verb, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        found = response.read()
        connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{verb} {path}: {response.status} {found[:200]!r}")
        return found

    def metrics(self, path: str) -> bytes:
        return self.http("GET", path, port=self.ports["prometheus"])


def declare_all(broker: Broker, count: int, prefix: str = "q") -> None:
    """Declare many queues, without waiting for each answer."""
    connection = broker.connect()
    for start in range(0, count, 200):
        names = [f"{prefix}-{number}" for number in range(start, min(start + 200, count))]
        tail = b"\2" + long_string(b"")
        connection.socket.sendall(
            b"".join(method(QUEUE_DECLARE, b"\0\0" + short_string(name) + tail) for name in names)
        )
        for _ in names:
            connection.expect((50, 11))
    connection.close()


def fill(broker: Broker, queue: str, count: int, *, persistent: bool = False, singly: bool = False) -> None:
    """Put messages into a queue, each in a run of its own (`singly`: a turn each) or as they come."""
    connection = broker.connect()
    connection.declare_queue(queue)
    connection.select_confirms()
    one = message("", queue, b"x" * 20, persistent=persistent, frame_max=connection.frame_max)
    other = message("", "nowhere", b"x", persistent=persistent, frame_max=connection.frame_max)
    # Runs end where another target comes in between.
    batch = (one + other if singly else one) * 500
    for _ in range(max(1, count // 500)):
        connection.socket.sendall(batch)
    while connection.ready(queue) < count // 500 * 500:
        time.sleep(0.01)
    connection.close()


def take(broker: Broker, queue: str, count: int) -> RawConnection:
    """Have messages delivered to a consumer, and answer none."""
    connection = broker.connect()
    connection.consume(queue, prefetch=65535)
    await_deliveries(connection, count)
    return connection


def await_deliveries(connection: RawConnection, count: int) -> None:
    tail, seen = connection.received, 0
    connection.received = b""
    mark = b"\x00\x3c\x00\x3c"
    while True:
        seen += tail.count(mark)
        if seen >= count:
            return
        tail = tail[-3:] + receive(connection.socket)


def declaring(broker: Broker, part: float) -> Iterator[None]:
    yield
    declare_all(broker, int(QUEUES * part))


def deleting_queues(broker: Broker, part: float) -> Iterator[None]:
    declare_all(broker, int(QUEUES * part))
    yield
    connection = broker.connect()
    for number in range(int(QUEUES * part)):
        connection.socket.sendall(method(QUEUE_DELETE, b"\0\0" + short_string(f"q-{number}") + b"\0"))
        connection.expect(QUEUE_DELETE_OK)


def first_request(broker: Broker, part: float) -> Iterator[None]:
    yield
    broker.http("GET", "/api/overview")
    broker.metrics("/metrics")


def _warm(broker: Broker, part: float) -> None:
    declare_all(broker, int(QUEUES * part))
    broker.http("GET", "/api/overview")
    broker.metrics("/metrics")
    time.sleep(6)


def whole_list(broker: Broker, part: float) -> Iterator[None]:
    _warm(broker, part)
    yield
    broker.http("GET", "/api/queues")


def pages(broker: Broker, part: float) -> Iterator[None]:
    _warm(broker, part)
    yield
    for query in (
        "sort=message_stats.publish_details.rate&sort_reverse=true",
        "sort=name",
        "use_regex=true&name=q-.*7%24",
        "use_regex=true&name=(q-%5Cd%2B)%3F9",
    ):
        broker.http("GET", f"/api/queues?page=1&page_size=500&{query}")


def catastrophic_regex(broker: Broker, part: float) -> Iterator[None]:
    declare_all(broker, 100, prefix="a" * 26)
    broker.http("GET", "/api/overview")
    yield
    with contextlib.suppress(RuntimeError):
        broker.http("GET", "/api/queues?page=1&use_regex=true&name=(a%2B)%2B%24")


def scrape(broker: Broker, part: float) -> Iterator[None]:
    _warm(broker, part)
    yield
    broker.metrics("/metrics")
    broker.metrics("/metrics/per-object")


def samples(broker: Broker, part: float) -> Iterator[None]:
    _warm(broker, part)
    yield
    time.sleep(11)


def importing(broker: Broker, part: float) -> Iterator[None]:
    broker.http("GET", "/api/overview")
    names = [f"i-{number}" for number in range(int(QUEUES * part))]
    queue = {"vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    binding = {"vhost": "/", "source": "amq.topic", "destination_type": "queue", "arguments": {}}
    document = {
        "queues": [{"name": name, **queue} for name in names],
        "bindings": [{"destination": name, "routing_key": f"k.{name}", **binding} for name in names],
    }
    yield
    broker.http("POST", "/api/definitions", document)


def exporting(broker: Broker, part: float) -> Iterator[None]:
    declare_all(broker, int(QUEUES * part))
    broker.http("GET", "/api/overview")
    yield
    broker.http("GET", "/api/definitions")


def policies(broker: Broker, part: float) -> Iterator[None]:
    declare_all(broker, int(QUEUES * part))
    broker.http("GET", "/api/overview")
    yield
    policy = {"pattern": "^q", "definition": {"max-length": 1000, "message-ttl": 60000}}
    broker.http("PUT", "/api/policies/%2F/all", policy)
    broker.http("DELETE", "/api/policies/%2F/all")


def deleting_vhost(broker: Broker, part: float) -> Iterator[None]:
    declare_all(broker, int(QUEUES * part))
    broker.http("GET", "/api/overview")
    yield
    broker.http("DELETE", "/api/vhosts/%2F")


def super_stream(broker: Broker, part: float) -> Iterator[None]:
    broker.http("GET", "/api/overview")
    yield
    path = "/api/stream/super-streams/%2F/wide"
    broker.http("PUT", path, {"partitions": max(1, int(1000 * part))})
    broker.http("DELETE", path)


def acks(broker: Broker, part: float) -> Iterator[None]:
    """One basic.ack for very many deliveries, each of a run of its own."""
    count = int(DELIVERIES * part)
    yield from _singles(broker, count, lambda connection: connection.socket.sendall(ack(0, multiple=True)))


def nacks(broker: Broker, part: float) -> Iterator[None]:
    nack = method(BASIC_NACK, struct.pack(">QB", 0, 3))
    yield from _singles(broker, int(DELIVERIES * part), lambda one: one.socket.sendall(nack))


def recover(broker: Broker, part: float) -> Iterator[None]:
    yield from _singles(broker, int(DELIVERIES * part), lambda one: one.call(RECOVER, b"\1", RECOVER_OK))


def closing(broker: Broker, part: float) -> Iterator[None]:
    yield from _singles(broker, int(DELIVERIES * part), lambda connection: connection.close())


def _singles(broker: Broker, count: int, act: Callable[[RawConnection], object]) -> Iterator[None]:
    """Deliveries as entries of their own: two consumers' messages on one channel take turns."""
    connection = broker.connect()
    for name in ("left", "right"):
        fill(broker, name, count // 2, singly=True)
        arguments = b"\0\0" + short_string(name) + short_string("") + b"\0" + long_string(b"")
        connection.socket.sendall(method((60, 20), arguments))
    await_deliveries(connection, count // 2 // 500 * 1000)
    yield
    act(connection)
    other = broker.connect()
    other.ready("left")
    time.sleep(0.5)


def purging(broker: Broker, part: float) -> Iterator[None]:
    fill(broker, "full", int(DELIVERIES * part), singly=True, persistent=True)
    yield
    connection = broker.connect()
    connection.call(PURGE, b"\0\0" + short_string("full") + b"\0", PURGE_OK)


def deleting_full(broker: Broker, part: float) -> Iterator[None]:
    fill(broker, "full", int(DELIVERIES * part), singly=True, persistent=True)
    yield
    broker.connect().delete_queue("full")


def transactions(broker: Broker, part: float) -> Iterator[None]:
    count = int(DELIVERIES * part) // 10
    connections = [broker.connect() for _ in range(2)]
    for connection in connections:
        connection.declare_queue("tx")
        connection.declare_queue("tx2")
        connection.select_transactions()
        batch = b"".join(
            message("", queue, b"x" * 20, persistent=True, frame_max=connection.frame_max)
            for queue in ("tx", "tx2")
        )
        connection.socket.sendall(batch * (count // 2))
        connection.ready("tx")
    yield
    connections[0].call(ROLLBACK, b"", ROLLBACK_OK)
    connections[1].call(TX_COMMIT, b"", TX_COMMIT_OK)


def fan_out(broker: Broker, part: float) -> Iterator[None]:
    count = int(QUEUES * part)
    declare_all(broker, count)
    connection = broker.connect()
    connection.declare_fanout("all")
    for number in range(count):
        connection.bind(f"q-{number}", "all")
    connection.select_confirms()
    yield
    for persistent in (False, True):
        connection.socket.sendall(
            message("all", "", b"x" * 100, persistent=persistent, frame_max=connection.frame_max)
        )
        connection.expect((60, 80))


def large_headers(broker: Broker, part: float) -> Iterator[None]:
    connection = broker.connect()
    connection.declare_queue("h")
    arguments = b"\0\0" + short_string("headers") + short_string("headers") + b"\0" + long_string(b"")
    connection.call((40, 10), arguments, (40, 11))
    for number in range(100):
        wanted = short_string(f"k{number}") + field_value("1")
        connection.call(
            (50, 20),
            b"\0\0"
            + short_string("h")
            + short_string("headers")
            + short_string("")
            + b"\0"
            + long_string(wanted),
            (50, 21),
        )
    table = b"".join(short_string(f"k{number}") + field_value("2") for number in range(4096))
    yield
    for _ in range(5):
        publish(connection, "headers", "", table)
    connection.ready("h")


def copies(broker: Broker, part: float) -> Iterator[None]:
    """256 keys in CC, through a topic exchange with many bindings."""
    declare_all(broker, 1000)
    connection = broker.connect()
    for number in range(1000):
        connection.bind(f"q-{number}", "amq.topic", f"*.{number}.#")
        connection.bind(f"q-{number}", "amq.topic", f"#.k{number % 300}")
    array = b"".join(b"S" + long_string(f"a.{number}.k{number}".encode()) for number in range(256))
    table = short_string("CC") + b"A" + long_string(array)
    yield
    for _ in range(5):
        publish(connection, "amq.topic", "x.y", table)
    connection.ready("q-0")


def publish(connection: RawConnection, exchange: str, key: str, table: bytes) -> None:
    """Publish a message of one byte with these headers."""
    arguments = b"\0\0" + short_string(exchange) + short_string(key) + b"\0"
    header = struct.pack(">HHQH", 60, 0, 1, 0x2000) + long_string(table)
    connection.socket.sendall(method((60, 40), arguments) + frame(2, 1, header) + frame(3, 1, b"x"))


def checkpoints(broker: Broker, part: float) -> Iterator[None]:
    """Messages enough for checkpoints, over many queues."""
    declare_all(broker, 1000)
    connection = broker.connect()
    connection.select_confirms()
    yield
    body = b"x" * 1000
    for _ in range(int(150 * part) + 1):
        batch = b"".join(
            message("", f"q-{number}", body, persistent=True, frame_max=connection.frame_max)
            for number in range(1000)
        )
        connection.socket.sendall(batch)
        connection.ready("q-0")
    time.sleep(2)


def create_topics(client: Asking, names: list[str], partitions: int) -> None:
    wanted = [{"name": name, "num_partitions": partitions, "replication_factor": 1} for name in names]
    answer = client.ask("CreateTopics", 7, topics=wanted)
    assert not any(topic.error_code.value for topic in answer.topics), answer


def wide_topic(broker: Broker, part: float) -> Iterator[None]:
    """A Kafka topic of a thousand partitions: made, grown to that from one, listed, deleted."""
    count = max(2, int(1000 * part))
    with broker.kafka() as client:
        create_topics(client, ["narrow"], 1)
        yield
        create_topics(client, ["wide"], count)
        topics = [{"name": "narrow", "count": count, "assignments": None}]
        (grown,) = client.ask("CreatePartitions", 3, topics=topics, timeout=60_000).results
        assert grown.error_code.value == 0, grown
        client.ask("Metadata", 12, topics=None)
        states = [{"name": name} for name in ("wide", "narrow")]
        client.ask("DeleteTopics", 6, topics=states, timeout=60_000)


def many_topics(broker: Broker, part: float) -> Iterator[None]:
    """A thousand Kafka topics: made by one request, listed, deleted by one."""
    names = [f"many-{number}" for number in range(int(1000 * part))]
    with broker.kafka() as client:
        client.ask("Metadata", 12, topics=())
        yield
        create_topics(client, names, 1)
        client.ask("Metadata", 12, topics=None)
        client.ask("DeleteTopics", 6, topics=[{"name": name} for name in names], timeout=60_000)


SCENARIOS: dict[str, Callable[[Broker, float], Iterator[None]]] = {
    "declaring": declaring,
    "deleting queues": deleting_queues,
    "first request": first_request,
    "whole list": whole_list,
    "pages": pages,
    "catastrophic regex": catastrophic_regex,
    "scrape": scrape,
    "samples": samples,
    "importing": importing,
    "exporting": exporting,
    "policies": policies,
    "deleting vhost": deleting_vhost,
    "super stream": super_stream,
    "acks": acks,
    "nacks": nacks,
    "recover": recover,
    "closing": closing,
    "purging": purging,
    "deleting full": deleting_full,
    "transactions": transactions,
    "fan-out": fan_out,
    "large headers": large_headers,
    "copies": copies,
    "checkpoints": checkpoints,
    "wide topic": wide_topic,
    "many topics": many_topics,
}


def run(name: str, part: float) -> list[dict[str, Any]]:
    """Play a scenario on a broker of its own; return its long units, the longest first."""
    with Broker() as broker:
        play = SCENARIOS[name](broker, part)
        next(play)
        time.sleep(0.3)
        since = time.time()
        for _ in play:
            pass
        time.sleep(0.3)
        return sorted(broker.long_units(since), key=lambda unit: -unit["cpu_ms"])


def main() -> int:
    purpose = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.long_units", description=purpose)
    parser.add_argument("--only", default=",".join(SCENARIOS), help="only these (default %(default)s)")
    parser.add_argument("--part", type=float, default=1.0, help="fraction of the full size, for trying out")
    parser.add_argument("--shown", type=int, default=3, help="long units to show of each (default 3)")
    options = parser.parse_args()
    for name in options.only.split(","):
        units = run(name, options.part)
        print(f"{name}: {len(units)} over 2 ms", flush=True)
        for unit in units[: options.shown]:
            where = re.sub(r"[{}\"]", "", json.dumps(unit["where"]))
            print(
                f"    {unit['cpu_ms']:7.1f} ms (wall {unit['wall_ms']:.1f}, gc {unit['gc_ms']:.1f})  "
                f"{unit['what']}: {where}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
