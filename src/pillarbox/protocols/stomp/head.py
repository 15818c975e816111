"""How STOMP connections are made: from a broker's configuration to what each of them goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.advisories import DEAD_LETTERS
from pillarbox.broker.recovery import Recovery
from pillarbox.protocols.stomp.connection import Connection
from pillarbox.protocols.stomp.options import (
    dead_letter_choice,
    dead_letter_queue,
    has_rules,
    is_activemq,
    is_of_artemis,
)
from pillarbox.protocols.stomp.policies import Policies, Policy
from pillarbox.protocols.stomp.rules import BLOCK, FAIL, read_bearing
from pillarbox.protocols.strangers import anonymous_user

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.config import Config

ACTIVEMQ_VERSION = "5.17.2"
"""The release with which the dialect of ActiveMQ is compared."""
ARTEMIS_SERVER = "ActiveMQ-Artemis/2.45.0 ActiveMQ Artemis Messaging Engine"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has set."""

    vhost: str = "/"
    """The virtual host of clients that name none."""
    is_activemq: bool = False
    """Where the dialects of ActiveMQ and RabbitMQ disagree, ActiveMQ's counts."""
    is_artemis: bool = False
    """It is Artemis' (see `artemis`); only where it is ActiveMQ's."""
    anycast_prefixes: tuple[str, ...] = ()
    multicast_prefixes: tuple[str, ...] = ()
    routing_type: str = "MULTICAST"
    dead_letter_queue: str = DEAD_LETTERS
    """ActiveMQ's queue for everything that nobody could cope with."""
    server: str = "RabbitMQ/3.13.7"
    anonymous: str = ""
    """The user as whom clients act that do not log in; none: they have to."""
    loopback_users: tuple[str, ...] = ("guest",)
    handshake_timeout_ms: int = 10_000
    message_size_max: int = 134_217_728
    connection_max: int = 0
    policies: Policies = Policies(Policy())
    """What destinations bear."""
    send_fail_if_no_space: bool = False
    """Whoever sends during an alarm is refused, and does not wait."""
    id_cache_size: int = 20_000
    """Ids of messages that are known of a destination."""
    advisories: frozenset[str] = frozenset()
    """Those that are told because an operator wants them."""
    statistics: bool = False
    """Who asks for numbers gets them (see `statistics`)."""
    dead_letter_choice: Mapping[str, bool] = {}
    """Arguments of queues in ActiveMQ's dialect: what of that which dies in them is no dead letter."""
    clients: dict[tuple[str, str], Connection] | None = None
    """Who is connected under a client id, by virtual host and id, where no other may be; None: others may."""
    recovery: Recovery | None = None
    """What topics keep for subscriptions that are retroactive."""

    @property
    def dead_letter_arguments(self) -> dict[str, Any]:
        """Arguments of queues whose dead letters go there."""
        return {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead_letter_queue,
            **self.dead_letter_choice,
        }


def _policies(config: Config) -> Policies:
    """What destinations bear: what the options say of all of them, and the rows of some."""
    base = Policy(
        limit_bytes=config.stomp_destination_limit,
        full=FAIL if config.stomp_send_fail_if_no_space else BLOCK,
        pending_max=config.stomp_pending_message_limit,
        slow=config.stomp_slow_consumer,
        slow_after_ms=config.stomp_slow_after_s * 1000,
    )
    return Policies(base, map(read_bearing, config.stomp_destination_policies))


def connections(core: Core, config: Config) -> Callable[[str, bool, Callable[[], None]], Connection]:
    """What makes a connection for each socket that was accepted (see `protocols.registry`)."""
    is_artemis = is_of_artemis(config)
    server = f"ActiveMQ/{ACTIVEMQ_VERSION}" if is_activemq(config) else f"RabbitMQ/{core.profile.version}"
    settings = Settings(
        vhost=config.default_vhost,
        is_activemq=is_activemq(config),
        is_artemis=is_artemis,
        anycast_prefixes=config.stomp_anycast_prefixes,
        multicast_prefixes=config.stomp_multicast_prefixes,
        routing_type=config.stomp_default_routing_type.upper(),
        dead_letter_queue=dead_letter_queue(config),
        server=ARTEMIS_SERVER if is_artemis else server,
        anonymous=anonymous_user(config.stomp_anonymous_user),
        loopback_users=config.loopback_users,
        handshake_timeout_ms=config.handshake_timeout_s * 1000,
        message_size_max=config.message_size_max,
        connection_max=config.connection_max,
        policies=_policies(config),
        send_fail_if_no_space=config.stomp_send_fail_if_no_space,
        id_cache_size=config.stomp_id_cache_size,
        advisories=frozenset(config.stomp_advisories),
        statistics=is_activemq(config) and config.stomp_statistics,
        dead_letter_choice=dead_letter_choice(config),
        clients={} if is_activemq(config) and not is_artemis else None,
        recovery=Recovery(core) if is_activemq(config) else None,
    )
    if has_rules(config):
        from pillarbox.protocols.stomp.intercepting import begin

        assert settings.recovery is not None, "ActiveMQ has rules"
        begin(core, config, settings, settings.recovery)

    def connect(peer: str, loopback: bool, on_output: Callable[[], None]) -> Connection:
        return Connection(core, settings, peer=peer, loopback=loopback, on_output=on_output)

    return connect
