"""The exchange kinds of the specification, and the table of all kinds.

To add a kind: one class and one row in `KINDS`. Not here: the kinds that share messages out (`balancing`)
and the one that remembers them (`history`).

Source: AMQP 0-9-1 specification, 3.1.3 (exchange types); RabbitMQ's `any-with-x` and `all-with-x`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from pillarbox.broker import balancing, history
from pillarbox.broker.arguments import spelled, type_name, value_class
from pillarbox.broker.index import Arguments, Destination, Envelope, Keys, Kind, always
from pillarbox.broker.lean import NO_DICT, NO_LIST, with_one, without
from pillarbox.errors import BrokerError, Reason

MULTI_WORD = "#"
ONE_WORD = "*"
DELAYED, DELAYED_TYPE = "x-delayed-message", "x-delayed-type"


class DirectIndex:
    """Destinations whose binding key equals the routing key."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[Destination]] = {}

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._by_key.setdefault(key, []).append(destination)

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        destinations = self._by_key[key]
        destinations.remove(destination)
        if not destinations:
            del self._by_key[key]

    def match(self, keys: Keys, envelope: Envelope) -> Iterable[Destination]:
        if len(keys) == 1:
            return self._by_key.get(keys[0], ())
        return [destination for key in keys for destination in self._by_key.get(key, ())]


class FanoutIndex:
    """Every destination, whatever the key. Counted, because one destination may be bound with many keys."""

    def __init__(self) -> None:
        self._counts: dict[Destination, int] = {}

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._counts[destination] = self._counts.get(destination, 0) + 1

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._counts[destination] -= 1
        if not self._counts[destination]:
            del self._counts[destination]

    def match(self, keys: Keys, envelope: Envelope) -> Iterable[Destination]:
        return self._counts


def _words(key: str) -> list[str]:
    """The words of a key; an empty key has none."""
    return key.split(".") if key else []


class _TopicNode:
    """One word of the binding keys: the words that may follow, and who is bound when nothing follows."""

    __slots__ = ("children", "destinations", "multi")

    def __init__(self, *, multi: bool = False) -> None:
        self.children: dict[str, _TopicNode] = NO_DICT
        self.destinations: Collection[Destination] = NO_LIST
        self.multi = multi
        """The word is `#`: it may take any number of the key's words."""


class TopicIndex:
    """Binding keys of words between dots, where `*` stands for one word and `#` for any number."""

    def __init__(self) -> None:
        self._root = _TopicNode()

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        node = self._root
        for word in _words(key):
            child = node.children.get(word)
            if child is None:
                child = _TopicNode(multi=word == MULTI_WORD)
                if node.children is NO_DICT:
                    node.children = {}
                node.children[word] = child
            node = child
        node.destinations = with_one(node.destinations, destination)

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        words = _words(key)
        path = [self._root]
        for word in words:
            path.append(path[-1].children[word])
        path[-1].destinations = without(path[-1].destinations, destination)
        for word, parent, node in zip(reversed(words), reversed(path[:-1]), reversed(path[1:]), strict=True):
            if node.children or node.destinations:
                break
            del parent.children[word]

    def match(self, keys: Keys, envelope: Envelope) -> Iterator[Destination]:
        for key in keys:
            yield from self._match(key)

    def _match(self, key: str) -> Iterator[Destination]:
        """Walk the tree with the set of (node, words consumed) still to visit.

        Each pair is visited once and leads to a few others, so keys such as `#.#.#` cost words times nodes,
        not an exponent of them.
        """
        words = _words(key)
        pending = [(self._root, 0)]
        seen: set[tuple[int, int]] = set()
        while pending:
            node, position = pending.pop()
            if (id(node), position) in seen:
                continue
            seen.add((id(node), position))
            if position == len(words):
                yield from node.destinations
            else:
                for word in (words[position], ONE_WORD):
                    child = node.children.get(word)
                    if child is not None:
                        pending.append((child, position + 1))
                if node.multi:
                    pending.append((node, position + 1))
            rest = node.children.get(MULTI_WORD)
            if rest is not None:
                pending.append((rest, position))


def _all_match(wanted: Arguments, headers: Arguments) -> bool:
    return all(name in headers and _header_equal(value, headers[name]) for name, value in wanted.items())


def _any_match(wanted: Arguments, headers: Arguments) -> bool:
    return any(name in headers and _header_equal(value, headers[name]) for name, value in wanted.items())


