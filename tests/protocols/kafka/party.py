"""A transactional producer of either kind, which says exactly what it is told to."""

from __future__ import annotations

import time
from typing import Any

from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.store.batch import TRANSACTIONAL, Record, encode_records
from tests.protocols.kafka.asking import Asking

NAME, GROUP, TOPIC = "mover", "readers", "t"
WAIT_S = 10.0
OLD, NEW = 3, 5
"""Versions of EndTxn of clients that go on in one epoch, and of those that get another with each end."""


class Party:
    """See the module."""

    client_ms = 0
    """What time it thinks it is."""

    def __init__(self, client: Asking, name: str = NAME, topic: str = TOPIC) -> None:
        self.client = client
        self.name = name
        self.topic = topic
        self.id = self.epoch = -1
        self._sequences: dict[int, int] = {}
        """By partition."""

    @property
    def who(self) -> dict[str, Any]:
        return {"transactional_id": self.name, "producer_id": self.id, "producer_epoch": self.epoch}

    def begin(self, *, timeout_ms: int = 60_000, go_on: bool = False) -> Code:
        """Ask for an id until what was open before has ended. `go_on`: as the producer that it is."""
        who = (self.id, self.epoch) if go_on else (-1, -1)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            found = self.client.ask(
                "InitProducerId",
                4,
                transactional_id=self.name,
                transaction_timeout=timeout_ms,
                producer_id=who[0],
                producer_epoch=who[1],
            )
            if found.error_code.value != Code.CONCURRENT_TRANSACTIONS:
                break
        self.id, self.epoch, self._sequences = found.producer_id, found.producer_epoch, {}
        return Code(found.error_code.value)

    def join(self, topic: str = "", index: int = 0) -> Code:
        wanted = [{"name": topic or self.topic, "partitions": [index]}]
        values = {f"v3_and_below_{name}": value for name, value in self.who.items()}
        found = self.client.ask("AddPartitionsToTxn", 3, v3_and_below_topics=wanted, **values)
        result = found.results_by_topic_v3_and_below[0].results_by_partition[0]
        return Code(result.partition_error_code.value)

    def send(self, value: bytes, *, version: int = 9, index: int = 0, sequence: int | None = None) -> Code:
        """One record, as the next one of its epoch to the partition, or by this number."""
        sequence = self._sequences.get(index, 0) if sequence is None else sequence
        batch = encode_records(
            [Record(0, self.client_ms, None, value, [])],
            attributes=TRANSACTIONAL,
            producer_id=self.id,
            producer_epoch=self.epoch,
            base_sequence=sequence,
        )
        partition = {"index": index, "records": b"".join(batch.chunks)}
        topics = [{"name": self.topic, "partition_data": [partition]}]
        answered = self.client.ask(
            "Produce", version, transactional_id=self.name, acks=-1, timeout=1000, topic_data=topics
        )
        code = Code(answered.responses[0].partition_responses[0].error_code.value)
        if code == Code.NONE:
            self._sequences[index] = sequence + 1
        return code

    def join_group(self) -> Code:
        joined = self.client.ask("AddOffsetsToTxn", 3, group_id=GROUP, **self.who)
        return Code(joined.error_code.value)

    def hold(self, offset: int) -> Code:
        """Let the group have read so far when the transaction commits."""
        return self.join_group() or self.commit(offset, version=2)

    def commit(self, offset: int, *, version: int, **member: Any) -> Code:
        one = {"partition_index": 0, "committed_offset": offset, "committed_leader_epoch": -1}
        topics = [{"name": self.topic, "partitions": [one]}]
        said = {"group_id": GROUP, "topics": topics, **self.who, **member}
        found = self.client.ask("TxnOffsetCommit", version, **said)
        return Code(found.topics[0].partitions[0].error_code.value)

    def end(self, *, commit: bool = True, version: int = OLD) -> Code:
        found = self.client.ask("EndTxn", version, committed=commit, **self.who)
        if version >= NEW and not found.error_code.value:
            self.id, self.epoch = found.producer_id, found.producer_epoch
            self._sequences = {}
        return Code(found.error_code.value)
