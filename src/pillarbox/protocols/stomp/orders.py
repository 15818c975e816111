"""Orders: messages to names that ActiveMQ keeps for itself, obeyed and never delivered (A35, A39, A86).

Which they are is one question for each SEND that is written as none before it. To add one: a line in
`find_order`. Source: ActiveMQ, "Delay and Schedule Message Delivery", "StatisticsPlugin".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pillarbox.protocols.stomp import managing, scheduler

if TYPE_CHECKING:
    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.channel import Channel

Order = Callable[["Channel", str, Mapping[str, str], "Body", bytes | None], None]
"""Obeys: channel, destination, headers, body, and the receipt that is asked for. Raises StompError before
anything is done."""

BEGINNING = "activemq."
"""How all of these names begin, in lower case."""


def find_order(channel: Channel, text: str, headers: Mapping[str, str]) -> Order | None:
    """What a SEND to this destination orders; None: it is a message like any other."""
    if BEGINNING not in text.lower():
        return None
    if scheduler.is_management(text):
        return scheduler.manage
    if managing.is_order(channel, text):
        return managing.order
    if channel.settings.statistics and "reply-to" in headers:
        from pillarbox.protocols.stomp import statistics

        if statistics.is_question(text):
            return statistics.answer
    return None
