"""SaslHandshake (17): by which mechanism the client will log in.

Versions: 0-1; after version 0 the messages of the login come as they are, without headers.

Behaviour: a mechanism that is not offered is answered with those that are, and the connection is closed, as
it is for a client that is let in without a login already. One that has logged in may do so again.

Source: KIP-43, KIP-152, KIP-368; row K71.
"""

from __future__ import annotations

from typing import Final

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.login import Login
from pillarbox.protocols.kafka.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse

BARE: Final = 0
"""The version after which the login has no headers."""


def answer(call: Call, request: SaslHandshakeRequest) -> SaslHandshakeResponse:
    connection, offered = call.connection, list(call.head.mechanisms)
    if connection.session is not None and not connection.sasl_mechanism:
        connection.refuse("it wants to log in, but is let in already")
        return SaslHandshakeResponse(ErrorCode.ILLEGAL_SASL_STATE, offered)
    if request.mechanism not in offered:
        connection.refuse(f"it wants to log in by {request.mechanism!r}")
        return SaslHandshakeResponse(ErrorCode.UNSUPPORTED_SASL_MECHANISM, offered)
    connection.login = Login(connection, request.mechanism, bare=call.version == BARE)
    return SaslHandshakeResponse(ErrorCode.NONE, offered)
