"""Topics and their partitions: /kafka/topics and what is below.

A topic is a stream or a super stream (`broker.topics`), whoever has made it; its partitions are queues under
/queues, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from pillarbox.ops.kafka.seeing import demand, lists, partition_of, topic_of, view_of
from pillarbox.ops.kafka.traffic import fields_of
from pillarbox.ops.management.fields import (
    BOOLEAN,
    INTEGER,
    OBJECT,
    STRING,
    Document,
    Field,
    Level,
    array,
    nullable,
)
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import CREATED, Answer, bad_request, table_of
from pillarbox.ops.management.routes import COLUMNS, LISTING, MANAGEMENT, SAMPLES, STATS, Many, Route

if TYPE_CHECKING:
    from pillarbox.broker.stream import StreamQueue
    from pillarbox.broker.topics import Topic
    from pillarbox.ops.management.request import Request
    from pillarbox.protocols.kafka.view import View


class ShownTopic:
    """A topic, and what is looked up of it once."""

    def __init__(self, view: View, topic: Topic) -> None:
        self.view = view
        self.topic = topic

    @cached_property
    def traffic(self) -> Any:
        return self.view.traffic_of(self.topic)

    @property
    def partitions(self) -> list[ShownPartition]:
        return [
            ShownPartition(self.view, self.topic, index, stream)
            for index, stream in enumerate(self.topic.partitions)
        ]


class ShownPartition(NamedTuple):
    """A partition and the stream that it is."""

    view: View
    topic: Topic
    number: int
    stream: StreamQueue


def _producers(shown: ShownPartition, request: Request) -> list[dict[str, Any]]:
    """Who has written lately, the last one first."""
    found = [
        {
            "producer_id": producer_id,
            "epoch": known.epoch,
            "last_sequence": known.sent[-1].sequence_last if known.sent else None,
            "last_timestamp": known.sent[-1].timestamp_ms if known.sent else None,
            "transactional_id": shown.view.transaction_of(producer_id),
        }
        for producer_id, known in shown.stream.log.producers.items()
    ]
    return found[::-1]


def _open_transactions(shown: ShownPartition, request: Request) -> list[dict[str, Any]]:
    return [
        {
            "producer_id": producer_id,
            "first_offset": first,
            "transactional_id": shown.view.transaction_of(producer_id),
        }
        for producer_id, first in shown.stream.log.open_transactions.items()
    ]


_PRODUCER = {
    "type": "object",
    "properties": {
        "producer_id": INTEGER,
        "epoch": INTEGER,
        "last_sequence": nullable(INTEGER),
        "last_timestamp": nullable(INTEGER),
        "transactional_id": nullable(STRING),
    },
}
_OPEN = {
    "type": "object",
    "properties": {
        "producer_id": INTEGER,
        "first_offset": INTEGER,
        "transactional_id": nullable(STRING),
    },
}
_CONFIG = {
    "type": "object",
    "properties": {
        "name": STRING,
        "value": nullable(STRING),
        "source": STRING,
        "type": STRING,
        "documentation": STRING,
    },
}

# fmt: off
PARTITION = Document(
    "KafkaPartition",
    Field("topic", STRING, lambda s, r: s.topic.name),
    Field("partition", INTEGER, lambda s, r: s.number),
    Field("name", STRING, lambda s, r: s.stream.name),
    Field("leader", INTEGER, lambda s, r: s.view.cluster.node_id),
    Field("leader_epoch", INTEGER, lambda s, r: s.stream.log.leader_epoch),
    Field("start_offset", INTEGER, lambda s, r: s.stream.log.offsets().start),
    Field("end_offset", INTEGER, lambda s, r: s.stream.log.committed),
    Field("last_stable_offset", INTEGER, lambda s, r: s.stream.log.last_stable),
    Field("messages", INTEGER, lambda s, r: s.stream.log.committed - s.stream.log.offsets().start),
    Field("size", INTEGER, lambda s, r: s.stream.log.size),
    Field("segments", INTEGER, lambda s, r: len(s.stream.log.segments)),
    Field("producers", INTEGER, lambda s, r: len(s.stream.log.producers)),
    Field("open_transactions", INTEGER, lambda s, r: len(s.stream.log.open_transactions)),
    Field("producer_details", array(_PRODUCER), _producers, Level.DETAIL),
    Field("open_transaction_details", array(_OPEN), _open_transactions, Level.DETAIL),
)
"""`end_offset` is the high watermark; `last_stable_offset` is where readers of committed records stop."""
# fmt: on


def _partition_details(shown: ShownTopic, request: Request) -> list[dict[str, Any]]:
    levels = frozenset({Level.BASIC})
    return [PARTITION.describe(one, request, levels) for one in shown.partitions]


def _configs(shown: ShownTopic, request: Request) -> list[dict[str, Any]]:
    return [config._asdict() for config in shown.view.configs(shown.topic)]


def _sum(name: str) -> Any:
    get = PARTITION.by_name[name].get
    return lambda shown, request: sum([get(one, request) for one in shown.partitions])


# fmt: off
TOPIC = Document(
    "KafkaTopic",
    Field("name", STRING, lambda s, r: s.topic.name),
    Field("id", STRING, lambda s, r: str(UUID(bytes=s.topic.id))),
    Field("vhost", STRING, lambda s, r: s.view.vhost.name),
    Field("partitions", INTEGER, lambda s, r: len(s.topic.partitions)),
    Field("replication_factor", INTEGER, lambda s, r: 1),
    Field("internal", BOOLEAN, lambda s, r: False),
    Field("config", OBJECT, lambda s, r: dict(s.view.settings(s.topic))),
    Field("messages", INTEGER, _sum("messages"), Level.TOTALS),
    Field("size", INTEGER, _sum("size"), Level.TOTALS),
    Field("open_transactions", INTEGER, _sum("open_transactions"), Level.TOTALS),
    *fields_of(lambda s: s.traffic),
    Field("configs", array(_CONFIG), _configs, Level.DETAIL),
    Field("partition_details", array(PARTITION.schema()), _partition_details, Level.DETAIL),
)
"""`config` is what it was given, `configs` everything that counts for it."""
# fmt: on


class TopicBody(msgspec.Struct):
    """How a topic is to be; without `partitions` it has as many as is usual here."""

    partitions: int | None = None
    config: dict[str, Any] | list[Any] = {}


class PartitionsBody(msgspec.Struct):
    """How many partitions a topic shall have: more than it has."""

    partitions: int


def _words(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Configs as texts; None stays. Raises 400."""
    words: dict[str, str | None] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            words[name] = "true" if value else "false"
        elif value is None or isinstance(value, str | int | float):
            words[name] = None if value is None else str(value)
        else:
            raise bad_request(f"the config {name} is neither a text nor a number")
    return words


