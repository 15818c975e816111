"""Making topics, letting them grow and removing them: checked before anything is made, and done in parts.

`creating` is the one way in which Kafka's clients make a topic, whether they ask for it or it is made because
it is missing. One of more than a few partitions that is made or removed has a note of that as long as it
takes, so that a restart removes what a crash has left of it; of growth nothing has to be noted, since a
client that was not answered asks again. Not here: requests and answers (`api`), settings (`configs`), streams
(`broker.topics`).

Source: KIP-4, KIP-464 (defaults), Kafka's rules of topic names; rows K30, K31.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from pillarbox.broker.chores import at_once, in_strides
from pillarbox.broker.definitions import key_of
from pillarbox.broker.super_stream import PARTITIONS_MAX
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.kafka.configs import options_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.topic_names import is_valid_name

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic
    from pillarbox.protocols.kafka.head import Head

Result = TypeVar("Result")

BY_DEFAULT: Final = -1
"""Stands for the number of partitions or replicas that the broker chooses."""

CLUSTER_METADATA: Final = "__cluster_metadata"
"""Kafka's own topic, which nobody makes."""


PART_PARTITIONS: Final = 16
"""Made or removed at a stretch, about a millisecond's work. Topics that have no more are made and removed as
a whole."""

HALF: Final = "kafka/half-topic/"


def create_topic(head: Head, name: str, partitions: int, settings: Mapping[str, str]) -> Topic:
    """Do all of `creating` at once."""
    return at_once(creating(head, name, partitions, settings))


def creating(
    head: Head, name: str, partitions: int, settings: Mapping[str, str]
) -> Generator[None, None, Topic]:
    """Make a topic with settings that `configs.checked` has let through, with a step for each partition.

    Raises Refused: INVALID_TOPIC_EXCEPTION where something that is no topic has one of its names.
    """
    try:
        steps = head.topics.creating(name, partitions, settings, options_of(settings))
        return (yield from _noted(head, name, partitions, steps))
    except BrokerError as error:
        if error.reason is Reason.PRECONDITION_FAILED:
            raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, error.text) from None
        raise Refused.by_domain(error) from None


def deleting(head: Head, topic: Topic) -> Generator[None, None, None]:
    """Remove a topic, with a step for each partition. Raises Refused."""
    try:
        yield from _noted(head, topic.name, len(topic.partitions), head.topics.deleting(topic))
    except BrokerError as error:
        raise Refused.by_domain(error) from None


def _noted(
    head: Head, name: str, partitions: int, steps: Generator[None, None, Result]
) -> Generator[None, None, Result]:
    """Do this with a note that it is under way, if it is not done in one part."""
    if partitions <= PART_PARTITIONS:
        result = at_once(steps)
        for _ in range(partitions):
            yield
        return result
    key = HALF + key_of(name)
    head.core.keep(key, b"")
    try:
        result = yield from steps
    except BrokerError:
        head.core.keep(key, None)
        raise
    head.core.keep(key, None)
    return result


def clear_half_topics(head: Head) -> None:
    """After a restart: remove what is left of topics that were being made or removed."""
    for key, _ in list(head.core.kept(HALF)):
        (name,) = msgspec.json.decode(key.removeprefix(HALF))
        head.core.chores.begin(in_strides(_clearing(head, key, name), PART_PARTITIONS))


def _clearing(head: Head, key: str, name: str) -> Generator[None, None, None]:
    with suppress(BrokerError):
        yield from head.topics.clearing(name)
    head.core.keep(key, None)


def demand_free(head: Head, name: str, partitions: int) -> None:
    """Refuse what `create_topic` would refuse."""
    try:
        head.topics.demand_free(name, partitions)
    except BrokerError as error:
        raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, error.text) from None


def demand_name(head: Head, name: str) -> None:
    """Refuse a name that no topic may have, or that another topic has or is too like.

    Cost: that of `Topics.all` for a name with a dot or an underscore.
    """
    if not is_valid_name(name):
        text = (
            f"Topic name is invalid: '{name}' is not of 1 to 249 ASCII alphanumerics, '.', '_' and '-', "
            "or is '.' or '..'"
        )
        raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, text)
    if name == CLUSTER_METADATA:
        text = f"Creation of internal topic {name} is prohibited."
        raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, text)
    head.show_internal([name])
    if head.topics.get(name) is not None or head.topics.is_hidden(name):
        raise Refused(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
    if "." in name or "_" in name:
        plain = name.replace(".", "_")
        other = next((each.name for each in head.topics.all() if each.name.replace(".", "_") == plain), None)
        if other is not None:
            text = f"Topic '{name}' collides with existing topic: {other}"
            raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, text)


def demand_partitions(partitions: int) -> None:
    """Refuse a number of partitions that no topic has."""
    if partitions <= 0:
        text = "Number of partitions was set to an invalid non-positive value."
        raise Refused(ErrorCode.INVALID_PARTITIONS, text)
    if partitions > PARTITIONS_MAX:
        text = f"Number of partitions must be at most {PARTITIONS_MAX}, not {partitions}."
        raise Refused(ErrorCode.INVALID_PARTITIONS, text)


def demand_more_partitions(topic: Topic, partitions: int) -> None:
    """Refuse a number of partitions to which a topic cannot grow."""
    there = len(topic.partitions)
    if partitions == there:
        raise Refused(ErrorCode.INVALID_PARTITIONS, f"Topic already has {there} partition(s).")
    if partitions < there:
        text = (
            f"The topic {topic.name} currently has {there} partition(s); "
            f"{partitions} would not be an increase."
        )
        raise Refused(ErrorCode.INVALID_PARTITIONS, text)
    demand_partitions(partitions)


def demand_replication(factor: int) -> None:
    """Refuse any number of replicas but the one that there is, or the default (KIP-464)."""
    if factor < BY_DEFAULT or factor == 0:
        text = "Replication factor must be larger than 0, or -1 to use the default value."
        raise Refused(ErrorCode.INVALID_REPLICATION_FACTOR, text)
    if factor > 1:
        text = (
            f"Unable to replicate the partition {factor} time(s): The target replication factor of {factor} "
            "cannot be reached because only 1 broker(s) are registered."
        )
        raise Refused(ErrorCode.INVALID_REPLICATION_FACTOR, text)


def demand_replicas(head: Head, replicas: Iterable[int]) -> None:
    """Refuse to place a partition anywhere but here."""
    node, nodes = head.settings.node_id, list(replicas)
    if nodes == [node]:
        return
    strange = [each for each in nodes if each != node]
    if not nodes:
        text = "The manual partition assignment includes an empty replica list."
    elif strange:
        text = (
            f"The manual partition assignment includes broker {strange[0]}, but no such broker is registered."
        )
    else:
        text = f"The manual partition assignment includes the broker {node} more than once."
    raise Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, text)
