"""AlterClientQuotas (49): limits of an entity set or lifted, each entity as a whole or not at all.

Versions: 0-1. Behaviour: answered when it is durable. Only rates of bytes can be limited, of users and client
ids. Source: KIP-546; Kafka's `ClientQuotaControlManager`; row K74.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    RequestEntityData,
    RequestEntryData,
    ResponseEntityData,
    ResponseEntryData,
)
from pillarbox.protocols.kafka.quotas import DEFAULT, Entity, demand_limit
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER_CONFIGS

USER: Final = "user"
CLIENT_ID: Final = "client-id"


def answer(call: Call, request: AlterClientQuotasRequest) -> None:
    call.reply_when_durable(
        AlterClientQuotasResponse(
            entries=[_altered(call, entry, validate_only=request.validate_only) for entry in request.entries]
        )
    )


def _altered(call: Call, entry: RequestEntryData, *, validate_only: bool) -> ResponseEntryData:
    told = [ResponseEntityData(each.entity_type, each.entity_name) for each in entry.entity]
    try:
        call.demand(ALTER_CLUSTER_CONFIGS)
        entity = _entity(entry.entity)
        for change in entry.ops:
            demand_limit(change.key, 1 if change.remove else change.value)
    except Refused as refused:
        return ResponseEntryData(refused.code, refused.text, told)
    if not validate_only:
        changes = {change.key: None if change.remove else change.value for change in entry.ops}
        call.head.quotas.change(entity, changes)
    return ResponseEntryData(error_message=None, entity=told)


def _entity(parts: list[RequestEntityData]) -> Entity:
    """Raises Refused (INVALID_REQUEST) for what is none."""
    names: dict[str, str] = {}
    for part in parts:
        if part.entity_type not in (USER, CLIENT_ID):
            text = f"Unhandled client quota entity type: {part.entity_type}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)
        if part.entity_type in names:
            text = f"Invalid client quota entity, contains duplicate entity type: {part.entity_type}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)
        if part.entity_name == "":
            raise Refused(ErrorCode.INVALID_REQUEST, f"Empty {part.entity_type} not supported")
        names[part.entity_type] = DEFAULT if part.entity_name is None else part.entity_name
    if not names:
        raise Refused(ErrorCode.INVALID_REQUEST, "Invalid empty client quota entity")
    return names.get(USER), names.get(CLIENT_ID)
