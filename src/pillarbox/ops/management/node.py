"""What the documents say of this broker as a whole. Filled in by the composition root."""

from __future__ import annotations

import os
import platform
import resource
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pillarbox.config import Config
    from pillarbox.ops.management.local_client import Connect
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

    def __init__(
        self, config: Config, watch: Watch, connect: Connect, *, version: str, started_ms: int
    ) -> None:
        self.config = config
        self.connect = connect
        """Makes the connections of `local_client`."""
        self.watch = watch
        self.name = NODE_NAME
        self.version = version
        """The release of RabbitMQ that the broker stands in for."""
        self.started_ms = started_ms
        self.listeners: list[Bound] = []

    @property
    def data(self) -> str:
        """The data folder; "" if there is none."""
        return "" if self.config.memory else self.config.data

    @property
    def runtime(self) -> str:
        """What runs it, where RabbitMQ names Erlang."""
        return f"{platform.python_implementation()} {platform.python_version()}"

    @property
    def files_open(self) -> int:
        """Open files and sockets of the process; 0 where the system does not say."""
        try:
            return len(os.listdir("/proc/self/fd"))
        except OSError:
            return 0

    @property
    def files_max(self) -> int:
        """How many it may have."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    @property
    def loopback_users(self) -> tuple[str, ...]:
        return self.config.loopback_users
