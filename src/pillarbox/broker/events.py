"""Events: what happens in the broker, as messages on the exchange `amq.rabbitmq.event` (R75).

Whoever binds a queue there hears of queues, exchanges, bindings, connections, channels, consumers, users,
permissions, policies, parameters, virtual hosts, limits, alarms and logins, by topic (`queue.*`). An event
is a message without a body: its name is the routing key, what it is about stands in headers. Nobody pays for
any of this unless the operator has switched it on, and no message costs anything for it.

Not here: who says that something has happened. Source: RabbitMQ, "Event Exchange", and what
3.10.8 was seen to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pillarbox.broker.dialects import Neutral
from pillarbox.engine.base import Address, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

EXCHANGE: Final = "amq.rabbitmq.event"

INTERNAL: Final = "rmq-internal"
"""Who does what nobody has asked for, in RabbitMQ's word."""

Event = tuple[str, dict[str, Any]]


class Events:
    """See the module. `acting`: the user who does what is being done, as far as anybody knows."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._vhost: str | None = None
        """Where the exchange is; None: events are not told."""
        self.acting = INTERNAL

    def __repr__(self) -> str:
        return f"<Events vhost={self._vhost!r}>"

    @property
    def is_told(self) -> bool:
        """Does anybody want to hear of them?"""
        return self._vhost is not None

    def begin(self, vhost: str) -> None:
        """Tell events in this virtual host from now on."""
        self._core.vhosts[vhost].provide_exchange(EXCHANGE)
        self._vhost = vhost

    def tell(self, name: str, /, **details: Any) -> None:
        """Something has happened. Details that are None are left out."""
        if self._vhost is not None:
            self._publish(name, details | {"user_who_performed_action": self.acting})

    def told(self, name: str, details: Mapping[str, Any]) -> None:
        """The same, of what nobody in particular has done."""
        if self._vhost is not None:
            self._publish(name, details)

    def _publish(self, name: str, details: Mapping[str, Any]) -> None:
        core = self._core
        vhost = core.vhosts.get(self._vhost or "")
        exchange = vhost.exchanges.get(EXCHANGE) if vhost is not None else None
        queues = exchange.resolve((name,)).queues if exchange is not None else ()
        if not queues:
            return
        now_ms = core.changes.now_ms
        headers = {name: value for name, value in details.items() if value is not None}
        said = Neutral(
            headers=headers | {"timestamp_in_ms": now_ms}, persistent=True, timestamp_s=now_ms // 1000
        )
        origin = core.dialects.common
        assert origin is not None, "events are told by a broker that has a protocol"
        dialect = core.dialects.of(origin)
        assert dialect is not None, "the common dialect is always there"
        message = Message(Address(origin, EXCHANGE, name), b"", b"", now_ms, persistent=True)
        message = msgspec.structs.replace(message, properties=dialect.write(said, message))
        core.publish(queues, [message], 0, persistent=True, expiring=False, prioritized=False)

    # --- definitions -----------------------------------------------------------------------------------

    def defined(self, kind: str, definition: msgspec.Struct, before: Any) -> None:
        """Something that is kept was defined; `before`: what it was, None if it is new."""
        if self._vhost is not None and kind in _DEFINED:
            for name, details in _DEFINED[kind](definition, before):
                self.tell(name, **details)

    def undefined(self, kind: str, before: Any) -> None:
        """Something that was kept is gone."""
        if self._vhost is not None and kind in _UNDEFINED:
            name, fields = _UNDEFINED[kind]
            self.tell(name, **{shown: getattr(before, field) for shown, field in fields.items()})


def _user(user: Any, before: Any) -> Iterator[Event]:
    if before is None:
        yield "user.created", {"name": user.name}
    elif user.password_hash != before.password_hash:
        cleared = "changed" if user.password_hash else "cleared"
        yield f"user.password.{cleared}", {"name": user.name}
    yield "user.tags.set", {"name": user.name, "tags": list(user.tags)}


def _as_it_is(name: str, *fields: str, **more: Any) -> Callable[[Any, Any], Iterator[Event]]:
    """An event whose details are fields of the definition."""

    def told(definition: Any, before: Any) -> Iterator[Event]:
        yield name, {field: getattr(definition, field) for field in fields} | more

    return told


def _policy(policy: Any, before: Any) -> Iterator[Event]:
    details = {"name": policy.name, "vhost": policy.vhost, "pattern": policy.pattern}
    details |= {"apply-to": policy.apply_to, "definition": policy.definition, "priority": policy.priority}
    yield "policy.set", details


def _limits(name: str) -> Callable[[Any, Any], Iterator[Event]]:
    def told(limits: Any, before: Any) -> Iterator[Event]:
        yield name, {"name": limits.owner, **limits.values}

    return told


def _vhost(vhost: Any, before: Any) -> Iterator[Event]:
    if before is None:
        details = {"name": vhost.name, "description": vhost.description, "tags": list(vhost.tags)}
        yield "vhost.created", details | {"tracing": False}


_DEFINED: Final[dict[str, Callable[[Any, Any], Iterator[Event]]]] = {
    "user": _user,
    "permission": _as_it_is("permission.created", "user", "vhost", "configure", "write", "read"),
    "topic_permission": _as_it_is("topic.permission.created", "user", "vhost", "exchange", "write", "read"),
    "policy": _policy,
    "global_parameter": _as_it_is("parameter.set", "name", "value", component="global"),
    "parameter": _as_it_is("parameter.set", "name", "component", "vhost"),
    "vhost": _vhost,
    "vhost_limits": _limits("vhost.limits.set"),
    "user_limits": _limits("user.limits.set"),
}
"""Kind of definition → the events of its being defined."""

_UNDEFINED: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "user": ("user.deleted", {"name": "name"}),
    "permission": ("permission.deleted", {"user": "user", "vhost": "vhost"}),
    "topic_permission": ("topic.permission.deleted", {"user": "user", "vhost": "vhost"}),
    "policy": ("policy.cleared", {"name": "name", "vhost": "vhost"}),
    "global_parameter": ("parameter.cleared", {"name": "name"}),
    "parameter": ("parameter.cleared", {"name": "name", "component": "component", "vhost": "vhost"}),
    "vhost": ("vhost.deleted", {"name": "name"}),
    "vhost_limits": ("vhost.limits.cleared", {"name": "owner"}),
    "user_limits": ("user.limits.cleared", {"name": "owner"}),
}
"""Kind of definition → the event of its being gone, and its details by the field that has them."""
