"""Arguments of queues and exchanges: which are known, what they must be, when two tables are equal.

Equality on redeclaration is by numeric class (T9): any two integers compare by value, whatever their
width was on the wire; so do floating point numbers; a missing `x-queue-type` equals `classic`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pillarbox.errors import BrokerError, Reason

MILLISECONDS_MAX = 315_360_000_000
"""Ten years of 365 days: RabbitMQ's limit for every time to live."""

EXCHANGE_ARGUMENTS = ("alternate-exchange",)
"""Arguments of exchanges that a redeclaration must repeat; others are kept and not compared."""

COMPARED_QUEUE_ARGUMENTS = (
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-queue-leader-locator",
    "x-quorum-initial-group-size",
    "x-initial-cluster-size",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
)
"""Arguments of queues that a redeclaration must repeat, in the order in which RabbitMQ looks at them."""

QUEUE_TYPES = ("classic", "quorum", "stream")
LEADER_LOCATORS = ("client-local", "balanced", "random", "least-leaders")
"""Where the replicas of a queue have their leader: on one node, nowhere else. The last two are old names."""
OVERFLOWS = (
    *("drop-head", "reject-publish", "reject-publish-dlx"),
    *("drop-lowest-priority", "drop-superseded"),
)
"""What gives way in a full queue (R47, A40); the last two are ours."""
RETRY_TYPES = ("all", "failed", "returned", "disabled")

DEFAULTS = {"x-queue-type": "classic"}
"""What a missing argument equals on redeclaration."""


