"""What an operator may set of MQTT: a table, which `pillarbox.config` collects, and its listeners.

Not here: what the options do (`head`).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pillarbox.config_rows import Row, port_row
from pillarbox.config_values import NAME, OFF, SECONDS
from pillarbox.endpoints import Endpoint, plain_and_tls

SECTION: Final = "MQTT"

WEB: Final = ("mqtt", "mqttv3.1")
"""What clients call it when they ask for a WebSocket."""


@dataclass(frozen=True, kw_only=True, init=False, eq=False, repr=False)
class MqttOptions:
    """A row each."""

    mqtt_port: Annotated[
        int,
        port_row(
            SECTION, "The TCP port for MQTT clients, usually 1883; they are not served unless there is one."
        ),
    ] = OFF
    mqtt_tls_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port for MQTT clients over TLS, usually 8883; it is opened when a `tls_certificate` is "
            "given.",
        ),
    ] = OFF
    mqtt_websocket_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port for MQTT clients over WebSocket, usually 15675; it needs the extra `websocket`.",
        ),
    ] = OFF
    mqtt_anonymous_user: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "The user as whom MQTT clients act that give no user name; `none`: all have to give one, or a "
            "certificate. Who may connect from this machine only (`loopback_users`) may do so here as well.",
        ),
    ] = "guest"
    mqtt_session_expiry_max_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "How long a session may outlive its client's connection at most, with its subscriptions and the "
            "messages that wait for it. 0: as long as the client wants, which for MQTT 3 is for ever.",
        ),
    ] = 0
    mqtt_sys_interval_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "How often those who subscribe to topics below `$SYS/broker`, where the broker says how it is, "
            "are told what has changed. 0: there are no such topics.",
        ),
    ] = 10


def listeners(config: MqttOptions) -> tuple[Endpoint, ...]:
    """Where it may be spoken."""
    return (
        *plain_and_tls("mqtt", config.mqtt_port, config.mqtt_tls_port),
        Endpoint("mqtt", "web-mqtt", config.mqtt_websocket_port, subprotocols=WEB),
    )
