"""What a broker has promised, and whether what is found after a restart keeps it.

`Model` is fed with events in the order in which a client sees them and never asks the broker. `check`
compares it with what was found and returns sentences about everything that is wrong; it changes nothing, so
that the same model can be held against many states. The event `adopt` goes on from what was found.

A message is a number: (publisher << 40) | its number there. What the model knows of it is kept per queue,
as flags. How sure the model may be follows from one property of the broker: the journal is one ordered
sequence, so a confirm of a stored message proves that everything which the same connection sent before it is
durable as well: settlements, definitions, and the notes of what was delivered.

Rules that `check` applies:

- every confirmed message that was not acknowledged is in each queue that it was routed to, exactly once;
- one that was acknowledged is not, if the acknowledgement is proven to be durable; otherwise it may be;
- per publisher and queue the order is that of publishing; in a queue with priorities higher ones come first,
  and each publisher has one priority for all its messages;
- `redelivered` is set on what was delivered, if that is proven, and not on what cannot have been;
- nothing is there that was not published to that queue; transient messages are gone;
- if an unconfirmed message is there, all that its publisher sent before is as well (groups are replayed in
  order), and it is in all of its queues (whole or not at all);
- queues, exchanges and bindings are those after some definition not older than the last proven one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

NUMBER_BITS = 40
PRIORITY_MAX = 3
"""Of queues with priorities."""

STORED = 1
"""Persistent; without it the message has to be gone after a restart."""
CONFIRMED = 2
DELIVERED = 4
DELIVERED_PROVEN = 8
SETTLED = 16
"""Acknowledged or rejected by a client; the broker may not know it yet."""
SETTLED_PROVEN = 32
THIS_LIFE = 64
"""Delivered since the broker was started."""

Event = tuple[Any, ...]


class Found(NamedTuple):
    """One message that came out of a queue after a restart, in the queue's order."""

    key: int
    redelivered: bool


class State(NamedTuple):
    """What was found: messages by queue, and the bindings that probes went through."""

    queues: dict[str, list[Found]]
    exchanges: set[str]
    bound: set[str]
    """Queues to which their publisher's own exchange leads."""


class Definitions(NamedTuple):
    """The queues of a publisher's own, as they are after one of its definitions."""

    exchange: bool
    queues: Mapping[str, tuple[str, bool]]
    """Name → (identity, whether it is bound)."""


NOTHING = Definitions(False, {})


class Operation(NamedTuple):
    """Something sent whose durability is not proven yet."""

    position: int
    kind: str
    subject: Any
    keys: Sequence[int]


class Publisher:
    """What the model knows of one connection, over all its lives."""

    def __init__(self) -> None:
        self.operations: deque[Operation] = deque()
        self.processed = -1
        """Everything sent up to this position was processed by the broker."""
        self.proven = NOTHING
        """The definitions after the last proven one."""


def key_of(publisher: int, number: int) -> int:
    return publisher << NUMBER_BITS | number


def priority_of(publisher: int) -> int:
    """The priority of everything that a publisher sends; some are above the maximum, some are none."""
    return publisher % (PRIORITY_MAX + 2)


def named(key: int) -> str:
    return f"{key >> NUMBER_BITS}:{key & (1 << NUMBER_BITS) - 1}"


def exchange_of(publisher: int) -> str:
    """The name of the exchange that a publisher makes for itself."""
    return f"own.{publisher}"


def _own(publisher: int, state: State) -> set[str]:
    """The queues of a publisher's own that were found."""
    return {name for name in state.queues if name.startswith(f"{exchange_of(publisher)}.")}


