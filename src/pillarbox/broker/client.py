"""What a head says of its clients to whoever lists or closes them: the same of every protocol.

A head introduces itself to its session, and tells it of channels (or what its protocol has instead: something
that publishes and receives under one ledger).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from pillarbox.broker.confirm import Publisher
    from pillarbox.broker.consumer import Consumer, Pool
    from pillarbox.broker.counters import ChannelCounters, TrafficCounters
    from pillarbox.broker.ledger import Ledger
    from pillarbox.broker.session import Session


NODE_NAME = "pillarbox@localhost"
"""What clients and messages are told that this broker is called; it does not depend on the machine."""


_BITS = re.compile(r"(aes|camellia)(\d)")
"""What OpenSSL writes together in the older names of ciphers."""


class Tls(msgspec.Struct, frozen=True):
    """What is known of an encrypted connection; texts are empty where there is nothing to say."""

    protocol: str = ""
    cipher: str = ""
    peer_subject: str = ""
    peer_issuer: str = ""
    peer_validity: str = ""

    @property
    def version(self) -> str:
        """`TLSv1.3` as Erlang writes it: `tlsv1.3`."""
        return self.protocol.lower()

    @property
    def suite(self) -> tuple[str, str, str]:
        """Key exchange, cipher and hash of OpenSSL's name for them, in RabbitMQ's words."""
        name = _BITS.sub(r"\1_\2", self.cipher.lower().replace("-", "_"))
        if name.startswith("tls_"):
            cipher, _, digest = name.removeprefix("tls_").rpartition("_")
            return "any", cipher, "aead" if "gcm" in cipher or "poly" in cipher or "ccm" in cipher else digest
        parts = name.split("_")
        digest = "aead" if "gcm" in parts or "poly1305" in parts else parts[-1]
        return "_".join(parts[:2]), "_".join(parts[2:-1]), digest


class ClientFacts(msgspec.Struct, frozen=True):
    """What does not change while a connection is open."""

    name: str
    """Both ends, as RabbitMQ names a connection."""
    protocol: str
    host: str
    port: int
    peer_host: str
    peer_port: int
    auth_mechanism: str
    channel_max: int
    frame_max: int
    timeout_s: int
    """The heartbeat's interval."""
    properties: Mapping[str, Any]
    connected_ms: int
    tls: Tls | None


class Client(Protocol):
    """One connection."""

    traffic: TrafficCounters
    unsent_bytes: Callable[[], int]
    """How much of what was written the socket has not taken yet."""

    @property
    def flow_state(self) -> str:
        """The state that is shown to people, such as `running` or `blocked`."""

    def client_facts(self) -> ClientFacts:
        """What it is. Cost: O(1), and the parsing of a name."""

    def describe(self) -> str:
        """It in words, for the operator."""

    def shut_down(self, text: str) -> None:
        """Close it from the broker's side, for this reason."""


class ClientChannel(Protocol):
    """One channel. `counters` are those of its ledger."""

    session: Session
    number: int
    counters: ChannelCounters
    ledger: Ledger
    consumers: dict[str, Consumer]
    pool: Pool
    prefetch: int
    transactional: bool

    @property
    def publisher(self) -> Publisher | None:
        """Counts what is to be confirmed, where anything is."""

    @property
    def messages_uncommitted(self) -> int:
        """Messages published in a transaction that is under way."""

    @property
    def acks_uncommitted(self) -> int:
        """Deliveries answered in it."""
