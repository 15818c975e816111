"""Orders: messages to an address at which the broker itself is the receiver, such as management by message.

A head that finds an address of a SEND in `Core.orders` hands the message over and delivers nothing; whoever
registered there carries it out, perhaps later, and answers once. So heads know nothing of management, and
management nothing of heads. Source: row A86.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.engine.base import Body


MANAGEMENT: Final = "activemq.management"
"""Artemis' address for orders to its management."""


class Order(NamedTuple):
    """What a client asks for."""

    user: Principal
    vhost: str
    headers: Mapping[str, str]
    body: Body


class Answer(NamedTuple):
    """What comes of it: headers of the reply, and its text."""

    headers: Mapping[str, str | bool]
    text: str


TakeOrder = Callable[[Order, Callable[[Answer], None]], None]
"""Carry an order out and call back with the answer: within a turn of the broker, and not before this returns.

Raises BrokerError, before anything is done, for whoever may not give such orders.
"""
