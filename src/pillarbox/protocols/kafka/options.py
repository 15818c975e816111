"""What an operator may set of Kafka: a table, which `pillarbox.config` collects, and its listeners.

Not here: what the options do (`head`). Kafka's own names are given where there is one.
"""

from dataclasses import dataclass
from typing import Annotated

from pillarbox.config_rows import ConfigError, Row, port_row
from pillarbox.config_values import ADDRESS, CHOICE, COUNT, FLAG, NAME, NAMES, OFF, SECONDS
from pillarbox.endpoints import Endpoint, address, named, plain_and_tls

SECTION = "Kafka"

GROUP_TIME_MAX_S = 2**31 // 1000
"""Kafka's clients tell times in milliseconds of 32 bits."""

GROUP_SIZE_CEILING = 2**31 - 1
"""Kafka's default: no limit that anybody meets."""


@dataclass(frozen=True, kw_only=True, init=False, eq=False, repr=False)
class KafkaOptions:
    """A row each."""

    kafka_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port for Kafka clients, usually 9092; they are not served unless there is one.",
        ),
    ] = OFF
    kafka_tls_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port for Kafka clients over TLS, usually 9093; it is opened when a `tls_certificate` "
            "is given.",
        ),
    ] = OFF
    kafka_advertised: Annotated[
        str,
        Row(
            SECTION,
            ADDRESS,
            "Where Kafka clients are told to connect, as `HOST:PORT`, for when they cannot reach the broker "
            "under the address that the socket has which accepted them (Kafka's `advertised.listeners`).",
        ),
    ] = ""
    kafka_listeners: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            NAMES,
            "Further ports for Kafka clients, each with a name of its own: `NAME://HOST:PORT`, or "
            "`NAME+tls://HOST:PORT` with the `tls_certificate`; several with commas between them. Without a "
            "host it is that of all listeners (Kafka's `listeners`).",
        ),
    ] = ()
    kafka_advertised_listeners: Annotated[
        tuple[str, ...],
        Row(
            SECTION,
            NAMES,
            "Where clients of such a port are told to connect, as `NAME://HOST:PORT`; of those that are not "
            "named here, as by `kafka_advertised` or where they did (Kafka's `advertised.listeners`).",
        ),
    ] = ()
    kafka_anonymous_user: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "The user as whom Kafka clients act that do not log in; `none`: all have to log in, by SASL or a "
            "certificate. Who may connect from this machine only (`loopback_users`) may do so here as well.",
        ),
    ] = "guest"
    kafka_authorizer: Annotated[
        str,
        Row(
            SECTION,
            CHOICE,
            "What says who may do what over Kafka's protocol: `permissions`, the user's as over AMQP; `acl`, "
            "Kafka's own ACLs, which its tools make (Kafka's `authorizer.class.name`). Users with the tag "
            "`administrator` may do everything then. AMQP goes by permissions either way.",
            choices=("permissions", "acl"),
        ),
    ] = "permissions"
    kafka_allow_everyone_if_no_acl: Annotated[
        bool,
        Row(
            SECTION,
            FLAG,
            'With `kafka_authorizer = "acl"`: everybody may use what no ACL is about (Kafka\'s '
            "`allow.everyone.if.no.acl.found`).",
        ),
    ] = False
    kafka_auto_create_topics: Annotated[
        bool,
        Row(
            SECTION,
            FLAG,
            "Make a topic that a client asks for and that is missing (Kafka's `auto.create.topics.enable`).",
        ),
    ] = True
    kafka_partitions: Annotated[
        int,
        Row(
            SECTION,
            COUNT,
            "How many partitions a topic has where nobody says it (Kafka's `num.partitions`).",
            minimum=1,
            maximum=1000,
        ),
    ] = 1
    kafka_session_timeout_min_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "The shortest session timeout that a member of a group may ask for: with a shorter one a slow "
            "network would look like a death (Kafka's `group.min.session.timeout.ms`).",
            minimum=1,
            maximum=GROUP_TIME_MAX_S,
        ),
    ] = 6
    kafka_session_timeout_max_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "The longest one (Kafka's `group.max.session.timeout.ms`).",
            minimum=1,
            maximum=GROUP_TIME_MAX_S,
        ),
    ] = 1800
    kafka_initial_rebalance_delay_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "How long the first round of an empty group waits for more members (Kafka's "
            "`group.initial.rebalance.delay.ms`, for which Kafka takes three seconds).",
            maximum=GROUP_TIME_MAX_S,
        ),
    ] = 0
    kafka_group_size_max: Annotated[
        int,
        Row(
            SECTION,
            COUNT,
            "Most members of a group (Kafka's `group.max.size` and `group.consumer.max.size`).",
            minimum=1,
            maximum=GROUP_SIZE_CEILING,
        ),
    ] = GROUP_SIZE_CEILING
    kafka_consumer_heartbeat_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "How often members of a group of the new protocol are to be heard of, and so how soon they hear "
            "of a change (Kafka's `group.consumer.heartbeat.interval.ms`).",
            minimum=1,
            maximum=GROUP_TIME_MAX_S,
        ),
    ] = 5
    kafka_consumer_session_timeout_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "After which silence such a member is out (Kafka's `group.consumer.session.timeout.ms`).",
            minimum=1,
            maximum=GROUP_TIME_MAX_S,
        ),
    ] = 45
    kafka_offsets_retention_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "How long offsets are kept when their group has no members any more (Kafka's "
            "`offsets.retention.minutes`).",
            minimum=1,
            maximum=GROUP_TIME_MAX_S,
        ),
    ] = 604_800
    kafka_transactional_id_expiration_s: Annotated[
        int,
        Row(
            SECTION,
            SECONDS,
            "How long a transactional id is kept that no producer uses (Kafka's "
            "`transactional.id.expiration.ms`).",
            minimum=1,
            maximum=GROUP_TIME_MAX_S,
        ),
    ] = 604_800


def named_listeners(config: KafkaOptions) -> tuple[Endpoint, ...]:
    """Those with names of their own. Raises ConfigError."""
    try:
        return named("kafka", config.kafka_listeners, config.kafka_advertised_listeners)
    except ValueError as error:
        raise ConfigError(f"kafka_listeners {error}") from None


def listeners(config: KafkaOptions) -> tuple[Endpoint, ...]:
    """Where it may be spoken. Raises ConfigError."""
    return (*plain_and_tls("kafka", config.kafka_port, config.kafka_tls_port), *named_listeners(config))


def advertised_address(text: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT`; None for no text. Raises ConfigError."""
    try:
        return address(text) if text else None
    except ValueError as error:
        raise ConfigError(f"kafka_advertised {error}") from None


def check(config: KafkaOptions, has_certificate: bool) -> None:
    """Raise ConfigError if the options do not go together."""
    advertised_address(config.kafka_advertised)
    if any(each.tls for each in named_listeners(config)) and not has_certificate:
        raise ConfigError("kafka_listeners with TLS need a tls_certificate")
