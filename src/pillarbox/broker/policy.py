"""Policies: settings that operators give to queues and exchanges by the pattern of their names (R95, R96).

Of the policies of a virtual host that fit a name, the one with the highest priority counts, alone; so does
one of the operator policies, which bounds what users may ask for. `effective` merges both with the arguments
of a declaration into one mapping of the same shape, from which everything else reads its settings: so
whoever understands an argument understands its policy key.

Not here: who may set policies, how a change reaches what exists (`vhost`), what a setting means.

Source: RabbitMQ, "Policies"; texts and merge rules asked from 3.10.8 over its management API. Invariant: a
policy in the store is valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from pillarbox.broker.arguments import MILLISECONDS_MAX, MULTIPLIER_MAX, OVERFLOWS, RETRY_TYPES, spelled
from pillarbox.broker.retry import retry_problem
from pillarbox.errors import BrokerError, Reason
from pillarbox.patterns import checked

Definition = Mapping[str, Any]

APPLY_TO = {
    "all": frozenset({"classic", "quorum", "stream", "exchange"}),
    "queues": frozenset({"classic", "quorum", "stream"}),
    "classic_queues": frozenset({"classic"}),
    "quorum_queues": frozenset({"quorum"}),
    "streams": frozenset({"stream"}),
    "exchanges": frozenset({"exchange"}),
}
"""What a policy is for → the kinds of things that it fits: types of queues, and exchanges."""


class Policy(msgspec.Struct, frozen=True):
    """One policy or operator policy. Its definition maps keys of `KEYS` to values."""

    vhost: str
    name: str
    pattern: str
    definition: dict[str, Any]
    priority: int = 0
    apply_to: str = "all"

    def described(self) -> dict[str, Any]:
        """It, as operators say and see it."""
        return {
            "name": self.name,
            "pattern": self.pattern,
            "apply-to": self.apply_to,
            "definition": dict(self.definition),
            "priority": self.priority,
        }


def policy_of(vhost: str, name: str, value: Mapping[str, Any]) -> Policy:
    """The policy of this name that operators describe so. Raises KeyError for what has to be said."""
    return Policy(
        vhost,
        name,
        value["pattern"],
        value["definition"],
        value.get("priority", 0),
        value.get("apply-to", "all"),
    )


class Applied(NamedTuple):
    """The policies that count for one queue or exchange."""

    policy: Policy | None = None
    operator: Policy | None = None


NOTHING_APPLIED = Applied()


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _milliseconds(value: Any) -> bool:
    return _count(value) and value <= MILLISECONDS_MAX


def _some_milliseconds(value: Any) -> bool:
    return _milliseconds(value) and value > 0


def _some(value: Any) -> bool:
    return _count(value) and value > 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _age(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]+[YMDhms]", value) is not None


def _factor(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= MULTIPLIER_MAX


def _anything(value: Any) -> bool:
    return True


def _one_of(*words: Any) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, bool) and value in words


class Key(NamedTuple):
    """What a key of a definition sets."""

    argument: str | None
    """The argument that says the same in a declaration; None: the key is accepted and has no effect."""
    valid: Callable[[Any], bool]
    noun: str
    """What a wrong value is not, in RabbitMQ's words."""
    least: bool = False
    """The smaller of several values counts. Otherwise an argument goes before a policy, and an operator
    policy before a policy."""
    operator: bool = False
    """Operator policies have it."""
    greatest: bool = False
    """Of a policy and an operator policy the larger value counts, whatever `least` says of arguments."""
    over: bool = False
    """A policy goes before an argument."""


_STRATEGY = _one_of("at-most-once", "at-least-once")
_OVERFLOW = _one_of(*OVERFLOWS)
_RETRY = "delayed retry {} delay. Must be a positive integer"
_RETRY_TYPE = f"delayed retry type. Must be one of: {', '.join(RETRY_TYPES)}"
_LEADER = _one_of("client-local", "balanced")
_MASTER = _one_of("client-local", "min-masters", "random")

