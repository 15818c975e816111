"""What an operator may set of STOMP: a table, which `pillarbox.config` collects, and its listeners.

Not here: what the options do (`head`).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pillarbox.config_rows import Row, port_row
from pillarbox.config_values import CHOICE, COUNT, FLAG, NAME, NAMES, OFF, SECONDS, SIZE
from pillarbox.endpoints import Endpoint, plain_and_tls

SECTION: Final = "STOMP"

WEB: Final = ("v12.stomp", "v11.stomp", "v10.stomp")
"""What clients call it when they ask for a WebSocket."""


@dataclass(frozen=True, kw_only=True, init=False, eq=False, repr=False)
class StompOptions:
    """A row each."""

    stomp_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port for STOMP clients, usually 61613; they are not served unless there is one.",
        ),
    ] = OFF
    stomp_tls_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port for STOMP clients over TLS, usually 61614 with RabbitMQ and 61612 with ActiveMQ; "
            "it is opened when a `tls_certificate` is given.",
        ),
    ] = OFF
    stomp_websocket_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port for STOMP clients over WebSocket, usually 15674; it needs the extra `websocket`.",
        ),
    ] = OFF
    stomp_dialect: Annotated[
        str,
        Row(
            SECTION,
            CHOICE,
            "Whose dialect counts where RabbitMQ and ActiveMQ understand the same frame differently: what "
            "becomes of a message that is refused by NACK, what the header `host` of CONNECT names, whether "
            "names of queues may have slashes. What one of them alone has is understood in any case.",
            choices=("rabbitmq", "activemq"),
        ),
    ] = "rabbitmq"
    stomp_anonymous_user: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "The user as whom STOMP clients act that do not log in; `none`: all have to log in. Who may "
            "connect from this machine only (`loopback_users`) may do so here as well.",
        ),
    ] = "guest"
    stomp_process_expired: Annotated[
        bool,
        Row(
            SECTION,
            FLAG,
            "With `stomp_dialect = activemq`: whether messages that expire in a queue that a client's frame "
            "makes go to the dead-letter queue (ActiveMQ's `processExpired`).",
        ),
    ] = True
    stomp_process_non_persistent: Annotated[
        bool,
        Row(
            SECTION,
            FLAG,
            "The same for messages that are not persistent, whatever they die of (ActiveMQ's "
            "`processNonPersistent`).",
        ),
    ] = False
    stomp_destination_limit: Annotated[
        int,
        Row(
            SECTION,
            SIZE,
            "How much a queue may hold, bodies and 150 bytes for each message, before STOMP clients that "
            "send there wait (ActiveMQ's producer flow control); 0: they never do.",
        ),
    ] = 0
    stomp_send_fail_if_no_space: Annotated[
        bool,
        Row(
            SECTION,
            FLAG,
            "Whether they are refused by an ERROR frame instead of waiting (ActiveMQ's `sendFailIfNoSpace`); "
            "also while an alarm is on.",
        ),
    ] = False
    stomp_pending_message_limit: Annotated[
        int,
        Row(
            SECTION,
            COUNT,
            "How many messages may wait for a STOMP subscription to a topic that is not durable, beside its "
            "prefetch, before it loses the oldest; -1: any number. A client says it with "
            "`activemq.maximumPendingMessageLimit`.",
            minimum=-1,
        ),
    ] = -1
    stomp_slow_consumer: Annotated[
        str,
        Row(
            SECTION,
            CHOICE,
            "What becomes of a STOMP subscription that neither reads nor answers while messages wait for it, "
            "for `stomp_slow_after`: the operator is told (`warn`), or its connection ends as well "
            "(`abort`).",
            choices=("ignore", "warn", "abort"),
        ),
    ] = "ignore"
    stomp_slow_after_s: Annotated[
        int,
        Row(SECTION, SECONDS, "See `stomp_slow_consumer`.", minimum=1),
    ] = 30
    stomp_id_cache_size: Annotated[
        int,
        Row(
            SECTION,
            COUNT,
            "How many `_AMQ_DUPL_ID` are known of each destination: a SEND with one of these is taken for a "
            "duplicate, as by Artemis; 0: none is.",
            maximum=200_000,
        ),
    ] = 20_000
    stomp_anycast_prefixes: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            NAMES,
            "With `--as activemq:artemis`: how a destination begins that is an anycast address, a queue "
            "(Artemis' `anycastPrefix`).",
        ),
    ] = ("/queue/", "queue://", "anycast://", "jms.queue.")
    stomp_multicast_prefixes: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            NAMES,
            "The same of a multicast address, a topic (Artemis' `multicastPrefix`).",
        ),
    ] = ("/topic/", "topic://", "multicast://", "jms.topic.")
    stomp_default_routing_type: Annotated[
        str,
        Row(
            SECTION,
            CHOICE,
            "With `--as activemq:artemis`: what an address is of which nothing says it.",
            choices=("multicast", "anycast"),
        ),
    ] = "multicast"


def listeners(config: StompOptions) -> tuple[Endpoint, ...]:
    """Where it may be spoken."""
    return (
        *plain_and_tls("stomp", config.stomp_port, config.stomp_tls_port),
        Endpoint("stomp", "web-stomp", config.stomp_websocket_port, subprotocols=WEB),
    )
