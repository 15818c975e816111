"""DescribeUserScramCredentials (50): who can log in by SCRAM, and by which mechanism.

Versions: 0. Behaviour: for administrators; nothing that helps to guess a password is told. Users whose
password was set as a hash have none of it. Source: KIP-554; row K71.
"""

from __future__ import annotations

from collections import Counter

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.describe_user_scram_credentials import (
    CredentialInfo,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
)
from pillarbox.protocols.kafka.rights import SEE_CLUSTER
from pillarbox.protocols.kafka.scram_numbers import NUMBER_BY_MECHANISM


def answer(call: Call, request: DescribeUserScramCredentialsRequest) -> DescribeUserScramCredentialsResponse:
    try:
        call.demand(SEE_CLUSTER)
    except Refused as refused:
        return DescribeUserScramCredentialsResponse(error_code=refused.code, error_message=refused.text)
    users = call.head.core.users.by_name.values()
    # Named or not: nobody at all means everybody.
    wanted = [user.name for user in request.users or ()] or [user.name for user in users if user.scram]
    times = Counter(wanted)
    return DescribeUserScramCredentialsResponse(
        error_message=None, results=[_described(call, name, times[name]) for name in times]
    )


def _described(call: Call, name: str, times: int) -> DescribeUserScramCredentialsResult:
    user = call.head.core.users.by_name.get(name)
    if times > 1:
        text = f"Cannot describe SCRAM credentials for the same user twice in a single request: {name}"
        return DescribeUserScramCredentialsResult(name, ErrorCode.DUPLICATE_RESOURCE, text)
    if user is None or not user.scram:
        text = f"Attempt to describe a user credential that does not exist: {name}"
        return DescribeUserScramCredentialsResult(name, ErrorCode.RESOURCE_NOT_FOUND, text)
    return DescribeUserScramCredentialsResult(
        name,
        error_message=None,
        credential_infos=[
            CredentialInfo(NUMBER_BY_MECHANISM[one.mechanism], one.iterations) for one in user.scram
        ],
    )
