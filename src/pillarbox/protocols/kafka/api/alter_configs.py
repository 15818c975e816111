"""AlterConfigs (33): all settings of a topic anew; what is not named goes back to its default.

Versions: 0-2. Source: KIP-133; row K32.
"""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.protocols.kafka.alteration import alter, demand_values
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.config_resources import GROUP
from pillarbox.protocols.kafka.configs import SET, checked
from pillarbox.protocols.kafka.groups import group_configs
from pillarbox.protocols.kafka.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


def answer(call: Call, request: AlterConfigsRequest) -> None:
    outcomes = alter(call, request.resources, _replaced, validate_only=request.validate_only)
    call.reply_when_durable(
        AlterConfigsResponse(
            responses=[
                AlterConfigsResourceResponse(code, text, each.resource_type, each.resource_name)
                for (code, text), each in zip(outcomes, request.resources, strict=True)
            ]
        )
    )


def _replaced(settings: Mapping[str, str], resource: AlterConfigsResource) -> dict[str, str]:
    demand_values([config.name for config in resource.configs if config.value is None])
    if resource.resource_type == GROUP:
        return group_configs.altered({}, ((one.name, SET, one.value) for one in resource.configs))
    return checked((config.name, config.value) for config in resource.configs)
