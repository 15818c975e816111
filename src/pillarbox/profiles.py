"""The releases of RabbitMQ and Kafka that the broker can stand in for: what clients are told, what differs.

One table. A `Profile` holds one value for each behaviour in which releases differ for users of AMQP 0-9-1;
core and heads ask for the value and never for the name of a profile. A `Feature` is something that clients do
and that a later release refuses or takes for something else: a profile permits it or not, and where it does,
`Session.permits` tells the operator once for each connection who would be hit by an upgrade.

Of Kafka's releases there are only names here: in what they differ is known to Kafka's protocol alone
(`protocols.kafka.versions`).

One more release is one more entry in `PROFILES`, one more difference one more field or `Feature`.

Source: public release notes of RabbitMQ 4.0 to 4.3 and the source of v3.13.7 and v4.3.5; rows R2, R5, R40,
R52, R54, R55, R65, T3, T11; idea I7.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Feature(NamedTuple):
    """Something that clients do and that not every release permits."""

    name: str
    """RabbitMQ's name for it where it has one: its deprecation notices and settings know it by that."""
    done: str
    """What a client did, as the middle of a sentence for the operator."""
    refused: str
    """What a release does that does not permit it, as the end of that sentence."""


TRANSIENT_QUEUE = Feature(
    "transient_nonexcl_queues",
    "declared a queue that is neither durable nor exclusive",
    "refuses that (541 INTERNAL_ERROR, closes the connection)",
)
GLOBAL_PREFETCH = Feature(
    "global_qos",
    "set a prefetch for its whole channel (basic.qos with global=true)",
    "takes it for one of each consumer to come, so a consumer that is there already keeps what it had",
)
MASTER_LOCATOR = Feature(
    "queue_master_locator",
    "declared a queue with x-queue-master-locator",
    "refuses that (541 INTERNAL_ERROR, closes the connection)",
)
QUEUE_VERSION_1 = Feature(
    "queue_version_1",
    "declared a queue with x-queue-version 1",
    "refuses that (406 PRECONDITION_FAILED, closes the channel)",
)
QUEUE_MODE = Feature(
    "queue_mode",
    "declared a queue with x-queue-mode",
    "announces in its release notes that it refuses that, though up to 4.3.5 it only ignores it",
)
CLASSIC_CONSUMER_TIMEOUT = Feature(
    "classic_consumer_timeout",
    "declared a classic queue with x-consumer-timeout",
    "refuses that (406 PRECONDITION_FAILED, closes the channel): only quorum queues have it",
)
PASSIVE_WITHOUT_PERMISSION = Feature(
    "passive_without_permission",
    "asked for a queue or an exchange (passive=true) on which its user has no permission",
    "refuses that (403 ACCESS_REFUSED, closes the channel)",
)
LARGE_MESSAGE = Feature(
    "large_message",
    "published a message of more than 16 MiB",
    "refuses that unless max_message_size is raised (406 PRECONDITION_FAILED, closes the channel)",
)
SMALL_FRAMES = Feature(
    "small_frames",
    "asked for frames of less than 8192 bytes",
    "refuses that (closes the connection before it is open)",
)
REPUBLISHED_DEATHS = Feature(
    "republished_x_death",
    "published a message with an x-death header of its own",
    "does not go on counting from it: the next dead letter has an x-death that begins anew",
)

REFUSED_BY_4_3 = frozenset(
    {
        TRANSIENT_QUEUE,
        GLOBAL_PREFETCH,
        MASTER_LOCATOR,
        QUEUE_VERSION_1,
        CLASSIC_CONSUMER_TIMEOUT,
        PASSIVE_WITHOUT_PERMISSION,
        LARGE_MESSAGE,
        SMALL_FRAMES,
        REPUBLISHED_DEATHS,
    }
)

NEWEST = "RabbitMQ 4.3"
"""The release that the operator is told about."""
LARGE_MESSAGE_BYTES = 16 << 20
SMALL_FRAME_BYTES = 8192


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How one release behaves."""

    version: str
    """What clients are told in `server_properties`."""
    mechanisms: tuple[str, ...]
    """Ways to log in that are offered; ANONYMOUS is user guest with the password guest."""
    message_size_max: int
    """The largest body, unless the configuration says otherwise."""
    frame_min: int
    """The smallest frame size that a client may ask for, unless the configuration says otherwise."""
    delivery_limit: int | None
    """How often a message may come back to a quorum queue that does not say it; None: any number of times."""
    requeues_count: bool
    """Does every return count towards that limit? Otherwise only deliveries that failed do (basic.reject,
    receivers that went away without an answer), and `x-acquired-count` stands beside `x-delivery-count`."""
    renewal_ends_consumers: bool
    """When a token is renewed, do consumers end whose queues may not be read any more?"""
    refused: frozenset[Feature]
    """What clients may not do."""


PROFILES = {
    "rabbitmq:3.13": Profile(
        version="3.13.7",
        mechanisms=("PLAIN", "AMQPLAIN", "EXTERNAL"),
        message_size_max=128 << 20,
        frame_min=4096,
        delivery_limit=None,
        requeues_count=True,
        renewal_ends_consumers=False,
        refused=frozenset(),
    ),
    "rabbitmq:4.3": Profile(
        version="4.3.5",
        mechanisms=("PLAIN", "AMQPLAIN", "EXTERNAL", "ANONYMOUS"),
        message_size_max=LARGE_MESSAGE_BYTES,
        frame_min=SMALL_FRAME_BYTES,
        delivery_limit=20,
        requeues_count=False,
        renewal_ends_consumers=True,
        refused=REFUSED_BY_4_3,
    ),
}

DEFAULT = "rabbitmq:3.13"

KAFKA = ("kafka:3.9", "kafka:4.2")
ARTEMIS = "activemq:artemis"
ACTIVEMQ = ("activemq:classic", ARTEMIS)
"""The two brokers of this name: only STOMP asks which it is."""
RELEASES = (*PROFILES, *KAFKA, *ACTIVEMQ)
PRODUCTS = {"rabbitmq": DEFAULT, "kafka": "kafka:4.2", "activemq": "activemq:classic"}
"""The release of each product that is stood in for unless another one is named."""


def release(profile: str, product: str) -> str:
    """Return which release of a product these names choose; they have commas between them.

    Raises ValueError if they name two of it.
    """
    named = [one for one in profile.split(",") if one.startswith(f"{product}:")]
    if len(named) > 1:
        raise ValueError(f"{' and '.join(named)} are two releases of one product")
    return named[0] if named else PRODUCTS[product]
