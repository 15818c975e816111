"""Versions that Kafka 4 has dropped and the profile `kafka:3.9` has, byte by byte.

What is expected is what Apache Kafka 3.9.1 answered to the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from pillarbox import Broker
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.test_message_sets import message, produce

INT16, INT32, INT64 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
TOPIC = "old"


def text(name: str | None) -> bytes:
    return INT16.pack(-1) if name is None else INT16.pack(len(name)) + name.encode()


def many(*items: bytes) -> bytes:
    return INT32.pack(len(items)) + b"".join(items)


def number(value: int) -> bytes:
    return INT32.pack(value)


def long(value: int) -> bytes:
    return INT64.pack(value)


def error(code: int) -> bytes:
    return INT16.pack(code)


LATEST, EARLIEST = -1, -2
NAMED = text(TOPIC)
PLACE = number(0)
EPOCH = number(0)
"""The first one."""


def listing(timestamp: int, count: int) -> bytes:
    return number(-1) + many(NAMED + many(PLACE + long(timestamp) + number(count)))


def listed(*offsets: int) -> bytes:
    return many(NAMED + many(PLACE + error(0) + many(*map(long, offsets))))


def creating(name: str, *, partitions: int = 1, replicas: int = 1) -> bytes:
    return text(name) + number(partitions) + INT16.pack(replicas) + many() + many()


CASES = {
    "the end": (2, 0, listing(LATEST, 1), listed(3)),
    "the end and the beginning": (2, 0, listing(LATEST, 5), listed(3, 0)),
    "the beginning": (2, 0, listing(EARLIEST, 5), listed(0)),
    "no topic of this name": (
        2,
        0,
        number(-1) + many(text("gone") + many(PLACE + long(LATEST) + number(1))),
        many(text("gone") + many(PLACE + error(3) + many())),
    ),
    "an offset for ZooKeeper": (
        8,
        0,
        text("g") + many(NAMED + many(PLACE + long(2) + text("m"))),
        many(NAMED + many(PLACE + error(35))),
    ),
    "an offset": (
        8,
        1,
        text("g") + number(-1) + text("") + many(NAMED + many(PLACE + long(2) + long(-1) + text("m"))),
        many(NAMED + many(PLACE + error(0))),
    ),
    "the offset": (
        9,
        1,
        text("g") + many(NAMED + many(PLACE)),
        many(NAMED + many(PLACE + long(2) + text("m") + error(0))),
    ),
    "the offset from ZooKeeper": (
        9,
        0,
        text("g") + many(NAMED + many(PLACE)),
        many(NAMED + many(PLACE + long(-1) + text("") + error(35))),
    ),
    "a topic": (19, 0, many(creating("made-0")) + number(5000), many(text("made-0") + error(0))),
    "a topic that is there": (
        19,
        0,
        many(creating("made-0")) + number(5000),
        many(text("made-0") + error(36)),
    ),
    "a topic to be checked": (
        19,
        1,
        many(creating("made-1")) + number(5000) + b"\1",
        many(text("made-1") + error(0) + text(None)),
    ),
    "a topic is deleted": (
        20,
        0,
        many(text("made-0"), text("made-1")) + number(5000),
        many(text("made-0") + error(0), text("made-1") + error(3)),
    ),
    "one config": (
        32,
        0,
        many(b"\2" + NAMED + many(text("retention.bytes"))),
        number(0)
        + many(error(0) + text("") + b"\2" + NAMED + many(text("retention.bytes") + text("-1") + bytes(3))),
    ),
    "the end of an epoch": (
        23,
        0,
        many(NAMED + many(PLACE + EPOCH)),
        many(NAMED + many(error(0) + PLACE + long(3))),
    ),
    "the end of an epoch that was not": (
        23,
        1,
        many(NAMED + many(PLACE + number(9))),
        many(NAMED + many(error(0) + PLACE + number(-1) + long(-1))),
    ),
}


@pytest.fixture(scope="module")
def client() -> Iterator[Asking]:
    with Broker(kafka_port=0, profile="kafka:3.9") as broker, Asking(broker.kafka_bootstrap) as asking:
        prepare(asking)
        yield asking


def prepare(client: Asking) -> None:
    client.ask(
        "CreateTopics",
        4,
        topics=[{"name": TOPIC, "num_partitions": 1, "replication_factor": 1}],
        timeout=5000,
    )
    for _ in range(3):
        assert produce(client, TOPIC, 2, message(b"x"))[0] == 0


def asked(client: Asking, case: str) -> bytes:
    key, version, body, _ = CASES[case]
    client.send(key, version, body)
    return client.take_bare()[4:]


@pytest.mark.row("T8")
@pytest.mark.parametrize("case", CASES)
def test_old_versions_are_answered_as_by_3_9(client: Asking, case: str) -> None:
    """In the order of the table: some build on those before them."""
    assert asked(client, case) == CASES[case][3]
