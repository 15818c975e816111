"""Making topics and letting them grow: what a client may ask for, checked before anything is made.

`create_topic` is the one way in which Kafka's clients make a topic, whether they ask for it or it is made
because it is missing. Not here: requests and answers (`api`), settings (`configs`), streams
(`broker.topics`).

Source: KIP-4, KIP-464 (defaults), Kafka's rules of topic names; rows K30, K31.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pillarbox.broker.super_stream import PARTITIONS_MAX
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.kafka.configs import options_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.topic_names import is_valid_name

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic
    from pillarbox.protocols.kafka.head import Head

BY_DEFAULT: Final = -1
"""Stands for the number of partitions or replicas that the broker chooses."""

CLUSTER_METADATA: Final = "__cluster_metadata"
"""Kafka's own topic, which nobody makes."""


def create_topic(head: Head, name: str, partitions: int, settings: Mapping[str, str]) -> Topic:
    """Make a topic with settings that `configs.checked` has let through.

    Raises Refused: INVALID_TOPIC_EXCEPTION where something that is no topic has one of its names.
    """
    try:
        return head.topics.create(name, partitions, settings, options_of(settings))
    except BrokerError as error:
        if error.reason is Reason.PRECONDITION_FAILED:
            raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, error.text) from None
        raise Refused.by_domain(error) from None


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
    if head.topics.get(name) is not None:
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
