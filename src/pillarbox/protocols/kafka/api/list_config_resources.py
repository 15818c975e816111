"""ListConfigResources (74): what has configs.

Versions: 0-1; version 0 knows client metrics alone, of which there are none. Behaviour: for administrators.
Source: KIP-1000, KIP-1142; row K32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.config_resources import BROKER, CLIENT_METRICS, GROUP, LOGGERS, TOPIC
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER_CONFIGS

TYPES_FROM: Final = 1
"""The first version in which a client says which types it means."""


def _nodes(call: Call) -> list[str]:
    return [str(call.head.settings.node_id)]


NAMES: Final[dict[int, Callable[[Call], Iterable[str]]]] = {
    TOPIC: lambda call: (topic.name for topic in call.head.topics.all()),
    BROKER: _nodes,
    LOGGERS: _nodes,
    CLIENT_METRICS: lambda call: (),
    GROUP: lambda call: call.head.groups.configs,
}
"""The names of what has configs, by type."""


def answer(call: Call, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse:
    wanted = [CLIENT_METRICS] if call.version < TYPES_FROM else request.resource_types or list(NAMES)
    try:
        call.demand(SEE_CLUSTER_CONFIGS)
        unknown = [kind for kind in wanted if kind not in NAMES]
        if unknown:
            raise Refused(ErrorCode.UNSUPPORTED_VERSION)
    except Refused as refused:
        return ListConfigResourcesResponse(error_code=refused.code)
    return ListConfigResourcesResponse(
        config_resources=[ConfigResource(name, kind) for kind in wanted for name in NAMES[kind](call)]
    )
