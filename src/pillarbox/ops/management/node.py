"""What the documents say of this broker as a whole. Filled in by the composition root."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.broker.client import NODE_NAME
from pillarbox.broker.counters import Counters
from pillarbox.ops.resources import process_bytes

if TYPE_CHECKING:
    from pillarbox.config import Config
    from pillarbox.ops.management.local_client import Connect
    from pillarbox.ops.management.tracing import Traces
    from pillarbox.ops.resources import Watch
    from pillarbox.ops.shovel.shovels import Shovels
    from pillarbox.protocols.registry import Spoken

FILES = "/proc/self/fd"


class Bound(NamedTuple):
    """A listening socket."""

    protocol: str
    """As RabbitMQ calls it: amqp, amqp/ssl, http."""
    host: str
    port: int


class Gauges(Counters):
    """What of the node goes up and down, as it was sampled."""

    NAMES = ("mem_used", "disk_free", "fd_used", "sockets_used")


class Node:
    """See the module. `started_ms` is when it was started; `listeners` grows as sockets are opened."""

    def __init__(
        self,
        config: Config,
        watch: Watch,
        connect: Connect,
        *,
        version: str,
        started_ms: int,
        spoken: Mapping[str, Spoken],
        shovels: Shovels,
    ) -> None:
        self.config = config
        self.connect = connect
        """Makes the connections of `local_client`."""
        self.watch = watch
        self.name = NODE_NAME
        self.version = version
        """The release of RabbitMQ that the broker stands in for."""
        self.started_ms = started_ms
        self.spoken = spoken
        """Protocols for which a port is open, by name."""
        self.shovels = shovels
        self.listeners: list[Bound] = []
        self.gauges = Gauges()
        self.traces: Traces
        """Set when the HTTP stack is there, without which nobody asks for a trace."""

    @property
    def data(self) -> str:
        """The data folder; "" if there is none."""
        return "" if self.config.memory else self.config.data

    @property
    def runtime(self) -> str:
        """What runs it, where RabbitMQ names Erlang."""
        return f"{platform.python_implementation()} {platform.python_version()}"

    def gauge(self, sockets: int) -> tuple[int, ...]:
        """The values of `Gauges` now."""
        return process_bytes(), self.watch.disk_free, self.files_open, sockets

    @property
    def files_open(self) -> int:
        """Open files and sockets of the process; 0 where the system does not say."""
        try:
            # Linux 6.2 and newer count them; a listing takes milliseconds when there are many.
            return os.stat(FILES).st_size or len(os.listdir(FILES))
        except OSError:
            return 0

    @property
    def files_max(self) -> int:
        """How many it may have."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    @property
    def loopback_users(self) -> tuple[str, ...]:
        return self.config.loopback_users
