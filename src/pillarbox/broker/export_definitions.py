"""Definitions as RabbitMQ exports them: one document for the whole broker, or for one virtual host.

A pure function of the core's state; `import_definitions` reads what it writes, and so does RabbitMQ. As
with RabbitMQ, the document of a virtual host holds no names of virtual hosts and none of its users, exclusive
queues and the broker's own exchanges are left out, and queues that are not durable are not. A key that
RabbitMQ does not know and leaves out when it imports is `scram`, the verifiers of a user's password.

Not here: HTTP, files. Source: RabbitMQ's `GET /api/definitions` and `rabbitmqctl export_definitions`, asked
from 3.10.8; rows R94, R98.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pillarbox.broker.exchange import Exchange
from pillarbox.broker.quotas import USER
from pillarbox.broker.vhost import DEFAULT_EXCHANGE, RESERVED_PREFIX

if TYPE_CHECKING:
    from pillarbox.broker.auth import Permission, User
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Binding
    from pillarbox.broker.policy import Policy
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.topic_permission import TopicPermission
    from pillarbox.broker.vhost import VHost

Description = dict[str, Any]
Items = Iterator[Description]


class Section(NamedTuple):
    """A key of the document: the things that it has (of the broker, or of a virtual host), and what is said
    of each; None: it is left out."""

    things: Callable[[Core, Any], Iterable[Any]]
    describe: Callable[[Core, Any], Description | None]

    def items(self, core: Core, owner: VHost | None) -> Items:
        """What is said of the things that there are now."""
        return filter(None, map(partial(self.describe, core), list(self.things(core, owner))))


def _user(core: Core, user: User) -> Description:
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags),
        "limits": core.quotas.of(USER, user.name),
        **({"scram": msgspec.to_builtins(user.scram)} if user.scram else {}),
    }


def _vhost(core: Core, vhost: VHost) -> Description:
    words: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
    if vhost.default_queue_type:
        words["default_queue_type"] = vhost.default_queue_type
    if vhost.protected:
        words["protected_from_deletion"] = True
    return {"name": vhost.name, **words, "metadata": words}


def _permission(core: Core, permission: Permission) -> Description:
    return {
        "user": permission.user,
        "vhost": permission.vhost,
        "configure": permission.configure,
        "write": permission.write,
        "read": permission.read,
    }


def _topic_permission(core: Core, permission: TopicPermission) -> Description:
    return {
        "user": permission.user,
        "vhost": permission.vhost,
        "exchange": permission.exchange,
        "write": permission.write,
        "read": permission.read,
    }


def _global_parameter(core: Core, pair: tuple[str, Any]) -> Description:
    name, value = pair
    return {"name": name, "value": plain(value)}


def parameters_of(core: Core, vhost: VHost) -> Items:
    """Runtime parameters by component; limits and operator policies are such."""
    for component, name, value in core.parameters.items(vhost):
        yield {"component": component, "name": name, "value": plain(value)}


def _policy(core: Core, policy: Policy) -> Description:
    description: Description = plain(policy.described())
    return description


def _queue(core: Core, queue: Queue) -> Description | None:
    if queue.owner is not None:
        return None
    return {
        "name": queue.name,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "type": queue.kind,
        "arguments": plain(queue.arguments),
    }


def _exchange(core: Core, exchange: Exchange) -> Description | None:
    if exchange.name.startswith(RESERVED_PREFIX) or exchange.name == DEFAULT_EXCHANGE:
        return None
    return {
        "name": exchange.name,
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": plain(exchange.arguments),
    }


def _binding(core: Core, binding: Binding) -> Description | None:
    destination = binding.destination
    if getattr(destination, "owner", None) is not None:
        return None
    return {
        "source": binding.source.name,
        "destination": destination.name,
        "destination_type": "exchange" if isinstance(destination, Exchange) else "queue",
        "routing_key": binding.key,
        "arguments": plain(binding.arguments),
    }


def _as_it_is(core: Core, description: Description) -> Description:
    return description


BROKER_SECTIONS = {
    "users": Section(lambda core, _: core.users.by_name.values(), _user),
    "vhosts": Section(lambda core, _: core.vhosts.values(), _vhost),
    "permissions": Section(lambda core, _: core.users.permissions.values(), _permission),
    "topic_permissions": Section(
        lambda core, _: [one for own in core.users.topics.by_user.values() for one in own.values()],
        _topic_permission,
    ),
    "global_parameters": Section(lambda core, _: core.global_parameters.items(), _global_parameter),
}
VHOST_SECTIONS = {
    "parameters": Section(parameters_of, _as_it_is),
    "policies": Section(lambda _, vhost: vhost.policies, _policy),
    "queues": Section(lambda _, vhost: vhost.queues.values(), _queue),
    "exchanges": Section(lambda _, vhost: vhost.exchanges.values(), _exchange),
    "bindings": Section(
        lambda _, vhost: [one for source in vhost.exchanges.values() for one in source.bindings.values()],
        _binding,
    ),
}


def sections_of_broker(core: Core) -> dict[str, Items]:
    """Everything that is defined, by key of the document.

    Items are described as they are walked through, which may take a while; which they are is settled now, so
    that a binding is not without its queue.
    """
    found = {name: section.items(core, None) for name, section in BROKER_SECTIONS.items()}
    for name, section in VHOST_SECTIONS.items():
        owned = [(vhost.name, section.items(core, vhost)) for vhost in core.vhosts.values()]
        found[name] = _with_owners(owned)
    return found


def _with_owners(owned: list[tuple[str, Items]]) -> Items:
    for name, items in owned:
        for item in items:
            yield {"vhost": name, **item}


def sections_of_vhost(core: Core, vhost: VHost) -> dict[str, Items]:
    """The same, of one virtual host; to be imported into any."""
    return {name: section.items(core, vhost) for name, section in VHOST_SECTIONS.items()}


def head_of(version: str) -> Description:
    """How a document begins. `version` is the release of RabbitMQ that this stands in for."""
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
    }


def export_definitions(core: Core, version: str) -> Description:
    """The whole document, at once."""
    return {**head_of(version), **{name: list(items) for name, items in sections_of_broker(core).items()}}


def export_vhost(core: Core, vhost: VHost, version: str) -> Description:
    """What is defined in one virtual host, at once."""
    sections = sections_of_vhost(core, vhost)
    return {**head_of(version), **{name: list(items) for name, items in sections.items()}}


def plain(value: Any) -> Any:
    """A value of a table as JSON can have it; widths of numbers are lost, as they are with RabbitMQ."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return value