# fmt: off
KEYS: dict[str, Key] = {
    "alternate-exchange": Key("alternate-exchange", _text, "alternate exchange name"),
    "consumer-timeout": Key("x-consumer-timeout", _count, "consumer timeout", least=True),
    "dead-letter-dropped": Key("x-dead-letter-dropped", _truth, "truth value", over=True),
    "dead-letter-exchange": Key("x-dead-letter-exchange", _text, "dead letter exchange name"),
    "dead-letter-expired": Key("x-dead-letter-expired", _truth, "truth value", over=True),
    "dead-letter-routing-key": Key("x-dead-letter-routing-key", _text, "dead letter routing key"),
    "dead-letter-strategy": Key("x-dead-letter-strategy", _STRATEGY, "dead letter strategy"),
    "dead-letter-transient": Key("x-dead-letter-transient", _truth, "truth value", over=True),
    "delayed-retry-max": Key("x-delayed-retry-max", _some_milliseconds, _RETRY.format("maximum"), True, True),
    "delayed-retry-min": Key(
        "x-delayed-retry-min", _some_milliseconds, _RETRY.format("minimum"), True, True, greatest=True
    ),
    "delayed-retry-type": Key(
        "x-delayed-retry-type", _one_of(*RETRY_TYPES), _RETRY_TYPE, operator=True, over=True
    ),
    "delivery-limit": Key("x-delivery-limit", _count, "delivery limit", least=True, operator=True),
    "expires": Key("x-expires", _some_milliseconds, "queue expiry", least=True, operator=True),
    "ha-mode": Key(None, _anything, ""),
    "ha-params": Key(None, _anything, ""),
    "ha-promote-on-failure": Key(None, _anything, ""),
    "ha-promote-on-shutdown": Key(None, _anything, ""),
    "ha-sync-batch-size": Key(None, _anything, ""),
    "ha-sync-mode": Key(None, _anything, ""),
    "last-value-key": Key("x-last-value-key", _text, "header name"),
    "max-age": Key("x-max-age", _age, "max age"),
    "max-in-memory-bytes": Key(None, _count, "maximum memory in bytes", least=True, operator=True),
    "max-in-memory-length": Key(None, _count, "maximum memory in bytes", least=True, operator=True),
    "max-length": Key("x-max-length", _count, "maximum length", least=True, operator=True),
    "max-length-bytes": Key("x-max-length-bytes", _count, "maximum length in bytes", True, True),
    "message-ttl": Key("x-message-ttl", _milliseconds, "message TTL", least=True, operator=True),
    "non-destructive": Key("x-non-destructive", _truth, "truth value"),
    "overflow": Key("x-overflow", _OVERFLOW, "overflow value", operator=True),
    "overflow-property": Key("x-overflow-property", _text, "overflow property"),
    "queue-leader-locator": Key(None, _LEADER, "queue leader locator value"),
    "queue-master-locator": Key(None, _MASTER, "queue-master-locator value"),
    "queue-mode": Key(None, _one_of("default", "lazy"), "queue-mode value"),
    "queue-version": Key(None, _one_of(1, 2), "queue-version value"),
    "redelivery-delay": Key("x-redelivery-delay", _milliseconds, "redelivery delay"),
    "redelivery-delay-max": Key("x-redelivery-delay-max", _milliseconds, "maximum redelivery delay"),
    "redelivery-max": Key("x-redelivery-max", _count, "maximum of redeliveries"),
    "redelivery-multiplier": Key("x-redelivery-multiplier", _factor, "redelivery multiplier"),
    "stream-filter-size-bytes": Key("x-stream-filter-size-bytes", _some, "stream filter size"),
    "stream-max-segment-size-bytes": Key("x-stream-max-segment-size-bytes", _some, "max segment size"),
}
# fmt: on


