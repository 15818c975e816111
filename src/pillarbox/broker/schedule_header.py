"""The header with which a sender asks for a delay (R28).

Source: the plugin rabbitmq_delayed_message_exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DELAY_HEADER = "x-delay"
DELAY_MAX_MS = (1 << 32) - 1
"""Longer delays are none, as with the plugin: its timers end there."""


def delay_of(headers: Mapping[str, Any]) -> int:
    """The delay that headers ask for, in milliseconds; 0: none, or one out of range.

    Strings of digits and fractions count, as with the plugin.
    """
    value = headers.get(DELAY_HEADER)
    if value is None or isinstance(value, bool):
        return 0
    try:
        delay = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return delay if 0 < delay <= DELAY_MAX_MS else 0
