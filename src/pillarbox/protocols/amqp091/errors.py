"""AMQP 0-9-1 reply codes, and how the domain's reasons become them.

Soft errors close the channel, hard errors the connection; the reply text is `NAME - detail`.

Source: AMQP 0-9-1 specification 1.5.2.5 (reply codes); RabbitMQ's `amqp-rabbitmq-0.9.1.json`; section 1.2
of the compatibility table.
"""

from __future__ import annotations

from pillarbox.errors import BrokerError, Reason, RemoteProtocolError
from pillarbox.protocols.amqp091.wire_tables import WireError, octets_text

# Code → (name, whether it closes the whole connection).
REPLY_CODES: dict[int, tuple[str, bool]] = {
    200: ("REPLY_SUCCESS", False),
    311: ("CONTENT_TOO_LARGE", False),
    312: ("NO_ROUTE", False),
    313: ("NO_CONSUMERS", False),
    320: ("CONNECTION_FORCED", True),
    402: ("INVALID_PATH", True),
    403: ("ACCESS_REFUSED", False),
    404: ("NOT_FOUND", False),
    405: ("RESOURCE_LOCKED", False),
    406: ("PRECONDITION_FAILED", False),
    501: ("FRAME_ERROR", True),
    502: ("SYNTAX_ERROR", True),
    503: ("COMMAND_INVALID", True),
    504: ("CHANNEL_ERROR", True),
    505: ("UNEXPECTED_FRAME", True),
    506: ("RESOURCE_ERROR", True),
    530: ("NOT_ALLOWED", True),
    540: ("NOT_IMPLEMENTED", True),
    541: ("INTERNAL_ERROR", True),
}

REASONS: dict[Reason, int] = {
    Reason.ACCESS_REFUSED: 403,
    Reason.NOT_FOUND: 404,
    Reason.RESOURCE_LOCKED: 405,
    Reason.PRECONDITION_FAILED: 406,
    Reason.NOT_ALLOWED: 530,
    Reason.NOT_IMPLEMENTED: 540,
    Reason.INTERNAL_ERROR: 541,
}


SHOWN_BYTES = 16
"""How much of a wrong frame is shown to its sender, as RabbitMQ does: enough to know it again."""


class AmqpError(RemoteProtocolError):
    """Something that closes a channel or the connection, with its reply code.

    `method_id` is the culprit, (class << 16) | method, or 0. `hard` overrides what the code implies, for
    soft codes before a channel exists.
    """

    def __init__(self, code: int, detail: str, method_id: int = 0, *, hard: bool | None = None) -> None:
        name, implied = REPLY_CODES[code]
        super().__init__(f"{name} - {detail}" if detail else name)
        self.code = code
        self.method_id = method_id
        self.hard = implied if hard is None else hard

    @property
    def text(self) -> str:
        return str(self)


def from_wire_error(error: WireError, method_id: int) -> AmqpError:
    """The AMQP form of bytes that cannot be decoded; text that is no UTF-8 is blamed on no method."""
    return AmqpError(error.code, error.detail, 0 if "UTF-8" in error.detail else method_id)


def from_frame(code: int, kind: int, payload: bytes, problem: str = "") -> AmqpError:
    """A frame that is wrong as such, in RabbitMQ's words: its type and how it begins."""
    which = "all" if len(payload) <= SHOWN_BYTES else f"first {SHOWN_BYTES}"
    text = f"type {kind}, {which} octets = {octets_text(payload[:SHOWN_BYTES])}"
    return AmqpError(code, f"{text}: {problem}" if problem else text)


def from_broker_error(error: BrokerError, method_id: int) -> AmqpError:
    """The AMQP form of a refusal by the domain."""
    return AmqpError(REASONS[error.reason], error.text, method_id)
