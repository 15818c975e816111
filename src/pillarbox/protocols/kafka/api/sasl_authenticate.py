"""SaslAuthenticate (36): one message of a login, and the answer to it.

Versions: 0-2; from 1 on the answer says how long the login is good for. Behaviour: a login that fails is told
so, and the connection is closed. Whoever logged in with a token is let go when it is over, unless it has
logged in again.

Source: KIP-152, KIP-368; row K71.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.sasl_authenticate import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
)
from pillarbox.protocols.kafka.sasl import LoginRefused


def answer(call: Call, request: SaslAuthenticateRequest) -> SaslAuthenticateResponse:
    connection = call.connection
    if connection.login is None:
        connection.refuse("a message of a login that has not begun")
        return SaslAuthenticateResponse(
            ErrorCode.ILLEGAL_SASL_STATE, "SaslAuthenticate request received before SaslHandshake."
        )
    try:
        said = connection.login.respond(request.auth_bytes)
    except LoginRefused as refused:
        connection.refuse(f"login refused: {refused}")
        return SaslAuthenticateResponse(
            ErrorCode.SASL_AUTHENTICATION_FAILED, f"Authentication failed: {refused}"
        )
    return SaslAuthenticateResponse(
        error_message=None, auth_bytes=said, session_lifetime_ms=connection.lifetime_ms
    )