def _integer(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return None
    return f'"expected integer, got {type_name(value)}"'


def _not_negative(value: Any) -> str | None:
    return _integer(value) or (f"{{value_negative,{value}}}" if value < 0 else None)


def milliseconds(value: Any) -> str | None:
    """What is wrong with a time to live; None if nothing is."""
    if (problem := _not_negative(value)) is not None:
        return problem
    return f"{{value_too_large,{value}}}" if value > MILLISECONDS_MAX else None


def _positive_milliseconds(value: Any) -> str | None:
    return milliseconds(value) or ("{value_zero,0}" if value == 0 else None)


def _positive(value: Any) -> str | None:
    return _not_negative(value) or ("{value_zero,0}" if value == 0 else None)


def _queue_type(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{{unacceptable_type,{type_name(value)}}}"
    return None if value in QUEUE_TYPES else f"\"unsupported queue type '{value}'\""


def _one_of(*names: str, fault: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"{{unacceptable_type,{type_name(value)}}}"
        return None if value in names else fault.format(value)

    return check


def _string(value: Any) -> str | None:
    return None if isinstance(value, str) else f"{{unacceptable_type,{type_name(value)}}}"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{type_name(value)}}}"


def _priority(value: Any) -> str | None:
    if (problem := _not_negative(value)) is not None:
        return problem
    return f"{{max_value_exceeded,{value}}}" if value > 255 else None


def _queue_version(value: Any) -> str | None:
    return _integer(value) or (None if value in (1, 2) else f"\"unsupported queue version '{value}'\"")


def _filter_size(value: Any) -> str | None:
    """A Bloom filter's bytes in each chunk (R82): taken and without effect, since filters here are exact."""
    return _integer(value) or (None if 16 <= value <= 255 else f"{{value_out_of_range,{value}}}")


def _age(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{{unacceptable_type,{type_name(value)}}}"
    return None if re.fullmatch(r"0*[1-9][0-9]*[YMDhms]", value) else "invalid_max_age"


def _multiplier(value: Any) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= MULTIPLIER_MAX:
        return None
    return "invalid_redelivery_multiplier"


MULTIPLIER_MAX = 1000
"""How much longer a redelivery takes each time, at most."""

# Argument → a function that says in words what is wrong with a value, or None.
QUEUE_ARGUMENTS: dict[str, Callable[[Any], str | None]] = {
    "x-queue-type": _queue_type,
    "x-message-ttl": milliseconds,
    "x-expires": _positive_milliseconds,
    "x-max-length": _not_negative,
    "x-max-length-bytes": _not_negative,
    "x-overflow": _one_of(*OVERFLOWS, fault="invalid_overflow"),
    "x-overflow-property": _string,
    "x-dead-letter-routing-key": _string,
    "x-dead-letter-transient": _boolean,
    "x-dead-letter-expired": _boolean,
    "x-dead-letter-dropped": _boolean,
    "x-dead-letter-once": _boolean,
    "x-max-priority": _priority,
    "x-single-active-consumer": _boolean,
    "x-message-groups": _boolean,
    "x-last-value-key": _string,
    "x-non-destructive": _boolean,
    "x-queue-mode": _one_of("lazy", "default", fault="\"unsupported queue mode '{}'\""),
    "x-queue-version": _queue_version,
    "x-dead-letter-strategy": _one_of("at-most-once", "at-least-once", fault="invalid_dlx_strategy"),
    "x-delayed-retry-type": _one_of(*RETRY_TYPES, fault="invalid_delayed_retry_type"),
    "x-delayed-retry-min": _positive_milliseconds,
    "x-delayed-retry-max": _positive_milliseconds,
    "x-redelivery-max": _not_negative,
    "x-redelivery-delay": _not_negative,
    "x-redelivery-delay-max": _not_negative,
    "x-redelivery-multiplier": _multiplier,
    "x-max-in-memory-length": _not_negative,
    "x-max-in-memory-bytes": _not_negative,
    "x-quorum-initial-group-size": _positive,
    "x-initial-cluster-size": _positive,
    "x-queue-leader-locator": _one_of(*LEADER_LOCATORS, fault="invalid_queue_locator_arg"),
    "x-max-age": _age,
    "x-stream-max-segment-size-bytes": _not_negative,
    "x-stream-filter-size-bytes": _filter_size,
}

# Arguments of one type of queue that others refuse (T10).
QUORUM_ONLY = (
    "x-delivery-limit",
    "x-quorum-initial-group-size",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-dead-letter-strategy",
)
STREAM_ONLY = (
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
)
CLASSIC_ONLY = ("x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator")
NOT_STREAM = (
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-single-active-consumer",
)
REFUSED = {
    "classic": (*QUORUM_ONLY, *STREAM_ONLY),
    "quorum": (*CLASSIC_ONLY, *STREAM_ONLY),
    "stream": (*QUORUM_ONLY, *CLASSIC_ONLY, *NOT_STREAM),
}


def check_queue_arguments(name: str, vhost: str, arguments: Mapping[str, Any]) -> None:
    """Raise BrokerError(PRECONDITION_FAILED) for the first argument whose value is unacceptable."""
    where = f"queue '{name}' in vhost '{vhost}'"
    kind = arguments.get("x-queue-type", "classic")
    for key in REFUSED.get(kind, ()) if isinstance(kind, str) else ():
        if key in arguments:
            text = f"invalid arg '{key}' for {where} of queue type rabbit_{kind}_queue"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
    for key, value in arguments.items():
        if key == "x-dead-letter-exchange" and not isinstance(value, str):
            text = f"invalid type '{type_name(value)}' for arg '{key}' in {where}"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        check = QUEUE_ARGUMENTS.get(key)
        problem = check(value) if check is not None else None
        if key == "x-dead-letter-routing-key" and not problem and "x-dead-letter-exchange" not in arguments:
            problem = "routing_key_but_no_dlx_defined"
        if problem is not None:
            raise BrokerError(Reason.PRECONDITION_FAILED, f"invalid arg '{key}' for {where}: {problem}")


def check_queue_type(
    name: str, vhost: str, arguments: Mapping[str, Any], *, durable: bool, exclusive: bool, auto_delete: bool
) -> None:
    """Raise BrokerError(PRECONDITION_FAILED) for an attribute that this type of queue cannot have (R43)."""
    if arguments.get("x-queue-type") not in ("quorum", "stream"):
        return
    for fault, found in (
        ("non-durable", not durable),
        ("exclusive-owner", exclusive),
        ("auto-delete", auto_delete),
    ):
        if found:
            text = f"invalid property '{fault}' for queue '{name}' in vhost '{vhost}'"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)


def check_consumer_arguments(queue: str, vhost: str, arguments: Mapping[str, Any]) -> None:
    """The same for the arguments of a consumer."""
    check_values(queue, vhost, arguments)
    if "x-stream-offset" in arguments:
        where = f"queue '{queue}' in vhost '{vhost}'"
        text = f"invalid arg 'x-stream-offset' for {where} of queue type rabbit_classic_queue"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)


