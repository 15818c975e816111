"""Recent history: a fanout exchange that gives its last messages to whoever is bound later (R30).

The messages are kept in memory by the exchange itself, also those of a durable one: they end with the
exchange or with the process, as RabbitMQ's plugin has it on one node.

Source: RabbitMQ's plugin rabbitmq_recent_history_exchange 3.10.
"""

from __future__ import annotations

from typing import NamedTuple

from pillarbox.broker.arguments import spelled, value_class
from pillarbox.broker.index import Arguments, Envelope, Keys
from pillarbox.engine.base import Message
from pillarbox.errors import BrokerError, Reason

LENGTH_DEFAULT = 20
"""Messages that an exchange without `x-recent-history-length` keeps: RabbitMQ's number."""

LENGTH_MAX = 1 << 31
"""Nobody has the memory for more; a larger number of the client means as many as this."""

NO_STORE = "x-recent-history-no-store"
"""The header with which (as true, no string) a sender keeps a message out of the history."""


class Remembered(NamedTuple):
    """A message of the past, and what is needed to route it once more."""

    keys: Keys
    envelope: Envelope
    message: Message


def length(arguments: Arguments) -> int:
    """How many messages an exchange with these arguments keeps."""
    return min(int(arguments.get("x-recent-history-length", LENGTH_DEFAULT)), LENGTH_MAX)


def check_length(name: str, vhost: str, arguments: Arguments) -> None:
    """Refuse a length that is no positive integer."""
    if "x-recent-history-length" in arguments:
        value = arguments["x-recent-history-length"]
        if value_class(value) is not int or value <= 0:
            text = f"Invalid argument {spelled(value)}, 'x-recent-history-length' must be a positive integer"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)


def is_kept(envelope: Envelope) -> bool:
    """May this message be remembered?"""
    return envelope.headers.get(NO_STORE) is not True
