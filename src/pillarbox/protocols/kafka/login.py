"""A login under way: from the client's SaslHandshake to a session of whoever that turns out to be.

Not here: mechanisms (`sasl`), how messages are carried (`api`, `connection`).

Source: KIP-43, KIP-152, KIP-368; rows K71, R9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.errors import BrokerError
from pillarbox.protocols.kafka.sasl import LoginRefused, begin

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.connection import Connection


class Login:
    """See the module. `bare`: its messages come without headers of requests, as they do after a handshake of
    version 0."""

    def __init__(self, connection: Connection, mechanism: str, *, bare: bool = False) -> None:
        core = connection.head.core
        self.mechanism = mechanism
        self.bare = bare
        self._connection = connection
        caller = connection.caller._replace(vhost=connection.head.settings.vhost)
        self._exchange = begin(mechanism, core.users, core.random, connection.head.secret, caller)

    def __repr__(self) -> str:
        return f"<Login by {self.mechanism}>"

    def respond(self, said: bytes) -> bytes:
        """Answer the client; with the last answer it is logged in. Raises LoginRefused."""
        answer = self._exchange.respond(said)
        principal = self._exchange.principal
        if principal is not None:
            connection = self._connection
            name = principal.name
            if name in connection.head.settings.loopback_users and not connection.loopback:
                raise LoginRefused(f"user '{name}' can only connect from this machine")
            if connection.session is not None and connection.session.user.name != name:
                raise LoginRefused("it was somebody else before")
            try:
                connection.log_in(principal)
            except BrokerError as error:
                raise LoginRefused(error.text) from None
            connection.sasl_mechanism = self.mechanism
            connection.login = None
        return answer
