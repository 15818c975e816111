"""DescribeClientQuotas (48): the limits of the entities that fit a filter.

Versions: 0-1. Source: KIP-546; Kafka's `ClientQuotasImage`; row K74.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
    EntityData,
    EntryData,
    ValueData,
)
from pillarbox.protocols.kafka.quotas import DEFAULT
from pillarbox.protocols.kafka.rights import SEE_CLUSTER_CONFIGS

TYPES: Final = ("user", "client-id", "ip")
EXACT, BY_DEFAULT, ANY = range(3)

Parts = dict[str, str]
"""The names of an entity by type."""


def answer(call: Call, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse:
    try:
        call.demand(SEE_CLUSTER_CONFIGS)
        _demand_filter(request.components)
    except Refused as refused:
        return DescribeClientQuotasResponse(error_code=refused.code, error_message=refused.text, entries=None)
    entries = []
    for entity, limits in call.head.quotas:
        parts = {kind: name for kind, name in zip(TYPES, entity, strict=False) if name is not None}
        if _fits(parts, request):
            told = [EntityData(kind, None if name == DEFAULT else name) for kind, name in parts.items()]
            entries.append(EntryData(told, [ValueData(*limit) for limit in limits.items()]))
    return DescribeClientQuotasResponse(error_message=None, entries=entries)


def _demand_filter(components: list[ComponentData]) -> None:
    """Raise Refused for a filter that makes no sense."""
    kinds = [component.entity_type for component in components]
    for kind in kinds:
        if kind not in TYPES:
            raise Refused(ErrorCode.UNSUPPORTED_VERSION, f"Custom entity type '{kind}' not supported")
        if kinds.count(kind) > 1:
            text = f"Duplicate filter component entity type: {kind}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)
    for component in components:
        if not EXACT <= component.match_type <= ANY:
            text = f"Unknown match type {component.match_type}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)


def _fits(parts: Parts, request: DescribeClientQuotasRequest) -> bool:
    if request.strict and len(parts) != len(request.components):
        return False
    return all(_has(parts, component) for component in request.components)


def _has(parts: Parts, wanted: ComponentData) -> bool:
    name = parts.get(wanted.entity_type)
    if name is None:
        return False
    if wanted.match_type == ANY:
        return True
    return name == (DEFAULT if wanted.match_type == BY_DEFAULT else wanted.match)
