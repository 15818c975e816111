"""What an operator may set of STOMP: a table, which `pillarbox.config` collects, and its listeners.

Not here: what the options do (`head`).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pillarbox.config_rows import ConfigError, Row, port_row
from pillarbox.config_values import CHOICE, COUNT, FLAG, NAME, NAMES, OFF, ROWS, SECONDS, SIZE
from pillarbox.endpoints import Endpoint, plain_and_tls
from pillarbox.profiles import ARTEMIS, release
from pillarbox.protocols.stomp.rules import SLOW, read_bearing, read_composite, read_kept

SECTION: Final = "STOMP"

WEB: Final = ("v12.stomp", "v11.stomp", "v10.stomp", "")
"""What clients call it when they ask for a WebSocket; many say nothing, and other brokers let them."""


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
            choices=SLOW,
        ),
    ] = "ignore"
    stomp_slow_after_s: Annotated[
        int,
        Row(SECTION, SECONDS, "See `stomp_slow_consumer`.", minimum=1),
    ] = 30
    stomp_destination_policies: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            ROWS,
            "What counts for single destinations, or for patterns with ActiveMQ's wildcards, in place of "
            "the five options before: `/queue/orders.> = limit 64MiB, full fail`, `/topic/prices.* = pending "
            "100, evict superseded symbol, slow abort, slow-after 10s`. `limit` is how much may be there; "
            "`full`, what becomes of what is sent beyond it: `block` (its sender waits), `fail`, `drop` "
            "(without a word) or `page` (taken all the same); `pending`, how many messages may wait for a "
            "subscription to a topic (`any`); `evict`, which go beyond: `oldest`, `lowest-priority`, or "
            "`superseded` and a header: what a newer one with the same value has replaced; `slow` and "
            "`slow-after` are as above. Each setting is taken from the most exact row that has it.",
        ),
    ] = ()
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
    stomp_composite_destinations: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            ROWS,
            "Destinations that stand for others, for clients of all protocols, with the dialect of ActiveMQ. "
            "`/queue/orders = /queue/billing, /topic/audit`: what is sent to the first goes to the others "
            "instead; with `+=` it stays there as well. A destination behind it may end with a selector in "
            "brackets, which messages have to meet to go there: `/queue/large [total > 100]`. The first may "
            "have ActiveMQ's wildcards.",
        ),
    ] = ()
    stomp_virtual_topics_select: Annotated[
        bool,
        Row(
            SECTION,
            FLAG,
            "Queues of virtual topics (`Consumer.NAME.VirtualTopic.X`) get what at least one of their "
            "consumers wants, by its selector, and nothing while they have none: ActiveMQ's `selectorAware`.",
        ),
    ] = False
    stomp_topics_keep: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            ROWS,
            "Which topics keep messages, in memory, for subscriptions with `activemq.retroactive:true`, with "
            "the dialect of ActiveMQ: `/topic/prices.> = last` (the last of each), `/topic/news = 100` (so "
            "many of each, 10000 at most), `/topic/ticks.* = 60s` (those of so long), `/topic/logs = 64KiB` "
            "(so much of each, with 150 bytes for each message). With `always` behind it all new "
            "subscriptions get them, as with `--as activemq:artemis` in any case.",
        ),
    ] = ()
    stomp_mirrored_queues: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "How topics begin that get a copy of what comes to queues, with the dialect of ActiveMQ, for "
            "clients of all protocols. ActiveMQ says `VirtualTopic.Mirror.`; the name of the queue follows. "
            "None: there are no copies.",
        ),
    ] = ""
    stomp_advisories: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            NAMES,
            "Which advisories are told that ActiveMQ has off by default, with the dialect of ActiveMQ: "
            "`MessageDelivered`, `MessageDispatched`, `MessageConsumed`, `MessageDiscarded`, `NoConsumer`, "
            "`SlowConsumer`, `FastProducer`, `FULL`. The first three cost a message for each that is sent, "
            "handed out or consumed while somebody listens.",
        ),
    ] = ()
    stomp_statistics: Annotated[
        bool,
        Row(
            SECTION,
            FLAG,
            "With the dialect of ActiveMQ: whether a SEND to `ActiveMQ.Statistics.Broker`, "
            "`ActiveMQ.Statistics.Destination.NAME` or `ActiveMQ.Statistics.Subscription` that has a "
            "`reply-to` is answered there (ActiveMQ's `statisticsBrokerPlugin`), to users who may read an "
            "exchange `ActiveMQ.Statistics`, whether there is one or not.",
        ),
    ] = False


def is_activemq(config: Any) -> bool:
    """Does ActiveMQ's dialect count, where it disagrees with RabbitMQ's?"""
    return config.stomp_dialect == "activemq" or "activemq:" in config.profile


def is_of_artemis(config: Any) -> bool:
    """Is it Artemis' form of it?"""
    return release(config.profile, "activemq") == ARTEMIS


def dead_letter_queue(config: Any) -> str:
    """ActiveMQ's queue for everything that nobody could cope with."""
    return "DLQ" if is_of_artemis(config) else "ActiveMQ.DLQ"


def dead_letter_choice(config: Any) -> dict[str, bool]:
    """Arguments of queues in ActiveMQ's dialect: what of that which dies in them is no dead letter."""
    if is_of_artemis(config):
        # All of it is, but for what a ring has no room for.
        return {"x-dead-letter-dropped": False}
    said = {
        "x-dead-letter-expired": config.stomp_process_expired,
        "x-dead-letter-transient": config.stomp_process_non_persistent,
    }
    return {name: value for name, value in said.items() if not value}


def dead_letters(config: Any) -> tuple[str, dict[str, bool]] | None:
    """Both, where ActiveMQ's dialect counts."""
    return (dead_letter_queue(config), dead_letter_choice(config)) if is_activemq(config) else None


def has_rules(config: Any) -> bool:
    """Is there a rule for destinations, which counts whether a client comes or not?"""
    return is_activemq(config) and bool(
        config.stomp_composite_destinations
        or config.stomp_topics_keep
        or config.stomp_mirrored_queues
        or config.stomp_virtual_topics_select
        or config.stomp_advisories
    )


ADVISORIES: Final = (
    "MessageDelivered",
    "MessageDispatched",
    "MessageConsumed",
    "MessageDiscarded",
    "NoConsumer",
    "SlowConsumer",
    "FastProducer",
    "FULL",
)


def check(config: StompOptions, has_certificate: bool) -> None:
    """Raise ConfigError for rows that cannot be read."""
    for name in config.stomp_advisories:
        if name not in ADVISORIES:
            raise ConfigError(f'stomp_advisories, "{name}": it must be one of {", ".join(ADVISORIES)}')
    for name, read in (
        ("stomp_composite_destinations", read_composite),
        ("stomp_topics_keep", read_kept),
        ("stomp_destination_policies", read_bearing),
    ):
        for text in getattr(config, name):
            try:
                read(text)
            except ValueError as fault:
                raise ConfigError(f'{name}, "{text}": {fault}') from None


def listeners(config: StompOptions) -> tuple[Endpoint, ...]:
    """Where it may be spoken."""
    return (
        *plain_and_tls("stomp", config.stomp_port, config.stomp_tls_port),
        Endpoint("stomp", "web-stomp", config.stomp_websocket_port, subprotocols=WEB),
    )
