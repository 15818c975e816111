"""Definitions as RabbitMQ exports them, added to a broker. Nothing is ever removed.

Virtual hosts, users (with their password hashes), permissions, exchanges, queues and bindings; what
exists and is the same stays. Other keys of the document are left alone. Row R94.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pillarbox.broker.auth import ALGORITHMS, DEFAULT_ALGORITHM, Permission, User

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

Item = Mapping[str, Any]


def _vhost(core: Core, item: Item) -> None:
    core.add_vhost(item["name"])


def _user(core: Core, item: Item) -> None:
    tags = item.get("tags", ())
    names = (
        tuple(tag.strip() for tag in tags.split(",") if tag.strip()) if isinstance(tags, str) else tuple(tags)
    )
    algorithm = item.get("hashing_algorithm", DEFAULT_ALGORITHM)
    if algorithm not in ALGORITHMS:
        raise ValueError(f"user {item['name']!r}: unknown hashing_algorithm {algorithm!r}")
    if "password_hash" in item:
        core.put_user(User(item["name"], item["password_hash"], algorithm, names))
    else:
        core.add_user(item["name"], item["password"], names)


def _permission(core: Core, item: Item) -> None:
    core.set_permission(
        Permission(item["user"], item["vhost"], item["configure"], item["write"], item["read"])
    )


def _exchange(core: Core, item: Item) -> None:
    core.vhosts[item["vhost"]].declare_exchange(
        item["name"],
        item["type"],
        durable=item.get("durable", True),
        auto_delete=item.get("auto_delete", False),
        internal=item.get("internal", False),
        arguments=item.get("arguments", {}),
    )


def _queue(core: Core, item: Item) -> None:
    core.vhosts[item["vhost"]].declare_queue(
        None,
        item["name"],
        durable=item.get("durable", True),
        auto_delete=item.get("auto_delete", False),
        arguments=item.get("arguments", {}),
    )


def _binding(core: Core, item: Item) -> None:
    vhost = core.vhosts[item["vhost"]]
    find: Callable[[str], Any] = vhost.exchange if item["destination_type"] == "exchange" else vhost.queue
    source = vhost.exchange(item["source"])
    vhost.bind(source, find(item["destination"]), item["routing_key"], item.get("arguments", {}))


# Key of the document → how one of its items is added; in the order in which they depend on each other.
SECTIONS: dict[str, Callable[[Core, Item], None]] = {
    "vhosts": _vhost,
    "users": _user,
    "permissions": _permission,
    "exchanges": _exchange,
    "queues": _queue,
    "bindings": _binding,
}


def import_definitions(core: Core, document: Mapping[str, Any]) -> None:
    """Add everything in the document. Raises KeyError, ValueError or BrokerError for what cannot be."""
    for section, add in SECTIONS.items():
        for item in document.get(section, ()):
            add(core, item)