def check_policy(policy: Policy, *, operator: bool) -> None:
    """Raise BrokerError(PRECONDITION_FAILED) for the first thing that is wrong with a policy."""
    problem = _problem(policy, operator)
    if problem is not None:
        raise BrokerError(Reason.PRECONDITION_FAILED, f"Validation failed\n\n{problem}\n")


def _problem(policy: Policy, operator: bool) -> str | None:
    if not isinstance(policy.pattern, str):
        return f"pattern should be a binary but was {spelled(policy.pattern)}"
    try:
        checked(policy.pattern)
    except re.error as error:
        return f'pattern should be regular expression but is invalid: {{"{error.msg}",{error.pos or 0}}}'
    if not isinstance(policy.priority, int) or isinstance(policy.priority, bool):
        return f"priority should be a number, actually was {spelled(policy.priority)}"
    if policy.apply_to not in APPLY_TO:
        return f"apply-to '{policy.apply_to}' unrecognised; should be one of {', '.join(APPLY_TO)}"
    if not isinstance(policy.definition, dict) or not policy.definition:
        return "no policy provided"
    unknown = [
        f'{{<<"{key}">>,{spelled(value)}}}'
        for key, value in sorted(policy.definition.items())
        if key not in KEYS or (operator and not KEYS[key].operator)
    ]
    if unknown:
        return f"[{','.join(unknown)}] are not recognised policy settings"
    for key, value in policy.definition.items():
        if not KEYS[key].valid(value):
            return f"{spelled(value)} is not a valid {KEYS[key].noun}"
    return retry_problem(policy.definition)


class Policies:
    """The policies, or the operator policies, of one virtual host."""

    def __init__(self) -> None:
        self._by_name: dict[str, Policy] = {}
        self._ranked: list[tuple[frozenset[str], re.Pattern[str], Policy]] = []

    def __repr__(self) -> str:
        return f"<Policies {', '.join(self._by_name)}>"

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Policy | None:
        return self._by_name.get(name)

    def put(self, policy: Policy) -> None:
        """Add a policy, which is valid, or replace the one of its name."""
        self._by_name[policy.name] = policy
        self._rank()

    def remove(self, name: str) -> Policy | None:
        """Remove a policy and return it; None if there was none."""
        removed = self._by_name.pop(name, None)
        self._rank()
        return removed

    def _rank(self) -> None:
        # Among equals the one that was there first counts; RabbitMQ promises nothing.
        ranked = sorted(self._by_name.values(), key=lambda policy: -policy.priority)
        self._ranked = [(APPLY_TO[each.apply_to], re.compile(each.pattern), each) for each in ranked]

    def match(self, kind: str, name: str) -> Policy | None:
        """The policy that counts for a thing of this kind (see `APPLY_TO`) and name."""
        for kinds, pattern, policy in self._ranked:
            if kind in kinds and pattern.search(name) is not None:
                return policy
        return None


def merged(applied: Applied) -> dict[str, Any]:
    """The definition that a policy and an operator policy make together."""
    definition = dict(applied.policy.definition) if applied.policy is not None else {}
    if applied.operator is not None:
        for key, value in applied.operator.definition.items():
            if key in definition and KEYS[key].greatest:
                definition[key] = max(definition[key], value)
            elif key in definition and KEYS[key].least:
                definition[key] = min(definition[key], value)
            else:
                definition[key] = value
    return definition


def effective(arguments: Mapping[str, Any], applied: Applied) -> Mapping[str, Any]:
    """What counts for a queue or an exchange that was declared with these arguments, named like them."""
    if applied == NOTHING_APPLIED:
        return arguments
    settings = dict(arguments)
    for key, value in merged(applied).items():
        argument = KEYS[key].argument
        if argument is None:
            continue
        own = settings.get(argument)
        if own is None or KEYS[key].over:
            settings[argument] = value
        elif KEYS[key].least and isinstance(own, int):
            settings[argument] = min(own, value)
    return settings
