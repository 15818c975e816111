"""Definitions as RabbitMQ exports them: one document for the whole broker, or for one virtual host.

A pure function of the core's state; `import_definitions` reads what it writes, and so does RabbitMQ. As
with RabbitMQ, the document of a virtual host holds no names of virtual hosts and none of its users, exclusive
queues and the broker's own exchanges are left out, and queues that are not durable are not. A key that
RabbitMQ does not know and leaves out when it imports is `scram`, the verifiers of a user's password.

Not here: HTTP, files. Source: RabbitMQ's `GET /api/definitions` and `rabbitmqctl export_definitions`, asked
from 3.10.8; rows R94, R98.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.exchange import Exchange
from pillarbox.broker.quotas import USER, VHOST
from pillarbox.broker.vhost import DEFAULT_EXCHANGE, RESERVED_PREFIX

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.policy import Policy
    from pillarbox.broker.vhost import VHost

Items = Iterator[dict[str, Any]]


def _users(core: Core) -> Items:
    for user in core.users.by_name.values():
        yield {
            "name": user.name,
            "password_hash": user.password_hash,
            "hashing_algorithm": user.hashing_algorithm,
            "tags": list(user.tags),
            "limits": core.quotas.of(USER, user.name),
            **({"scram": msgspec.to_builtins(user.scram)} if user.scram else {}),
        }


def _vhosts(core: Core) -> Items:
    for vhost in core.vhosts.values():
        words: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
        if vhost.default_queue_type:
            words["default_queue_type"] = vhost.default_queue_type
        if vhost.protected:
            words["protected_from_deletion"] = True
        yield {"name": vhost.name, **words, "metadata": words}


def _permissions(core: Core) -> Items:
    for permission in core.users.permissions.values():
        yield {
            "user": permission.user,
            "vhost": permission.vhost,
            "configure": permission.configure,
            "write": permission.write,
            "read": permission.read,
        }


def _topic_permissions(core: Core) -> Items:
    for own in core.users.topics.by_user.values():
        for permission in own.values():
            yield {
                "user": permission.user,
                "vhost": permission.vhost,
                "exchange": permission.exchange,
                "write": permission.write,
                "read": permission.read,
            }


def _global_parameters(core: Core) -> Items:
    for name, value in core.global_parameters.items():
        yield {"name": name, "value": plain(value)}


def parameters_of(core: Core, vhost: VHost) -> Items:
    """Runtime parameters by component; limits and operator policies are such."""
    limits = core.quotas.of(VHOST, vhost.name)
    if limits:
        yield {"component": "vhost-limits", "name": "limits", "value": limits}
    for policy in vhost.operator_policies:
        value = _policy(policy)
        yield {"component": "operator_policy", "name": value.pop("name"), "value": value}


def _policies(core: Core, vhost: VHost) -> Items:
    return map(_policy, vhost.policies)


def _policy(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": plain(policy.definition),
        "priority": policy.priority,
    }


def _queues(core: Core, vhost: VHost) -> Items:
    for queue in vhost.queues.values():
        if queue.owner is None:
            yield {
                "name": queue.name,
                "durable": queue.durable,
                "auto_delete": queue.auto_delete,
                "type": queue.kind,
                "arguments": plain(queue.arguments),
            }


def _exchanges(core: Core, vhost: VHost) -> Items:
    for exchange in vhost.exchanges.values():
        if not exchange.name.startswith(RESERVED_PREFIX) and exchange.name != DEFAULT_EXCHANGE:
            yield {
                "name": exchange.name,
                "type": exchange.kind,
                "durable": exchange.durable,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": plain(exchange.arguments),
            }


def _bindings(core: Core, vhost: VHost) -> Items:
    for exchange in vhost.exchanges.values():
        for binding in exchange.bindings.values():
            destination = binding.destination
            to_exchange = isinstance(destination, Exchange)
            if getattr(destination, "owner", None) is None:
                yield {
                    "source": exchange.name,
                    "destination": destination.name,
                    "destination_type": "exchange" if to_exchange else "queue",
                    "routing_key": binding.key,
                    "arguments": plain(binding.arguments),
                }


# Key of the document → its items: those of the whole broker, and those that a virtual host has.
BROKER_SECTIONS: dict[str, Callable[[Core], Items]] = {
    "users": _users,
    "vhosts": _vhosts,
    "permissions": _permissions,
    "topic_permissions": _topic_permissions,
    "global_parameters": _global_parameters,
}
VHOST_SECTIONS: dict[str, Callable[[Core, VHost], Items]] = {
    "parameters": parameters_of,
    "policies": _policies,
    "queues": _queues,
    "exchanges": _exchanges,
    "bindings": _bindings,
}


def export_definitions(core: Core, version: str) -> dict[str, Any]:
    """Everything that is defined. `version` is the release of RabbitMQ that this stands in for."""
    document: dict[str, Any] = _head(version)
    for section, of_broker in BROKER_SECTIONS.items():
        document[section] = list(of_broker(core))
    for section, of_vhost in VHOST_SECTIONS.items():
        document[section] = [
            {"vhost": vhost.name, **item} for vhost in core.vhosts.values() for item in of_vhost(core, vhost)
        ]
    return document


def export_vhost(core: Core, vhost: VHost, version: str) -> dict[str, Any]:
    """What is defined in one virtual host; to be imported into any."""
    sections = {section: list(of_vhost(core, vhost)) for section, of_vhost in VHOST_SECTIONS.items()}
    return {**_head(version), **sections}


def _head(version: str) -> dict[str, Any]:
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
    }


def plain(value: Any) -> Any:
    """A value of a table as JSON can have it; widths of numbers are lost, as they are with RabbitMQ."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return value
