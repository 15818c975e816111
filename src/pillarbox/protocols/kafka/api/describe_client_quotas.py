"""DescribeClientQuotas (48): the limits of the entities that fit a filter.

Versions: 0-1. Source: KIP-546; Kafka's `ClientQuotasImage`; row K74.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

USER, CLIENT_ID, IP = TYPES = ("user", "client-id", "ip")
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
    for parts, limits in _all(call):
        if _fits(parts, request):
            told = [EntityData(kind, None if name == DEFAULT else name) for kind, name in parts.items()]
            entries.append(EntryData(told, [ValueData(*limit) for limit in limits.items()]))
    return DescribeClientQuotasResponse(error_message=None, entries=entries)


def _all(call: Call) -> Iterator[tuple[Parts, Mapping[str, float]]]:
    for entity, limits in call.head.quotas:
        yield {kind: name for kind, name in zip(TYPES, entity, strict=False) if name is not None}, limits
    for address, limits in call.head.ip_quotas:
        yield {IP: address}, limits


def _demand_filter(components: list[ComponentData]) -> None:
    """Raise Refused for a filter that makes no sense."""
    kinds = [component.entity_type for component in components]
    for component in components:
        kind = component.entity_type
        if not kind:
            raise Refused(ErrorCode.INVALID_REQUEST, "Invalid empty entity type.")
        if kinds.count(kind) > 1:
            text = f"Entity type {kind} cannot appear more than once in the filter."
            raise Refused(ErrorCode.INVALID_REQUEST, text)
        if kind not in TYPES:
            raise Refused(ErrorCode.UNSUPPORTED_VERSION, f"Unsupported entity type {kind}")
        if not EXACT <= component.match_type <= ANY:
            text = f"Unknown match type {component.match_type}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)
    if IP in kinds and len(kinds) > 1:
        text = (
            "Invalid entity filter component combination. IP filter component should not be used with "
            "user or clientId filter component."
        )
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
