"""Which reason code of MQTT stands for which refusal of the domain."""

from __future__ import annotations

from typing import Final

from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.mqtt.reasons import ReasonCode

BY_REASON: Final = {
    Reason.ACCESS_REFUSED: ReasonCode.NOT_AUTHORIZED,
    Reason.NOT_FOUND: ReasonCode.IMPLEMENTATION_SPECIFIC,
    Reason.RESOURCE_LOCKED: ReasonCode.NOT_AUTHORIZED,
    Reason.PRECONDITION_FAILED: ReasonCode.IMPLEMENTATION_SPECIFIC,
    Reason.NOT_ALLOWED: ReasonCode.QUOTA_EXCEEDED,
    Reason.NOT_IMPLEMENTED: ReasonCode.IMPLEMENTATION_SPECIFIC,
    Reason.INTERNAL_ERROR: ReasonCode.UNSPECIFIED,
}


def reason_of(error: BrokerError) -> ReasonCode:
    """The code by which a client is told."""
    return BY_REASON[error.reason]
