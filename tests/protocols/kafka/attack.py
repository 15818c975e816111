"""Requests that make sense as often as not: kio's instances with names, ids and numbers that mean something.

What the broker gives out (ids of members, producers and topics, epochs, generations) is taken up again, so
that requests come to what a random one would never reach. Not here: who sends them (`fuzz_connection`).
"""

from __future__ import annotations

import dataclasses
import random
import struct
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from pillarbox.protocols.kafka.api import SERVED
from pillarbox.protocols.kafka.messages import APIS
from pillarbox.store.batch import Record, encode_records
from tests.protocols.kafka.oracle import MS, PRIMITIVES, encoded, kio_class, parts
from tests.protocols.kafka.rig import NOW_MS

USUAL = (0, 0, 0, 1, 1, 2, 3, 8, 9, 11, 11, 12, 14, 19, 22, 24, 25, 26, 28, 68, 68)
"""Keys that make things and change them: asked more often than the rest."""
KEYS = tuple(sorted(SERVED))

TOPICS = (
    *("t", "t", "u", "new", "t.u", "t_u", "__consumer_offsets", "__transaction_state"),
    *("", "a/b", "x" * 250),
)
GROUPS = ("g", "g", "h", "", "é" * 99)
CONFIGS = (
    *("retention.ms", "retention.bytes", "cleanup.policy", "segment.bytes", "max.message.bytes"),
    *("message.timestamp.type", "compression.type", "min.insync.replicas", "nonsense", ""),
    *("message.timestamp.after.max.ms", "delete.retention.ms", "segment.ms", "consumer.session.timeout.ms"),
)
VALUES = (
    *("0", "1", "-1", "5000", "9" * 30, "", "x"),
    *("compact", "delete", "compact,delete", "LogAppendTime", "zstd"),
)
WORDS: dict[str, tuple[str, ...]] = {
    "client_software_name": ("franz", "", "a b", "-"),
    "coordinator_keys": (*GROUPS, "id"),
    "entity_type": ("user", "client-id", "ip", ""),
    "group_id": GROUPS,
    "group_ids": GROUPS,
    "group_instance_id": ("one", "two", ""),
    "groups": GROUPS,
    "groups_names": GROUPS,
    "instance_id": ("one", "two", ""),
    "key": (*GROUPS, "id", "producer_byte_rate", "consumer_byte_rate"),
    "mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"),
    "principal": ("User:guest", "User:*", "guest", ""),
    "protocol_name": ("range", "cooperative-sticky", ""),
    "protocol_type": ("consumer", "consumer", "connect", ""),
    "resource_name": (*TOPICS, "1", "", "kafka-cluster", "guest", *GROUPS),
    "server_assignor": ("uniform", "range", "nonsense"),
    "states_filter": ("Stable", "Empty", "nonsense"),
    "states_filters": ("Ongoing", "nonsense"),
    "subscribed_topic_regex": ("t.*", "(", "", ".*", "(a+)+$"),
    "transactional_id": ("id", "id", "other", ""),
    "v3_and_below_transactional_id": ("id", "other", ""),
    "value": VALUES,
}
"""Strings by the name of their field; others are names of topics, configs and protocols."""
NAMES = (*TOPICS, *TOPICS, *CONFIGS, "range", "cooperative-sticky", "guest", "metadata.version")
SMALL = (0, 0, 0, 1, 1, 2, -1, 5)
REMEMBERED = {
    "member_id": "member_id",
    "generation_id": "generation_id",
    "generation_id_or_member_epoch": "generation_id",
    "member_epoch": "member_epoch",
    "producer_id": "producer_id",
    "v3_and_below_producer_id": "producer_id",
    "producer_epoch": "producer_epoch",
    "v3_and_below_producer_epoch": "producer_epoch",
    "topic_id": "topic_id",
    "session_id": "session_id",
}
"""Fields that take up what an answer said, by its name there."""
KEPT_MAX = 8
SUBSCRIPTION = struct.pack(">hih", 0, 1, 1) + b"t" + struct.pack(">i", -1)
ASSIGNMENT = struct.pack(">hih", 0, 1, 1) + b"t" + struct.pack(">iii", 1, 0, -1)
TIMES_MS = (0, 100, 6_000, 30_000, 60_000)
NUMBERS: dict[str, tuple[int, ...]] = {
    "acks": (-1, -1, 1, 0, 2),
    "iterations": (4096, 1, 0, 20_000),
    "max_bytes": (1, 1 << 20, 0, -1),
    "num_partitions": (1, 2, -1, 0, 5),
    "count": (1, 2, 4, 6, 0),
    "offset": (-1, 0, 1, 5),
    "partition_max_bytes": (1, 1 << 20, 0, -1),
    "replication_factor": (1, 1, -1, 2),
    "resource_type": (2, 3, 4, 8, 16, 32, 5),
    "timestamp": (-1, -2, -3, -4, -5, -6, NOW_MS, 0),
}
"""Numbers by the name of their field; others are small."""


