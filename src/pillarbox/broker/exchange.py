"""Exchanges and bindings: where a published message goes.

An exchange is an index of bindings (see `routing`) plus the attributes that a redeclaration must repeat.
`resolve` follows exchange-to-exchange bindings and alternate exchanges and yields a `Route`: the queues, each
once, and a stamp. Not here: permissions, who may delete what, durability on disk (see `vhost`).

Invariant: a route is good as long as its stamp is valid. A change to an exchange invalidates its stamp
and those of every exchange from which it can be reached, so heads keep routes and check one attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pillarbox.broker.arguments import value_class
from pillarbox.broker.counters import ExchangeCounters
from pillarbox.broker.history import History, Remembered, is_kept
from pillarbox.broker.index import NO_ENVELOPE, Destination, Envelope, Keys, Random
from pillarbox.broker.policy import NOTHING_APPLIED
from pillarbox.broker.routing import kind_of
from pillarbox.broker.schedule_header import wait_of

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.schedule import Schedule
    from pillarbox.engine.base import Message

TOPICS: Final = "amq.topic"
"""The exchange on which the topics of all protocols are."""
ANYCAST: Final = "pillarbox.anycast"
"""The exchange on which addresses with several queues are, each message to which goes to one of them."""


class Stamp:
    """Says whether what was resolved under it still holds."""

    __slots__ = ("valid",)

    def __init__(self) -> None:
        self.valid = True


class Route(msgspec.Struct, frozen=True, eq=False):
    """Where the keys of a message lead from one exchange, while `stamp.valid`."""

    queues: tuple[Queue, ...]
    stamp: Stamp
    per_message: bool = False
    """Other messages with the same keys may go elsewhere: resolve again for each message."""
    histories: tuple[History, ...] = ()
    """Of exchanges on the way that remember their messages (R30); only ever with `per_message`."""

    def remember(self, keys: Keys, envelope: Envelope, message: Message) -> None:
        """Tell the exchanges on the way what has passed: for each message of a `per_message` route."""
        for history in self.histories:
            history.append(Remembered(keys, envelope, message))


class Binding(msgspec.Struct, frozen=True, eq=False):
    """A link from an exchange to a queue or another exchange.

    Two bindings are the same when source, destination, kind of destination, key and arguments are (R31).
    """

    source: Exchange
    destination: Queue | Exchange
    key: str
    arguments: Mapping[str, Any]

    @property
    def destination_kind(self) -> str:
        """What it leads to."""
        return "exchange" if isinstance(self.destination, Exchange) else "queue"


class Exchange:
    """A named router. `kind` is a row of `routing.KINDS`."""

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Mapping[str, Any] | None = None,
        random: Random,
        hold: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = dict(arguments or {})
        self.counters = ExchangeCounters()
        self.bindings: dict[object, Binding] = {}
        self.sources: dict[Exchange, int] = {}
        """Exchanges from which routes come to this one, with the number of ways: bindings, and being their
        alternate."""
        self.applied = NOTHING_APPLIED
        """The policies that count for it (R95)."""
        self.alternate_name: str | None = None
        self.alternate: Exchange | None = None
        """Where messages go that no binding matches (R25), while there is such an exchange."""
        row = self.row = kind_of(kind, self.arguments)
        self.intercept: Callable[[Keys, Iterable[Destination]], Iterable[Destination]] | None = None
        """Where messages go instead of, or beside, what is bound (see `interception`); None: nowhere."""
        self.schedule: Schedule | None = None
        """Where messages wait that ask for a delay (R28); None if it delays none."""
        self.per_message = row.per_message(self.arguments)
        length = row.remembers(self.arguments)
        self.history = History(length, hold) if length else None
        """The last messages, oldest first, for whoever is bound later; None if it keeps none."""
        self._index = row.make(self.arguments, random)
        self._stamp = Stamp()

    def __repr__(self) -> str:
        return f"<Exchange {self.name!r} {self.kind} bindings={len(self.bindings)}>"

    @property
    def stamp(self) -> Stamp:
        """Valid until a binding of it, or of an exchange that it leads to, changes."""
        return self._stamp

    def bind(self, binding: Binding) -> bool:
        """Add a binding; False if the same one exists."""
        identity = binding_identity(binding.destination, binding.key, binding.arguments)
        if identity in self.bindings:
            return False
        self.bindings[identity] = binding
        self._index.add(binding.key, binding.arguments, binding.destination)
        if isinstance(binding.destination, Exchange):
            self._leads_to(binding.destination, 1)
        self.invalidate()
        return True

    def unbind(self, destination: Queue | Exchange, key: str, arguments: Mapping[str, Any]) -> Binding | None:
        """Remove a binding and return it; None if there is no such binding."""
        binding = self.bindings.pop(binding_identity(destination, key, arguments), None)
        if binding is None:
            return None
        self._index.remove(binding.key, binding.arguments, binding.destination)
        if isinstance(destination, Exchange):
            self._leads_to(destination, -1)
        self.invalidate()
        return binding

    def set_alternate(self, alternate: Exchange | None) -> None:
        """Let messages that no binding matches go there, or nowhere."""
        if alternate is self.alternate:
            return
        if self.alternate is not None:
            self._leads_to(self.alternate, -1)
        self.alternate = alternate
        if alternate is not None:
            self._leads_to(alternate, 1)
        self.invalidate()

    def _leads_to(self, other: Exchange, ways: int) -> None:
        """Note that there are so many ways more (or less) from here to another exchange."""
        count = other.sources.get(self, 0) + ways
        if count:
            other.sources[self] = count
        else:
            del other.sources[self]

    def wants(self, envelope: Envelope) -> bool:
        """See `Destination`: it may lead to somebody."""
        return True

    def invalidate(self) -> None:
        """Let every route through this exchange be resolved anew."""
        pending, seen = [self], {self}
        while pending:
            exchange = pending.pop()
            exchange._stamp.valid = False
            exchange._stamp = Stamp()
            fresh = [source for source in exchange.sources if source not in seen]
            seen.update(fresh)
            pending.extend(fresh)

    def resolve(self, keys: Keys, envelope: Envelope = NO_ENVELOPE) -> Route:
        """Follow bindings, through other exchanges too, to the queues; each queue once, cycles ignored.

        Each exchange on the way that has no matching binding passes the message on to its alternate.
        """
        queues: dict[Queue, None] = {}
        histories: list[History] = []
        per_message = False
        pending: list[Exchange] = [self]
        seen = {self}
        while pending:
            exchange = pending.pop(0)
            per_message = per_message or exchange.per_message
            if exchange.history is not None and is_kept(envelope):
                histories.append(exchange.history)
            if exchange.schedule is not None and wait_of(envelope.headers, 0):
                # It is routed when its time has come; until then it counts as routed.
                queues[exchange.schedule.queue] = None
                continue
            destination: Destination | None = None
            found = exchange._index.match(keys, envelope)
            if exchange.intercept is not None:
                found = exchange.intercept(keys, found)
            for destination in found:
                if not isinstance(destination, Exchange):
                    queues[destination] = None  # type: ignore[index]
                elif destination not in seen:
                    seen.add(destination)
                    pending.append(destination)
            alternate = exchange.alternate
            if destination is None and alternate is not None and alternate not in seen:
                seen.add(alternate)
                pending.append(alternate)
        return Route(tuple(queues), self._stamp, per_message, tuple(histories))


def binding_identity(destination: Queue | Exchange, key: str, arguments: Mapping[str, Any]) -> object:
    """A hashable value that is equal for the same binding of one exchange."""
    return isinstance(destination, Exchange), destination.name, key, frozen(arguments)


def frozen(value: Any) -> object:
    """A hashable stand-in of an argument table, equal for tables whose values compare as equal.

    A restart keeps the value of a number and not its width on the wire, so neither does this.
    """
    if isinstance(value, Mapping):
        return tuple(sorted((name, frozen(item)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    return value_class(value).__name__, value
