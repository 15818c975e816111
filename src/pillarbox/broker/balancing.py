"""Exchange kinds that share messages out: each message goes to one of the bindings (R29, R30).

`ConsistentHash` and `ModulusHash` choose by a hash, so equal keys stay together; `RandomChoice` by chance;
`TakingTurns` goes from one to the next.
Hashes depend on names and values alone: they are the same after a restart, on every machine and whatever
the order in which things were bound. They are not RabbitMQ's: a given key may lead to another queue there.

Source: RabbitMQ's plugins rabbitmq_consistent_hash_exchange, rabbitmq_sharding and rabbitmq_random_exchange
3.10, `x-local-random` of RabbitMQ 4.0; Artemis, "Address Model", for `x-anycast`. The weighted choice is
highest random weight hashing (Thaler and Ravishankar 1998; weights as in Efraimidis and Spirakis 2006).
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable, Iterable
from hashlib import blake2b
from math import log

from pillarbox.broker.arguments import spelled, type_name, value_class
from pillarbox.broker.index import ANY_MESSAGE, Arguments, Destination, Envelope, Keys, Random
from pillarbox.errors import BrokerError, Reason

HASH_HEADER = "hash-header"
HASH_PROPERTY = "hash-property"
HASH_PROPERTIES = ("correlation_id", "message_id", "timestamp")

RANDOM_BYTES = 4
"""Per choice: with fewer than a million bindings none is preferred by as much as a thousandth."""

_WEIGHT = re.compile(r"[+-]?[0-9]+")
_MASK = (1 << 64) - 1
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # The multipliers of SplitMix64.
_UNIT = 2.0**-53


def hash64(value: str) -> int:
    """64 bits that depend on this string alone."""
    return int.from_bytes(blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


# --- consistent hash ------------------------------------------------------------------------------------


def hashes_more_than_keys(arguments: Arguments) -> bool:
    """Does an exchange with these arguments look at the message, so that its routes cannot be kept?"""
    return HASH_HEADER in arguments or HASH_PROPERTY in arguments


def check_hash_arguments(name: str, vhost: str, arguments: Arguments) -> None:
    """Refuse what a consistent hash exchange cannot hash by."""
    for argument in (HASH_HEADER, HASH_PROPERTY):
        value = arguments.get(argument, "")
        if not isinstance(value, str):
            where = f"exchange '{name}' in vhost '{vhost}'"
            text = f"invalid type '{type_name(value)}' for arg '{argument}' in {where}"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if HASH_HEADER in arguments and HASH_PROPERTY in arguments:
        text = f"{HASH_HEADER} and {HASH_PROPERTY} are mutually exclusive"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    wanted = arguments.get(HASH_PROPERTY, HASH_PROPERTIES[0])
    if wanted not in HASH_PROPERTIES:
        raise BrokerError(Reason.PRECONDITION_FAILED, f"Unsupported property: {wanted}")


def check_weight(key: str, arguments: Arguments, destination: Destination, to_exchange: bool) -> None:
    """Refuse a binding key that is no weight."""
    if _WEIGHT.fullmatch(key) is None:
        text = f"The binding key must be an integer: {spelled(key)}"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if int(key) < 1:
        raise BrokerError(Reason.PRECONDITION_FAILED, "The binding key must be greater than 0")


class _Share:
    """One destination of a consistent hash, and the weights with which it is bound."""

    __slots__ = ("destination", "seed", "weights")

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        # A queue and an exchange may have one name.
        self.seed = hash64(f"{type(destination).__name__} {destination.name}")
        self.weights: list[int] = []


class ConsistentHash:
    """Equal values go to one destination; destinations get shares in proportion to their weights.

    When a destination comes or goes, only the values that it gets or had change their place. The binding
    key is the weight; bound several times, a destination has the weight of its oldest binding.
    Cost of a look-up: O(destinations), some microseconds for ten.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._value = _value_to_hash(arguments)
        self._shares: dict[Destination, _Share] = {}

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        share = self._shares.get(destination)
        if share is None:
            share = self._shares[destination] = _Share(destination)
        share.weights.append(int(key))

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        weights = self._shares[destination].weights
        weights.remove(int(key))
        if not weights:
            del self._shares[destination]

    def match(self, keys: Keys, envelope: Envelope) -> Iterable[Destination]:
        value = hash64(self._value(keys, envelope))
        best: Destination | None = None
        score_best = -float("inf")
        for share in self._shares.values():
            mixed = ((value ^ share.seed) * _MIX_1) & _MASK
            mixed = ((mixed ^ mixed >> 32) * _MIX_2) & _MASK
            # The logarithm of a number in (0, 1]: the greater the weight, the nearer to 0.
            score = log(((mixed >> 11) + 1) * _UNIT) / share.weights[0]
            if score > score_best:
                best, score_best = share.destination, score
        return () if best is None else (best,)


