"""What the profile says of queues: which declarations it refuses, and how queues behave.

A refusal has the words of the release that refuses. Not here: what profiles say (`pillarbox.profiles`), who
is told of what they permit (`Session.permits`).

Source: RabbitMQ v4.3.5, `rabbit_amqqueue` and `rabbit_classic_queue`; rows R40, R52, R54, R55, T3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pillarbox.errors import BrokerError, Reason
from pillarbox.profiles import (
    CLASSIC_CONSUMER_TIMEOUT,
    MASTER_LOCATOR,
    QUEUE_MODE,
    QUEUE_VERSION_1,
    TRANSIENT_QUEUE,
    Feature,
    Profile,
)

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session


def demand_permitted(
    session: Session, name: str, arguments: Mapping[str, Any], *, durable: bool, exclusive: bool
) -> None:
    """Raise BrokerError for the first thing about a new queue that the profile does not permit."""
    where = f"queue '{name}' in vhost '{session.vhost.name}'"
    classic = arguments.get("x-queue-type", "classic") == "classic"
    if arguments.get("x-queue-version") == 1 and not session.permits(QUEUE_VERSION_1, name):
        text = f"invalid arg 'x-queue-version' for {where}: \"unsupported queue version '1'\""
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    timed = "x-consumer-timeout" in arguments and classic
    if timed and not session.permits(CLASSIC_CONSUMER_TIMEOUT, name):
        text = f"invalid arg 'x-consumer-timeout' for {where} of queue type rabbit_classic_queue"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if "x-queue-mode" in arguments:
        session.permits(QUEUE_MODE, name)
    if not durable and not exclusive and not session.permits(TRANSIENT_QUEUE, name):
        raise _deprecated(TRANSIENT_QUEUE)
    if "x-queue-master-locator" in arguments and classic and not session.permits(MASTER_LOCATOR, name):
        raise _deprecated(MASTER_LOCATOR)


def _deprecated(feature: Feature) -> BrokerError:
    """RabbitMQ's notice for every deprecated feature that is denied; a reply text holds the first half."""
    text = (
        f"Feature `{feature.name}` is deprecated.\n"
        "By default, this feature is not permitted anymore.\n"
        "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; "
        "actual version to be determined.\n"
        "To continue using this feature when it is not permitted by default, set the following parameter in "
        f'your configuration:\n    "deprecated_features.permit.{feature.name} = true"'
    )
    return BrokerError(Reason.INTERNAL_ERROR, text)


def adapt(queue: Queue, settings: Mapping[str, Any], profile: Profile) -> None:
    """Let a queue that works by these settings behave as the profile says."""
    queue.requeues_count = profile.requeues_count and not queue.redelivers
    if queue.kind != "quorum":
        if CLASSIC_CONSUMER_TIMEOUT in profile.refused:
            queue.ack_timeout_ms = 0
    elif profile.delivery_limit is not None and "x-delivery-limit" not in settings:
        queue.delivery_limit = profile.delivery_limit
