"""Altering configs: what AlterConfigs and IncrementalAlterConfigs have in common.

A resource is altered as a whole or not at all. Topics and groups can be; the broker's configs are read-only.
Not here: what is valid (`configs`, `groups.group_configs`).

Source: KIP-133, KIP-339; Kafka's `ConfigAdminManager`; row K32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pillarbox.protocols.kafka.config_resources import (
    BROKER,
    GROUP,
    TOPIC,
    demand_group_name,
    demand_node,
    demand_topic,
)
from pillarbox.protocols.kafka.configs import options_of, settings_of
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.rights import (
    ALTER_CLUSTER_CONFIGS,
    ALTER_GROUP_CONFIGS,
    ALTER_TOPIC_CONFIGS,
)

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.call import Call


class Config(Protocol):
    name: str
    value: str | None


class Resource(Protocol):
    resource_type: int
    resource_name: str
    configs: Any


Change = Callable[[Mapping[str, str], Any], dict[str, str]]
"""Gets what a topic or a group was given and a resource; returns what it shall have. Raises Refused."""
Outcome = tuple[int, str | None]
"""Error code and sentence."""


def alter(call: Call, resources: Sequence[Any], change: Change, *, validate_only: bool) -> list[Outcome]:
    """Alter these resources; return what became of each."""
    times = Counter((each.resource_type, each.resource_name) for each in resources)
    outcomes: list[Outcome] = []
    for resource in resources:
        try:
            if times[resource.resource_type, resource.resource_name] > 1:
                text = "Each resource must appear at most once."
                raise Refused(ErrorCode.INVALID_REQUEST, text)
            _alter(call, resource, change, validate_only=validate_only)
        except Refused as refused:
            outcomes.append((refused.code, refused.text))
        else:
            outcomes.append((ErrorCode.NONE, None))
    return outcomes


def demand_values(names: Sequence[str]) -> None:
    """Raise Refused (INVALID_REQUEST) for configs of these names that have no value and need one."""
    if names:
        raise Refused(ErrorCode.INVALID_REQUEST, f"Null value not supported for : {', '.join(names)}")


def _alter(call: Call, resource: Resource, change: Change, *, validate_only: bool) -> None:
    names = [config.name for config in resource.configs]
    if len(set(names)) < len(names):
        raise Refused(ErrorCode.INVALID_REQUEST, "Error due to duplicate config keys")
    if resource.resource_type == TOPIC:
        topics, name = call.head.topics, resource.resource_name
        topic = demand_topic(call, name, permitted=call.allows(ALTER_TOPIC_CONFIGS, name))
        settings = change(settings_of(topics, topic), resource)
        if not validate_only:
            topics.configure(topic, settings, options_of(settings))
    elif resource.resource_type == GROUP:
        name, configs = resource.resource_name, call.head.groups.configs
        demand_group_name(name, permitted=call.allows(ALTER_GROUP_CONFIGS, name))
        settings = change(configs.given(name), resource)
        configs.demand_sense(settings)
        if not validate_only:
            configs.configure(name, settings)
    elif resource.resource_type == BROKER:
        call.demand(ALTER_CLUSTER_CONFIGS)
        if resource.resource_name:
            demand_node(call.head, resource.resource_name)
        if names:
            text = f"Cannot update these configs dynamically: {', '.join(names)}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)
    else:
        raise Refused(ErrorCode.INVALID_REQUEST, f"Unknown resource type {resource.resource_type}")