def _header_equal(wanted: Any, value: Any) -> bool:
    """A binding value of void asks only for the presence of the header."""
    return wanted is None or (value_class(wanted) is value_class(value) and bool(wanted == value))


# x-match → (test, whether headers that begin with `x-` take part).
MATCH_MODES: dict[str, tuple[Callable[[Arguments, Arguments], bool], bool]] = {
    "all": (_all_match, False),
    "any": (_any_match, False),
    "all-with-x": (_all_match, True),
    "any-with-x": (_any_match, True),
}


class HeadersIndex:
    """Destinations whose binding arguments match the message's headers, by `x-match`."""

    def __init__(self) -> None:
        self._bindings: list[tuple[str, Arguments, Destination]] = []

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._bindings.append((key, arguments, destination))

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        # By identity, because tables that are equal in Python may be different bindings: 1 == True.
        for position, (_, own, bound) in enumerate(self._bindings):
            if own is arguments and bound is destination:
                del self._bindings[position]
                return
        raise AssertionError((key, arguments, destination))

    def match(self, keys: Keys, envelope: Envelope) -> Iterator[Destination]:
        headers = envelope.headers
        for _, arguments, destination in self._bindings:
            test, with_x = MATCH_MODES[arguments.get("x-match", "all")]
            wanted = {
                name: value
                for name, value in arguments.items()
                if name != "x-match" and (with_x or not name.startswith("x-"))
            }
            if test(wanted, headers):
                yield destination


def check_match_mode(key: str, arguments: Arguments, destination: Destination, to_exchange: bool) -> None:
    """Refuse a binding to a headers exchange whose `x-match` is none of `MATCH_MODES`."""
    mode = arguments.get("x-match", "all")
    expected = "all, any, all-with-x, or any-with-x"
    if not isinstance(mode, str):
        text = f"Invalid x-match field type {type_name(mode)} (value {spelled(mode)}); expected longstr"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if mode not in MATCH_MODES:
        text = f"Invalid x-match field value {spelled(mode)}; expected {expected}"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)


def check_delayed_type(name: str, vhost: str, arguments: Arguments) -> None:
    """Refuse a delayed exchange (R28) that does not say as what other kind it routes."""
    inner = arguments.get(DELAYED_TYPE)
    if not isinstance(inner, str):
        text = f"Invalid argument, '{DELAYED_TYPE}' must be an existing exchange type"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if inner not in KINDS or inner == DELAYED:
        raise BrokerError(Reason.PRECONDITION_FAILED, f"unknown exchange type '{inner}'")
    KINDS[inner].check(name, vhost, arguments)


KINDS: dict[str, Kind] = {
    "direct": Kind(lambda arguments, random: DirectIndex()),
    "fanout": Kind(lambda arguments, random: FanoutIndex()),
    "topic": Kind(lambda arguments, random: TopicIndex()),
    "headers": Kind(
        lambda arguments, random: HeadersIndex(), per_message=always, check_binding=check_match_mode
    ),
    "x-consistent-hash": Kind(
        lambda arguments, random: balancing.ConsistentHash(arguments),
        per_message=balancing.hashes_more_than_keys,
        check=balancing.check_hash_arguments,
        check_binding=balancing.check_weight,
    ),
    "x-modulus-hash": Kind(lambda arguments, random: balancing.ModulusHash()),
    "x-random": Kind(lambda arguments, random: balancing.RandomChoice(random), per_message=always),
    "x-local-random": Kind(
        lambda arguments, random: balancing.RandomChoice(random),
        per_message=always,
        check_binding=balancing.check_local_binding,
    ),
    "x-anycast": Kind(lambda arguments, random: balancing.TakingTurns(), per_message=always),
    "x-recent-history": Kind(
        lambda arguments, random: FanoutIndex(),
        per_message=always,
        check=history.check_length,
        remembers=history.length,
    ),
    DELAYED: Kind(lambda arguments, random: FanoutIndex(), check=check_delayed_type, delays=True),
}


def kind_of(kind: str, arguments: Arguments) -> Kind:
    """How an exchange of this kind, declared with these arguments, routes."""
    row = KINDS[kind]
    if not row.delays:
        return row
    return KINDS[arguments[DELAYED_TYPE]]._replace(per_message=always, delays=True)
