"""The protocols that clients may speak, a row each: ports, where the head is, and what operators see of it.

To add a protocol: its folder, a row here, and one for its options in `protocols.options`. To take one away:
the same the other way round, and the folder of what operators see of it alone (`scripts/without_protocol.py`
proves that no more is needed). A head's module is imported when its first client connects, or when there is
something that it has kept, so that it costs no time at the start and no memory where nobody speaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.endpoints import Endpoint, plain_and_tls
from pillarbox.protocols.kafka import options as kafka
from pillarbox.protocols.mqtt import options as mqtt
from pillarbox.protocols.stomp import options as stomp

if TYPE_CHECKING:
    from pillarbox.broker.advisories import Forms
    from pillarbox.broker.core import Core
    from pillarbox.broker.counters import Counters
    from pillarbox.broker.dialects import Dialect
    from pillarbox.config import Config


class Protocol(NamedTuple):
    """One row."""

    name: str
    """Of its listener, as the startup line and the management API have it."""
    listeners: Callable[[Config], tuple[Endpoint, ...]]
    """Where it may be spoken, with TLS and without."""
    module: str
    """Has `connections(core, config)`, which returns what makes a connection for each accepted socket."""
    beginning: str
    """Has `begins(first)`, which tells its clients from others on one port (see `protocols.beginnings`)."""
    dialect: str = ""
    """Has `DIALECT`, which reads and writes the messages that this protocol stores; empty: it stores none."""
    origins: tuple[str, ...] = ()
    """Of such messages (see `engine.base.Address`)."""
    keeps: str = ""
    """How the keys begin of what it keeps of its own. Where there is any, the head is made at the start: when
    nobody waits, as a million retained messages take seconds, and whether a client comes or not, since open
    transactions end by their time. Empty: it is made for the first client."""
    acts_at_once: Callable[[Config], bool] = lambda config: False
    """Does the head do anything before the first client comes? Then it is made at the start as well."""
    advisories: str = ""
    """Says what advisories look like (see `broker.advisories.Forms`), where clients of it may hear any."""
    dead_letters: Callable[[Config], tuple[str, dict[str, bool]] | None] = lambda config: None
    """The queue that gets what dies in queues that are made in its words, and arguments of these."""
    routing_type: Callable[[Config], str] = lambda config: ""
    """`multicast` or `anycast`: what an address is, in its words, of which nothing says it; empty: it has no
    such word."""
    operators: str = ""
    """Where routes and metrics are that concern this protocol alone, if there are any; loaded with the HTTP
    stack. What `load` returns has a `view` then, for the questions that operators ask."""

    def endpoints(self, config: Config) -> list[Endpoint]:
        """All ports on which it is to be spoken."""
        has_certificate = bool(config.tls_certificate)
        return [each for each in self.listeners(config) if each.is_open(has_certificate)]

    @property
    def begins(self) -> Callable[[bytes], bool | None]:
        """Whether first bytes are those of a client of this protocol; None: more are needed."""
        begins: Callable[[bytes], bool | None] = import_module(self.beginning).begins
        return begins

    def subprotocols(self, config: Config) -> tuple[str, ...]:
        """What clients call it that come over WebSocket, if any do."""
        return tuple(name for each in self.listeners(config) for name in each.subprotocols)

    def load(self, core: Core, config: Config) -> Callable[..., Any]:
        """Import the head; return what makes connections (see `net.driver.ConnectionFactory`).

        Where an endpoint is advertised elsewhere, that is given to it too, as `advertised`.
        """
        factory: Callable[..., Any] = import_module(self.module).connections(core, config)
        return factory


class Spoken:
    """A protocol that is spoken here. Its head is made when somebody first needs it."""

    def __init__(self, protocol: Protocol, core: Core, config: Config) -> None:
        self.protocol = protocol
        self._core = core
        self._config = config

    def __repr__(self) -> str:
        return f"<Spoken {self.protocol.name} loaded={self.is_loaded}>"

    @cached_property
    def _connect(self) -> Callable[..., Any]:
        return self.protocol.load(self._core, self._config)

    @property
    def is_loaded(self) -> bool:
        """Whether anybody has needed it."""
        return "_connect" in self.__dict__

    def load_what_is_kept(self) -> None:
        """Make the head now, if there is something that it has kept, or has to do."""
        keeps = self.protocol.keeps
        is_kept = keeps and next(self._core.kept(keeps), None) is not None
        if is_kept or self.protocol.acts_at_once(self._config):
            _ = self._connect

    def connect(
        self, peer: str, loopback: bool, on_output: Callable[[], None], **told: tuple[str, int]
    ) -> Any:
        """Make the connection of a socket that was accepted; see `Protocol.load`."""
        return self._connect(peer, loopback, on_output, **told)

    @property
    def view(self) -> Any:
        """What operators ask, where the row has `operators`."""
        return self._connect.view  # type: ignore[attr-defined]

    def samples(self) -> Iterator[tuple[Counters, Sequence[int]]]:
        """What of the view is worth a chart, with the values that it has now, in the order of the names."""
        if self.is_loaded and self.protocol.operators:
            yield from self.view.samples()


PROTOCOLS: Final = (
    Protocol(
        "amqp",
        lambda config: plain_and_tls("amqp", config.port, config.tls_port),
        "pillarbox.protocols.amqp091.head",
        "pillarbox.protocols.amqp091.beginning",
        "pillarbox.protocols.amqp091.dialect",
        ("amqp091", "amqp091:own-deaths"),
    ),
    Protocol(
        "kafka",
        kafka.listeners,
        "pillarbox.protocols.kafka.head",
        "pillarbox.protocols.kafka.beginning",
        keeps="kafka/transaction/",
        operators="pillarbox.ops.kafka",
    ),
    Protocol(
        "mqtt",
        mqtt.listeners,
        "pillarbox.protocols.mqtt.head",
        "pillarbox.protocols.mqtt.beginning",
        "pillarbox.protocols.mqtt.dialect",
        ("mqtt",),
        keeps='["mqtt",',
    ),
    Protocol(
        "stomp",
        stomp.listeners,
        "pillarbox.protocols.stomp.head",
        "pillarbox.protocols.stomp.beginning",
        acts_at_once=stomp.has_rules,
        dead_letters=stomp.dead_letters,
        routing_type=lambda config: config.stomp_default_routing_type,
        advisories="pillarbox.protocols.stomp.advisory_forms",
    ),
)

COMMON: Final = "amqp091"
"""The origin whose dialect a message gets where its own protocol has no say: as a dead letter, or because its
protocol has no encoding of its own to store."""


def shared(config: Config) -> list[Endpoint]:
    """All ports on which protocols are told apart."""
    has_certificate = bool(config.tls_certificate)
    pair = plain_and_tls("auto", config.auto_port, config.auto_tls_port)
    return [each for each in pair if each.is_open(has_certificate)]


def advisory_forms() -> Forms | None:
    """What advisories look like; None: no protocol has any."""
    found = next((each.advisories for each in PROTOCOLS if each.advisories), None)
    return import_module(found) if found else None


def dead_letters(config: Config) -> tuple[str, dict[str, bool]] | None:
    """See `Protocol`; None: what is made by no protocol in particular has no such queue."""
    return next((found for each in PROTOCOLS if (found := each.dead_letters(config))), None)


def routing_type(config: Config) -> str:
    """See `Protocol`; that of Artemis where no protocol has such a word."""
    return next((found for each in PROTOCOLS if (found := each.routing_type(config))), "multicast")


def dialect(origin: str) -> Dialect | None:
    """The dialect of messages of this origin; None: no protocol has any such."""
    for protocol in PROTOCOLS:
        if origin in protocol.origins:
            found: Dialect = import_module(protocol.dialect).DIALECT
            return found
    return None
