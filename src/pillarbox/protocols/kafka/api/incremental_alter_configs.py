"""IncrementalAlterConfigs (44): single settings of a topic or a group set, removed, or lists made longer or
shorter.

Versions: 0-1. Source: KIP-339; row K32.
"""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.protocols.kafka.alteration import alter, demand_values
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.config_resources import GROUP
from pillarbox.protocols.kafka.configs import REMOVE, altered
from pillarbox.protocols.kafka.groups import group_configs
from pillarbox.protocols.kafka.messages.incremental_alter_configs import (
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)


def answer(call: Call, request: IncrementalAlterConfigsRequest) -> None:
    outcomes = alter(call, request.resources, _changed, validate_only=request.validate_only)
    call.reply_when_durable(
        IncrementalAlterConfigsResponse(
            responses=[
                AlterConfigsResourceResponse(code, text, each.resource_type, each.resource_name)
                for (code, text), each in zip(outcomes, request.resources, strict=True)
            ]
        )
    )


def _changed(settings: Mapping[str, str], resource: AlterConfigsResource) -> dict[str, str]:
    demand_values(
        [
            config.name
            for config in resource.configs
            if config.value is None and config.config_operation != REMOVE
        ]
    )
    operations = ((config.name, config.config_operation, config.value) for config in resource.configs)
    if resource.resource_type == GROUP:
        return group_configs.altered(settings, operations)
    return altered(settings, operations)
