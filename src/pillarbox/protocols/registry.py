"""The protocols that clients may speak, a row each: ports, and where the head is.

To add a protocol: its folder, a row here, its options in `pillarbox.config`. To take one away: the same the
other way round. A head's module is imported when its first client connects, so that it costs no time at the
start and no memory where nobody speaks it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.config_values import OFF
from pillarbox.endpoints import Endpoint, endpoints

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.dialects import Dialect
    from pillarbox.config import Config


class Protocol(NamedTuple):
    """One row."""

    name: str
    """Of its listener, as the startup line and the management API have it."""
    ports: Callable[[Config], tuple[int, int]]
    """Its port, and the one on which it is spoken over TLS; `config.OFF`: there is none."""
    module: str
    """Has `connections(core, config)`, which returns what makes a connection for each accepted socket."""
    dialect: str = ""
    """Has `DIALECT`, which reads and writes the messages that this protocol stores; empty: it stores none."""
    origins: tuple[str, ...] = ()
    """Of such messages (see `engine.base.Address`)."""
    more: Callable[[Config], tuple[Endpoint, ...]] = lambda config: ()
    """Its listeners that have names of their own."""

    def endpoints(self, config: Config) -> list[Endpoint]:
        """All ports on which it is to be spoken."""
        port, tls_port = self.ports(config)
        usual = (
            Endpoint(self.name, self.name, port),
            Endpoint(self.name, f"{self.name}s", tls_port if config.tls_certificate else OFF, tls=True),
        )
        return [each for each in (*usual, *self.more(config)) if each.port != OFF]

    def load(self, core: Core, config: Config) -> Callable[..., Any]:
        """Import the head; return what makes connections (see `net.driver.ConnectionFactory`).

        Where an endpoint is advertised elsewhere, that is given to it too, as `advertised`.
        """
        factory: Callable[..., Any] = import_module(self.module).connections(core, config)
        return factory


PROTOCOLS: Final = (
    Protocol(
        "amqp",
        lambda config: (config.port, config.tls_port),
        "pillarbox.protocols.amqp091.head",
        "pillarbox.protocols.amqp091.dialect",
        ("amqp091", "amqp091:own-deaths"),
    ),
    Protocol(
        "kafka",
        lambda config: (config.kafka_port, config.kafka_tls_port),
        "pillarbox.protocols.kafka.head",
        more=lambda config: endpoints("kafka", config.kafka_listeners, config.kafka_advertised_listeners),
    ),
    Protocol(
        "mqtt",
        lambda config: (config.mqtt_port, config.mqtt_tls_port),
        "pillarbox.protocols.mqtt.head",
        "pillarbox.protocols.mqtt.dialect",
        ("mqtt",),
    ),
)

COMMON: Final = "amqp091"
"""The origin whose dialect a message gets where its own protocol has no say: as a dead letter."""


def dialect(origin: str) -> Dialect | None:
    """The dialect of messages of this origin; None: no protocol has any such."""
    for protocol in PROTOCOLS:
        if origin in protocol.origins:
            found: Dialect = import_module(protocol.dialect).DIALECT
            return found
    return None
