"""What every kind of exchange is made of: an index of bindings, and what a message shows to it.

An index holds bindings and answers, for one message, which destinations match. It knows no queues and no
messages: of a message it sees the routing keys and an `Envelope`. The kinds themselves stand in `routing`,
`balancing` and `history`; their table is `routing.KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

Arguments = Mapping[str, Any]
Keys = tuple[str, ...]
"""A message's routing key, followed by the further ones that its sender selected (R26)."""

Random = Callable[[int], bytes]
"""Gives that many random bytes."""

NO_ARGUMENTS: Arguments = {}


class Destination(Protocol):
    """What a binding leads to: a queue or an exchange."""

    name: str
    arguments: dict[str, Any]

    def wants(self, envelope: Envelope) -> bool:
        """Is there somebody who takes a message that shows this?"""


def _no_property(name: str) -> object:
    return None


class Envelope:
    """What of a message, besides its keys, may decide where it goes.

    `read_property` gives a property by the name that AMQP 0-9-1 has for it, None if it is absent; only
    few exchanges ask, so heads read it from their own encoding when it is asked for.
    """

    __slots__ = ("headers", "read_property")

    def __init__(
        self, headers: Arguments = NO_ARGUMENTS, read_property: Callable[[str], object] = _no_property
    ) -> None:
        self.headers = headers
        self.read_property = read_property


NO_ENVELOPE = Envelope()
ANY_MESSAGE = Envelope()
"""Stands for all messages to come: where may those with some keys go? Nobody's turn is over by it."""


class Index(Protocol):
    """The bindings of one exchange, arranged for look-up. The same destination may match repeatedly."""

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None: ...

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        """Take out what `add` was given: the very same arguments object."""

    def match(self, keys: Keys, envelope: Envelope) -> Iterable[Destination]: ...


def always(arguments: Arguments) -> bool:
    return True


def never(arguments: Arguments) -> bool:
    return False


def nothing(arguments: Arguments) -> int:
    return 0


def _no_check(*_: object) -> None:
    return None


class Kind(NamedTuple):
    """One kind of exchange: a row of `routing.KINDS`."""

    make: Callable[[Arguments, Random], Index]
    """Make the index of an exchange that was declared with these arguments."""
    per_message: Callable[[Arguments], bool] = never
    """Does a route depend on more than the keys, so that nobody may keep it?"""
    check: Callable[[str, str, Arguments], None] = _no_check
    """Refuse an exchange (its name, its virtual host, its arguments) with PRECONDITION_FAILED."""
    check_binding: Callable[[str, Arguments, Destination, bool], None] = _no_check
    """Refuse a binding (key, arguments, destination, whether that is an exchange) likewise."""
    remembers: Callable[[Arguments], int] = nothing
    """How many of its last messages it keeps for whoever is bound later."""
    delays: bool = False
    """Do messages wait in it as long as they ask (R28)?"""
