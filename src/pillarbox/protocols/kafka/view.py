"""What operators see of Kafka's side and do to it: the one door of this folder to the layer above.

Topics are the domain's (`broker.topics`), and can be looked at there; here is what only this head knows:
configs in Kafka's words, groups with their lag, transactions, clients. Whoever changes something is allowed
to: that was asked before. What is refused is a BrokerError with a sentence.

Not here: documents, routes, metrics (`ops.kafka`). Source: rows K57, K76.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.counters import Counters, LogCounters
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.kafka.config_entries import STATIC_BROKER_SOURCE, TOPIC_SOURCE, topic_entries
from pillarbox.protocols.kafka.configs import REMOVE, SET, altered, checked, options_of, settings_of
from pillarbox.protocols.kafka.creation import (
    creating,
    deleting,
    demand_more_partitions,
    demand_name,
    demand_partitions,
)
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.groups.records import Committed
from pillarbox.protocols.kafka.groups.seen import SeenGroup, seen_groups
from pillarbox.protocols.kafka.groups.share import ShareGroup
from pillarbox.protocols.kafka.rights import (
    ALTER_TOPIC,
    ALTER_TOPIC_CONFIGS,
    CREATE_TOPIC,
    DELETE_GROUP,
    DELETE_TOPIC,
    READ_GROUP,
    READ_TOPIC,
    SEE_GROUP,
    SEE_TOPIC,
    SEE_TRANSACTION,
)
from pillarbox.protocols.kafka.transactions import State, Transaction

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.topics import Topic, Topics
    from pillarbox.broker.vhost import VHost
    from pillarbox.protocols.kafka.connection import Connection
    from pillarbox.protocols.kafka.head import Head

NOWHERE: Final = ""
"""The address of operators, who come through another door: ACLs for single hosts mean clients."""

RIGHTS: Final = {
    "see topic": SEE_TOPIC,
    "read topic": READ_TOPIC,
    "create topic": CREATE_TOPIC,
    "alter topic": ALTER_TOPIC,
    "alter configs of topic": ALTER_TOPIC_CONFIGS,
    "delete topic": DELETE_TOPIC,
    "see group": SEE_GROUP,
    "read group": READ_GROUP,
    "delete group": DELETE_GROUP,
    "see transaction": SEE_TRANSACTION,
}
"""What somebody may do to the topic, group or transaction of some name, in words."""

_SOURCES = {TOPIC_SOURCE: "topic", STATIC_BROKER_SOURCE: "broker"}
"""Where a value comes from, in words; what is in neither is the default."""


class Cluster(NamedTuple):
    """The one broker that clients see."""

    cluster_id: str
    node_id: int
    version: str
    """The release of Kafka that it stands in for."""
    anonymous_user: str
    """As whom clients act that do not log in; empty: they have to."""
    mechanisms: tuple[str, ...]
    advertised: str
    """Where clients are told to connect; empty: where they did."""
    log_dir: str


class Config(NamedTuple):
    """One config of a topic. `source`: topic, broker or default."""

    name: str
    value: str | None
    source: str
    type: str
    documentation: str


class GroupGauges(Counters):
    """What of a group goes up and down."""

    NAMES = ("lag", "committed")
    __slots__ = NAMES


class View:
    """See the module."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._traffic: dict[bytes, LogCounters] = {}
        self._gauges: dict[str, GroupGauges] = {}

    def __repr__(self) -> str:
        return f"<View of {self._head!r}>"

    @property
    def vhost(self) -> VHost:
        """The virtual host whose streams are topics."""
        return self._head.vhost

    @property
    def topics(self) -> Topics:
        return self._head.topics

    @property
    def now_ms(self) -> int:
        return self._head.core.changes.now_ms

    @property
    def cluster(self) -> Cluster:
        settings = self._head.settings
        return Cluster(
            self._head.cluster_id,
            settings.node_id,
            settings.profile.partition(":")[2],
            settings.anonymous,
            self._head.mechanisms,
            "" if settings.advertised is None else ":".join(map(str, settings.advertised)),
            self._head.log_dir,
        )

    @property
    def connections(self) -> list[Connection]:
        """Those whose clients were let in."""
        return [connection for connection in self._head.connections if connection.session is not None]

    def allows(self, principal: Principal, right: str, name: str) -> bool:
        """Has a user this right (a key of `RIGHTS`), wherever it is?"""
        return self._head.authorizer.allows(principal, NOWHERE, RIGHTS[right], name)

    def demand(self, principal: Principal, right: str, name: str) -> None:
        """Raise BrokerError (ACCESS_REFUSED) for whoever has it not."""
        if not self.allows(principal, right, name):
            text = f"access refused for user '{principal.name}': it may not {right} '{name}'"
            raise BrokerError(Reason.ACCESS_REFUSED, text)

    # --- topics --------------------------------------------------------------------------------------

    def settings(self, topic: Topic) -> Mapping[str, str]:
        """What the topic was given, or does unlike others."""
        return settings_of(self.topics, topic)

    def configs(self, topic: Topic) -> list[Config]:
        """All configs of a topic, by name."""
        entries = topic_entries(self._head, self.settings(topic))
        return [
            Config(one.name, one.value, _SOURCES.get(one.source, "default"), one.kind.name.lower(), one.text)
            for one in entries
        ]

    def creating_topic(
        self, name: str, partitions: int | None, configs: Mapping[str, str]
    ) -> Generator[None, None, None]:
        """Make a topic, with a step for each partition. Raises BrokerError."""
        try:
            demand_name(self._head, name)
            count = self._head.settings.partitions_default if partitions is None else partitions
            demand_partitions(count)
            yield from creating(self._head, name, count, checked(configs.items()))
        except Refused as refused:
            raise _in_words(refused) from None

    def deleting_topic(self, topic: Topic) -> Generator[None, None, None]:
        """Remove a topic, with a step for each partition. Raises BrokerError."""
        try:
            yield from deleting(self._head, topic)
        except Refused as refused:
            raise _in_words(refused) from None

    def alter_topic(self, topic: Topic, configs: Mapping[str, str | None]) -> None:
        """Give a topic other configs; None: back to what is usual. Raises BrokerError."""
        operations = [(name, REMOVE if value is None else SET, value) for name, value in configs.items()]
        try:
            settings = altered(self.settings(topic), operations)
        except Refused as refused:
            raise _in_words(refused) from None
        self.topics.configure(topic, settings, options_of(settings))

    def growing_topic(self, topic: Topic, partitions: int) -> Generator[None, None, None]:
        """Let a topic have so many partitions, with a step for each new one. Raises BrokerError."""
        try:
            demand_more_partitions(topic, partitions)
        except Refused as refused:
            raise _in_words(refused) from None
        yield from self.topics.growing(topic, partitions)

    # --- groups --------------------------------------------------------------------------------------

    def groups(self) -> Iterator[SeenGroup]:
        """All groups, by name."""
        return seen_groups(self._head.groups, self.topics)

    @property
    def group_count(self) -> int:
        return len(self._head.groups)

    def group(self, name: str) -> SeenGroup | None:
        groups = self._head.groups
        return None if groups.get(name) is None else SeenGroup(name, groups, self.topics)

    def delete_group(self, name: str) -> None:
        """Forget a group and its offsets. Raises BrokerError: it has members."""
        code = self._head.groups.delete(name)
        if code:
            self._demand_empty(name, code)

    def commit(self, name: str, topic: Topic, offsets: Mapping[int, int]) -> None:
        """Set offsets (by partition) of a group in which nobody is; it is made if there is none. Raises
        BrokerError."""
        groups = self._head.groups
        group = groups.get(name) or groups.classic(name, create=True)
        assert group is not None, "there was none of this name"
        if isinstance(group, ShareGroup):
            self._demand_empty(name, ErrorCode.NONE if group.is_empty else ErrorCode.NON_EMPTY_GROUP)
            for partition, offset in offsets.items():
                group.make_part((topic.id, partition), topic.name).reset(offset)
            return
        self._demand_empty(name, group.check_commit("", None, -1))
        for partition, offset in offsets.items():
            epoch = topic.partitions[partition].log.leader_epoch
            committed = Committed(offset, epoch, "", self.now_ms, None, topic.id)
            groups.offsets(name).commit(topic.name, partition, committed)

    @staticmethod
    def _demand_empty(name: str, code: ErrorCode) -> None:
        if code:
            text = f"group '{name}' has members: only what nobody reads by can be changed from here"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)

    # --- transactions --------------------------------------------------------------------------------

    def transactions(self) -> list[Transaction]:
        """Every transactional id, with its transaction if there is one."""
        return self._head.transactions.all()

    @staticmethod
    def is_open(transaction: Transaction) -> bool:
        return transaction.state is State.ONGOING

    def transaction_of(self, producer_id: int) -> str | None:
        """The transactional id of a producer, if it has one."""
        return next((one.name for one in self.transactions() if one.producer_id == producer_id), None)

    # --- what is counted -----------------------------------------------------------------------------

    def traffic_of(self, topic: Topic) -> tuple[dict[str, int], LogCounters]:
        """What a topic's partitions have counted together, and what keeps the samples of it."""
        return _sum(stream.partition.traffic for stream in topic.partitions), self._counters(topic)

    @property
    def traffic(self) -> LogCounters:
        """Of all topics together, with those that were deleted; keeps its samples itself."""
        return self._head.core.streams.traffic

    def gauges_of(self, group: SeenGroup) -> GroupGauges:
        """What keeps the samples of a group."""
        return self._gauges.setdefault(group.name, GroupGauges())

    def _counters(self, topic: Topic) -> LogCounters:
        return self._traffic.setdefault(topic.id, LogCounters())

    def samples(self) -> Iterator[tuple[Counters, Sequence[int]]]:
        """What is worth a chart, with its values now; forgets what is not there any more."""
        yield self.traffic, list(_sum((self.traffic,)).values())
        seen = set()
        for topic in self.topics.all():
            values, counters = self.traffic_of(topic)
            seen.add(topic.id)
            yield counters, list(values.values())
        self._traffic = {key: value for key, value in self._traffic.items() if key in seen}
        names = set()
        for group in self.groups():
            names.add(group.name)
            yield self.gauges_of(group), [group.lag or 0, group.committed]
        self._gauges = {name: gauges for name, gauges in self._gauges.items() if name in names}


def _sum(counters: Iterator[LogCounters] | Sequence[LogCounters]) -> dict[str, int]:
    total = dict.fromkeys(LogCounters.NAMES, 0)
    for one in counters:
        for name in total:
            total[name] += getattr(one, name)
    return total


def _in_words(refused: Refused) -> BrokerError:
    return BrokerError(Reason.PRECONDITION_FAILED, refused.text or refused.code.name)
