"""Why there are no delegation tokens: what a Kafka says that was given no secret for them (KIP-48, row K72).

Who has not logged in by SASL may not ask for one at all; to everybody else they are switched off.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode

NEVER_MS = -1
"""The time of what was refused."""


USER: Final = "User"
"""The only type of principal that may renew one."""


def token_refusal(call: Call, renewers: Iterable[str] = ()) -> ErrorCode:
    """The error for a client that asks for something about tokens; `renewers`: types of principals."""
    if not call.connection.sasl_mechanism:
        return ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
    if any(kind != USER for kind in renewers):
        return ErrorCode.INVALID_PRINCIPAL_TYPE
    return ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED
