"""How AMQP 0-9-1 connections are made: from a broker's configuration to what each of them goes by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import Settings

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.config import Config


def settings_of(core: Core, config: Config) -> Settings:
    """What an operator has set, and what the profile says."""
    profile = core.profile
    return Settings(
        version=profile.version,
        channel_max=config.channel_max,
        frame_max=config.frame_max,
        frame_min=config.frame_min,
        heartbeat_s=config.heartbeat_s,
        handshake_timeout_ms=config.handshake_timeout_s * 1000,
        message_size_max=config.message_size_max,
        consumer_max=config.consumer_max_per_channel,
        connection_max=config.connection_max,
        loopback_users=config.loopback_users,
        message_timestamp=config.message_timestamp,
        message_routing_node=config.message_routing_node,
        mechanisms=config.auth_mechanisms or profile.mechanisms,
    )


def connections(core: Core, config: Config) -> Callable[[str, bool, Callable[[], None]], Connection]:
    """What makes a connection for each socket that was accepted (see `protocols.registry`)."""
    settings = settings_of(core, config)

    def connect(peer: str, loopback: bool, on_output: Callable[[], None]) -> Connection:
        return Connection(core, settings, peer=peer, loopback=loopback, on_output=on_output)

    return connect
