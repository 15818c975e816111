"""Definitions as RabbitMQ exports them, added to a broker. Nothing is ever removed.

What the document has is added; what exists and is the same stays; users, permissions, policies and the
words about a virtual host take the document's values. As with RabbitMQ, a queue or an exchange that exists
otherwise and a binding whose ends are not there do not stand against the rest: they are left out, with a
warning to the operator and to whoever imports. What is wrong in itself raises `DefinitionsError`, which says
where; what stands before it was added. Of a long document others see parts (`importing`), and a crash leaves
some; it can be imported again.

Not here: reading files, HTTP. Rows R94, R98.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.administration import put_global_parameter, put_vhost
from pillarbox.broker.auth import ALGORITHMS, DEFAULT_ALGORITHM, Permission, User
from pillarbox.broker.chores import at_once
from pillarbox.broker.policy import policy_of
from pillarbox.broker.quotas import USER
from pillarbox.broker.scram import Verifier
from pillarbox.broker.topic_permission import TopicPermission
from pillarbox.errors import BrokerError, PillarboxError, Reason
from pillarbox.patterns import checked

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.vhost import VHost

Item = Mapping[str, Any]

ANOTHER_CLUSTERS = "internal_cluster_id"
"""A global parameter that RabbitMQ makes for itself: it says nothing about this broker."""


SECRETS = ("password", "password_hash")
"""What no error shows: it may end in a log."""


DEFAULT_TYPES = {"classic": "", "quorum": "quorum", "stream": "stream"}
"""`type` of a queue → what it is if its arguments do not say so: it may be older than what is usual there."""


class DefinitionsError(PillarboxError):
    """A document of definitions that cannot be taken over: the text says which entry is wrong, and why."""


class _Skip(Exception):
    """This entry is left out, and the rest is not: the text says why."""


def _vhost(core: Core, item: Item) -> None:
    words = {**item.get("metadata", {}), **item}
    put_vhost(
        core,
        _text(item, "name"),
        description=words.get("description"),
        tags=_names(words["tags"]) if "tags" in words else None,
        default_queue_type=_queue_type(words.get("default_queue_type")),
        protected=words.get("protected_from_deletion"),
    )


def _queue_type(word: str | None) -> str | None:
    """RabbitMQ says `undefined` where none was chosen."""
    return "" if word == "undefined" else word


def _user(core: Core, item: Item) -> None:
    name, tags = _text(item, "name"), _names(item.get("tags") or ())
    algorithm = item.get("hashing_algorithm", DEFAULT_ALGORITHM)
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown hashing_algorithm {algorithm!r}")
    if "password" in item and "password_hash" not in item:
        core.add_user(name, _text(item, "password"), tags)
    else:
        # With neither it cannot log in by a password.
        password_hash = _text(item, "password_hash") if "password_hash" in item else ""
        scram = msgspec.convert(item.get("scram", ()), tuple[Verifier, ...])
        core.put_user(User(name, password_hash, algorithm, tags, scram))
    if "limits" in item:
        core.quotas.put(USER, name, dict(item["limits"]))


def _permission(core: Core, item: Item) -> None:
    _demand_user(core, item)
    core.set_permission(
        Permission(
            item["user"],
            _of(core, item).name,
            _pattern(item, "configure"),
            _pattern(item, "write"),
            _pattern(item, "read"),
        )
    )


def _topic_permission(core: Core, item: Item) -> None:
    _demand_user(core, item)
    core.set_topic_permission(
        TopicPermission(
            item["user"],
            _of(core, item).name,
            _text(item, "exchange"),
            _pattern(item, "write"),
            _pattern(item, "read"),
        )
    )


def _global_parameter(core: Core, item: Item) -> None:
    if _text(item, "name") != ANOTHER_CLUSTERS:
        put_global_parameter(core, item["name"], item["value"])


def _parameter(core: Core, item: Item) -> None:
    """A runtime parameter: what it is depends on its component."""
    component = core.parameters.components.get(_text(item, "component"))
    if component is None:
        raise _Skip(f"parameters of the component {item['component']!r} have no effect yet")
    component.put(_of(core, item), _text(item, "name"), item["value"], None)


def _policy(core: Core, item: Item) -> None:
    vhost = _of(core, item)
    vhost.put_policy(policy_of(vhost.name, _text(item, "name"), item))


def _exchange(core: Core, item: Item) -> None:
    vhost, name = _of(core, item), _text(item, "name")
    try:
        vhost.declare_exchange(
            name,
            _text(item, "type"),
            durable=_flag(item, "durable", True),
            auto_delete=_flag(item, "auto_delete", False),
            internal=_flag(item, "internal", False),
            arguments=item.get("arguments", {}),
        )
    except BrokerError as error:
        raise _left_out(error, name in vhost.exchanges) from None


def _queue(core: Core, item: Item) -> None:
    vhost, name = _of(core, item), _text(item, "name")
    try:
        vhost.declare_queue(
            None,
            name,
            durable=_flag(item, "durable", True),
            auto_delete=_flag(item, "auto_delete", False),
            arguments=item.get("arguments", {}),
            default_type=DEFAULT_TYPES.get(item.get("type", "")),
        )
    except BrokerError as error:
        raise _left_out(error, name in vhost.queues) from None


def _left_out(error: BrokerError, exists: bool) -> Exception:
    differs = exists and error.reason in (Reason.PRECONDITION_FAILED, Reason.RESOURCE_LOCKED)
    return _Skip(error.text) if differs else error


def _binding(core: Core, item: Item) -> None:
    vhost = _of(core, item)
    to_exchange = _text(item, "destination_type") == "exchange"
    find: Callable[[str], Any] = vhost.exchange if to_exchange else vhost.queue
    try:
        source, destination = vhost.exchange(_text(item, "source")), find(_text(item, "destination"))
    except BrokerError as error:
        raise _Skip(error.text) from None
    vhost.bind(source, destination, _text(item, "routing_key"), item.get("arguments", {}))


SECTIONS: dict[str, Callable[[Core, Item], None]] = {
    "vhosts": _vhost,
    "users": _user,
    "permissions": _permission,
    "topic_permissions": _topic_permission,
    "global_parameters": _global_parameter,
    "parameters": _parameter,
    "policies": _policy,
    "exchanges": _exchange,
    "queues": _queue,
    "bindings": _binding,
}
"""Key of the document → how one of its items is added; in the order in which they depend on each other."""

OF_VHOSTS = ("parameters", "policies", "exchanges", "queues", "bindings")
"""What the document of one virtual host has; the entries need not say whose they are."""


def import_definitions(core: Core, document: Any, *, vhost: str | None = None) -> list[str]:
    """Do all of `importing` at once: at a start, when there is nobody else."""
    return at_once(importing(core, document, vhost=vhost))


def importing(core: Core, document: Any, *, vhost: str | None = None) -> Generator[None, None, list[str]]:
    """Add everything in the document, or, with `vhost`, what it has for a virtual host to that one.

    An item a step: what happens between two steps, happens between two items, and what an item needs may be
    gone by then. Return what was left out, a sentence each. Raises DefinitionsError.
    """
    left_out: list[str] = []
    if not isinstance(document, Mapping):
        raise DefinitionsError("the definitions must be a JSON object")
    for section in SECTIONS if vhost is None else OF_VHOSTS:
        items = document.get(section) or ()
        if isinstance(items, str | Mapping) or not isinstance(items, Sequence):
            raise DefinitionsError(f"{section} must be a list")
        for number, item in enumerate(items):
            if problem := _add(core, section, number, item, vhost):
                core.warn(f"definitions: {problem}")
                left_out.append(problem)
            yield
    return left_out


def _add(core: Core, section: str, number: int, item: Any, vhost: str | None) -> str:
    """Add one item; return why it is left out, or nothing."""
    where = f"{section}[{number}]"
    if not isinstance(item, Mapping):
        raise DefinitionsError(f"{where} must be a JSON object")
    if vhost is not None:
        item = {**item, "vhost": vhost}
    if name := item.get("name") or item.get("user"):
        where += f" ({name})"
    try:
        SECTIONS[section](core, item)
    except _Skip as skipped:
        return f"{where} is left out: {skipped}"
    except KeyError as error:
        raise DefinitionsError(f"{where}: {error} is missing") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise DefinitionsError(f"{where}: {error}") from None
    except BrokerError as error:
        raise DefinitionsError(f"{where}: {error.text.strip()}") from None
    return ""


def _text(item: Item, key: str) -> str:
    value = item[key]
    if not isinstance(value, str):
        found = "what is there" if key in SECRETS else repr(value)
        raise ValueError(f"{key!r} must be a text, not {found}")
    return value


def _flag(item: Item, key: str, default: bool) -> bool:
    value = item.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key!r} must be true or false, not {value!r}")
    return value


def _names(value: Any) -> tuple[str, ...]:
    """Tags are a list, and were a text with commas before RabbitMQ 3.9."""
    if isinstance(value, str):
        value = value.split(",")
    if not all(isinstance(tag, str) for tag in value):
        raise ValueError(f"tags must be texts, not {value!r}")
    return tuple(tag.strip() for tag in value if tag.strip())


def _pattern(item: Item, key: str) -> str:
    value = _text(item, key)
    try:
        checked(value)
    except re.error as error:
        raise ValueError(f"{key!r} must be a regular expression, not {value!r} ({error})") from None
    return value


def _of(core: Core, item: Item) -> VHost:
    name = _text(item, "vhost")
    vhost = core.vhosts.get(name)
    if vhost is None or vhost.closing:
        raise ValueError(f"there is no virtual host {name!r}")
    return vhost


def _demand_user(core: Core, item: Item) -> None:
    name = _text(item, "user")
    if name not in core.users.by_name:
        raise ValueError(f"there is no user {name!r}")
