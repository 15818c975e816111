"""A member of a share group, request by request (KIP-932)."""

from __future__ import annotations

import uuid
from typing import Any

from pillarbox.protocols.kafka.errors import ErrorCode as Code
from tests.protocols.kafka.asking import Asking

TOPIC = "t"
LIMIT = {"max_wait": 0, "min_bytes": 1, "max_bytes": 1 << 20, "max_records": 500, "batch_size": 500}
NOTHING = {"max_wait": 0, "min_bytes": 0, "max_bytes": 0, "max_records": 0, "batch_size": 0}


def topic_id(client: Asking, name: str = TOPIC) -> bytes:
    (topic,) = client.ask("Metadata", 12, topics=[{"name": name}]).topics
    found: bytes = topic.topic_id.bytes
    return found


def configure(client: Asking, group: str = "g", **configs: Any) -> None:
    given = [{"name": name.replace("_", "."), "value": str(value)} for name, value in configs.items()]
    resource = {"resource_type": 32, "resource_name": group, "configs": given}
    (answer,) = client.ask("AlterConfigs", 2, resources=[resource]).responses
    assert answer.error_code.value == Code.NONE, answer


class Member:
    """A member of a group as the Java client is one."""

    def __init__(self, client: Asking, name: str = "one", group: str = "g", *, topic: str = TOPIC) -> None:
        self.client = client
        self.group = group
        self.topic_id = topic_id(client, topic)
        self.id = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        self.epoch = 0
        self.session = 0
        self.assigned: list[int] = []
        self.beat(subscribed_topic_names=[topic])

    def beat(self, **said: Any) -> Any:
        own = {"group_id": self.group, "member_id": self.id, "member_epoch": self.epoch}
        values = {**own, "rack_id": None, "subscribed_topic_names": None, **said}
        answer = self.client.ask("ShareGroupHeartbeat", 1, **values)
        if answer.error_code.value == Code.NONE and "member_id" not in said:
            self.epoch = answer.member_epoch
            if answer.assignment is not None:
                self.assigned = [
                    number for each in answer.assignment.topic_partitions for number in each.partitions
                ]
        return answer

    def fetch(self, *acks: tuple[int, int, list[int]], version: int = 2, index: int = 0, **said: Any) -> Any:
        """The whole answer; acknowledgements are (first, last, types)."""
        self.tell(*acks, version=version, index=index, **said)
        return self.take(version)

    def tell(self, *acks: tuple[int, int, list[int]], version: int = 2, index: int = 0, **said: Any) -> None:
        batches = [{"first_offset": a, "last_offset": b, "acknowledge_types": kinds} for a, b, kinds in acks]
        partition = {"partition_index": index, "acknowledgement_batches": batches}
        topics = [{"topic_id": self.topic_id, "partitions": [partition]}]
        values = {**LIMIT, "share_session_epoch": self.session, "topics": topics, **said}
        self.client.tell("ShareFetch", version, group_id=self.group, member_id=self.id, **values)

    def take(self, version: int = 2) -> Any:
        answer = self.client.take(78, version)
        if answer.error_code.value == Code.NONE:
            self.session += 1
        return answer

    def got(self, *acks: tuple[int, int, list[int]], **said: Any) -> list[tuple[int, int, int]]:
        """What a fetch hands out of one partition: first and last offset, delivery count."""
        return acquired(self.fetch(*acks, **said))

    def settle(self, *acks: tuple[int, int, list[int]], **said: Any) -> int:
        """What ShareAcknowledge says, of the request or of the partition."""
        batches = [{"first_offset": a, "last_offset": b, "acknowledge_types": kinds} for a, b, kinds in acks]
        topics = [
            {
                "topic_id": self.topic_id,
                "partitions": [{"partition_index": 0, "acknowledgement_batches": batches}],
            }
        ]
        values = {"share_session_epoch": self.session, "topics": topics, **said}
        answer = self.client.ask("ShareAcknowledge", 2, group_id=self.group, member_id=self.id, **values)
        if answer.error_code.value == Code.NONE:
            self.session += 1
            return int(answer.responses[0].partitions[0].error_code.value)
        return int(answer.error_code.value)


def acquired(answer: Any) -> list[tuple[int, int, int]]:
    assert answer.error_code.value == Code.NONE, answer
    return [
        (one.first_offset, one.last_offset, one.delivery_count)
        for topic in answer.responses
        for partition in topic.partitions
        for one in partition.acquired_records
    ]
