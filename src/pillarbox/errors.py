"""The kinds of failure, and the reasons for which the domain refuses something.

`RemoteProtocolError`: the peer broke its protocol. `BrokerError`: the peer asked correctly and is refused;
each head maps every `Reason` to its own code. `StartupError`: one line for the operator, no traceback.
A broken invariant of ours is an `AssertionError`.
"""

from __future__ import annotations

import enum


class PillarboxError(Exception):
    """Base of every error that this package raises on purpose."""


class RemoteProtocolError(PillarboxError):
    """The peer sent something that its protocol does not allow."""


class StartupError(PillarboxError):
    """The broker cannot start or open its data folder; the text is one sentence for the operator."""


class Reason(enum.Enum):
    """Why the domain refuses a request. Every head maps every member (a test demands it)."""

    ACCESS_REFUSED = enum.auto()
    """The principal lacks the right, or the name is reserved."""
    NOT_FOUND = enum.auto()
    """The queue, exchange or virtual host does not exist."""
    RESOURCE_LOCKED = enum.auto()
    """The queue belongs exclusively to another connection."""
    PRECONDITION_FAILED = enum.auto()
    """What exists differs from what was asked, or an argument is invalid."""
    NOT_ALLOWED = enum.auto()
    """A limit or rule of the whole connection forbids it."""
    NOT_IMPLEMENTED = enum.auto()
    """Correct by the protocol, and deliberately not offered."""
    INTERNAL_ERROR = enum.auto()
    """Storage failed; nothing is acknowledged."""


class BrokerError(PillarboxError):
    """A refusal by the domain: a reason for programs and a sentence for people."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text

    def __repr__(self) -> str:
        return f"<BrokerError {self.reason.name}: {self.text}>"
