"""RenewDelegationToken (39): refused, see `tokens`. Versions: 0-2. Source: KIP-48; row K72."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.messages.renew_delegation_token import (
    RenewDelegationTokenRequest,
    RenewDelegationTokenResponse,
)
from pillarbox.protocols.kafka.tokens import NEVER_MS, token_refusal


def answer(call: Call, request: RenewDelegationTokenRequest) -> RenewDelegationTokenResponse:
    return RenewDelegationTokenResponse(token_refusal(call), NEVER_MS)
