"""The options of all protocols that have a folder of options: a row each, which `pillarbox.config` collects.

Invariant: neither this module nor one of the tables knows more of the broker than how settings are written
(`pyproject.toml`, import contracts), so that reading a configuration loads no protocol.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pillarbox.endpoints import Endpoint
from pillarbox.protocols.kafka import options as kafka
from pillarbox.protocols.mqtt import options as mqtt
from pillarbox.protocols.stomp import options as stomp


class Table(NamedTuple):
    """The options of one protocol."""

    section: str
    """Of the manual."""
    listeners: Callable[[Any], tuple[Endpoint, ...]]
    """Where it may be spoken: open, if the port is not off and there is a certificate for TLS."""
    check: Callable[[Any, bool], None] = lambda config, has_certificate: None
    """Raises ConfigError if its options do not go together."""


@dataclass(frozen=True, kw_only=True, init=False, eq=False, repr=False)
class ProtocolOptions(
    kafka.KafkaOptions,
    mqtt.MqttOptions,
    stomp.StompOptions,
):
    """Their fields, each of which begins with the name of its protocol."""


TABLES: Final = (
    Table(kafka.SECTION, kafka.listeners, kafka.check),
    Table(mqtt.SECTION, mqtt.listeners),
    Table(stomp.SECTION, stomp.listeners, stomp.check),
)