def topics(request: Request) -> Listing:
    view = view_of(request)
    found = (ShownTopic(view, topic) for topic in view.topics.all() if lists(request, "topic", topic.name))
    return Listing(found, TOPIC)


def topic(request: Request) -> Iterator[bytes]:
    return show(ShownTopic(view_of(request), topic_of(request)), TOPIC, request)


async def put(request: Request) -> Answer:
    view, name, body = view_of(request), request.path["topic"], request.body
    demand(request, "create topic", name)
    configs = {key: value for key, value in _words(table_of(body.config)).items() if value is not None}
    await request.work.in_slices(view.creating_topic(name, body.partitions, configs))
    return CREATED


async def remove(request: Request) -> None:
    found = topic_of(request)
    demand(request, "delete topic", found.name)
    await request.work.in_slices(view_of(request).deleting_topic(found))


async def put_config(request: Request) -> None:
    found = topic_of(request)
    demand(request, "alter configs of topic", found.name)
    view_of(request).alter_topic(found, _words(request.body))
    await request.work.stored()


def partitions(request: Request) -> Listing:
    shown = ShownTopic(view_of(request), topic_of(request))
    return Listing(shown.partitions, PARTITION)


def partition(request: Request) -> Iterator[bytes]:
    return show(ShownPartition(view_of(request), *partition_of(request)), PARTITION, request)


async def put_partitions(request: Request) -> None:
    found = topic_of(request)
    demand(request, "alter topic", found.name)
    await request.work.in_slices(view_of(request).growing_topic(found, request.body.partitions))


_ONE = "/kafka/topics/{topic}"
_PARTITIONS = f"{_ONE}/partitions"

ROUTES = (
    Route(
        "GET",
        "/kafka/topics",
        topics,
        MANAGEMENT,
        "All topics that the user may see.",
        Many(TOPIC),
        parameters=(*LISTING, *STATS, *SAMPLES),
    ),
    Route(
        "GET",
        _ONE,
        topic,
        MANAGEMENT,
        "A topic, with its partitions and all its configs.",
        TOPIC,
        parameters=(*COLUMNS, *STATS, *SAMPLES),
    ),
    Route("PUT", _ONE, put, MANAGEMENT, "Make a topic.", body=TopicBody, status=201),
    Route("DELETE", _ONE, remove, MANAGEMENT, "Delete a topic with all its records.", status=204),
    Route(
        "PUT",
        f"{_ONE}/config",
        put_config,
        MANAGEMENT,
        "Alter the configs that are named; null: back to what is usual.",
        body=dict[str, Any],
        status=204,
    ),
    Route(
        "GET",
        _PARTITIONS,
        partitions,
        MANAGEMENT,
        "The partitions of a topic.",
        Many(PARTITION),
        parameters=LISTING,
    ),
    Route(
        "PUT",
        _PARTITIONS,
        put_partitions,
        MANAGEMENT,
        "Let a topic have more partitions.",
        body=PartitionsBody,
        status=204,
    ),
    Route(
        "GET",
        f"{_PARTITIONS}/{{partition}}",
        partition,
        MANAGEMENT,
        "A partition, with its producers and open transactions.",
        PARTITION,
        parameters=COLUMNS,
    ),
)
