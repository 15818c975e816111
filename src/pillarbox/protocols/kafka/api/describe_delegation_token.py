"""DescribeDelegationToken (41): refused, see `tokens`. Versions: 0-3. Source: KIP-48, KIP-373; row K72."""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.messages.describe_delegation_token import (
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
)
from pillarbox.protocols.kafka.tokens import token_refusal


def answer(call: Call, request: DescribeDelegationTokenRequest) -> DescribeDelegationTokenResponse:
    return DescribeDelegationTokenResponse(token_refusal(call))
