"""CreateDelegationToken (38): refused, see `tokens`. Versions: 0-3. Source: KIP-48, KIP-373; row K72."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.messages.create_delegation_token import (
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
)
from pillarbox.protocols.kafka.tokens import NEVER_MS, USER, token_refusal


def answer(call: Call, request: CreateDelegationTokenRequest) -> CreateDelegationTokenResponse:
    user = call.principal.name
    return CreateDelegationTokenResponse(
        error_code=token_refusal(call, (each.principal_type for each in request.renewers)),
        principal_type=request.owner_principal_type or USER,
        principal_name=request.owner_principal_name or user,
        token_requester_principal_type=USER,
        token_requester_principal_name=user,
        issue_timestamp_ms=NEVER_MS,
        expiry_timestamp_ms=NEVER_MS,
        max_timestamp_ms=NEVER_MS,
    )