class Model:
    """See the module. `fixed` are the durable queues that are always there, `rated` those with priorities."""

    def __init__(self, fixed: Iterable[str], rated: Iterable[str]) -> None:
        self.fixed = tuple(fixed)
        self.rated = frozenset(rated)
        self.queues: dict[str, dict[int, int]] = {name: {} for name in self.fixed}
        """By identity: the name, or for queues that come and go the name and a count."""
        self.names = {name: name for name in self.fixed}
        """Name → identity, as they were found last."""
        self.publishers: dict[int, Publisher] = {}
        self.credit: dict[str, int] = {}
        """How many messages may be out at once, by identity."""
        self.errors: list[str] = []
        """What was wrong while the broker was running."""
        self._settled_before: list[tuple[str, tuple[int, int] | None]] = []
        """What came although somebody had settled it: words, and who had at which position."""
        self._closed: set[int] = set()
        self.counts = dict.fromkeys(("published", "confirmed", "delivered", "settled", "defined"), 0)
        self._fresh: dict[tuple[str, int, int], int] = {}

    # --- events --------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take over one event; the first element is the name of a method."""
        getattr(self, "on_" + event[0])(*event[1:])

    def on_publish(
        self, publisher: int, position: int, keys: Sequence[int], targets: Sequence[str], stored: bool
    ) -> None:
        """Messages that are about to be sent; the positions of the operations go up by one each."""
        flag = STORED if stored else 0
        for target in targets:
            entries = self.queues[target]
            for key in keys:
                entries[key] = flag
        self.counts["published"] += len(keys)
        operations = self._publisher(publisher).operations
        kind = "publish" if stored else "transient"
        for place, key in enumerate(keys):
            operations.append(Operation(position + place, kind, targets, (key,)))

    def on_confirm(self, publisher: int, position: int, stored: bool, count: int) -> None:
        """Everything published up to this position is confirmed; `stored`: the last one goes to disk."""
        self.counts["confirmed"] += count
        one = self._publisher(publisher)
        one.processed = max(one.processed, position)
        if stored:
            operations = one.operations
            while operations and operations[0].position <= position:
                self._prove(one, operations.popleft())

    def on_answer(self, publisher: int, position: int) -> None:
        """The broker has processed everything up to this position; nothing is said about the disk."""
        one = self._publisher(publisher)
        one.processed = max(one.processed, position)

    def on_consume(self, identity: str, prefetch: int) -> None:
        self.credit[identity] = self.credit.get(identity, 0) + prefetch

    def on_deliver(self, publisher: int, position: int, identity: str, key: int, redelivered: bool) -> None:
        """A message has come while the broker runs."""
        self.counts["delivered"] += 1
        entries = self.queues.get(identity, {})
        flags = entries.get(key)
        if flags is None:
            self.errors.append(f"{named(key)} was delivered from {identity} and never published there")
            return
        if flags & SETTLED:
            text = f"{named(key)} was delivered from {identity} after it was settled"
            self._settled_before.append((text, self._settler(identity, key)))
        if not redelivered:
            if flags & (THIS_LIFE | DELIVERED_PROVEN):
                self.errors.append(f"{named(key)} came from {identity} again, not marked redelivered")
            line = identity, publisher, key >> NUMBER_BITS
            if self._fresh.get(line, -1) >= key:
                self.errors.append(
                    f"{named(key)} came from {identity} after {named(self._fresh[line])}, out of order"
                )
            self._fresh[line] = key
        entries[key] = flags | DELIVERED | THIS_LIFE
        self._publisher(publisher).operations.append(Operation(position, "deliver", identity, (key,)))

    def on_settle(self, publisher: int, position: int, identity: str, keys: Sequence[int]) -> None:
        """Messages are acknowledged or rejected for good."""
        self.counts["settled"] += len(keys)
        entries = self.queues[identity]
        for key in keys:
            entries[key] |= SETTLED
        self._publisher(publisher).operations.append(Operation(position, "settle", identity, keys))

    def _settler(self, identity: str, key: int) -> tuple[int, int] | None:
        """Who has settled a message, and at which position, if that is not proven."""
        for number, publisher in self.publishers.items():
            for operation in publisher.operations:
                if operation.kind == "settle" and operation.subject == identity and key in operation.keys:
                    return number, operation.position
        return None

    def on_close(self, publisher: int) -> None:
        """The broker has closed the connection: what it had not processed by then it never has."""
        self._closed.add(publisher)

    def on_define(self, publisher: int, position: int, after: Definitions) -> None:
        """A queue, exchange or binding of the publisher's own is being made or removed."""
        self.counts["defined"] += 1
        for identity, _ in after.queues.values():
            self.queues.setdefault(identity, {})
        self._publisher(publisher).operations.append(Operation(position, "define", after, ()))

    def _publisher(self, publisher: int) -> Publisher:
        found = self.publishers.get(publisher)
        if found is None:
            found = self.publishers[publisher] = Publisher()
        return found

    def _prove(self, publisher: Publisher, operation: Operation) -> None:
        """An operation is known to be durable."""
        if operation.kind == "define":
            publisher.proven = operation.subject
        elif operation.kind == "publish":
            for identity in operation.subject:
                entries = self.queues[identity]
                for key in operation.keys:
                    entries[key] |= CONFIRMED
        elif operation.kind in ("settle", "deliver"):
            entries = self.queues.get(operation.subject, {})
            flag = SETTLED_PROVEN if operation.kind == "settle" else DELIVERED_PROVEN
            for key in operation.keys:
                entries[key] |= flag

    def on_processed(self) -> None:
        """The broker was stopped in an orderly way: whatever it has processed is durable."""
        for publisher in self.publishers.values():
            operations = publisher.operations
            while operations and operations[0].position <= publisher.processed:
                self._prove(publisher, operations.popleft())
            # What was received was handed out before, wherever the client stood in its own sending.
            for operation in operations:
                if operation.kind == "deliver":
                    self._prove(publisher, operation)

    # --- after a restart -----------------------------------------------------------------------------

    def check(self, state: State) -> list[str]:
        """Everything that is wrong with what was found."""
        errors = list(self.errors)
        for text, settler in self._settled_before:
            if settler is None or not self._is_cut_off(*settler):
                errors.append(text)
        for name in self.fixed:
            if name in state.queues:
                errors += self._queue_errors(name, state.queues[name])
            else:
                errors.append(f"the queue {name} is gone")
        known = set(self.fixed)
        for number, publisher in self.publishers.items():
            errors += self._explained(number, publisher, state)[1]
            known |= _own(number, state)
        return errors + [f"the queue {name} should not be there" for name in state.queues.keys() - known]

    def _is_cut_off(self, number: int, position: int) -> bool:
        """Whether the broker may have closed a connection before it came to this position."""
        return number in self._closed and position > self.publishers[number].processed

    def _explained(self, number: int, publisher: Publisher, state: State) -> tuple[Definitions, list[str]]:
        """The definitions that explain best what was found of a publisher, and what they leave open."""
        candidates = [publisher.proven]
        candidates += [each.subject for each in publisher.operations if each.kind == "define"]
        names, exchange = _own(number, state), exchange_of(number) in state.exchanges
        fixed = {name: {found.key for found in state.queues.get(name, ())} for name in self.fixed}
        best: tuple[Definitions, list[str]] | None = None
        for candidate in candidates:
            bound = {name for name, (_, is_bound) in candidate.queues.items() if is_bound}
            seen = names & state.bound
            if (candidate.exchange, candidate.queues.keys(), bound) != (exchange, names, seen):
                continue
            wrong = []
            there = dict(fixed)
            for name, (identity, _) in candidate.queues.items():
                wrong += self._queue_errors(identity, state.queues[name])
                there[identity] = {found.key for found in state.queues[name]}
            wrong += self._prefix_errors(number, there)
            if best is None or len(wrong) < len(best[1]):
                best = candidate, wrong
        if best is None:
            text = f"exchange={exchange} queues={sorted(names)} bound={sorted(names & state.bound)}"
            return candidates[0], [
                f"of publisher {number} was found {text}, and proven was {publisher.proven}, later "
                f"{candidates[1:]}"
            ]
        return best

    def _queue_errors(self, identity: str, found: list[Found]) -> list[str]:
        errors = []
        entries = self.queues.get(identity, {})
        last: dict[int, int] = {}
        levels = [self._level(identity, each.key) for each in found]
        if levels != sorted(levels, reverse=True):
            errors.append(f"{identity} is not in the order of priorities")
        for key, redelivered in found:
            flags = entries.get(key)
            publisher = key >> NUMBER_BITS
            problem = ""
            if flags is None:
                problem = "was never published there"
            elif not flags & STORED:
                problem = "was transient"
            elif flags & SETTLED_PROVEN:
                problem = "was settled for good"
            elif last.get(publisher, -1) == key:
                problem = "is there twice"
            elif last.get(publisher, -1) > key:
                problem = f"stands behind {named(last[publisher])}"
            elif flags & DELIVERED_PROVEN and not redelivered:
                problem = "was delivered and is not marked so"
            if problem:
                errors.append(f"{named(key)} in {identity} {problem}")
            last[publisher] = max(key, last.get(publisher, -1))
        errors += self._lost(identity, entries, found)
        for level in set(levels):
            part = [each for at, each in zip(levels, found, strict=True) if at == level]
            errors += self._flag_errors(identity, entries, part)
        return errors

    def _level(self, identity: str, key: int) -> int:
        """The priority that a message has in a queue."""
        return min(priority_of(key >> NUMBER_BITS), PRIORITY_MAX) if identity in self.rated else 0

    def _flag_errors(self, identity: str, entries: Mapping[int, int], found: list[Found]) -> list[str]:
        """Messages of one priority that are marked, and that were never within reach of a consumer."""
        received = -1
        for place, (key, _) in enumerate(found):
            if entries.get(key, 0) & DELIVERED:
                received = place
        return [
            f"{named(key)} in {identity} is marked redelivered and cannot have been"
            for key, redelivered in found[received + 1 + self.credit.get(identity, 0) :]
            if redelivered
        ]

    def _lost(self, identity: str, entries: dict[int, int], found: list[Found]) -> list[str]:
        there = {each.key for each in found}
        wanted = STORED | CONFIRMED
        return [
            f"{named(key)} in {identity} was confirmed and is gone"
            for key, flags in entries.items()
            if flags & (wanted | SETTLED) == wanted and key not in there
        ]

    def _prefix_errors(self, number: int, found: Mapping[str, set[int]]) -> list[str]:
        """An unconfirmed message that is there brings all before it, in all of their queues."""
        sent = [each for each in self.publishers[number].operations if each.kind == "publish"]
        top = -1
        for operation in sent:
            (key,) = operation.keys
            if any(key in found.get(identity, ()) for identity in operation.subject):
                top = operation.position
        errors = []
        for operation in sent:
            if operation.position > top:
                break
            (key,) = operation.keys
            for identity in operation.subject:
                there = found.get(identity)
                if there is not None and key not in there and not self.queues[identity][key] & SETTLED:
                    errors.append(
                        f"{named(key)} is missing in {identity}, and something sent after it is there"
                    )
        return errors

    def on_adopt(self, state: State) -> None:
        """Go on from what was found; it is all durable, and all of it has been delivered."""
        chosen = {
            number: self._explained(number, publisher, state)[0]
            for number, publisher in self.publishers.items()
        }
        names = {name: name for name in self.fixed}
        for definitions in chosen.values():
            names |= {name: identity for name, (identity, _) in definitions.queues.items()}
        flags = STORED | CONFIRMED | DELIVERED | DELIVERED_PROVEN
        self.names = names
        self.queues = {
            identity: {found.key: flags for found in state.queues.get(name, ())}
            for name, identity in names.items()
        }
        for number, publisher in self.publishers.items():
            publisher.operations.clear()
            publisher.processed = -1
            publisher.proven = chosen[number]
        self.credit.clear()
        self._fresh.clear()
        self.errors.clear()