def _value_to_hash(arguments: Arguments) -> Callable[[Keys, Envelope], str]:
    """What of a message is hashed; that which lacks it has one value, and so goes to one destination."""
    if HASH_HEADER in arguments:
        header = arguments[HASH_HEADER]
        return lambda keys, envelope: _text(envelope.headers.get(header))
    if HASH_PROPERTY in arguments:
        name = arguments[HASH_PROPERTY]
        return lambda keys, envelope: _text(envelope.read_property(name))
    return lambda keys, envelope: keys[0]


def _text(value: object) -> str:
    """A text that is equal for values that compare as equal (T9), and for hardly any others."""
    if isinstance(value, str):
        return value
    # Of a head's typed number the number counts.
    plain = value + 0 if isinstance(value, int | float) and not isinstance(value, bool) else value
    return f"{value_class(value).__name__} {plain!r}"


# --- modulus hash ---------------------------------------------------------------------------------------


class ModulusHash:
    """The n-th binding, where n is a hash of the keys modulo the number of bindings.

    Bindings stand in the order of their keys and destinations' names.
    """

    def __init__(self) -> None:
        self._bindings: list[tuple[str, str, Destination]] = []

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        insort(self._bindings, (key, destination.name, destination), key=lambda binding: binding[:2])

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._bindings.remove((key, destination.name, destination))

    def match(self, keys: Keys, envelope: Envelope) -> Iterable[Destination]:
        bindings = self._bindings
        return (bindings[hash64("\0".join(keys)) % len(bindings)][2],) if bindings else ()


# --- by chance ------------------------------------------------------------------------------------------


class RandomChoice:
    """Any of the bindings, each as likely as the others; its key means nothing."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._destinations: list[Destination] = []

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._destinations.append(destination)

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._destinations.remove(destination)

    def match(self, keys: Keys, envelope: Envelope) -> Iterable[Destination]:
        destinations = self._destinations
        if len(destinations) < 2:
            return tuple(destinations)
        return (destinations[int.from_bytes(self._random(RANDOM_BYTES), "big") % len(destinations)],)


def check_local_binding(key: str, arguments: Arguments, destination: Destination, to_exchange: bool) -> None:
    """Refuse what RabbitMQ's x-local-random refuses: it leads to classic queues, without a key."""
    if key:
        text = f"Non empty binding '{key}' key not permitted"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if to_exchange:
        raise BrokerError(Reason.PRECONDITION_FAILED, "Destination not found")
    kind = destination.arguments.get("x-queue-type", "classic")
    if kind != "classic":
        text = f"Queue type rabbit_{kind}_queue not valid for this exchange type"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)


# --- in turn --------------------------------------------------------------------------------------------


class TakingTurns:
    """One of the bindings with the message's key, in turn: those come first that somebody reads who takes it.

    Whoever has waited longest is next.
    Cost of a look-up: O(bindings with the key and their consumers).
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[Destination]] = {}

    def add(self, key: str, arguments: Arguments, destination: Destination) -> None:
        self._lines.setdefault(key, []).append(destination)

    def remove(self, key: str, arguments: Arguments, destination: Destination) -> None:
        line = self._lines[key]
        line.remove(destination)
        if not line:
            del self._lines[key]

    def match(self, keys: Keys, envelope: Envelope) -> Iterable[Destination]:
        for key in keys:
            line = self._lines.get(key, [])
            if envelope is ANY_MESSAGE or len(line) < 2:
                yield from line
            else:
                chosen = next((one for one in line if one.wants(envelope)), line[0])
                line.remove(chosen)
                line.append(chosen)
                yield chosen
