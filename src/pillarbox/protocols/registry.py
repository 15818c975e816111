"""The protocols that clients may speak, a row each: ports, and where the head is.

To add a protocol: its folder, a row here, its options in `pillarbox.config`. To take one away: the same the
other way round. A head's module is imported when its first client connects, so that it costs no time at the
start and no memory where nobody speaks it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.config import Config


class Protocol(NamedTuple):
    """One row."""

    name: str
    """Of its listener, as the startup line and the management API have it."""
    ports: Callable[[Config], tuple[int, int]]
    """Its port, and the one on which it is spoken over TLS; `config.OFF`: there is none."""
    module: str
    """Has `connections(core, config)`, which returns what makes a connection for each accepted socket."""

    def load(self, core: Core, config: Config) -> Callable[..., Any]:
        """Import the head; return what makes connections (see `net.driver.ConnectionFactory`)."""
        factory: Callable[..., Any] = import_module(self.module).connections(core, config)
        return factory


PROTOCOLS: Final = (
    Protocol("amqp", lambda config: (config.port, config.tls_port), "pillarbox.protocols.amqp091.head"),
    Protocol(
        "kafka", lambda config: (config.kafka_port, config.kafka_tls_port), "pillarbox.protocols.kafka.head"
    ),
)
