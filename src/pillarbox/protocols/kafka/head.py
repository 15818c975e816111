"""What all Kafka connections of a broker share: settings, the offered versions, groups and what waits.

Made when the first Kafka client connects. Not here: bytes (`connection`), what keys do (`api`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.promises import Promises
from pillarbox.clock import monotonic_ns
from pillarbox.endpoints import Endpoint
from pillarbox.profiles import release
from pillarbox.protocols.kafka.acls import Acls
from pillarbox.protocols.kafka.api import SERVED
from pillarbox.protocols.kafka.connection import Connection
from pillarbox.protocols.kafka.creation import clear_half_topics
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.fetch_sessions import SLOTS, FetchSessions
from pillarbox.protocols.kafka.groups.coordinator import Groups, GroupSettings
from pillarbox.protocols.kafka.internal_topics import INTERNAL
from pillarbox.protocols.kafka.ip_quotas import IpQuotas
from pillarbox.protocols.kafka.options import advertised_address, named_listeners
from pillarbox.protocols.kafka.permissions import Permissions
from pillarbox.protocols.kafka.producer_ids import ProducerIds
from pillarbox.protocols.kafka.quotas import Quotas
from pillarbox.protocols.kafka.sasl import mechanisms
from pillarbox.protocols.kafka.transactions import PREFIX as TRANSACTIONS
from pillarbox.protocols.kafka.transactions import Transactions
from pillarbox.protocols.kafka.versions import RELEASES, features, offered, taken
from pillarbox.protocols.kafka.view import View
from pillarbox.protocols.strangers import anonymous_user, principal_of_stranger

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.broker.topics import Topics
    from pillarbox.broker.vhost import VHost
    from pillarbox.config import Config
    from pillarbox.protocols.kafka.rights import Authorizer


MEMORY = "/memory"
UNTAKEN_BYTES = 64 << 20
"""Answers that wait for their clients, of all connections together: beyond it the next ones are small."""
SECRET_BYTES = 32
NO_ACLS = "No Authorizer is configured: what users may do is set by the permissions of the broker."
ACL = "acl"
"""The word of the configuration for rights by Kafka's ACLs."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set."""

    vhost: str = "/"
    """The virtual host whose streams are topics."""
    profile: str = "kafka:4.2"
    anonymous: str = ""
    """The user as whom clients act that do not log in; none: they have to."""
    loopback_users: tuple[str, ...] = ("guest",)
    """Users who may connect from this machine only."""
    advertised: tuple[str, int] | None = None
    """Where clients are told to connect whose listener does not say it; None: where they did (T16)."""
    listeners: tuple[Endpoint, ...] = ()
    """Those that have names."""
    acls: bool = False
    """Rights are by Kafka's ACLs, not by the permissions of users."""
    open_by_default: bool = False
    """What no ACL is about is for everybody: Kafka's `allow.everyone.if.no.acl.found`."""
    node_id: int = 1
    auto_create_topics: bool = True
    partitions_default: int = 1
    groups: GroupSettings = GroupSettings()
    log_dir: str = ""
    """Where the logs of topics are; empty for a broker in memory."""
    idle_ms: int = 600_000
    """Kafka's `connections.max.idle.ms`."""
    transactional_id_expiration_ms: int = 7 * 86_400_000
    """Kafka's `transactional.id.expiration.ms`."""
    fetch_sessions: int = SLOTS
    """Kafka's `max.incremental.fetch.session.cache.slots`."""
    connection_max: int = 0
    """Of the whole broker; 0: any number."""
    login_ms: int = 10_000
    """How long a client may take until it has logged in, or asked for something."""

    @property
    def sasl(self) -> bool:
        """Whether clients have to log in."""
        return not self.anonymous

    def admits(self, *, loopback: bool) -> bool:
        """Whether a client may act that has not logged in and has no certificate."""
        return not self.sasl and (loopback or self.anonymous not in self.loopback_users)