def check_values(queue: str, vhost: str, arguments: Mapping[str, Any]) -> None:
    """The same for what any consumer may give."""
    for key, check in CONSUMER_ARGUMENTS.items():
        problem = check(arguments[key]) if key in arguments else None
        if problem is not None:
            text = f"invalid arg '{key}' for queue '{queue}' in vhost '{vhost}': {problem}"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)


SELECTOR = "x-selector"
"""What the messages of a consumer have to meet (A23); RabbitMQ has nothing like it for queues."""
EXCLUSIVE = "x-single-active-consumer"
"""As argument of a consumer: while it is there, it gets everything (A29); of a queue: R51."""

CONSUMER_ARGUMENTS: dict[str, Callable[[Any], str | None]] = {
    "x-priority": _integer,
    "x-cancel-on-ha-failover": _boolean,
    SELECTOR: _string,
    EXCLUSIVE: _boolean,
    "x-browse": _boolean,
}


def check_exchange_arguments(name: str, vhost: str, arguments: Mapping[str, Any]) -> None:
    """The same for the arguments of an exchange."""
    alternate = arguments.get("alternate-exchange", "")
    if not isinstance(alternate, str):
        kind = type_name(alternate)
        text = f"invalid type '{kind}' for arg 'alternate-exchange' in exchange '{name}' in vhost '{vhost}'"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)


def spelled(value: Any) -> str:
    """A value as RabbitMQ's texts spell it, which is Erlang's way."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(f'{{{type_name(item)},{spelled(item)}}}' for item in value)}]"
    if isinstance(value, dict):
        fields = (f"{{{spelled(key)},{type_name(item)},{spelled(item)}}}" for key, item in value.items())
        return f"[{','.join(fields)}]"
    if isinstance(value, str):
        return f'<<"{value}">>' if value else "<<>>"
    return str(value)


def type_name(value: Any) -> str:
    """The name that RabbitMQ gives to the type of an argument; a head's typed values know their own."""
    own = getattr(value, "wire_type", None)
    if isinstance(own, str):
        return own
    for kind, name in _TYPE_NAMES:
        if isinstance(value, kind):
            is_long = isinstance(value, int) and not -LONG_FROM <= value < LONG_FROM
            return "long" if is_long else name
    return "void"


LONG_FROM = 1 << 31
"""Integers from this size on take more than 32 bits."""


# In this order, because a bool is an int too.
_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (int, "signedint"),
    (float, "double"),
    (str, "longstr"),
    (bytes, "binary"),
    (list, "array"),
    (dict, "table"),
)


def demand_equal(
    kind: str,
    name: str,
    vhost: str,
    asked: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    only: tuple[str, ...],
) -> None:
    """Raise BrokerError(PRECONDITION_FAILED) naming the first of the arguments `only` that differs."""
    for key in only:
        received, present = asked.get(key), current.get(key)
        default = DEFAULTS.get(key)
        if _same(default if received is None else received, default if present is None else present):
            continue
        if received is not None and present is not None:
            words = f"received '{_plain(received)}' but current is '{_plain(present)}'"
        else:
            words = f"received {_words(received)} but current is {_words(present)}"
        text = f"inequivalent arg '{key}' for {kind} '{name}' in vhost '{vhost}': {words}"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)


def _same(one: Any, other: Any) -> bool:
    """Equal in value and class: true is not 1, and 1 is not 1.0."""
    return value_class(one) is value_class(other) and bool(one == other)


def value_class(value: Any) -> type:
    """The class within which values compare: all integers are one, whatever their width on the wire."""
    for kind, _ in _TYPE_NAMES:
        if isinstance(value, kind):
            return kind
    return type(None)


def _words(value: Any) -> str:
    return "none" if value is None else f"the value '{_plain(value)}' of type '{type_name(value)}'"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
