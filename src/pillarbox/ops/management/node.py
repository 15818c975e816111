"""What the documents say of this broker as a whole. Filled in by the composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pillarbox.config import Config
    from pillarbox.ops.resources import Watch

NODE_NAME = "pillarbox@localhost"
"""What clients and messages are told as well; it does not depend on the machine."""


class Bound(NamedTuple):
    """A listening socket."""

    protocol: str
    """As RabbitMQ calls it: amqp, amqp/ssl, http."""
    host: str
    port: int


class Node:
    """See the module. `started_ms` is when it was started; `listeners` grows as sockets are opened."""

    def __init__(self, config: Config, watch: Watch, *, version: str, started_ms: int) -> None:
        self.config = config
        self.watch = watch
        self.name = NODE_NAME
        self.version = version
        """The release of RabbitMQ that the broker stands in for."""
        self.started_ms = started_ms
        self.listeners: list[Bound] = []

    @property
    def loopback_users(self) -> tuple[str, ...]:
        return self.config.loopback_users
