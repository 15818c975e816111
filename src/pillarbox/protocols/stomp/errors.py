"""What goes wrong, as the header `message` and the body of an ERROR frame.

What the domain refuses, and bytes that are no frame, close the connection behind it, as STOMP asks. A frame
that is wrong by itself does nothing, and the connection goes on, as with RabbitMQ and ActiveMQ.

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


REJECTED = "Message rejected"
"""A full queue has refused a message: STOMP has no word for that."""

FATAL = frozenset((*REASONS.values(), REJECTED))
"""After these the connection does not go on."""


class StompError(RemoteProtocolError):
    """Something that is told in an ERROR frame: in a few words for programs, and in a sentence for people."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(f"{message}: {detail}")
        self.message = message
        self.detail = detail
        self.is_fatal = message in FATAL


def from_broker_error(error: BrokerError) -> StompError:
    """The STOMP form of a refusal by the domain."""
    name = REASONS[error.reason]
    return StompError(name, f"{name.upper()} - {error.text}")
