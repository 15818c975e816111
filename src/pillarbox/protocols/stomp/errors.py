"""What goes wrong, as the header `message` and the body of an ERROR frame, after which the socket is closed.

Source: STOMP 1.2, "ERROR"; the words are RabbitMQ's, where it has some for the case.
"""

from __future__ import annotations

from pillarbox.errors import BrokerError, Reason, RemoteProtocolError

REASONS: dict[Reason, str] = {
    Reason.ACCESS_REFUSED: "access_refused",
    Reason.NOT_FOUND: "not_found",
    Reason.RESOURCE_LOCKED: "resource_locked",
    Reason.PRECONDITION_FAILED: "precondition_failed",
    Reason.NOT_ALLOWED: "not_allowed",
    Reason.NOT_IMPLEMENTED: "not_implemented",
    Reason.INTERNAL_ERROR: "internal_error",
}


class StompError(RemoteProtocolError):
    """Something that ends the connection: in a few words for programs, and in a sentence for people."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(f"{message}: {detail}")
        self.message = message
        self.detail = detail


def from_broker_error(error: BrokerError) -> StompError:
    """The STOMP form of a refusal by the domain."""
    name = REASONS[error.reason]
    return StompError(name, f"{name.upper()} - {error.text}")