class Attacker:
    """Makes requests. `learn` is told of each answer."""

    def __init__(self, rng: random.Random, *, wild: float | None = None) -> None:
        self._rng = rng
        self._known: defaultdict[str, list[Any]] = defaultdict(list)
        self._sequence = 0
        self._wild = rng.choice((0.0, 0.02, 0.05, 0.2)) if wild is None else wild
        """How often a value, or the bytes of a request, are anything at all."""

    def request(self) -> tuple[int, int, bytes]:
        """Key, version and body of one."""
        rng = self._rng
        key = rng.choice(USUAL if rng.random() < 0.7 else KEYS)
        version = rng.choice(versions(key))
        body = self.body(key, version)
        return key, version, self._damaged(body) if rng.random() < self._wild else body

    def body(self, key: int, version: int) -> bytes:
        """One of this key and version."""
        return encoded(self._instance(kio_class(key, version, "request")))

    def learn(self, answer: Any) -> None:
        """Keep what is given out in an answer."""
        for field in dataclasses.fields(answer):
            value = getattr(answer, field.name)
            if field.name in REMEMBERED.values() and value not in (None, "", -1):
                known = self._known[field.name]
                known.append(value)
                del known[:-KEPT_MAX]
            for each in value if isinstance(value, tuple) else (value,):
                if dataclasses.is_dataclass(each):
                    self.learn(each)

    def _damaged(self, body: bytes) -> bytes:
        data = bytearray(body)
        at = self._rng.randint(0, len(data))
        data[at : at + self._rng.randint(0, 4)] = self._rng.randbytes(self._rng.randint(0, 5))
        return bytes(data)

    def _instance(self, kio_type: Any) -> Any:
        return kio_type(**{each.name: self._field(each) for each in dataclasses.fields(kio_type)})

    def _field(self, field: Any) -> Any:
        rng = self._rng
        kind, is_array, optional = parts(field)
        if optional and rng.random() < 0.25:
            return None
        if "tag" in field.metadata and field.default is not dataclasses.MISSING and rng.random() < 0.8:
            return field.default

        def one() -> Any:
            if dataclasses.is_dataclass(kind):
                return self._instance(kind)
            return self._value(field.name, field.metadata["kafka_type"])

        return tuple(one() for _ in range(rng.choice((0, 1, 1, 1, 2)))) if is_array else one()

    def _value(self, name: str, kafka_type: str) -> Any:
        rng = self._rng
        known = self._known[REMEMBERED[name]] if name in REMEMBERED else None
        if known and rng.random() < 0.8:
            return rng.choice(known)
        if rng.random() < self._wild:
            return PRIMITIVES[kafka_type](rng)
        if kafka_type == "string":
            return "" if name == "member_id" else rng.choice(WORDS.get(name, NAMES))
        if kafka_type in MAKERS:
            return MAKERS[kafka_type](self)
        if kafka_type.startswith("timedelta"):
            return rng.choice(TIMES_MS) * MS
        if kafka_type in ("bool", "float64", "datetime_i64", "error_code", "uint16"):
            return PRIMITIVES[kafka_type](rng)
        return rng.choice(NUMBERS.get(name, SMALL))

    def records(self) -> bytes:
        """Mostly one batch, as a client would send it."""
        rng = self._rng
        records = [
            Record(number, NOW_MS, rng.choice((None, b"k")), rng.choice((None, b"", b"v" * 50)), [])
            for number in range(rng.choice((1, 1, 3)))
        ]
        header: dict[str, Any] = {}
        if rng.random() < 0.5 and self._known["producer_id"]:
            header = {
                "producer_id": rng.choice(self._known["producer_id"]),
                "producer_epoch": rng.choice(self._known["producer_epoch"] or [0]),
                "base_sequence": rng.choice((0, 0, 1, 3, self._sequence)),
                "attributes": rng.choice((0, 0x10, 0x10, 0x20, 0x30)),
            }
            self._sequence += len(records)
        data = b"".join(encode_records(records, **header).chunks)
        if rng.random() < 0.15:
            data = self._damaged(data)
        return data * 2 if rng.random() < 0.03 else data


MAKERS: dict[str, Callable[[Attacker], Any]] = {
    "bytes": lambda attacker: attacker._rng.choice((SUBSCRIPTION, SUBSCRIPTION, ASSIGNMENT, b"", b"\0")),
    "records": Attacker.records,
    "uuid": lambda attacker: uuid.UUID(int=attacker._rng.getrandbits(128) | 1),
}


def versions(key: int) -> range:
    """Those that can be decoded."""
    first, last = APIS[key].versions
    return range(first, last + 1)
