"""Recent history: a fanout exchange that gives its last messages to whoever is bound later (R30).

The messages are kept in memory by the exchange itself, also those of a durable one: they end with the
exchange or with the process, as RabbitMQ's plugin has it on one node.

Source: RabbitMQ's plugin rabbitmq_recent_history_exchange 3.10.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pillarbox.broker.arguments import spelled, value_class
from pillarbox.broker.index import Arguments, Envelope, Keys
from pillarbox.broker.run import MESSAGE_BYTES
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


class History:
    """The messages that an exchange remembers, oldest first, at most so many; `hold` counts their memory."""

    def __init__(self, length: int, hold: Callable[[int], None]) -> None:
        self._past: deque[Remembered] = deque(maxlen=length)
        self._hold = hold

    def __repr__(self) -> str:
        return f"<History {len(self._past)} of {self._past.maxlen}>"

    def __len__(self) -> int:
        return len(self._past)

    def __iter__(self) -> Iterator[Remembered]:
        return iter(self._past)

    def append(self, one: Remembered) -> None:
        """Remember one more; the oldest goes when there are too many."""
        size = _held_bytes(one.message)
        if len(self._past) == self._past.maxlen:
            size -= _held_bytes(self._past[0].message)
        self._past.append(one)
        self._hold(size)

    def clear(self) -> None:
        """Forget everything."""
        self._hold(-sum([_held_bytes(one.message) for one in self._past]))
        self._past.clear()


def _held_bytes(message: Message) -> int:
    # The properties stand in the envelope a second time, decoded.
    return MESSAGE_BYTES + len(message.body) + 2 * len(message.properties)


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