class Head:
    """See the module."""

    def __init__(
        self, core: Core, settings: Settings, *, steady_ns: Callable[[], int] = monotonic_ns
    ) -> None:
        self.core = core
        self.settings: Settings = settings
        self.release = RELEASES[settings.profile]
        self.offered = {key: span for key, span in offered(settings.profile).items() if key in SERVED}
        self.taken = {key: span for key, span in taken(settings.profile).items() if key in SERVED}
        """What clients may send, in which versions; of Produce that is less than they are told."""
        self.features = features(settings.profile, self.offered)
        """The levels of each feature that clients can rely on: first and last, and the last counts."""
        self.cluster_id = _cluster_id(settings)
        self.quotas = Quotas(core)
        self.ip_quotas = IpQuotas(core)
        self.steady_ns = steady_ns
        """Measures how long something took; what time it is only the core knows."""
        self.secret = core.random(SECRET_BYTES)
        """Of this run: unknown users are asked by it as if they were there."""
        self.promises = Promises(core)
        self.producer_ids = ProducerIds(core)
        self.parked: dict[object, None] = {}
        """Fetches that wait: timers keep nothing alive."""
        self.connections: dict[Connection, None] = {}
        self.untaken_bytes = 0
        """Of answers to all clients that are made, or read for, and that their sockets have not taken yet."""
        if settings.vhost in core.vhosts and next(core.kept(TRANSACTIONS), None) is not None:
            # What a restart has found open ends by its time, whether anybody asks for it or not (and see
            # `Protocol.keeps`): readers of other protocols wait for it, too.
            self.transactions = Transactions(self)
        if settings.vhost in core.vhosts:
            clear_half_topics(self)

    def __repr__(self) -> str:
        return f"<Head connections={len(self.connections)}>"

    @cached_property
    def authorizer(self) -> Authorizer:
        """Who may do what."""
        if self.settings.acls:
            return Acls(self.core, open_by_default=self.settings.open_by_default)
        return Permissions(self.core.users, self.settings.vhost)

    def demand_acls(self) -> Acls:
        """Raise Refused (SECURITY_DISABLED) where rights are not by ACLs."""
        if not isinstance(self.authorizer, Acls):
            raise Refused(ErrorCode.SECURITY_DISABLED, NO_ACLS)
        return self.authorizer

    @property
    def vhost(self) -> VHost:
        return self.core.vhosts[self.settings.vhost]

    @cached_property
    def transactions(self) -> Transactions:
        """Made when somebody first asks for one, with what a restart has left."""
        return Transactions(self)

    @property
    def topics(self) -> Topics:
        return self.vhost.topics

    @cached_property
    def groups(self) -> Groups:
        """All consumer groups, with what is kept of them; made when somebody first asks for one."""
        return Groups(self.core, self.topics, self.settings.groups)

    def show_internal(self, names: Iterable[str] | None = None) -> None:
        """A client looks for topics, or (None) for all: those of Kafka's own are there if there is something
        to show (K38)."""
        if names is not None and INTERNAL.isdisjoint(names):
            return
        self.groups.offsets_topic.show()
        self.groups.shares_topic.show()
        if "transactions" in self.__dict__:
            self.transactions.topic.show()

    @cached_property
    def fetch_sessions(self) -> FetchSessions:
        """Made when somebody first asks for one."""
        return FetchSessions(self.core.random, slots=self.settings.fetch_sessions)

    @cached_property
    def view(self) -> View:
        """What operators see and do."""
        return View(self)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """How clients can log in."""
        return mechanisms(self.core.users)

    @property
    def log_dir(self) -> str:
        """The folder of logs, as clients are told it: a broker in memory has one by name only."""
        return self.settings.log_dir or MEMORY

    def __call__(
        self, peer: str, loopback: bool, on_output: Callable[[], None], **told: tuple[str, int]
    ) -> Connection:
        """See `Protocol.load`."""
        return self.connect(peer, loopback, on_output, **told)

    def connect(
        self,
        peer: str = "",
        loopback: bool = True,
        on_output: Callable[[], None] = lambda: None,
        advertised: tuple[str, int] | None = None,
    ) -> Connection:
        """Make the connection of a socket that was accepted.

        `advertised`: where its client is to connect, if its listener says it.
        """
        connection = Connection(self, peer=peer, loopback=loopback, on_output=on_output)
        connection.advertised = advertised
        self.connections[connection] = None
        if self.ip_quotas.limits and (pause_ms := self.ip_quotas.admit(connection.client_host)):
            connection.turn_away(pause_ms)
        return connection

    def address_for(self, connection: Connection) -> tuple[str, int]:
        """Host and port under which this client reaches the broker (T16)."""
        return connection.advertised or self.settings.advertised or connection.addresses[2:]

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits for clients that the next answers have to be small."""
        return self.untaken_bytes >= UNTAKEN_BYTES

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)
        if "groups" in self.__dict__ and self.groups.share_sessions:
            self.groups.share_sessions.forget(connection, release=not connection.was_shut_down)

    def principal_of(self, connection: Connection) -> Principal:
        """As whom a client acts that has not logged in. Raises BrokerError if it may not act at all."""
        settings = self.settings
        return principal_of_stranger(
            self.core.users,
            settings.anonymous,
            settings.loopback_users,
            connection,
            connection.caller._replace(vhost=settings.vhost),
        )


def _cluster_id(settings: Settings) -> str:
    """22 characters, as Kafka's: base64 of a UUID; of one virtual host always the same (K37)."""
    digest = sha256(f"pillarbox {settings.vhost}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def connections(core: Core, config: Config) -> Head:
    """What makes a connection for each socket that was accepted (see `protocols.registry`)."""
    settings = Settings(
        vhost=config.default_vhost,
        profile=release(config.profile, "kafka"),
        anonymous=anonymous_user(config.kafka_anonymous_user),
        loopback_users=config.loopback_users,
        advertised=advertised_address(config.kafka_advertised),
        listeners=named_listeners(config),
        acls=config.kafka_authorizer == ACL,
        open_by_default=config.kafka_allow_everyone_if_no_acl,
        auto_create_topics=config.kafka_auto_create_topics,
        partitions_default=config.kafka_partitions,
        groups=GroupSettings(
            session_timeout_min_ms=config.kafka_session_timeout_min_s * 1000,
            session_timeout_max_ms=config.kafka_session_timeout_max_s * 1000,
            initial_delay_ms=config.kafka_initial_rebalance_delay_s * 1000,
            size_max=config.kafka_group_size_max,
            consumer_session_timeout_ms=config.kafka_consumer_session_timeout_s * 1000,
            consumer_heartbeat_ms=config.kafka_consumer_heartbeat_s * 1000,
            consumer_size_max=config.kafka_group_size_max,
            retention_ms=config.kafka_offsets_retention_s * 1000,
        ),
        log_dir="" if config.memory else config.data,
        transactional_id_expiration_ms=config.kafka_transactional_id_expiration_s * 1000,
        connection_max=config.connection_max,
        login_ms=config.handshake_timeout_s * 1000,
    )
    return Head(core, settings)
