"""The configs of the broker that Kafka's clients and tools look for, a row each, with what they are here.

What is the default of a topic's config stands under the broker's name for it. All are read-only: what can be
set is set where the broker's own settings are. Not here: topics' configs (`config_table`).

Source: Kafka's "Broker Configs"; row K32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.protocols.kafka.config_table import LONG_MAX, TOPIC_CONFIGS, Kind
from pillarbox.protocols.kafka.fetch_sessions import SLOTS

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.head import Head


class BrokerRow(NamedTuple):
    """One config. `value` is what it is here; without it, the default."""

    name: str
    kind: Kind
    default: str | None
    text: str
    value: Callable[[Head], str | None] | None = None

    def current(self, head: Head) -> str | None:
        return self.default if self.value is None else self.value(head)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _advertised(head: Head) -> str | None:
    """By the names of the listeners that say it."""
    settings = head.settings
    told = {"kafka": settings.advertised, **{each.name: each.advertised for each in settings.listeners}}
    return ",".join(f"{name}://{at[0]}:{at[1]}" for name, at in told.items() if at) or None


_OWN: Final = (
    BrokerRow(
        "advertised.listeners",
        Kind.STRING,
        None,
        "Where clients are told to connect; by default where they did.",
        _advertised,
    ),
    BrokerRow(
        "auto.create.topics.enable",
        Kind.BOOLEAN,
        "true",
        "Whether a topic is made that a client asks for and that is missing.",
        lambda head: _flag(head.settings.auto_create_topics),
    ),
    BrokerRow("broker.id", Kind.INT, "-1", "The node's number.", lambda head: str(head.settings.node_id)),
    BrokerRow(
        "connections.max.idle.ms",
        Kind.LONG,
        "600000",
        "How long a connection may be silent.",
        lambda head: str(head.settings.idle_ms),
    ),
    BrokerRow("default.replication.factor", Kind.INT, "1", "Replicas of a topic: one."),
    BrokerRow("delete.topic.enable", Kind.BOOLEAN, "true", "Topics can be deleted."),
    BrokerRow(
        "log.dirs",
        Kind.STRING,
        None,
        "Where the logs of topics are; empty for a broker in memory.",
        lambda head: head.settings.log_dir or None,
    ),
    BrokerRow("log.flush.interval.ms", Kind.LONG, None, "After how long a log is synced to disk."),
    BrokerRow(
        "log.flush.scheduler.interval.ms",
        Kind.LONG,
        str(LONG_MAX),
        "How often it is looked whether a log has to be synced.",
    ),
    BrokerRow("log.retention.hours", Kind.INT, "168", "How old records may become, in hours."),
    BrokerRow("log.retention.minutes", Kind.INT, None, "How old records may become, in minutes."),
    BrokerRow("log.retention.ms", Kind.LONG, None, "How old records may become."),
    BrokerRow("log.roll.hours", Kind.INT, "168", "How long a segment is written to, in hours."),
    BrokerRow("log.roll.jitter.hours", Kind.INT, "0", "How much of that is left to chance, in hours."),
    BrokerRow("log.roll.jitter.ms", Kind.LONG, None, "How much of that is left to chance."),
    BrokerRow("log.roll.ms", Kind.LONG, None, "How long a segment is written to."),
    BrokerRow(
        "max.incremental.fetch.session.cache.slots",
        Kind.INT,
        str(SLOTS),
        "How many clients can have a fetch session at a time.",
        lambda head: str(head.settings.fetch_sessions),
    ),
    BrokerRow("node.id", Kind.INT, None, "The node's number.", lambda head: str(head.settings.node_id)),
    BrokerRow(
        "num.partitions",
        Kind.INT,
        "1",
        "Partitions of a topic where nobody says how many.",
        lambda head: str(head.settings.partitions_default),
    ),
    BrokerRow(
        "offsets.retention.minutes",
        Kind.INT,
        "10080",
        "How long offsets are kept of a group that is empty.",
    ),
    BrokerRow(
        "process.roles",
        Kind.LIST,
        "",
        "What the node does.",
        lambda head: "broker,controller",
    ),
    BrokerRow(
        "sasl.enabled.mechanisms",
        Kind.LIST,
        "GSSAPI",
        "How clients can log in.",
        lambda head: ",".join(head.mechanisms),
    ),
    BrokerRow("transaction.max.timeout.ms", Kind.INT, "900000", "How long a transaction may take at most."),
    BrokerRow(
        "transactional.id.expiration.ms",
        Kind.INT,
        "604800000",
        "How long a transactional id is kept that no producer uses.",
        lambda head: str(head.settings.transactional_id_expiration_ms),
    ),
    BrokerRow(
        "socket.request.max.bytes", Kind.INT, "104857600", "The largest request, for one with records."
    ),
)

_NAMED: Final = frozenset(row.name for row in _OWN)

_DEFAULTS_OF_TOPICS: Final = tuple(
    BrokerRow(name, row.kind, row.default, row.text)
    for row in TOPIC_CONFIGS.values()
    for name in row.synonyms[:1]
    if name not in _NAMED
)

BROKER_CONFIGS: Final = {
    row.name: row for row in sorted((*_OWN, *_DEFAULTS_OF_TOPICS), key=lambda row: row.name)
}
"""By name."""
