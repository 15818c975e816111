"""AlterClientQuotas (49): limits of an entity set or lifted, each entity as a whole or not at all.

Versions: 0-1. Behaviour: answered when it is durable. An address has to be one: names, which Kafka looks up,
are refused as if they had none. To lift what is no limit changes nothing. Source: KIP-546, KIP-612; Kafka's
`ClientQuotaControlManager`; row K74.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.ip_quotas import plain
from pillarbox.protocols.kafka.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    RequestEntityData,
    RequestEntryData,
    ResponseEntityData,
    ResponseEntryData,
)
from pillarbox.protocols.kafka.quotas import DEFAULT, IP_LIMITS, USER_LIMITS, demand_limit
from pillarbox.protocols.kafka.rights import ALTER_CLUSTER_CONFIGS

USER: Final = "user"
CLIENT_ID: Final = "client-id"
IP: Final = "ip"


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
        names = _names(entry.entity)
        for change in entry.ops:
            if not change.remove:
                demand_limit(IP_LIMITS if IP in names else USER_LIMITS, change.key, change.value)
    except Refused as refused:
        return ResponseEntryData(refused.code, refused.text, told)
    if not validate_only:
        changes = {change.key: None if change.remove else change.value for change in entry.ops}
        if IP in names:
            call.head.ip_quotas.change(names[IP], changes)
        else:
            call.head.quotas.change((names.get(USER), names.get(CLIENT_ID)), changes)
    return ResponseEntryData(error_message=None, entity=told)


def _names(parts: list[RequestEntityData]) -> dict[str, str]:
    """The names of an entity by type. Raises Refused (INVALID_REQUEST) for what is none."""
    names: dict[str, str] = {}
    for part in parts:
        if part.entity_type not in (USER, CLIENT_ID, IP):
            text = f"Unhandled client quota entity type: {part.entity_type}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)
        if part.entity_type in names:
            text = f"Invalid client quota entity, duplicate entity entry {part.entity_type}"
            raise Refused(ErrorCode.INVALID_REQUEST, text)
        if part.entity_name == "":
            raise Refused(ErrorCode.INVALID_REQUEST, f"Empty {part.entity_type} not supported")
        names[part.entity_type] = DEFAULT if part.entity_name is None else part.entity_name
    if not names:
        raise Refused(ErrorCode.INVALID_REQUEST, "Invalid empty client quota entity")
    if IP in names:
        _demand_address(names)
    return names


def _demand_address(names: dict[str, str]) -> None:
    if len(names) > 1:
        # The slip is Kafka's own.
        text = "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"
        raise Refused(ErrorCode.INVALID_REQUEST, text)
    name = names[IP]
    if name != DEFAULT and not plain(name):
        raise Refused(ErrorCode.INVALID_REQUEST, f"{name} is not a valid IP or resolvable host.")
